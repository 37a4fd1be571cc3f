//! The documents by which others verify service account tokens (upstream `pkg/serviceaccount/openidmetadata.go`).

use component::jwt::{Jwk, PublicKey};
use serde::Serialize;
use std::collections::BTreeSet;

/// The path of the provider's configuration.
pub const CONFIGURATION_PATH: &str = "/.well-known/openid-configuration";

/// The path of the public keys.
pub const KEYS_PATH: &str = "/openid/v1/jwks";

/// The two documents, JSON, as they are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Documents {
    /// At [`CONFIGURATION_PATH`], `application/json`.
    pub configuration: Vec<u8>,
    /// At [`KEYS_PATH`], `application/jwk-set+json`.
    pub keys: Vec<u8>,
}

#[derive(Serialize)]
struct Configuration<'a> {
    issuer: &'a str,
    jwks_uri: &'a str,
    response_types_supported: [&'a str; 1],
    subject_types_supported: [&'a str; 1],
    id_token_signing_alg_values_supported: BTreeSet<&'a str>,
}

#[derive(Serialize)]
struct Keys {
    keys: Vec<Jwk>,
}

/// The documents of an issuer, whose clients find `keys` at `jwks_uri`.
///
/// # Errors
/// They cannot be written.
pub fn documents(issuer: &str, jwks_uri: &str, keys: &[PublicKey]) -> Result<Documents, String> {
    let configuration = Configuration {
        issuer,
        jwks_uri,
        response_types_supported: ["id_token"],
        subject_types_supported: ["public"],
        id_token_signing_alg_values_supported: keys.iter().map(|key| key.algorithm().name()).collect(),
    };
    let keys = Keys {
        keys: keys.iter().map(PublicKey::jwk).collect(),
    };
    let json = |result: Result<Vec<u8>, serde_json::Error>| result.map_err(|error| error.to_string());
    Ok(Documents {
        configuration: json(serde_json::to_vec(&configuration))?,
        keys: json(serde_json::to_vec(&keys))?,
    })
}
