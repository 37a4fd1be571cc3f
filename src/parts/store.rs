//! The store of kube-apiserver: in its process, or at etcd.

use super::tls;
use anyhow::{Context, Result, bail};
use component::{Env, State, flags::Settings, pki::client_config};
use etcd::{Compactor, Endpoints, Engine, Options, Remote, Store, remote::PREFIX};
use std::{sync::Arc, time::Duration};

/// How long to wait between looks for an etcd that does not answer yet.
const RETRY: Duration = Duration::from_millis(500);

/// The store that the flags name, with what forgets old revisions of it.
pub async fn open(settings: &Settings, env: &Env, base: &Env) -> Result<Arc<dyn Store>> {
    let remote = !settings.list("etcd-servers").is_empty();
    let store: Arc<dyn Store> = if remote {
        at_etcd(settings, env).await?
    } else {
        built_in(settings, base)?
    };
    let interval = settings.duration("etcd-compaction-interval");
    if !interval.is_zero() {
        let compactor = Compactor::new(store.clone(), remote);
        let clock = env.clone();
        env.tasks
            .spawn("compactor", async move { compactor.run(interval, clock).await });
    }
    base.ready.set("store", State::Ready);
    Ok(store)
}

/// A store at etcd, as soon as that answers.
async fn at_etcd(settings: &Settings, env: &Env) -> Result<Arc<dyn Store>> {
    let ca = tls::optional_file(settings, "etcd-cafile")?;
    let leaf = tls::pair(settings, "etcd-certfile", "etcd-keyfile")?;
    let tls = match (ca, leaf) {
        (None, None) => None,
        (None, Some(_)) => bail!("--etcd-cafile is needed: etcd is always verified"),
        (Some(ca), leaf) => Some(client_config(&ca, leaf.as_ref())?),
    };
    let servers = settings.list("etcd-servers");
    let endpoints = Endpoints {
        servers: servers.clone(),
        tls,
        prefix: settings.text("etcd-prefix").to_owned(),
    };
    let store = Remote::new(&endpoints, env.clone()).context("--etcd-servers")?;
    let patience = settings.duration("storage-initialization-timeout");
    let answers = env.clock.timeout(patience, async {
        let mut told = false;
        while let Err(error) = store.revision().await {
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(%error, "etcd does not answer yet");
            }
            env.clock.sleep(RETRY).await;
        }
    });
    if answers.await.is_none() {
        let error = store.revision().await.err();
        let why = error.map_or("it is slow".to_owned(), |error| error.to_string());
        bail!(
            "--etcd-servers: no answer of {} in {patience:?}: {why}",
            servers.join(", ")
        );
    }
    Ok(store)
}

/// The store in this process. It is closed when `base` drains, after the server.
fn built_in(settings: &Settings, base: &Env) -> Result<Arc<dyn Store>> {
    if settings.text("etcd-prefix") != PREFIX {
        bail!(
            "--etcd-prefix is not supported without --etcd-servers: the built-in store is the cluster's own"
        );
    }
    let options = Options {
        durable_leases: settings.bool("durable-leases"),
        ..Options::default()
    };
    let inner = base.child();
    let store = Engine::open(settings.text("store-dir"), options, inner.clone())?;
    let (closing, tasks) = (store.clone(), base.tasks.clone());
    base.tasks.spawn_draining("store", async move {
        tasks.stopping().await;
        closing.close().await;
        inner.tasks.drain(Duration::from_secs(5)).await;
    });
    Ok(store)
}
