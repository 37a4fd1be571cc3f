//! What was found out lately.

use component::Clock;
use sha2::{Digest, Sha256};
use std::{
    borrow::Borrow,
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// So much is remembered.
const MOST: usize = 4096;

/// Values, each for a time.
pub struct Cache<K, V> {
    known: Mutex<HashMap<K, (Instant, V)>>,
    clock: Clock,
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    /// Empty.
    pub fn new(clock: Clock) -> Self {
        Self {
            known: Mutex::default(),
            clock,
        }
    }

    /// What is remembered under `key`.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, value) = known.get(key)?;
        (self.clock.now() < *until).then(|| value.clone())
    }

    /// Remembers it. When there is no room, what is over goes first, then everything.
    pub fn put(&self, key: K, value: V, life: Duration) {
        let now = self.clock.now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, (until, _)| now < *until);
        }
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key, (now + life, value));
    }
}

/// A token and the audiences it is asked about, not to be read back; or a certificate.
pub type Digested = [u8; 32];

/// The digest of a certificate.
pub fn digest_of(bytes: &[u8]) -> Digested {
    Sha256::digest(bytes).into()
}

/// The digest of a token and audiences.
pub fn digest(token: &str, audiences: &[String]) -> Digested {
    let mut digest = Sha256::new();
    for part in std::iter::once(token).chain(audiences.iter().map(String::as_str)) {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().into()
}
