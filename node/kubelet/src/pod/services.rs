//! Variables that tell containers of services (upstream: `pkg/kubelet/envvars`).

use crate::view::{Service, ServicePort};
use std::collections::BTreeMap;

/// The services whose variables a pod gets: those of its namespace if it wants links, and the API server's always.
pub(super) fn visible<'a>(services: &'a [Service], namespace: &str, links: bool) -> Vec<&'a Service> {
    let addressed = |s: &&Service| !matches!(s.spec.cluster_ip.as_str(), "" | "None");
    let is_api = |s: &Service| s.metadata.namespace == "default" && s.metadata.name == "kubernetes";
    let own = |s: &Service| links && s.metadata.namespace == namespace;
    // A service of the pod's namespace wins over the API server's of the same name, so it comes last.
    let (first, last): (Vec<_>, Vec<_>) = services
        .iter()
        .filter(addressed)
        .filter(|s| is_api(s) || own(s))
        .partition(|s| is_api(s) && !own(s));
    first.into_iter().chain(last).collect()
}

/// The variables of those services.
pub(super) fn variables(services: &[&Service]) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for service in services {
        let Some(first) = service.spec.ports.first() else {
            continue;
        };
        let name = upper(&service.metadata.name);
        let ip = &service.spec.cluster_ip;
        env.insert(format!("{name}_SERVICE_HOST"), ip.clone());
        env.insert(format!("{name}_SERVICE_PORT"), first.port.to_string());
        for port in service.spec.ports.iter().filter(|p| !p.name.is_empty()) {
            env.insert(
                format!("{name}_SERVICE_PORT_{}", upper(&port.name)),
                port.port.to_string(),
            );
        }
        env.insert(format!("{name}_PORT"), url(ip, first));
        for port in &service.spec.ports {
            let prefix = format!("{name}_PORT_{}_{}", port.port, protocol(port).to_uppercase());
            env.insert(prefix.clone(), url(ip, port));
            env.insert(format!("{prefix}_PROTO"), protocol(port));
            env.insert(format!("{prefix}_PORT"), port.port.to_string());
            env.insert(format!("{prefix}_ADDR"), ip.clone());
        }
    }
    env
}

fn upper(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

fn protocol(port: &ServicePort) -> String {
    if port.protocol.is_empty() {
        "tcp".to_owned()
    } else {
        port.protocol.to_lowercase()
    }
}

fn url(ip: &str, port: &ServicePort) -> String {
    let host = if ip.contains(':') {
        format!("[{ip}]")
    } else {
        ip.to_owned()
    };
    format!("{}://{host}:{}", protocol(port), port.port)
}
