//! Where nodes, pods and services are, as their objects tell.

use api::Gvr;
use apiserver::Reader;
use client::{Peer, TcpDial};
use serde::Deserialize;
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
};

const NODES: Gvr = Gvr::new("", "v1", "nodes");
const PODS: Gvr = Gvr::new("", "v1", "pods");
const SERVICES: Gvr = Gvr::new("", "v1", "services");
const ENDPOINTS: Gvr = Gvr::new("", "v1", "endpoints");
/// Kinds of addresses, the one to try first before the others.
const KINDS: [&str; 2] = ["InternalIP", "ExternalIP"];

/// Where the objects are known; set once, when the server has started.
pub type Nodes = Arc<OnceLock<Reader>>;

/// Dials what `nodes` tells of.
pub fn to(nodes: Nodes) -> TcpDial {
    TcpDial::new(move |peer| {
        let reader = nodes.get()?;
        match peer {
            Peer::Node(name) => place(&reader.get(&NODES, "", name)?.view().ok()?),
            Peer::NodePort(name, port) => {
                let kubelet = place(&reader.get(&NODES, "", name)?.view().ok()?)?;
                Some(SocketAddr::new(kubelet.ip(), *port))
            }
            Peer::Pod(namespace, name, port) => {
                let pod: Pod = reader.get(&PODS, namespace, name)?.view().ok()?;
                Some(SocketAddr::new(pod.status.pod_ip.parse().ok()?, *port))
            }
            Peer::Service(namespace, name, port) => {
                let service: Service = reader.get(&SERVICES, namespace, name)?.view().ok()?;
                let endpoints: Endpoints = reader.get(&ENDPOINTS, namespace, name)?.view().ok()?;
                endpoint(&service, &endpoints, *port)
            }
        }
    })
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pod {
    status: PodStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodStatus {
    #[serde(rename = "podIP")]
    pod_ip: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Service {
    spec: Ports,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Endpoints {
    subsets: Vec<Ports>,
}

/// Ports of a service or of some of its endpoints.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Ports {
    ports: Vec<Port>,
    addresses: Vec<Ip>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Port {
    name: String,
    port: u16,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Ip {
    ip: String,
}

/// A ready endpoint behind a port of a service.
fn endpoint(service: &Service, endpoints: &Endpoints, port: u16) -> Option<SocketAddr> {
    let wanted = service.spec.ports.iter().find(|p| p.port == port)?;
    endpoints.subsets.iter().find_map(|subset| {
        let port = subset.ports.iter().find(|p| p.name == wanted.name)?;
        let ip = subset.addresses.first()?.ip.parse().ok()?;
        Some(SocketAddr::new(ip, port.port))
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

    #[test]
    fn a_service_is_one_of_its_ready_endpoints() {
        let service = r#"{"spec": {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 443}]}}"#;
        let service: Service = serde_json::from_str(service).unwrap();
        let endpoints = r#"{"subsets": [{"notReadyAddresses": [{"ip": "10.0.0.1"}], "ports": [{"name": "b", "port": 8443}]},
            {"addresses": [{"ip": "10.0.0.2"}], "ports": [{"name": "b", "port": 8443}]}]}"#;
        let endpoints: Endpoints = serde_json::from_str(endpoints).unwrap();
        let expected = SocketAddr::from(([10, 0, 0, 2], 8443));
        assert_eq!(endpoint(&service, &endpoints, 443), Some(expected));
        assert_eq!(endpoint(&service, &endpoints, 80), None);
        assert_eq!(endpoint(&service, &endpoints, 81), None);
    }
}
