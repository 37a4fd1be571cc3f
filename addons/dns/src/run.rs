//! The box: Services, EndpointSlices and Namespaces from the API into the zone, and the server over it.

use crate::{Endpoint, Error, Port, Server, Service, Slice, Upstreams, Zone};
use api::{Gvr, Object};
use client::{Cache, Change, Client, Selector};
use component::{Env, State};
use serde::Deserialize;
use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

const NAME: &str = "dns";
const SERVICES: Gvr = Gvr::new("", "v1", "services");
const NAMESPACES: Gvr = Gvr::new("", "v1", "namespaces");
const SLICES: Gvr = Gvr::new("discovery.k8s.io", "v1", "endpointslices");
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Settings of the box.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens, by UDP and TCP: addresses of this machine, each by itself. (A socket at the unspecified
    /// address would answer from another address than the one it was asked at, and the answer would not find the way
    /// back through the Service's rules.)
    pub listen: Vec<SocketAddr>,
    /// The cluster's domain.
    pub domain: String,
    /// Addresses under which pods reach it: the records of the zone's name server.
    pub service_ips: Vec<IpAddr>,
    /// Names the resolvers for all other names.
    pub resolv_conf: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            domain: "cluster.local".to_owned(),
            service_ips: vec![IpAddr::from([10, 96, 0, 10])],
            resolv_conf: "/etc/resolv.conf".into(),
        }
    }
}

/// Runs until the tasks of `env` stop. It answers once the first lists are in.
pub async fn run(client: Client, env: Env, config: Config) -> Result<(), Error> {
    env.ready
        .set(NAME, State::Starting("waiting for Services".to_owned()));
    let zone = Zone::new(&config.domain, &config.service_ips);
    let zone = zone.ok_or_else(|| Error::Config(format!("invalid cluster domain {:?}", config.domain)))?;
    if config.listen.is_empty() || config.listen.iter().any(|address| address.ip().is_unspecified()) {
        return Err(Error::Config(
            "DNS needs the addresses at which it listens, each by itself".to_owned(),
        ));
    }
    let zone = Arc::new(RwLock::new(zone));
    let cache = |gvr| Cache::start(&client, gvr, Selector::all(), &env);
    let (services, slices, namespaces) = (cache(SERVICES), cache(SLICES), cache(NAMESPACES));
    tokio::join!(services.synced(), slices.synced(), namespaces.synced());
    follow(&env, &zone, &namespaces, on_namespace);
    follow(&env, &zone, &slices, on_slice);
    follow(&env, &zone, &services, on_service);
    let resolv_conf = std::fs::read_to_string(&config.resolv_conf).unwrap_or_default();
    let upstreams = Upstreams::new(Upstreams::parse(&resolv_conf), &config.listen);
    let server = Server::new(zone, upstreams, env.clone());
    for address in &config.listen {
        let listening = server.listen(*address).await;
        listening.map_err(|error| {
            let error = Error::Listen(*address, error.to_string());
            env.ready.set(NAME, State::Failed(error.to_string()));
            error
        })?;
    }
    env.ready.set(NAME, State::Ready);
    env.tasks.stopping().await;
    Ok(())
}

fn follow(env: &Env, zone: &Arc<RwLock<Zone>>, cache: &Cache, apply: fn(&mut Zone, &Change)) {
    let (zone, mut changes) = (zone.clone(), cache.subscribe());
    // What is in the cache already is applied before anything is answered.
    while let Ok(change) = changes.try_recv() {
        apply(&mut zone.write().unwrap_or_else(PoisonError::into_inner), &change);
    }
    env.tasks.spawn("dns-zone", async move {
        while let Some(change) = changes.recv().await {
            apply(&mut zone.write().unwrap_or_else(PoisonError::into_inner), &change);
        }
    });
}

fn name(object: &Object) -> (String, String) {
    (object.namespace().to_owned(), object.name().to_owned())
}

/// A view that cannot be read counts as gone: the API server would not have let it in.
fn view<T: serde::de::DeserializeOwned>(object: &Object) -> Option<T> {
    let read = object.view();
    read.inspect_err(|error| tracing::warn!(object = %object.key(), %error, "object cannot be read"))
        .ok()
}

fn on_namespace(zone: &mut Zone, change: &Change) {
    zone.set_namespace(change.object().name(), matches!(change, Change::Applied { .. }));
}

fn on_service(zone: &mut Zone, change: &Change) {
    let object = change.object();
    let service = match change {
        Change::Applied { new, .. } => view::<ServiceView>(new).map(Service::from),
        Change::Deleted { .. } => None,
    };
    zone.set_service(&name(object), service);
}

fn on_slice(zone: &mut Zone, change: &Change) {
    let object = change.object();
    let slice = match change {
        Change::Applied { new, .. } => view::<SliceView>(new).map(|view| view.into_slice(new)),
        Change::Deleted { .. } => None,
    };
    zone.set_slice(&name(object), slice);
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceView {
    spec: ServiceSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ServiceSpec {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(rename = "clusterIP")]
    cluster_ip: Option<String>,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Option<Vec<String>>,
    external_name: Option<String>,
    ports: Option<Vec<PortView>>,
    publish_not_ready_addresses: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PortView {
    name: Option<String>,
    protocol: Option<String>,
    port: Option<u16>,
}

impl From<PortView> for Port {
    fn from(view: PortView) -> Self {
        let protocol = view.protocol.unwrap_or_else(|| "TCP".to_owned());
        Self {
            name: view.name.unwrap_or_default(),
            protocol,
            port: view.port.unwrap_or_default(),
        }
    }
}

impl From<ServiceView> for Service {
    fn from(ServiceView { spec }: ServiceView) -> Self {
        let addresses = spec
            .cluster_ips
            .unwrap_or_else(|| spec.cluster_ip.into_iter().collect());
        let external = spec.kind.as_deref() == Some("ExternalName");
        Self {
            // `None` marks a headless service and is no address.
            cluster_ips: addresses.iter().filter_map(|text| text.parse().ok()).collect(),
            external_name: spec.external_name.filter(|_| external).unwrap_or_default(),
            ports: spec
                .ports
                .unwrap_or_default()
                .into_iter()
                .map(Port::from)
                .collect(),
            publish_not_ready: spec.publish_not_ready_addresses.unwrap_or_default(),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SliceView {
    endpoints: Option<Vec<EndpointView>>,
    ports: Option<Vec<PortView>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct EndpointView {
    addresses: Vec<String>,
    hostname: Option<String>,
    conditions: ConditionsView,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ConditionsView {
    ready: Option<bool>,
}

impl SliceView {
    fn into_slice(self, object: &Object) -> Slice {
        let endpoint = |view: EndpointView| Endpoint {
            addresses: view
                .addresses
                .iter()
                .filter_map(|text| text.parse().ok())
                .collect(),
            hostname: view.hostname.unwrap_or_default(),
            // Not told means ready.
            ready: view.conditions.ready.unwrap_or(true),
        };
        Slice {
            service: object.label(SERVICE_NAME).unwrap_or_default().to_owned(),
            ports: self
                .ports
                .unwrap_or_default()
                .into_iter()
                .map(Port::from)
                .collect(),
            endpoints: self
                .endpoints
                .unwrap_or_default()
                .into_iter()
                .map(endpoint)
                .collect(),
        }
    }
}
