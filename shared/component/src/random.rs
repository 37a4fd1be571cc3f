//! Randomness from one seed.

use rand::{Rng, RngCore, SeedableRng, rngs::StdRng};
use std::sync::{Arc, Mutex, PoisonError};

/// A random source. Clones share the same stream, so that one seed fixes a whole run.
#[derive(Clone)]
pub struct Random(Arc<Mutex<StdRng>>);

/// The characters of generated names, as upstream's `rand.String`: no vowels, nothing easily confused.
const NAME_ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

impl Random {
    /// Seeded by the operating system.
    pub fn system() -> Self {
        Self(Arc::new(Mutex::new(StdRng::from_os_rng())))
    }

    /// The same stream for the same seed.
    pub fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    fn with<T>(&self, f: impl FnOnce(&mut StdRng) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A random (version 4) UUID, in its usual text form.
    pub fn uuid(&self) -> String {
        let mut bytes = [0u8; 16];
        self.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    /// The suffix that `generateName` appends (upstream: five characters).
    pub fn name_suffix(&self, length: usize) -> String {
        self.with(|rng| {
            (0..length)
                .map(|_| char::from(NAME_ALPHABET[rng.random_range(0..NAME_ALPHABET.len())]))
                .collect()
        })
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub fn below(&self, bound: u64) -> u64 {
        if bound == 0 {
            0
        } else {
            self.with(|rng| rng.random_range(0..bound))
        }
    }

    /// `duration` lengthened by a random share of up to `factor`, as upstream's `wait.Jitter`.
    pub fn jitter(&self, duration: std::time::Duration, factor: f64) -> std::time::Duration {
        duration.mul_f64(1.0 + factor * self.with(|rng| rng.random::<f64>()))
    }

    /// Fills `bytes`.
    pub fn fill(&self, bytes: &mut [u8]) {
        self.with(|rng| rng.fill_bytes(bytes));
    }
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Random")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_one_stream() {
        let (a, b) = (Random::seeded(7), Random::seeded(7));
        assert_eq!(a.uuid(), b.uuid());
        assert_eq!(a.name_suffix(5), b.name_suffix(5));
        assert_eq!(a.name_suffix(5).len(), 5);
    }
}
