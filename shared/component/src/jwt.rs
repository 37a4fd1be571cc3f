//! JSON Web Tokens signed with ES256, and nothing else: no other algorithm is accepted, `none` least of all.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
    },
};
use rustls::pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

/// The DER that stands before the point of a P-256 public key (SubjectPublicKeyInfo, RFC 5480).
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The issuer of tokens that live in Secrets (upstream `pkg/serviceaccount/legacy.go`).
pub const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

/// What a token in a Secret says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LegacyClaims {
    /// [`LEGACY_ISSUER`].
    pub iss: String,
    /// Namespace of the account.
    #[serde(rename = "kubernetes.io/serviceaccount/namespace")]
    pub namespace: String,
    /// The Secret that holds the token.
    #[serde(rename = "kubernetes.io/serviceaccount/secret.name")]
    pub secret: String,
    /// The account.
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.name")]
    pub account: String,
    /// Its UID.
    #[serde(rename = "kubernetes.io/serviceaccount/service-account.uid")]
    pub account_uid: String,
    /// The user's name.
    pub sub: String,
}

/// Longer tokens are not looked at.
const MAX_LENGTH: usize = 16 * 1024;

/// A key that signs and verifies.
pub struct Key {
    pair: EcdsaKeyPair,
    id: String,
    random: SystemRandom,
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
}

impl Key {
    /// From a PKCS#8 key, PEM.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        let random = SystemRandom::new();
        let der =
            PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|e| format!("signing key: {e:?}"))?;
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der(), &random)
                .map_err(|e| format!("signing key: {e}"))?;
        let mut spki = SPKI_PREFIX.to_vec();
        spki.extend_from_slice(pair.public_key().as_ref());
        // Upstream's key id: the hash of the public key's DER.
        let id = BASE64.encode(Sha256::digest(&spki));
        Ok(Self { pair, id, random })
    }

    /// The key's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The coordinates of the public key, as a JSON Web Key has them.
    pub fn coordinates(&self) -> (String, String) {
        let point = &self.pair.public_key().as_ref()[1..];
        (BASE64.encode(&point[..32]), BASE64.encode(&point[32..]))
    }

    /// Signs `claims`.
    pub fn sign(&self, claims: &impl Serialize) -> Result<String, String> {
        let header = Header {
            alg: "ES256".to_owned(),
            kid: self.id.clone(),
        };
        let part = |json: Result<Vec<u8>, serde_json::Error>| {
            json.map(|j| BASE64.encode(j)).map_err(|e| e.to_string())
        };
        let text = format!(
            "{}.{}",
            part(serde_json::to_vec(&header))?,
            part(serde_json::to_vec(claims))?
        );
        let signature = self
            .pair
            .sign(&self.random, text.as_bytes())
            .map_err(|e| e.to_string())?;
        Ok(format!("{text}.{}", BASE64.encode(signature.as_ref())))
    }

    /// The claims of a token that this key signed. `None`: it is another's, or broken.
    pub fn verify<T: DeserializeOwned>(&self, token: &str) -> Option<T> {
        if token.len() > MAX_LENGTH {
            return None;
        }
        let (text, signature) = token.rsplit_once('.')?;
        let (header, claims) = text.split_once('.')?;
        let header: Header = serde_json::from_slice(&BASE64.decode(header).ok()?).ok()?;
        if header.alg != "ES256" || header.kid != self.id {
            return None;
        }
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref());
        public
            .verify(text.as_bytes(), &BASE64.decode(signature).ok()?)
            .ok()?;
        serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()
    }
}

/// The `iss` of a token, unverified: whose it says it is.
pub fn unverified_issuer(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Issuer {
        iss: String,
    }
    if token.len() > MAX_LENGTH {
        return None;
    }
    let claims = token.split('.').nth(1)?;
    serde_json::from_slice::<Issuer>(&BASE64.decode(claims).ok()?)
        .ok()
        .map(|i| i.iss)
}
