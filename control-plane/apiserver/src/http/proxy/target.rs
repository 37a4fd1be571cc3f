//! Whom a request to `/proxy` is for: a node, a pod, or a pod behind a service. As upstream's `ResourceLocation` of each.

use crate::{
    Server,
    backends::{Address, ENDPOINTS, Endpoints, SERVICES, Service},
    handler::Place,
};
use api::{Gvr, Status};
use client::{Peer, proxyable};
use serde::Deserialize;

const PODS: Gvr = Gvr::new("", "v1", "pods");
const NODES: Gvr = Gvr::new("", "v1", "nodes");

/// Where the request goes.
#[derive(Debug, PartialEq, Eq)]
pub struct Target {
    /// To whom.
    pub peer: Peer,
    /// Inside TLS. A kubelet is always spoken to as kubelets are.
    pub secure: bool,
    /// Address and port, as URLs name them.
    pub host: String,
}

/// `scheme:name:port`, where scheme and port may be left out.
fn split(id: &str) -> Option<(bool, &str, &str)> {
    let parts: Vec<&str> = id.split(':').collect();
    let (scheme, name, port) = match parts.as_slice() {
        [name] => ("", *name, ""),
        [name, port] => ("", *name, *port),
        [scheme, name, port] => (*scheme, *name, *port),
        _ => return None,
    };
    let secure = match scheme.to_ascii_lowercase().as_str() {
        "" | "http" => false,
        "https" => true,
        _ => return None,
    };
    (!name.is_empty()).then_some((secure, name, port))
}

impl Target {
    /// Finds it.
    pub fn find(server: &Server, place: &Place) -> Result<Self, Status> {
        let (kind, id) = (place.row().plural, place.name.as_str());
        let singular = kind.trim_end_matches('s');
        let (secure, name, port) =
            split(id).ok_or_else(|| Status::bad_request(format!("invalid {singular} request {id:?}")))?;
        let namespace = place.namespace.as_str();
        match kind {
            "nodes" => node(server, secure, name, port),
            "pods" => pod(server, secure, namespace, name, port),
            "services" => service(server, secure, namespace, (id, name, port)),
            _ => Err(Status::no_such_path()),
        }
    }
}

fn number(id: &str, port: &str) -> Result<u16, Status> {
    let port = port.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| Status::bad_request(format!("invalid port of {id:?}")))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Node {
    status: NodeStatus,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct NodeStatus {
    daemon_endpoints: DaemonEndpoints,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DaemonEndpoints {
    kubelet_endpoint: KubeletEndpoint,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct KubeletEndpoint {
    #[serde(rename = "Port")]
    port: u16,
}

fn node(server: &Server, secure: bool, name: &str, port: &str) -> Result<Target, Status> {
    let object = server.reader().get(&NODES, "", name);
    let object = object.ok_or_else(|| Status::not_found(&NODES, name))?;
    let node: Node = object.view().map_err(Status::internal)?;
    let own = node.status.daemon_endpoints.kubelet_endpoint.port;
    if port.is_empty() || port == own.to_string() {
        return Ok(Target {
            peer: Peer::Node(name.to_owned()),
            secure: true,
            host: format!("{name}:{own}"),
        });
    }
    let port = number(name, port)?;
    Ok(Target {
        peer: Peer::NodePort(name.to_owned(), port),
        secure,
        host: format!("{name}:{port}"),
    })
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Pod {
    spec: PodSpec,
    status: PodStatus,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PodSpec {
    containers: Vec<Container>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Container {
    ports: Vec<ContainerPort>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ContainerPort {
    container_port: u16,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    #[serde(rename = "podIP")]
    pod_ip: String,
    #[serde(rename = "podIPs")]
    pod_ips: Vec<Ip>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Ip {
    ip: String,
}

fn read_pod(server: &Server, namespace: &str, name: &str) -> Result<Pod, Status> {
    let object = server.reader().get(&PODS, namespace, name);
    let object = object.ok_or_else(|| Status::not_found(&PODS, name))?;
    object.view().map_err(Status::internal)
}

fn pod(server: &Server, secure: bool, namespace: &str, name: &str, port: &str) -> Result<Target, Status> {
    let pod = read_pod(server, namespace, name)?;
    let first = pod.spec.containers.iter().flat_map(|c| &c.ports).next();
    let port = match (port, first) {
        ("", Some(first)) => first.container_port,
        ("", None) if secure => 443,
        ("", None) => 80,
        (port, _) => number(name, port)?,
    };
    let ip = pod.status.pod_ip.parse().ok().filter(|ip| proxyable(*ip));
    let ip = ip.ok_or_else(|| Status::bad_request("address not allowed"))?;
    Ok(Target {
        peer: Peer::Pod(namespace.to_owned(), name.to_owned(), port),
        secure,
        host: std::net::SocketAddr::new(ip, port).to_string(),
    })
}

/// A ready pod of a service, any of them. As upstream, addresses that are no pod's are not dialed.
fn service(
    server: &Server,
    secure: bool,
    namespace: &str,
    (id, name, port): (&str, &str, &str),
) -> Result<Target, Status> {
    let reader = server.reader();
    let mut wanted = port.to_owned();
    if let Ok(number) = port.parse::<i64>() {
        let object = reader.get(&SERVICES, namespace, name);
        let object = object.ok_or_else(|| Status::not_found(&SERVICES, name))?;
        let service: Service = object.view().map_err(Status::internal)?;
        let found = service
            .spec
            .ports
            .into_iter()
            .find(|p| i64::from(p.port) == number);
        let missing = || Status::unavailable(format!("no service port {number} found for service {name:?}"));
        wanted = found.ok_or_else(missing)?.name;
    }
    let object = reader.get(&ENDPOINTS, namespace, name);
    let object = object.ok_or_else(|| Status::not_found(&ENDPOINTS, name))?;
    let endpoints: Endpoints = object.view().map_err(Status::internal)?;
    let random = |count: usize| {
        let below = u64::try_from(count.max(1)).unwrap_or(1);
        usize::try_from(server.handler.env.random.below(below)).unwrap_or_default()
    };
    let subsets = rotated(&endpoints.subsets, random(endpoints.subsets.len()));
    for subset in subsets {
        let Some(port) = subset.ports.iter().find(|p| p.name == wanted) else {
            continue;
        };
        let start = random(subset.addresses.len());
        let mut addresses = rotated(&subset.addresses, start);
        if let Some(address) = addresses.find(|a| is_pod(server, namespace, a)) {
            return self::pod(
                server,
                secure,
                namespace,
                &address.target_ref.name,
                &port.port.to_string(),
            );
        }
    }
    let id = if endpoints.subsets.is_empty() { name } else { id };
    Err(Status::unavailable(format!(
        "no endpoints available for service {id:?}"
    )))
}

fn is_pod(server: &Server, namespace: &str, address: &Address) -> bool {
    let target = &address.target_ref;
    let pod = read_pod(server, namespace, &target.name).unwrap_or_default();
    let mut ips = pod.status.pod_ips.iter().map(|ip| &ip.ip);
    target.kind == "Pod" && (pod.status.pod_ip == address.ip || ips.any(|ip| *ip == address.ip))
}

fn rotated<T>(list: &[T], start: usize) -> impl Iterator<Item = &T> {
    list.iter().cycle().skip(start).take(list.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_schemes_and_ports() {
        assert_eq!(split("web"), Some((false, "web", "")));
        assert_eq!(split("web:http"), Some((false, "web", "http")));
        assert_eq!(split("HTTPS:web:443"), Some((true, "web", "443")));
        assert_eq!(split("https:web:"), Some((true, "web", "")));
        for bad in ["", ":80", "ftp:web:1", "a:b:c:d"] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }
}
