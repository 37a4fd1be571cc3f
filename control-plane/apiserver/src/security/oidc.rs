//! The documents by which others verify service account tokens (upstream `pkg/serviceaccount/openidmetadata.go`).

use component::jwt::Key;
use serde::Serialize;

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
    jwks_uri: String,
    response_types_supported: [&'a str; 1],
    subject_types_supported: [&'a str; 1],
    id_token_signing_alg_values_supported: [&'a str; 1],
}

#[derive(Serialize)]
struct Keys<'a> {
    keys: [WebKey<'a>; 1],
}

#[derive(Serialize)]
struct WebKey<'a> {
    r#use: &'a str,
    kty: &'a str,
    kid: &'a str,
    crv: &'a str,
    alg: &'a str,
    x: String,
    y: String,
}

/// The documents of an issuer; `server` is the URL at which its clients reach the API server, without a final slash.
pub fn documents(issuer: &str, server: &str, key: &Key) -> Result<Documents, String> {
    let configuration = Configuration {
        issuer,
        jwks_uri: format!("{server}{KEYS_PATH}"),
        response_types_supported: ["id_token"],
        subject_types_supported: ["public"],
        id_token_signing_alg_values_supported: ["ES256"],
    };
    let (x, y) = key.coordinates();
    let keys = Keys {
        keys: [WebKey {
            r#use: "sig",
            kty: "EC",
            kid: key.id(),
            crv: "P-256",
            alg: "ES256",
            x,
            y,
        }],
    };
    let json = |result: Result<Vec<u8>, serde_json::Error>| result.map_err(|e| e.to_string());
    Ok(Documents {
        configuration: json(serde_json::to_vec(&configuration))?,
        keys: json(serde_json::to_vec(&keys))?,
    })
}
