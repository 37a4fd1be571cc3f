//! What the parts of a cluster know of each other only here.

use crate::settings::{DNS_PORT, Settings};
use api::{Key, Status};
use apiserver::{OwnPort, OwnService};
use controller_manager::gc::{Collectable, Resources};
use std::sync::Arc;

/// Each of the built-in resources that can be listed, watched and deleted.
pub fn collectable(rows: &[&'static resources::Row]) -> Resources {
    let has = |row: &resources::Row, verb: &str| row.verbs.is_empty() || row.verbs.contains(&verb);
    let rows = rows
        .iter()
        .filter(|row| ["list", "watch", "delete"].iter().all(|verb| has(row, verb)));
    let collectable = rows.map(|row| Collectable {
        gvr: row.gvr(),
        kind: row.kind.to_owned(),
        namespaced: row.namespaced,
        built_in: true,
    });
    Resources(collectable.collect())
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
pub async fn authorize_node_access(
    server: Arc<apiserver::Server>,
    access: kubelet::Access,
) -> Result<(), Status> {
    let certificate = access.certificate.clone();
    server
        .authorize_node(
            access.bearer.as_deref(),
            certificate,
            access.verb,
            access.subresource,
            &access.node,
        )
        .await
}
