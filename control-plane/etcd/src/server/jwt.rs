//! Tokens that say themselves who their user is, signed by a key that all members have.

use crate::replica::auth::{AuthError, Who};
use component::{
    flags::parse_duration,
    jwt::{Algorithm, Key, PublicKey, Token},
};
use serde::{Deserialize, Serialize};
use std::{fs, sync::Arc, time::Duration};

/// How long a token lives if nothing else is said.
const TTL: Duration = Duration::from_secs(300);

/// What tokens are given to users.
#[derive(Clone, Default)]
pub enum Tokens {
    /// Such as the members know.
    #[default]
    Simple,
    /// Such as are signed.
    Jwt(Arc<Jwt>),
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Simple => "simple",
            Self::Jwt(_) => "jwt",
        })
    }
}

/// Why `--auth-token` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// It is no kind of tokens, or an option is none.
    #[error("auth: invalid auth options: {0}")]
    Options(String),
    /// There is no such method, or tokens cannot be signed by it.
    #[error("auth: invalid auth signature method: {0:?} is none of RS256, ES256, ES384, ES512")]
    Method(String),
    /// A key cannot be read.
    #[error("{0}: {1}")]
    Key(String, String),
    /// There is none.
    #[error("auth: missing key data")]
    MissingKey,
    /// They do not belong together.
    #[error("auth: public and private keys don't match")]
    KeyMismatch,
}

impl Tokens {
    /// Of a text such as `simple` or `jwt,pub-key=FILE,priv-key=FILE,sign-method=RS256,ttl=10m`.
    pub fn parse(text: &str) -> Result<Self, TokensError> {
        let (kind, options) = text.split_once(',').unwrap_or((text, ""));
        match kind {
            "simple" | "" => Ok(Self::Simple),
            "jwt" => Ok(Self::Jwt(Arc::new(Jwt::parse(options)?))),
            other => Err(TokensError::Options(other.to_owned())),
        }
    }
}

/// Signs and verifies tokens.
pub struct Jwt {
    /// Without it tokens are only verified.
    key: Option<Key>,
    public: PublicKey,
    algorithm: Algorithm,
    ttl: Duration,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    username: String,
    revision: u64,
    exp: i64,
}

fn read(path: &str) -> Result<String, TokensError> {
    fs::read_to_string(path).map_err(|error| TokensError::Key(path.to_owned(), error.to_string()))
}

impl Jwt {
    fn parse(options: &str) -> Result<Self, TokensError> {
        let (mut public, mut private, mut method, mut ttl) = (None, None, "", TTL);
        for option in options.split(',').filter(|option| !option.is_empty()) {
            let bad = || TokensError::Options(option.to_owned());
            match option.split_once('=').ok_or_else(bad)? {
                ("pub-key", path) => public = Some(path),
                ("priv-key", path) => private = Some(path),
                ("sign-method", name) => method = name,
                ("ttl", text) => ttl = parse_duration(text).ok_or_else(bad)?,
                _ => return Err(bad()),
            }
        }
        let algorithm = Algorithm::named(method).ok_or_else(|| TokensError::Method(method.to_owned()))?;
        let public = public
            .map(|path| {
                let keys = PublicKey::read_all(&read(path)?);
                let first = keys.and_then(|keys| keys.into_iter().next().ok_or_else(|| "no key".to_owned()));
                first.map_err(|why| TokensError::Key(path.to_owned(), why))
            })
            .transpose()?;
        let key = private
            .map(|path| Key::from_pem(&read(path)?).map_err(|why| TokensError::Key(path.to_owned(), why)))
            .transpose()?;
        let own = key.as_ref().map(|key| key.public().clone());
        if let (Some(own), Some(given)) = (&own, &public)
            && own != given
        {
            return Err(TokensError::KeyMismatch);
        }
        if key
            .as_ref()
            .is_some_and(|key| key.public().algorithm() != algorithm)
        {
            return Err(TokensError::Method(method.to_owned()));
        }
        Ok(Self {
            public: public.or(own).ok_or(TokensError::MissingKey)?,
            key,
            algorithm,
            ttl,
        })
    }

    /// A token of a user.
    pub fn sign(&self, who: &Who, now: jiff::Timestamp) -> Result<String, AuthError> {
        let key = self.key.as_ref().ok_or(AuthError::VerifyOnly)?;
        let claims = Claims {
            username: who.user.clone(),
            revision: who.revision,
            exp: now.as_second().saturating_add_unsigned(self.ttl.as_secs()),
        };
        key.sign(&claims).map_err(|why| {
            tracing::warn!(why, "a token could not be signed");
            AuthError::InvalidToken
        })
    }

    /// Whose token it is, if it is good.
    pub fn user(&self, token: &str, now: jiff::Timestamp) -> Option<Who> {
        let token = Token::parse(token).ok()?;
        let good = token.algorithm() == Some(self.algorithm) && token.is_signed_by(&self.public);
        let claims: Claims = good.then(|| token.claims().ok()).flatten()?;
        (claims.exp > now.as_second()).then_some(Who {
            user: claims.username,
            revision: claims.revision,
        })
    }
}
