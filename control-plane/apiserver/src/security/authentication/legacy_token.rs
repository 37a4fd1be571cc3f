//! Tokens that live in Secrets: when each was used last stands on its Secret, so that those that nobody uses can go
//! (upstream `pkg/serviceaccount/legacy.go`, `pkg/controlplane/controller/legacytokentracking`).

use super::{bootstrap_token::same, service_account::Named};
use crate::{
    security::{Refusal, Remark},
    server::Server,
};
use api::{Gvr, Key, Object};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use client::{Client, Patch};
use component::{
    Env,
    jwt::LegacyClaims,
    metrics::{Counter, Description, Family},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::mpsc;

const SECRETS: Gvr = Gvr::new("", "v1", "secrets");
const CONFIG_MAPS: Gvr = Gvr::new("", "v1", "configmaps");
const NAMESPACE: &str = "kube-system";
/// The ConfigMap that says since when the use of tokens is noted.
const TRACKING: &str = "kube-apiserver-legacy-service-account-token-tracking";
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
/// What clients are told who use a token that was made by itself.
const MADE_BY_ITSELF: &str = "Use tokens from the TokenRequest API or manually created secret-based tokens instead of \
    auto-generated secret-based tokens.";
/// After this time what could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(60);
/// So many uses wait at most; a use that is not noted is noted with the next.
const WAITING: usize = 256;

const MANUAL: Description = Description::new(
    "serviceaccount_legacy_manual_token_uses_total",
    "[ALPHA] Cumulative manually created legacy tokens used",
    &[],
);
const AUTO: Description = Description::new(
    "serviceaccount_legacy_auto_token_uses_total",
    "[ALPHA] Cumulative auto-generated legacy tokens used",
    &[],
);
const INVALID: Description = Description::new(
    "serviceaccount_invalid_legacy_auto_token_uses_total",
    "[ALPHA] Cumulative invalid auto-generated legacy tokens used",
    &[],
);

/// Notes the use of tokens.
pub(super) struct LegacyTokens {
    uses: mpsc::Sender<Key>,
    waiting: Mutex<Option<mpsc::Receiver<Key>>>,
    env: Env,
    manual: Arc<Family<Counter>>,
    auto: Arc<Family<Counter>>,
    invalid: Arc<Family<Counter>>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct SecretView {
    data: BTreeMap<String, String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AccountView {
    secrets: Vec<Named>,
}

/// The account that the claims name.
pub(super) fn account(claims: &LegacyClaims) -> Result<Named, String> {
    for (claim, value) in [
        ("sub", &claims.sub),
        ("namespace", &claims.namespace),
        ("secretName", &claims.secret),
        ("serviceAccountName", &claims.account),
        ("serviceAccountUID", &claims.account_uid),
    ] {
        if value.is_empty() {
            return Err(format!("{claim} claim is missing"));
        }
    }
    if claims.sub != format!("system:serviceaccount:{}:{}", claims.namespace, claims.account) {
        return Err("sub claim is invalid".to_owned());
    }
    Ok(Named {
        name: claims.account.clone(),
        uid: claims.account_uid.clone(),
    })
}

/// Whether a Secret that is not being deleted has `token`.
pub(super) fn check(secret: &Object, token: &str) -> Result<(), String> {
    if secret.deletion_timestamp().is_some() {
        return Err("service account token has been invalidated".to_owned());
    }
    let SecretView { data } = secret.view().unwrap_or_default();
    if data
        .get("token")
        .is_some_and(|held| same(held, &BASE64.encode(token)))
    {
        Ok(())
    } else {
        Err("service account token does not match server's copy".to_owned())
    }
}

impl LegacyTokens {
    pub fn new(env: &Env) -> Arc<Self> {
        let (uses, waiting) = mpsc::channel(WAITING);
        Arc::new(Self {
            uses,
            waiting: Mutex::new(Some(waiting)),
            manual: env.metrics.family(MANUAL),
            auto: env.metrics.family(AUTO),
            invalid: env.metrics.family(INVALID),
            env: env.clone(),
        })
    }

    /// Notes that the token of a Secret is used. What audit and the client are told of that.
    ///
    /// # Errors
    /// It was marked as one that is not to be used.
    pub fn used(
        &self,
        secret: &Object,
        account: &str,
        of: &Object,
    ) -> Result<(Remark, Option<&'static str>), Refusal> {
        let (namespace, name) = (secret.namespace(), secret.name());
        let today = self.env.clock.wall().strftime("%Y-%m-%d").to_string();
        if secret.label(LAST_USED) != Some(today.as_str()) {
            // When too many wait, the next use notes it.
            let _ = self.uses.try_send(Key::new(namespace, name));
        }
        if secret.label(INVALID_SINCE).is_some_and(|since| !since.is_empty()) {
            self.invalid.of(&[]).add(1);
            let why = format!(
                "the token in secret {namespace}/{name} for service account {namespace}/{account} has been marked \
                 invalid. Use tokens from the TokenRequest API or manually created secret-based tokens, or remove the \
                 '{INVALID_SINCE}' label from the secret to temporarily allow use of this token"
            );
            let key = "authentication.k8s.io/legacy-token-invalidated";
            return Err(Refusal {
                why,
                remarks: vec![(key, format!("{name}/{namespace}"))],
            });
        }
        let AccountView { secrets } = of.view().unwrap_or_default();
        let made_by_itself = secrets.iter().any(|secret| secret.name == name);
        let (kind, key, warning) = if made_by_itself {
            let key = "authentication.k8s.io/legacy-token-autogenerated-secret";
            (&self.auto, key, Some(MADE_BY_ITSELF))
        } else {
            let key = "authentication.k8s.io/legacy-token-manual-secret";
            (&self.manual, key, None)
        };
        kind.of(&[]).add(1);
        Ok(((key, name.to_owned()), warning))
    }

    /// Says since when uses are noted, and notes them, as tasks of `server`.
    pub fn follow(self: &Arc<Self>, server: &Arc<Server>) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut waiting) = waiting else { return };
        let (server, clock) = (Arc::downgrade(server), self.env.clock.clone());
        let env = self.env.clone();
        env.tasks.spawn("legacy-token-tracking", async move {
            while let Some(key) = waiting.recv().await {
                let Some(server) = server.upgrade() else { return };
                let client = server.own_client("kube-apiserver");
                let today = clock.wall().strftime("%Y-%m-%d").to_string();
                note(&client, &key, &today).await;
            }
        });
    }
}

#[derive(Serialize)]
struct Labelled<'a> {
    metadata: Labels<'a>,
}

#[derive(Serialize)]
struct Labels<'a> {
    labels: BTreeMap<&'a str, &'a str>,
}

async fn note(client: &Client, key: &Key, today: &str) {
    let labels = [(LAST_USED, today)].into();
    let patch = Labelled {
        metadata: Labels { labels },
    };
    if let Err(status) = client.patch(&SECRETS, key, "", Patch::Merge, &patch).await {
        tracing::warn!(secret = %key, %status, "the use of a token is not noted");
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigMap<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: BTreeMap<&'static str, &'static str>,
    data: BTreeMap<&'static str, &'a str>,
}

impl Server {
    /// Says since when the use of tokens in Secrets is noted, if that is not said. What a quota or a webhook refuses
    /// keeps no server from starting: it is tried again, in the background.
    pub(crate) async fn say_since(self: &Arc<Self>, client: &Client) {
        let Err(status) = self.try_to_say_since(client).await else {
            return;
        };
        tracing::warn!(%status, "since when the use of tokens is noted cannot be written yet");
        let (server, client) = (Arc::downgrade(self), client.clone());
        let (clock, tasks) = (self.handler.env.clock.clone(), &self.handler.env.tasks);
        tasks.spawn("legacy-token-since", async move {
            loop {
                clock.sleep(AGAIN).await;
                let Some(server) = server.upgrade() else { return };
                if server.try_to_say_since(&client).await.is_ok() {
                    return;
                }
            }
        });
    }

    async fn try_to_say_since(&self, client: &Client) -> Result<(), api::Status> {
        let served = self.handler.cache("", "configmaps").is_some();
        if !served || self.reader().get(&CONFIG_MAPS, NAMESPACE, TRACKING).is_some() {
            return Ok(());
        }
        let today = self.handler.env.clock.wall().strftime("%Y-%m-%d").to_string();
        let map = ConfigMap {
            api_version: "v1",
            kind: "ConfigMap",
            metadata: [("name", TRACKING)].into(),
            data: [("since", today.as_str())].into(),
        };
        match client.create(&CONFIG_MAPS, NAMESPACE, &map).await {
            Err(status) if status.is_already_exists() => Ok(()),
            other => other.map(drop),
        }
    }
}
