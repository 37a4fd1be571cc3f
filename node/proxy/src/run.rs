//! The box: Services and EndpointSlices from the API, the rules of this node into the kernel, health over HTTP.

use crate::{
    Cidr, Endpoints, Error, Rules, Scope, Services, health::Health, nftables::Nftables, ruleset, view,
};
use api::Gvr;
use client::{Cache, Change, Client, Selector};
use component::{Env, State};
use std::{net::SocketAddr, time::Duration};
use tokio::sync::mpsc::UnboundedReceiver;

const NAME: &str = "proxy";
const SERVICES: Gvr = Gvr::new("", "v1", "services");
const SLICES: Gvr = Gvr::new("discovery.k8s.io", "v1", "endpointslices");
/// Services with this label are another proxy's.
const OTHER_PROXY: &str = "service.kubernetes.io/service-proxy-name";
/// Slices with this label are of no use to a proxy.
const HEADLESS: &str = "service.kubernetes.io/headless";
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);

/// Settings of the box.
#[derive(Clone, Debug)]
pub struct Config {
    /// The node's name.
    pub node: String,
    /// Networks of the cluster's pods; clients outside of them are masqueraded.
    pub cluster_cidrs: Vec<Cidr>,
    /// Where `/healthz` and `/livez` are served; `None`: nowhere.
    pub healthz: Option<SocketAddr>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            node: String::new(),
            cluster_cidrs: Vec::new(),
            healthz: Some(SocketAddr::from(([0, 0, 0, 0], 10256))),
        }
    }
}

/// Runs until the tasks of `env` stop. The rules stay when it ends, so that connections go on; see
/// [`Nftables::purge`].
pub async fn run(client: Client, env: Env, config: Config) -> Result<(), Error> {
    env.ready
        .set(NAME, State::Starting("waiting for Services".to_owned()));
    let health = Health::new(env.clock.clone());
    if let Some(address) = config.healthz {
        health.serve(&env, address).await?;
    }
    let cache = |gvr| Cache::start(&client, gvr, Selector::all(), &env);
    let (services, slices) = (cache(SERVICES), cache(SLICES));
    tokio::join!(services.synced(), slices.synced());
    let mut state = Known::default();
    let mut changes = (services.subscribe(), slices.subscribe());
    state.catch_up(&mut changes);
    let scope = Scope { node: config.node };
    let mut back_end = Nftables::new(config.cluster_cidrs);
    let mut retry = None;
    loop {
        health.pending();
        let rules = ruleset(&scope, &state.services, &state.endpoints);
        let (returned, applied) = apply(&env, back_end, rules).await?;
        back_end = returned;
        retry = match applied {
            Ok(()) => {
                health.updated();
                env.ready.set(NAME, State::Ready);
                None
            }
            Err(error) => {
                tracing::error!(%error, "rules are not in place; trying again");
                env.ready.set(NAME, State::Starting(error.to_string()));
                Some(retry.map_or(FIRST_RETRY, |last: Duration| (last * 2).min(LAST_RETRY)))
            }
        };
        tokio::select! {
            () = env.tasks.stopping() => return Ok(()),
            () = again(&env, retry) => {}
            Some(change) = changes.0.recv() => state.on_service(&change),
            Some(change) = changes.1.recv() => state.on_slice(&change),
        }
        // What came meanwhile goes into the same transaction.
        state.catch_up(&mut changes);
    }
}

async fn again(env: &Env, after: Option<Duration>) {
    match after {
        Some(after) => env.clock.sleep(after).await,
        None => std::future::pending().await,
    }
}

async fn apply(
    env: &Env,
    mut back_end: Nftables,
    rules: Rules,
) -> Result<(Nftables, Result<(), Error>), Error> {
    let work = move || {
        let applied = back_end.apply(&rules);
        (back_end, applied)
    };
    env.tasks
        .blocking(work)
        .await
        .ok_or_else(|| Error::Config("the work was cut off".to_owned()))
}

#[derive(Default)]
struct Known {
    services: Services,
    endpoints: Endpoints,
}

impl Known {
    fn catch_up(&mut self, changes: &mut (UnboundedReceiver<Change>, UnboundedReceiver<Change>)) {
        while let Ok(change) = changes.0.try_recv() {
            self.on_service(&change);
        }
        while let Ok(change) = changes.1.try_recv() {
            self.on_slice(&change);
        }
    }

    fn on_service(&mut self, change: &Change) {
        let object = change.object();
        let name = (object.namespace().to_owned(), object.name().to_owned());
        let service = match change {
            Change::Applied { new, .. } if new.label(OTHER_PROXY).is_none() => view::service(new),
            _ => None,
        };
        match service {
            Some(service) => self.services.insert(name, service),
            None => self.services.remove(&name),
        };
    }

    fn on_slice(&mut self, change: &Change) {
        let object = change.object();
        let name = (object.namespace().to_owned(), object.name().to_owned());
        let ours = object.label(OTHER_PROXY).is_none() && object.label(HEADLESS).is_none();
        let slice = match change {
            Change::Applied { new, .. } if ours => view::slice(new),
            _ => None,
        };
        match slice {
            Some(slice) => self.endpoints.insert(name, slice),
            None => self.endpoints.remove(&name),
        };
    }
}
