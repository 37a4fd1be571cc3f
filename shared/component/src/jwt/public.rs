//! Keys that verify tokens.

use super::{Algorithm, der};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use p521::ecdsa::{Signature, VerifyingKey, signature::Verifier};
use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use x509_parser::{pem::Pem, prelude::FromDer, x509::SubjectPublicKeyInfo};

/// The DER of the names of the curves.
const P256: &[u8] = &[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];

/// A curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    pub(super) const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// The DER of its name.
    pub(super) fn der(self) -> &'static [u8] {
        match self {
            Self::P256 => P256,
            Self::P384 => P384,
            Self::P521 => P521,
        }
    }

    /// Its name in a JSON Web Key.
    fn name(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// Bytes of a coordinate.
    fn width(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// The only algorithm for it.
    pub(super) fn algorithm(self) -> Algorithm {
        match self {
            Self::P256 => Algorithm::ES256,
            Self::P384 => Algorithm::ES384,
            Self::P521 => Algorithm::ES512,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// PKCS#1.
    Rsa(Vec<u8>),
    /// The point, not compressed.
    Ec(Curve, Vec<u8>),
}

/// A key that verifies tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    kind: Kind,
    id: String,
}

/// A JSON Web Key (RFC 7517), as far as public keys need it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names are those of RFC 7517 and 7518")]
pub struct Jwk {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub r#use: String,
    pub kty: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub crv: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub alg: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub n: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub e: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub x: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub y: String,
}

impl PublicKey {
    fn new(kind: Kind) -> Self {
        let spki = match &kind {
            Kind::Rsa(pkcs1) => der::rsa_spki(pkcs1),
            Kind::Ec(curve, point) => der::ec_spki(curve.der(), point),
        };
        // Upstream's key id: the hash of the public key's DER.
        let id = BASE64.encode(Sha256::digest(&spki));
        Self { kind, id }
    }

    pub(super) fn rsa(pkcs1: &[u8]) -> Self {
        Self::new(Kind::Rsa(pkcs1.to_vec()))
    }

    pub(super) fn ec(curve: Curve, point: &[u8]) -> Self {
        Self::new(Kind::Ec(curve, point.to_vec()))
    }

    /// All keys of a PEM file: public keys, certificates, and the public halves of private keys.
    ///
    /// # Errors
    /// A key is of no kind that is taken, or there is none.
    pub fn read_all(pem: &str) -> Result<Vec<Self>, String> {
        let mut keys = Vec::new();
        for block in Pem::iter_from_buffer(pem.as_bytes()) {
            let block = block.map_err(|error| format!("PEM: {error}"))?;
            let key = match block.label.as_str() {
                "PUBLIC KEY" => Self::from_spki(&block.contents)?,
                "RSA PUBLIC KEY" => Self::rsa(&block.contents),
                "CERTIFICATE" => {
                    let certificate = block.parse_x509().map_err(|error| error.to_string())?;
                    Self::of_spki(certificate.public_key())?
                }
                "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
                    super::key::Private::of(&block.label, &block.contents)?.public()
                }
                _ => continue,
            };
            keys.push(key);
        }
        if keys.is_empty() {
            return Err("data does not contain any valid RSA or ECDSA public keys".to_owned());
        }
        Ok(keys)
    }

    fn from_spki(der: &[u8]) -> Result<Self, String> {
        let (_, spki) = SubjectPublicKeyInfo::from_der(der).map_err(|error| error.to_string())?;
        Self::of_spki(&spki)
    }

    fn of_spki(spki: &SubjectPublicKeyInfo<'_>) -> Result<Self, String> {
        let key = spki.subject_public_key.data.as_ref();
        match spki.algorithm.algorithm.to_id_string().as_str() {
            "1.2.840.113549.1.1.1" => Ok(Self::rsa(key)),
            "1.2.840.10045.2.1" => {
                let parameters = spki.algorithm.parameters.as_ref();
                let name = parameters.and_then(|of| of.as_oid().ok());
                let curve = match name.map(|name| name.to_id_string()).as_deref() {
                    Some("1.2.840.10045.3.1.7") => Curve::P256,
                    Some("1.3.132.0.34") => Curve::P384,
                    Some("1.3.132.0.35") => Curve::P521,
                    _ => return Err("unknown public key curve, must be 256, 384, or 521".to_owned()),
                };
                Self::at(curve, key)
            }
            other => Err(format!("unknown public key type {other}, must be RSA or ECDSA")),
        }
    }

    fn at(curve: Curve, point: &[u8]) -> Result<Self, String> {
        let whole = point.len() == 2 * curve.width() + 1 && point.first() == Some(&4);
        let good = whole && (curve != Curve::P521 || VerifyingKey::from_sec1_bytes(point).is_ok());
        if good {
            Ok(Self::ec(curve, point))
        } else {
            Err("the point of a public key is not on its curve".to_owned())
        }
    }

    /// From a JSON Web Key; none if it is of another kind or broken. Its id is the one that it says.
    pub fn from_jwk(jwk: &Jwk) -> Option<Self> {
        let number = |text: &str| BASE64.decode(text.trim_end_matches('=')).ok();
        let key = match jwk.kty.as_str() {
            "RSA" => {
                let (n, e) = (number(&jwk.n)?, number(&jwk.e)?);
                (!n.is_empty() && !e.is_empty()).then(|| Self::rsa(&der::rsa_public(&n, &e)))?
            }
            "EC" => {
                let curve = Curve::ALL.into_iter().find(|curve| curve.name() == jwk.crv)?;
                let mut point = vec![4];
                for text in [&jwk.x, &jwk.y] {
                    let part = number(text)?;
                    let short = curve.width().checked_sub(part.len())?;
                    point.resize(point.len() + short, 0);
                    point.extend(part);
                }
                Self::at(curve, &point).ok()?
            }
            _ => return None,
        };
        Some(Self {
            id: jwk.kid.clone(),
            ..key
        })
    }

    /// As a JSON Web Key.
    pub fn jwk(&self) -> Jwk {
        let mut jwk = Jwk {
            r#use: "sig".to_owned(),
            kid: self.id.clone(),
            alg: self.algorithm().name().to_owned(),
            ..Jwk::default()
        };
        match &self.kind {
            Kind::Rsa(pkcs1) => {
                let (n, e) = der::rsa_numbers(pkcs1).unwrap_or_default();
                "RSA".clone_into(&mut jwk.kty);
                (jwk.n, jwk.e) = (BASE64.encode(n), BASE64.encode(e));
            }
            Kind::Ec(curve, point) => {
                "EC".clone_into(&mut jwk.kty);
                curve.name().clone_into(&mut jwk.crv);
                let (x, y) = point[1..].split_at(curve.width());
                (jwk.x, jwk.y) = (BASE64.encode(x), BASE64.encode(y));
            }
        }
        jwk
    }

    /// The key's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The algorithm by which Kubernetes signs with such a key.
    pub fn algorithm(&self) -> Algorithm {
        match &self.kind {
            Kind::Rsa(_) => Algorithm::RS256,
            Kind::Ec(curve, _) => curve.algorithm(),
        }
    }

    /// Whether `signature` is its holder's of `text`. A key verifies the algorithms of its own kind only.
    pub fn verifies(&self, algorithm: Algorithm, text: &[u8], signature: &[u8]) -> bool {
        let (by, key): (&'static dyn VerificationAlgorithm, _) = match (&self.kind, algorithm) {
            (Kind::Rsa(key), Algorithm::RS256) => (&signature::RSA_PKCS1_2048_8192_SHA256, key),
            (Kind::Rsa(key), Algorithm::RS384) => (&signature::RSA_PKCS1_2048_8192_SHA384, key),
            (Kind::Rsa(key), Algorithm::RS512) => (&signature::RSA_PKCS1_2048_8192_SHA512, key),
            (Kind::Rsa(key), Algorithm::PS256) => (&signature::RSA_PSS_2048_8192_SHA256, key),
            (Kind::Rsa(key), Algorithm::PS384) => (&signature::RSA_PSS_2048_8192_SHA384, key),
            (Kind::Rsa(key), Algorithm::PS512) => (&signature::RSA_PSS_2048_8192_SHA512, key),
            (Kind::Ec(Curve::P256, key), Algorithm::ES256) => (&signature::ECDSA_P256_SHA256_FIXED, key),
            (Kind::Ec(Curve::P384, key), Algorithm::ES384) => (&signature::ECDSA_P384_SHA384_FIXED, key),
            (Kind::Ec(Curve::P521, key), Algorithm::ES512) => {
                let (key, signature) = (
                    VerifyingKey::from_sec1_bytes(key),
                    Signature::from_slice(signature),
                );
                return key.is_ok_and(|key| signature.is_ok_and(|s| key.verify(text, &s).is_ok()));
            }
            _ => return false,
        };
        UnparsedPublicKey::new(by, key).verify(text, signature).is_ok()
    }
}
