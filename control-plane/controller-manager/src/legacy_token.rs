//! Secrets of type `kubernetes.io/service-account-token`: filled with a token without an end on request, and deleted
//! with their account (upstream `pkg/controller/serviceaccount/tokens_controller.go`).

use crate::views::{SECRETS, SERVICE_ACCOUNTS, Seen, see};
use api::{Gvr, Key};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use client::{Caches, Change, Patch};
use component::jwt::{self, LEGACY_ISSUER, LegacyClaims};
use jiff::Timestamp;
use reconcile::{Controller, LastOutcome, Plan, Watch, own_key};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

const TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT_NAME: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

/// The controller.
pub struct LegacyTokenController {
    /// Signs the tokens; it is the API server's own key.
    pub key: Arc<jwt::Key>,
    /// The cluster's CA certificate, PEM.
    pub root_ca: String,
}

/// A Secret that asks for a token, and the UID of the account that it names.
#[derive(Debug)]
pub struct Asked {
    secret: Seen<Secret>,
    account: String,
    account_uid: Option<String>,
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Secret {
    data: BTreeMap<String, String>,
    r#type: String,
}

impl Controller for LegacyTokenController {
    type Observed = Asked;

    fn name(&self) -> &'static str {
        "legacy-serviceaccount-token-controller"
    }

    fn primary(&self) -> Gvr {
        SECRETS
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::all(SECRETS, own_key),
            Watch::all(SERVICE_ACCOUNTS, secrets_of),
        ]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Asked> {
        let secret: Seen<Secret> = see(caches.all(&SECRETS).get(key)?)?;
        let account = secret.object.annotation(ACCOUNT_NAME)?.to_string();
        if secret.view.r#type != TYPE || secret.object.deletion_timestamp().is_some() {
            return None;
        }
        let found = caches
            .all(&SERVICE_ACCOUNTS)
            .get(&Key::new(&key.namespace, &account));
        let account_uid = found.map(|account| account.uid().to_owned());
        Some(Asked {
            secret,
            account,
            account_uid,
        })
    }

    fn reconcile(&self, asked: &Asked, _: &LastOutcome, _: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let object = &asked.secret.object;
        let named = object.annotation(ACCOUNT_UID);
        let named = named.as_deref().filter(|uid| !uid.is_empty());
        match &asked.account_uid {
            Some(uid) if named.is_none_or(|named| named == uid) => self.fill(&mut plan, asked, uid),
            _ => plan.delete("delete", &SECRETS, object),
        }
        plan
    }
}

#[derive(Serialize)]
struct Filled<'a> {
    metadata: Meta<'a>,
    data: BTreeMap<&'a str, String>,
}

#[derive(Serialize)]
struct Meta<'a> {
    uid: &'a str,
    annotations: BTreeMap<&'a str, &'a str>,
}

impl LegacyTokenController {
    fn fill(&self, plan: &mut Plan, asked: &Asked, account_uid: &str) {
        let object = &asked.secret.object;
        let data = &asked.secret.view.data;
        let mut wanted = BTreeMap::from([
            ("ca.crt", BASE64.encode(&self.root_ca)),
            ("namespace", BASE64.encode(object.namespace())),
        ]);
        if data.get("token").is_none_or(String::is_empty) {
            let claims = LegacyClaims {
                iss: LEGACY_ISSUER.to_owned(),
                namespace: object.namespace().to_owned(),
                secret: object.name().to_owned(),
                account: asked.account.clone(),
                account_uid: account_uid.to_owned(),
                sub: format!("system:serviceaccount:{}:{}", object.namespace(), asked.account),
            };
            match self.key.sign(&claims) {
                Ok(token) => wanted.insert("token", BASE64.encode(token)),
                Err(error) => return tracing::error!(key = %object.key(), error, "token not signed"),
            };
        }
        wanted.retain(|name, value| data.get(*name) != Some(value));
        if wanted.is_empty() && object.annotation(ACCOUNT_UID).is_some() {
            return;
        }
        let patch = Filled {
            metadata: Meta {
                uid: object.uid(),
                annotations: BTreeMap::from([(ACCOUNT_UID, account_uid)]),
            },
            data: wanted,
        };
        plan.patch("fill", &SECRETS, &object.key(), "", Patch::Merge, &patch);
    }
}

/// The Secrets that name an account.
fn secrets_of(change: &Change, caches: &Caches) -> Vec<Key> {
    let account = change.object();
    let secrets = caches.all(&SECRETS).in_namespace(account.namespace());
    secrets
        .iter()
        .filter(|secret| secret.annotation(ACCOUNT_NAME).as_deref() == Some(account.name()))
        .map(|secret| secret.key())
        .collect()
}
