//! What the parts of a cluster know of each other only here.

use crate::settings::{DNS_PORT, Settings};
use api::{Gvr, Key, Status};
use apiserver::{OwnPort, OwnService};

/// Every resource that can be listed, watched and deleted, and whether it is namespaced.
pub fn collectable() -> Vec<(Gvr, bool)> {
    let has = |row: &resources::Row, verb: &str| row.verbs.is_empty() || row.verbs.contains(&verb);
    let rows = resources::table()
        .iter()
        .filter(|row| ["list", "watch", "delete"].iter().all(|verb| has(row, verb)));
    rows.map(|row| (row.gvr(), row.namespaced)).collect()
}

/// The resource of an owner reference's apiVersion and kind.
pub fn resource_of(api_version: &str, kind: &str) -> Option<(Gvr, bool)> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    let row = resources::table()
        .iter()
        .find(|row| row.group == group && row.kind == kind)?;
    Some((row.gvr(), row.namespaced))
}

/// The Service `kube-dns`, which leads to the DNS server of this process.
pub fn dns_service(settings: &Settings) -> OwnService {
    let port = |(name, protocol)| OwnPort {
        name,
        protocol,
        port: 53,
        target_port: DNS_PORT,
    };
    OwnService {
        key: Key::new("kube-system", "kube-dns"),
        labels: [
            ("k8s-app", "kube-dns"),
            ("kubernetes.io/name", "CoreDNS"),
            ("kubernetes.io/cluster-service", "true"),
        ]
        .into(),
        cluster_ip: settings.dns_ip.into(),
        address: settings.node_ip.into(),
        ports: [("dns", "UDP"), ("dns-tcp", "TCP")].map(port).into(),
    }
}

/// Whether a request that came to the kubelet over the network may be served.
pub fn authorize_node_access(server: &apiserver::Server, access: &kubelet::Access) -> Result<(), Status> {
    let certificate = access.certificate.clone();
    server.authorize_node(
        access.bearer.as_deref(),
        certificate,
        access.verb,
        access.subresource,
        &access.node,
    )
}
