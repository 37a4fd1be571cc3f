//! Bootstrap tokens: Secrets of kube-system by which new nodes and kubeadm come in
//! (upstream `plugin/pkg/auth/authenticator/token/bootstrap`).

use super::{Tokens, known};
use crate::{
    Reader,
    security::{Answer, Known, User},
};
use api::{Gvr, Object};
use base64::{Engine, engine::general_purpose::STANDARD};
use component::Clock;
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;

const SECRETS: Gvr = Gvr::new("", "v1", "secrets");
const TYPE: &str = "bootstrap.kubernetes.io/token";
const GROUP: &str = "system:bootstrappers";

/// Takes bootstrap tokens.
pub struct BootstrapTokens {
    reader: Reader,
    clock: Clock,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Secret {
    r#type: String,
    data: BTreeMap<String, String>,
}

impl Secret {
    fn text(&self, key: &str) -> String {
        let bytes = self.data.get(key).and_then(|text| STANDARD.decode(text).ok());
        bytes
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

impl BootstrapTokens {
    /// Of the Secrets of `reader`.
    pub fn new(reader: Reader, clock: Clock) -> Self {
        Self { reader, clock }
    }

    /// The user; or why the token of that Secret is not good.
    fn user(&self, id: &str, secret: &str, object: &Object) -> Result<User, String> {
        let held: Secret = object.view().unwrap_or_default();
        if object.deletion_timestamp().is_some() {
            return Err("is deleted and awaiting removal".to_owned());
        }
        if held.r#type != TYPE {
            return Err(format!("has invalid type, expected {TYPE}"));
        }
        if !same(&held.text("token-secret"), secret) {
            return Err("has another token-secret".to_owned());
        }
        if held.text("token-id") != id {
            return Err("has another token-id".to_owned());
        }
        let expiration = held.text("expiration");
        if !expiration.is_empty() {
            let until: Timestamp = expiration
                .parse()
                .map_err(|_| format!("has an expiration that is no time: {expiration:?}"))?;
            if until <= self.clock.wall() {
                return Err(format!("has expired at {expiration}"));
            }
        }
        if held.text("usage-bootstrap-authentication") != "true" {
            return Err("is not marked usage-bootstrap-authentication=true".to_owned());
        }
        let mut groups = vec![GROUP.to_owned()];
        let more = held.text("auth-extra-groups");
        for group in more.split(',').filter(|_| !more.is_empty()) {
            if !is_group(group) {
                return Err(format!("has invalid value for key auth-extra-groups: {group:?}"));
            }
            if !groups.iter().any(|known| known == group) {
                groups.push(group.to_owned());
            }
        }
        groups.sort();
        Ok(User {
            name: format!("system:bootstrap:{id}"),
            groups,
            ..User::default()
        })
    }
}

impl Tokens for BootstrapTokens {
    fn token(&self, token: &str, _: &[String]) -> Answer<Known> {
        let parts = token.split_once('.');
        let Some((id, secret)) = parts.filter(|(id, secret)| is_part(id, 6) && is_part(secret, 16)) else {
            return Ok(None).into();
        };
        let name = format!("bootstrap-token-{id}");
        let Some(object) = self.reader.get(&SECRETS, "kube-system", &name) else {
            return Ok(None).into();
        };
        match self.user(id, secret, &object) {
            Ok(user) => known(user).into(),
            Err(why) => {
                tracing::info!(secret = name, why, "bootstrap token refused");
                Ok(None).into()
            }
        }
    }
}

fn is_part(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Whether it is a group that a bootstrap token may be in.
fn is_group(text: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let rest = text.strip_prefix("system:bootstrappers:").map(str::as_bytes);
    rest.is_some_and(|rest| {
        rest.len() <= 256
            && rest.last().is_some_and(|last| letter(*last))
            && rest.iter().all(|b| letter(*b) || matches!(b, b':' | b'-'))
    })
}

/// Whether two texts are the same, found out in a time that does not tell where they differ.
pub(super) fn same(one: &str, other: &str) -> bool {
    let differences = one
        .bytes()
        .zip(other.bytes())
        .fold(0, |sum, (a, b)| sum | (a ^ b));
    one.len() == other.len() && differences == 0
}
