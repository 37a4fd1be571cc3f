//! The ciphers, byte for byte as upstream's transformers write them.

use super::metrics;
use aes::cipher::{
    BlockDecryptMut, BlockEncryptMut, BlockSizeUser, KeyInit as _, KeyIvInit as _, block_padding::Pkcs7,
    consts::U16,
};
use aes_gcm::{AesGcm, Nonce, aead::Aead as _, aead::Payload, aead::consts::U12};
use component::Random;
use crypto_secretbox::XSalsa20Poly1305;

/// Length of the nonce of AES-GCM, of the start vector of AES-CBC, and of the nonce of secretbox.
const GCM_NONCE: usize = 12;
const CBC_BLOCK: usize = 16;
const BOX_NONCE: usize = 24;

/// Why a value cannot be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// Cut off.
    #[error("the stored data was shorter than the required size")]
    Short,
    /// Another key, or other bytes than were written.
    #[error("the stored data was not written with this key, or was changed")]
    Forged,
    /// A KMS provider says no, or nothing.
    #[error("{0}")]
    Kms(String),
    /// A KMS provider does not decrypt the key of the value, with the code by which it said so.
    #[error("failed to decrypt DEK")]
    Declined(String),
}

impl Refused {
    /// As metrics tell it.
    pub fn status(&self) -> &str {
        match self {
            Self::Declined(code) => code,
            _ => metrics::FAILED,
        }
    }
}

/// A cipher with its key. `place` is the key under which the value is stored; only AES-GCM binds the value to it.
pub(super) trait Cipher: Send + Sync {
    /// The bytes to store.
    fn seal(&self, value: &[u8], place: &[u8], random: &Random) -> Result<Vec<u8>, Refused>;
    /// What was sealed.
    fn open(&self, stored: &[u8], place: &[u8]) -> Result<Vec<u8>, Refused>;
    /// Whether it would seal with another key now.
    fn stale(&self, _stored: &[u8]) -> bool {
        false
    }
}

/// A cipher by the name of its provider; none for another length of the secret.
pub(super) fn cipher(provider: &str, secret: &[u8]) -> Option<Box<dyn Cipher>> {
    fn gcm<A>(secret: &[u8]) -> Option<Box<dyn Cipher>>
    where
        A: aes::cipher::BlockEncrypt
            + aes::cipher::BlockCipher
            + aes::cipher::KeyInit
            + BlockSizeUser<BlockSize = U16>
            + Send
            + Sync
            + 'static,
    {
        Some(Box::new(Gcm(AesGcm::<A, U12>::new_from_slice(secret).ok()?)))
    }
    fn cbc<A: Block>(secret: &[u8]) -> Option<Box<dyn Cipher>> {
        A::new_from_slice(secret).ok().map(|_| ())?;
        Some(Box::new(Cbc::<A>(secret.to_vec(), std::marker::PhantomData)))
    }
    match (provider, secret.len()) {
        ("aesgcm", 16) => gcm::<aes::Aes128>(secret),
        ("aesgcm", 24) => gcm::<aes::Aes192>(secret),
        ("aesgcm", 32) => gcm::<aes::Aes256>(secret),
        ("aescbc", 16) => cbc::<aes::Aes128>(secret),
        ("aescbc", 24) => cbc::<aes::Aes192>(secret),
        ("aescbc", 32) => cbc::<aes::Aes256>(secret),
        ("secretbox", 32) => Some(Box::new(Secretbox(
            XSalsa20Poly1305::new_from_slice(secret).ok()?,
        ))),
        _ => None,
    }
}

fn nonce<const N: usize>(random: &Random) -> [u8; N] {
    let mut nonce = [0; N];
    random.fill(&mut nonce);
    nonce
}

/// Nonce, then the sealed bytes and their tag.
struct Gcm<A>(AesGcm<A, U12>);

impl<A> Cipher for Gcm<A>
where
    A: aes::cipher::BlockEncrypt + aes::cipher::BlockCipher + BlockSizeUser<BlockSize = U16> + Send + Sync,
{
    fn seal(&self, value: &[u8], place: &[u8], random: &Random) -> Result<Vec<u8>, Refused> {
        let nonce = nonce::<GCM_NONCE>(random);
        let payload = Payload {
            msg: value,
            aad: place,
        };
        let sealed = self.0.encrypt(Nonce::from_slice(&nonce), payload);
        Ok([&nonce[..], &sealed.map_err(|_| Refused::Forged)?].concat())
    }

    fn open(&self, stored: &[u8], place: &[u8]) -> Result<Vec<u8>, Refused> {
        let (nonce, sealed) = stored.split_at_checked(GCM_NONCE).ok_or(Refused::Short)?;
        let payload = Payload {
            msg: sealed,
            aad: place,
        };
        self.0
            .decrypt(Nonce::from_slice(nonce), payload)
            .map_err(|_| Refused::Forged)
    }
}

trait Block:
    aes::cipher::BlockCipher
    + BlockEncryptMut
    + BlockDecryptMut
    + aes::cipher::KeyInit
    + BlockSizeUser<BlockSize = U16>
    + Send
    + Sync
    + 'static
{
}

impl Block for aes::Aes128 {}
impl Block for aes::Aes192 {}
impl Block for aes::Aes256 {}

/// Start vector, then the blocks with PKCS #7 padding.
struct Cbc<A>(Vec<u8>, std::marker::PhantomData<A>);

impl<A: Block> Cipher for Cbc<A> {
    fn seal(&self, value: &[u8], _place: &[u8], random: &Random) -> Result<Vec<u8>, Refused> {
        let start = nonce::<CBC_BLOCK>(random);
        let mode = cbc::Encryptor::<A>::new_from_slices(&self.0, &start).map_err(|_| Refused::Forged)?;
        Ok([&start[..], &mode.encrypt_padded_vec_mut::<Pkcs7>(value)].concat())
    }

    fn open(&self, stored: &[u8], _place: &[u8]) -> Result<Vec<u8>, Refused> {
        let (start, blocks) = stored.split_at_checked(CBC_BLOCK).ok_or(Refused::Short)?;
        let mode = cbc::Decryptor::<A>::new_from_slices(&self.0, start).map_err(|_| Refused::Forged)?;
        mode.decrypt_padded_vec_mut::<Pkcs7>(blocks)
            .map_err(|_| Refused::Forged)
    }
}

/// Nonce, then the tag and the sealed bytes, as NaCl's secretbox.
struct Secretbox(XSalsa20Poly1305);

impl Cipher for Secretbox {
    fn seal(&self, value: &[u8], _place: &[u8], random: &Random) -> Result<Vec<u8>, Refused> {
        let nonce = nonce::<BOX_NONCE>(random);
        let sealed = self.0.encrypt((&nonce).into(), value);
        Ok([&nonce[..], &sealed.map_err(|_| Refused::Forged)?].concat())
    }

    fn open(&self, stored: &[u8], _place: &[u8]) -> Result<Vec<u8>, Refused> {
        let (nonce, sealed) = stored.split_at_checked(BOX_NONCE).ok_or(Refused::Short)?;
        self.0.decrypt(nonce.into(), sealed).map_err(|_| Refused::Forged)
    }
}
