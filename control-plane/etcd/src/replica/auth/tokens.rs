//! Simple tokens: every member knows those that were given, until they are over or it ends.

use super::Change;
use component::Clock;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The tokens, each with its user and when it is over.
pub struct Tokens {
    clock: Clock,
    live: Duration,
    given: Mutex<BTreeMap<String, (String, Instant)>>,
}

impl Tokens {
    /// None yet; one that is not used for `live` is over.
    pub fn new(clock: Clock, live: Duration) -> Self {
        Self {
            clock,
            live,
            given: Mutex::default(),
        }
    }

    fn given(&self) -> MutexGuard<'_, BTreeMap<String, (String, Instant)>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose token it is. It lives on from now.
    pub fn user(&self, token: &str) -> Option<String> {
        let now = self.clock.now();
        let mut given = self.given();
        let (user, until) = given.get_mut(token)?;
        if *until <= now {
            given.remove(token);
            return None;
        }
        *until = now + self.live;
        Some(user.clone())
    }

    /// Does what a change, done by the entry at `index`, means for tokens.
    pub fn follow(&self, change: &Change, index: u64) {
        let mut given = self.given();
        match change {
            Change::Token(new) => {
                let now = self.clock.now();
                given.retain(|_, (_, until)| *until > now);
                given.insert(name(&new.prefix, index), (new.user.clone(), now + self.live));
            }
            Change::UserDelete(gone) => given.retain(|_, (user, _)| *user != gone.name),
            Change::UserPassword(changed) => given.retain(|_, (user, _)| *user != changed.name),
            Change::Disable(_) => given.clear(),
            _ => {}
        }
    }

    /// The whole token that begins so.
    pub fn beginning(&self, prefix: &str) -> Option<String> {
        let start = format!("{prefix}.");
        let given = self.given();
        let (token, _) = given.range(start.clone()..).next()?;
        token.starts_with(&start).then(|| token.clone())
    }
}

fn name(prefix: &str, index: u64) -> String {
    format!("{prefix}.{index}")
}

/// The index of the entry that gave a token.
pub fn index_of(token: &str) -> Option<u64> {
    let (_, index) = token.split_once('.')?;
    index.parse().ok()
}
