//! Names and passwords (HTTP basic authentication), from a file of lines `hash,user,uid,"group1,group2"`. A hash is what
//! `ferrokube hash-password` writes: `pbkdf2-sha256:ROUNDS:SALT:HASH`, both in base64. The server has no port without
//! TLS, so a password is never sent in the clear.

use super::{
    cache::{Cache, Digested, digest},
    token_file::{records, user},
};
use crate::security::{Answer, User};
use base64::{Engine, engine::general_purpose::STANDARD};
use component::{Env, Random};
use futures::FutureExt;
use ring::pbkdf2;
use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

const NAME: &str = "pbkdf2-sha256";
/// Rounds of a new hash; OWASP's number.
const ROUNDS: u32 = 600_000;
/// More would let a line of the file stop the server.
const MOST_ROUNDS: u32 = 10_000_000;
/// A password that was right is right for so long.
const GOOD: Duration = Duration::from_secs(10);
/// So many are checked at a time: it is meant to be slow.
const AT_A_TIME: usize = 2;

/// Who may come with a password.
pub struct PasswordFile {
    users: Arc<BTreeMap<String, Line>>,
    good: Arc<Cache<Digested, User>>,
    turns: Arc<Semaphore>,
    env: Env,
}

#[derive(Clone)]
struct Line {
    hash: Hash,
    user: User,
}

#[derive(Clone)]
struct Hash {
    rounds: NonZeroU32,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Hash {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("it is no {NAME} hash: passwords are stored hashed; ferrokube hash-password makes one")
        };
        let mut parts = text.split(':');
        let (Some(NAME), Some(rounds), Some(salt), Some(hash), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return Err(wrong());
        };
        let rounds: u32 = rounds.parse().map_err(|_| wrong())?;
        let bytes = |text: &str| STANDARD.decode(text).map_err(|_| wrong());
        let (salt, hash) = (bytes(salt)?, bytes(hash)?);
        if !(1..=MOST_ROUNDS).contains(&rounds) || salt.len() < 8 || hash.len() != 32 {
            return Err(wrong());
        }
        Ok(Self {
            rounds: NonZeroU32::new(rounds).ok_or_else(wrong)?,
            salt,
            hash,
        })
    }

    fn is_of(&self, password: &str) -> bool {
        let (salt, hash) = (&self.salt, &self.hash);
        pbkdf2::verify(
            pbkdf2::PBKDF2_HMAC_SHA256,
            self.rounds,
            salt,
            password.as_bytes(),
            hash,
        )
        .is_ok()
    }
}

/// The hash of a password, as the file has it.
pub fn hash(password: &str, random: &Random) -> String {
    let (mut salt, mut hash) = ([0; 16], [0; 32]);
    random.fill(&mut salt);
    let rounds = NonZeroU32::new(ROUNDS).unwrap_or(NonZeroU32::MIN);
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA256,
        rounds,
        &salt,
        password.as_bytes(),
        &mut hash,
    );
    format!(
        "{NAME}:{rounds}:{}:{}",
        STANDARD.encode(salt),
        STANDARD.encode(hash)
    )
}

impl PasswordFile {
    /// Reads the text of the file at `path`.
    ///
    /// # Errors
    /// A line is none.
    pub fn parse(path: &str, text: &str, env: &Env) -> Result<Self, String> {
        let mut users = BTreeMap::new();
        for (at, record) in records(text)?.into_iter().enumerate() {
            let [hash, name, uid, rest @ ..] = record.as_slice() else {
                return Err(format!(
                    "password file '{path}' must have at least 3 columns (password hash, user name, user uid), found {}",
                    record.len()
                ));
            };
            let wrong = |why: &str| format!("password file '{path}', record number '{}': {why}", at + 1);
            let hash = Hash::parse(hash).map_err(|why| wrong(&why))?;
            if name.is_empty() {
                return Err(wrong("there is no user name"));
            }
            let user = user(name, uid, rest);
            if users.insert(name.clone(), Line { hash, user }).is_some() {
                return Err(wrong("the user is there twice"));
            }
        }
        Ok(Self {
            users: Arc::new(users),
            good: Arc::new(Cache::new(env.clock.clone())),
            turns: Arc::new(Semaphore::new(AT_A_TIME)),
            env: env.clone(),
        })
    }

    /// The user of the credentials of an `Authorization: Basic` header. None: there are none in it.
    pub fn user(&self, credentials: &str) -> Answer<Result<Option<User>, String>> {
        let text = STANDARD.decode(credentials.trim()).ok();
        let text = text.and_then(|text| String::from_utf8(text).ok());
        let Some((name, password)) = text.as_deref().and_then(|text| text.split_once(':')) else {
            return Ok(None).into();
        };
        let key = digest(name, &[password.to_owned()]);
        if let Some(user) = self.good.get(&key) {
            return Ok(Some(user)).into();
        }
        let refused = || Err("invalid username/password combination".to_owned());
        let line = self.users.get(name).cloned();
        // Whoever is not there takes as long as who is: names are not told by the time.
        let Some(checked) = line.clone().or_else(|| self.users.values().next().cloned()) else {
            return refused().into();
        };
        let (good, turns, env, password) = (
            self.good.clone(),
            self.turns.clone(),
            self.env.clone(),
            password.to_owned(),
        );
        let check = async move {
            let Ok(_turn) = turns.acquire().await else {
                return refused();
            };
            let right = env.tasks.blocking(move || checked.hash.is_of(&password)).await;
            let Some(line) = line.filter(|_| right == Some(true)) else {
                return refused();
            };
            good.put(key, line.user.clone(), GOOD);
            Ok(Some(line.user))
        };
        Answer::Later(check.boxed())
    }
}
