//! What a Service takes: addresses, ports of nodes.

use super::{external, families, kind};
use crate::{Refused, WriteRequest};
use api::{Status, field, field::Error};
use k8s_openapi::api::core::v1::{ServicePort, ServiceSpec};
use std::collections::BTreeMap;

/// Takes what `spec` needs and `old` does not have.
pub(super) fn allocate(
    spec: &mut ServiceSpec,
    old: Option<&ServiceSpec>,
    request: &WriteRequest<'_>,
) -> Result<(), Refused> {
    addresses(spec, old, request)?;
    if numbered(spec) {
        node_ports(spec, old, request)?;
    }
    if checks_health(spec) {
        health_port(spec, old.filter(|old| checks_health(old)), request)?;
    }
    Ok(())
}

/// Whether its ports have numbers on nodes.
fn numbered(spec: &ServiceSpec) -> bool {
    kind(spec) == "NodePort"
        || (kind(spec) == "LoadBalancer" && spec.allocate_load_balancer_node_ports != Some(false))
        || (kind(spec) == "LoadBalancer" && spec.ports.iter().flatten().any(|port| number(port) != 0))
}

/// Whether a load balancer asks nodes if they have endpoints.
pub(super) fn checks_health(spec: &ServiceSpec) -> bool {
    kind(spec) == "LoadBalancer" && external(spec) && spec.external_traffic_policy.as_deref() == Some("Local")
}

fn number(port: &ServicePort) -> i32 {
    port.node_port.unwrap_or_default()
}

fn addresses(
    spec: &mut ServiceSpec,
    old: Option<&ServiceSpec>,
    request: &WriteRequest<'_>,
) -> Result<(), Refused> {
    if kind(spec) == "ExternalName" {
        return Ok(());
    }
    if spec.cluster_ip.as_deref() == Some("None") {
        spec.cluster_ips = Some(vec!["None".to_owned()]);
        return Ok(());
    }
    let held = old.map(families::ips).unwrap_or_default();
    let mut ips = families::ips(spec).to_vec();
    for (i, family) in families::list(spec).iter().enumerate() {
        match ips.get(i).filter(|ip| !ip.is_empty()) {
            Some(ip) if held.contains(ip) => {}
            Some(ip) => {
                let taken = request.cluster.allocate_ip(family, Some(ip)).map_err(|why| {
                    let why = format!("failed to allocate IP {ip}: {why}");
                    Error::invalid("spec.clusterIPs", &ips, why)
                })?;
                ips[i] = taken;
            }
            None => {
                let taken = request
                    .cluster
                    .allocate_ip(family, None)
                    .map_err(|why| Status::internal(format!("failed to allocate a serviceIP: {why}")))?;
                ips.truncate(i);
                ips.push(taken);
            }
        }
    }
    spec.cluster_ip = ips.first().cloned();
    spec.cluster_ips = Some(ips);
    Ok(())
}

/// Ports of one number get one number on nodes, whatever their protocols.
fn node_ports(
    spec: &mut ServiceSpec,
    old: Option<&ServiceSpec>,
    request: &WriteRequest<'_>,
) -> Result<(), Refused> {
    let automatic = kind(spec) == "NodePort" || spec.allocate_load_balancer_node_ports != Some(false);
    let mut taken: Vec<i32> = old
        .iter()
        .flat_map(|old| old.ports.iter().flatten())
        .map(number)
        .collect();
    let ports = spec.ports.get_or_insert_default();
    let wishes: Vec<(i32, i32)> = ports.iter().map(|port| (port.port, number(port))).collect();
    let mut of_port = BTreeMap::new();
    for (i, port) in ports.iter_mut().enumerate() {
        if number(port) == 0 && !automatic {
            continue;
        }
        let wished = match (number(port), of_port.get(&port.port)) {
            (0, Some(same)) => *same,
            (0, None) => {
                let named = wishes.iter().find(|(of, wish)| *of == port.port && *wish != 0);
                named.map_or(0, |(_, wish)| *wish)
            }
            (own, _) => own,
        };
        let given = if wished != 0 && taken.contains(&wished) {
            wished
        } else {
            take_port(wished, i, request)?
        };
        taken.push(given);
        of_port.entry(port.port).or_insert(given);
        port.node_port = Some(given);
    }
    Ok(())
}

fn take_port(wished: i32, at: usize, request: &WriteRequest<'_>) -> Result<i32, Refused> {
    if wished == 0 {
        let taken = request.cluster.allocate_node_port(None);
        return taken
            .map(i32::from)
            .map_err(|why| Status::internal(format!("failed to allocate a nodePort: {why}")).into());
    }
    let port = u16::try_from(wished).unwrap_or_default();
    let taken = request.cluster.allocate_node_port(Some(port));
    taken.map(i32::from).map_err(|why| {
        let path = field::child(&field::index("spec.ports", at), "nodePort");
        Error::invalid(path, wished, why).into()
    })
}

fn health_port(
    spec: &mut ServiceSpec,
    old: Option<&ServiceSpec>,
    request: &WriteRequest<'_>,
) -> Result<(), Refused> {
    let held = old.and_then(|old| old.health_check_node_port).unwrap_or_default();
    match spec.health_check_node_port.unwrap_or_default() {
        wished if wished != 0 && wished == held => Ok(()),
        wished => {
            let port = (wished != 0).then(|| u16::try_from(wished).unwrap_or_default());
            let taken = request.cluster.allocate_node_port(port).map_err(|why| {
                let asked = if wished == 0 { "a" } else { "requested" };
                Status::internal(format!(
                    "failed to allocate {asked} HealthCheck NodePort {wished}: {why}"
                ))
            })?;
            spec.health_check_node_port = Some(taken.into());
            Ok(())
        }
    }
}
