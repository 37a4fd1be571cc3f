//! JSON Web Tokens (RFC 7519) in their compact form, signed with RSA or ECDSA and with nothing else: `none` and keys that
//! are shared have no name here.

mod algorithm;
mod der;
mod key;
mod public;
#[cfg(test)]
mod stories;
mod token;

pub use algorithm::Algorithm;
pub use key::Key;
pub use public::{Jwk, PublicKey};
pub use token::{Token, audiences, numeric_date, unverified_issuer};

use serde::{Deserialize, Serialize};

/// The issuer of tokens that live in Secrets (upstream `pkg/serviceaccount/legacy.go`).
pub const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

/// What a token in a Secret says.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
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
