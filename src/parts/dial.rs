//! Where kubelets are, as their nodes tell.

use api::Gvr;
use apiserver::Reader;
use client::{Peer, TcpDial};
use serde::Deserialize;
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
};

const NODES: Gvr = Gvr::new("", "v1", "nodes");
/// Kinds of addresses, the one to try first before the others.
const KINDS: [&str; 2] = ["InternalIP", "ExternalIP"];

/// Where the nodes are known; set once, when the server has started.
pub type Nodes = Arc<OnceLock<Reader>>;

/// Dials the kubelets of `nodes`.
pub fn to(nodes: Nodes) -> TcpDial {
    TcpDial::new(move |peer| match peer {
        Peer::Node(name) => place(&nodes.get()?.get(&NODES, "", name)?.view().ok()?),
        _ => None,
    })
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Node {
    status: Status,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    addresses: Vec<Address>,
    daemon_endpoints: DaemonEndpoints,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Address {
    r#type: String,
    address: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DaemonEndpoints {
    kubelet_endpoint: Endpoint,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Endpoint {
    #[serde(rename = "Port")]
    port: u16,
}

fn place(node: &Node) -> Option<SocketAddr> {
    let of = |kind: &&str| node.status.addresses.iter().find(|a| a.r#type == **kind);
    let mut addresses = KINDS
        .iter()
        .filter_map(of)
        .filter_map(|a| a.address.parse::<IpAddr>().ok());
    Some(SocketAddr::new(
        addresses.next()?,
        node.status.daemon_endpoints.kubelet_endpoint.port,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inner_address_comes_first() {
        let text = r#"{"status": {"addresses": [{"type": "Hostname", "address": "one"},
            {"type": "InternalIP", "address": "10.0.0.7"}], "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}}"#;
        let node: Node = serde_json::from_str(text).unwrap();
        assert_eq!(place(&node), Some(SocketAddr::from(([10, 0, 0, 7], 10250))));
        assert_eq!(place(&Node::default()), None);
    }
}
