//! Keys that encrypt values.

use super::Source;
use crate::encryption::cipher::{Cipher, Refused, cipher};
use component::Random;
use ring::hkdf;

/// What stands before each value that has a key of its own, and makes the key.
const INFO: usize = 32;

/// The shortest seed, and the length of a key that comes of it.
const LENGTH: usize = 32;

/// A key, or the seed of keys.
pub(super) enum Dek {
    Key(Box<dyn Cipher>),
    Seed(hkdf::Prk),
}

impl Dek {
    pub fn new(source: Source, plain: Vec<u8>) -> Result<Self, String> {
        let length = plain.len();
        match source {
            Source::AesGcmKey => cipher("aesgcm", &plain)
                .map(Self::Key)
                .ok_or_else(|| format!("crypto/aes: invalid key size {length}")),
            Source::HkdfSha256XnonceAesGcmSeed if length < LENGTH => {
                Err(format!("invalid seed length {length} used for key generation"))
            }
            Source::HkdfSha256XnonceAesGcmSeed => {
                Ok(Self::Seed(hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &plain)))
            }
        }
    }

    /// Seals with a key that no other value has.
    pub fn seal(&self, value: &[u8], place: &[u8], random: &Random) -> Result<Vec<u8>, Refused> {
        match self {
            Self::Key(key) => key.seal(value, place, random),
            Self::Seed(seed) => {
                let mut info = [0; INFO];
                random.fill(&mut info);
                let sealed = derived(seed, &info)?.seal(value, place, random)?;
                Ok([&info[..], &sealed].concat())
            }
        }
    }

    pub fn open(&self, stored: &[u8], place: &[u8]) -> Result<Vec<u8>, Refused> {
        match self {
            Self::Key(key) => key.open(stored, place),
            Self::Seed(seed) => {
                let (info, sealed) = stored.split_at_checked(INFO).ok_or(Refused::Short)?;
                derived(seed, info)?.open(sealed, place)
            }
        }
    }
}

fn derived(seed: &hkdf::Prk, info: &[u8]) -> Result<Box<dyn Cipher>, Refused> {
    let mut key = [0; LENGTH];
    let parts = [info];
    let made = seed
        .expand(&parts, hkdf::HKDF_SHA256)
        .and_then(|made| made.fill(&mut key));
    made.map_err(|_| Refused::Forged)?;
    cipher("aesgcm", &key).ok_or(Refused::Forged)
}
