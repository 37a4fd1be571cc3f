//! What the parts of a cluster know of each other only here.

use crate::settings::{DNS_PORT, Settings};
use api::{Gvr, Key, Status};
use client::{Client, Patch};
use serde::Serialize;

const SERVICES: Gvr = Gvr::new("", "v1", "services");
const ENDPOINTS: Gvr = Gvr::new("", "v1", "endpoints");
const SLICES: Gvr = Gvr::new("discovery.k8s.io", "v1", "endpointslices");
const DNS: &str = "kube-dns";

/// Every resource that can be listed, watched and deleted, and whether it is namespaced.
pub fn collectable() -> Vec<(Gvr, bool)> {
    let has = |row: &resources::Row, verb: &str| row.verbs.is_empty() || row.verbs.contains(&verb);
    let rows = resources::table().iter().filter(|row| ["list", "watch", "delete"].iter().all(|verb| has(row, verb)));
    rows.map(|row| (row.gvr(), row.namespaced)).collect()
}

/// The resource of an owner reference's apiVersion and kind.
pub fn resource_of(api_version: &str, kind: &str) -> Option<(Gvr, bool)> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let row = resources::table().iter().find(|row| row.group == group && row.kind == kind)?;
    Some((row.gvr(), row.namespaced))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<T> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Meta,
    #[serde(flatten)]
    rest: T,
}

#[derive(Serialize)]
struct Meta {
    name: &'static str,
    namespace: &'static str,
    labels: Labels,
}

#[derive(Serialize)]
struct Labels {
    #[serde(rename = "k8s-app")]
    app: &'static str,
    #[serde(rename = "kubernetes.io/name")]
    name: &'static str,
    #[serde(rename = "kubernetes.io/cluster-service")]
    cluster_service: &'static str,
    #[serde(rename = "kubernetes.io/service-name", skip_serializing_if = "Option::is_none")]
    service: Option<&'static str>,
    #[serde(rename = "endpointslice.kubernetes.io/skip-mirror", skip_serializing_if = "Option::is_none")]
    skip_mirror: Option<&'static str>,
}

#[derive(Serialize)]
struct ServiceSpec {
    spec: Spec,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    ports: [ServicePort; 2],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ServicePort {
    name: &'static str,
    protocol: &'static str,
    port: u16,
    target_port: u16,
}

#[derive(Serialize)]
struct Port {
    name: &'static str,
    protocol: &'static str,
    port: u16,
}

#[derive(Serialize)]
struct Subsets {
    subsets: [Subset; 1],
}

#[derive(Serialize)]
struct Subset {
    addresses: [Address; 1],
    ports: [Port; 2],
}

#[derive(Serialize)]
struct Address {
    ip: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Slice {
    address_type: &'static str,
    endpoints: [Endpoint; 1],
    ports: [Port; 2],
}

#[derive(Serialize)]
struct Endpoint {
    addresses: [String; 1],
    conditions: Conditions,
}

#[derive(Serialize)]
struct Conditions {
    ready: bool,
}

fn object<T>(kind: &'static str, api_version: &'static str, service: Option<&'static str>, rest: T) -> Object<T> {
    let skip_mirror = (kind == "Endpoints").then_some("true");
    let labels = Labels { app: DNS, name: "CoreDNS", cluster_service: "true", service, skip_mirror };
    Object { api_version, kind, metadata: Meta { name: DNS, namespace: "kube-system", labels }, rest }
}

/// The Service `kube-dns`, which leads to the DNS server of this process, wherever the node is today.
pub async fn publish_dns(client: &Client, settings: &Settings) -> Result<(), Status> {
    const PROTOCOLS: [(&str, &str); 2] = [("dns", "UDP"), ("dns-tcp", "TCP")];
    let ports = || PROTOCOLS.map(|(name, protocol)| Port { name, protocol, port: DNS_PORT });
    let service_ports = PROTOCOLS.map(|(name, protocol)| ServicePort { name, protocol, port: 53, target_port: DNS_PORT });
    let service = Spec { cluster_ip: settings.dns_ip.to_string(), ports: service_ports };
    put(client, &SERVICES, &object("Service", "v1", None, ServiceSpec { spec: service })).await?;
    let ip = settings.node_ip.to_string();
    let subset = Subset { addresses: [Address { ip: ip.clone() }], ports: ports() };
    put(client, &ENDPOINTS, &object("Endpoints", "v1", None, Subsets { subsets: [subset] })).await?;
    let endpoint = Endpoint { addresses: [ip], conditions: Conditions { ready: true } };
    let slice = Slice { address_type: "IPv4", endpoints: [endpoint], ports: ports() };
    put(client, &SLICES, &object("EndpointSlice", "discovery.k8s.io/v1", Some(DNS), slice)).await
}

/// Brings the object that is there to this one, or creates it. (A create first would fail for the address, which is
/// taken by the very same Service.)
async fn put(client: &Client, gvr: &Gvr, object: &impl Serialize) -> Result<(), Status> {
    match client.patch(gvr, &Key::new("kube-system", DNS), "", Patch::Merge, object).await {
        Err(status) if status.is_not_found() => client.create(gvr, "kube-system", object).await.map(drop),
        other => other.map(drop),
    }
}

/// Whether a request that came to the kubelet over the network may be served.
pub fn authorize_node_access(server: &apiserver::Server, access: &kubelet::Access) -> Result<(), Status> {
    let certificate = access.certificate.clone();
    server.authorize_node(access.bearer.as_deref(), certificate, access.verb, access.subresource, &access.node)
}
