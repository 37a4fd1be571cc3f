//! Keys that sign tokens.

use super::{
    Algorithm, Token, der,
    public::{Curve, PublicKey},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use p521::{
    SecretKey,
    ecdsa::{Signature, SigningKey, VerifyingKey, signature::Signer},
    pkcs8::DecodePrivateKey,
};
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
        RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use serde::{Serialize, de::DeserializeOwned};
use x509_parser::pem::Pem;

/// A key that signs and verifies.
pub struct Key {
    private: Private,
    public: PublicKey,
    random: SystemRandom,
}

/// The private half.
pub(super) enum Private {
    Rsa(Box<RsaKeyPair>),
    Ec(Curve, Box<EcdsaKeyPair>),
    P521(Box<SigningKey>),
}

impl Private {
    /// From the contents of a PEM block.
    pub(super) fn of(label: &str, der: &[u8]) -> Result<Self, String> {
        let rsa =
            |pair: Result<RsaKeyPair, ring::error::KeyRejected>| pair.map(|pair| Self::Rsa(Box::new(pair)));
        match label {
            "RSA PRIVATE KEY" => rsa(RsaKeyPair::from_der(der)).map_err(|error| error.to_string()),
            "EC PRIVATE KEY" => {
                let found = Curve::ALL.into_iter().find_map(|curve| {
                    let pkcs8 = der::ec_pkcs8(curve.der(), der);
                    Self::on(curve, &pkcs8)
                });
                found.ok_or_else(|| "unknown private key curve, must be 256, 384, or 521".to_owned())
            }
            _ => {
                if let Ok(pair) = rsa(RsaKeyPair::from_pkcs8(der)) {
                    return Ok(pair);
                }
                let found = Curve::ALL.into_iter().find_map(|curve| Self::on(curve, der));
                found.ok_or_else(|| {
                    "unknown private key, must be RSA of at least 2048 bits or ECDSA on the curves 256, 384, or 521"
                        .to_owned()
                })
            }
        }
    }

    fn on(curve: Curve, pkcs8: &[u8]) -> Option<Self> {
        let by = match curve {
            Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
            Curve::P521 => {
                let secret = SecretKey::from_pkcs8_der(pkcs8).ok()?;
                let key = SigningKey::from_slice(&secret.to_bytes()).ok()?;
                return Some(Self::P521(Box::new(key)));
            }
        };
        let pair = EcdsaKeyPair::from_pkcs8(by, pkcs8, &SystemRandom::new()).ok()?;
        Some(Self::Ec(curve, Box::new(pair)))
    }

    /// The public half.
    pub(super) fn public(&self) -> PublicKey {
        match self {
            Self::Rsa(pair) => PublicKey::rsa(pair.public_key().as_ref()),
            Self::Ec(curve, pair) => PublicKey::ec(*curve, pair.public_key().as_ref()),
            Self::P521(key) => {
                let point = VerifyingKey::from(key.as_ref()).to_encoded_point(false);
                PublicKey::ec(Curve::P521, point.as_bytes())
            }
        }
    }

    fn sign(&self, text: &[u8], random: &SystemRandom) -> Result<Vec<u8>, String> {
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                let signed = pair.sign(&RSA_PKCS1_SHA256, random, text, &mut signature);
                signed.map_err(|error| error.to_string())?;
                Ok(signature)
            }
            Self::Ec(_, pair) => {
                let signed = pair.sign(random, text).map_err(|error| error.to_string())?;
                Ok(signed.as_ref().to_vec())
            }
            Self::P521(key) => {
                let signed: Result<Signature, _> = key.try_sign(text);
                let signed = signed.map_err(|error| error.to_string())?;
                Ok(signed.to_bytes().to_vec())
            }
        }
    }
}

#[derive(Serialize)]
struct Header<'a> {
    alg: Algorithm,
    kid: &'a str,
}

impl Key {
    /// From a private key, PEM: PKCS#8, PKCS#1 or SEC 1; RSA of at least 2048 bits, P-256, P-384 or P-521.
    ///
    /// # Errors
    /// There is no such key.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        for block in Pem::iter_from_buffer(pem.as_bytes()) {
            let block = block.map_err(|error| format!("signing key: {error}"))?;
            if !block.label.ends_with("PRIVATE KEY") {
                continue;
            }
            let private =
                Private::of(&block.label, &block.contents).map_err(|why| format!("signing key: {why}"))?;
            return Ok(Self {
                public: private.public(),
                private,
                random: SystemRandom::new(),
            });
        }
        Err("signing key: there is no private key".to_owned())
    }

    /// The key's id.
    pub fn id(&self) -> &str {
        self.public.id()
    }

    /// What verifies its tokens.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `claims`.
    ///
    /// # Errors
    /// The claims are no JSON, or the system has no randomness.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, String> {
        let header = Header {
            alg: self.public.algorithm(),
            kid: self.id(),
        };
        let part = |json: Result<Vec<u8>, serde_json::Error>| {
            json.map(|json| BASE64.encode(json))
                .map_err(|error| error.to_string())
        };
        let (header, claims) = (serde_json::to_vec(&header), serde_json::to_vec(claims));
        let text = format!("{}.{}", part(header)?, part(claims)?);
        let signature = self.private.sign(text.as_bytes(), &self.random)?;
        Ok(format!("{text}.{}", BASE64.encode(signature)))
    }

    /// The claims of a token that this key signed. `None`: it is another's, or broken.
    pub fn verify<T: DeserializeOwned>(&self, token: &str) -> Option<T> {
        let token = Token::parse(token).ok()?;
        (token.key_id() == self.id() && token.is_signed_by(&self.public))
            .then(|| token.claims().ok())
            .flatten()
    }
}
