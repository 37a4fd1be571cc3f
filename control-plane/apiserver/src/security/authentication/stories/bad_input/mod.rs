//! What is not a good credential is refused with upstream's status, and never taken.
#![expect(clippy::disallowed_types, reason = "tests write claims as JSON")]

mod bootstrap;
mod claims;
mod forged;
mod headers;

use super::Guarded;
use crate::security::stories::ISSUER;
use api::Gvr;
use serde_json::{Value, json};

const SERVICE_ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");
const ROBOT: &str = "system:serviceaccount:default:robot";

/// Claims of a good token.
async fn good(guarded: &Guarded) -> Value {
    let account = r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"robot"}}"#;
    let account = guarded.create(&SERVICE_ACCOUNTS, "default", account).await;
    let now = guarded.env.clock.wall().as_second();
    json!({
        "iss": ISSUER, "sub": ROBOT, "aud": [ISSUER], "exp": now + 3600, "iat": now, "nbf": now, "jti": "1",
        "kubernetes.io": {"namespace": "default", "serviceaccount": {"name": "robot", "uid": account.uid()}},
    })
}
