//! Whose certificates the pages of a part take: those of the cluster's client CA, as the API server tells it.

use super::tls;
use anyhow::{Result, bail};
use api::{Gvr, Key, Object};
use client::{Cache, Client, Selector};
use component::{Env, pki::Leaf};
use rustls::ServerConfig;
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::watch;

const CONFIG_MAPS: Gvr = Gvr::new("", "v1", "configmaps");
const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";

/// How long a part that cannot do without waits for what the API server says.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the CA comes from.
pub enum Trusted {
    /// From a file; none: no certificates are taken.
    Given(Option<String>),
    /// From the ConfigMap `extension-apiserver-authentication`.
    LookedUp {
        /// Reads it.
        client: Client,
        /// The part starts without.
        tolerant: bool,
    },
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Said {
    data: BTreeMap<String, String>,
}

/// The CA that the API server tells, if it is all right.
fn said(object: &Object, leaf: &Leaf) -> Option<Arc<ServerConfig>> {
    let said: Said = object.view().ok()?;
    let ca = said.data.get("client-ca-file")?;
    match tls::server(leaf, Some(ca)) {
        Ok(config) => Some(config),
        Err(error) => {
            tracing::warn!(%error, "the client CA that the API server tells is not used");
            None
        }
    }
}

/// How TLS is spoken by whoever shows `leaf`, now and when the CA changes.
pub async fn follow(leaf: Leaf, trusted: Trusted, env: &Env) -> Result<watch::Receiver<Arc<ServerConfig>>> {
    let (client, tolerant) = match trusted {
        Trusted::Given(ca) => return Ok(watch::channel(tls::server(&leaf, ca.as_deref())?).1),
        Trusted::LookedUp { client, tolerant } => (client, tolerant),
    };
    let key = Key::new(NAMESPACE, NAME);
    let (sender, configs) = watch::channel(tls::server(&leaf, None)?);
    let selector = Selector {
        namespace: NAMESPACE.to_owned(),
        ..Selector::fields(format!("metadata.name={NAME}"))
    };
    let cache = Cache::start(&client, CONFIG_MAPS, selector, env);
    if !tolerant && env.clock.timeout(PATIENCE, cache.synced()).await.is_none() {
        bail!("configmap {key} could not be read; --authentication-tolerate-lookup-failure starts without");
    }
    let mut changes = cache.subscribe();
    env.tasks.spawn("client-ca", async move {
        while let Some(change) = changes.recv().await {
            if let Some(config) = said(change.object(), &leaf) {
                sender.send_replace(config);
            }
        }
    });
    Ok(configs)
}
