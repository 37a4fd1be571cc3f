//! From Services and EndpointSlices to [`Rules`]; pure.

use crate::{
    Action, Destination, Endpoint, Endpoints, ObjectName, Protocol, Rules, Service, ServicePort, Services,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// For which node the rules are, and of what.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// The node's name.
    pub node: String,
}

/// The endpoints of a service's port: (address, endpoint).
type Candidates<'a> = Vec<(SocketAddr, &'a Endpoint)>;
type ByPort<'a> = BTreeMap<(ObjectName, &'a str, Protocol), Candidates<'a>>;

/// What each service address does on this node.
pub fn ruleset(scope: &Scope, services: &Services, endpoints: &Endpoints) -> Rules {
    let by_port = by_port(endpoints);
    let mut rules = Rules::default();
    for (name, service) in services {
        for port in &service.ports {
            let key = (name.clone(), port.name.as_str(), port.protocol);
            let candidates = by_port.get(&key).map(Vec::as_slice).unwrap_or_default();
            of_port(scope, service, port, candidates, &mut rules);
        }
    }
    rules
}

fn by_port(endpoints: &Endpoints) -> ByPort<'_> {
    let mut found = ByPort::new();
    for ((namespace, _), slice) in endpoints {
        for port in &slice.ports {
            let service = (namespace.clone(), slice.service.clone());
            let candidates = found
                .entry((service, port.name.as_str(), port.protocol))
                .or_default();
            candidates.extend(
                slice
                    .endpoints
                    .iter()
                    .map(|e| (SocketAddr::new(e.address, port.port), e)),
            );
        }
    }
    found
}

fn of_port(
    scope: &Scope,
    service: &Service,
    port: &ServicePort,
    candidates: &[(SocketAddr, &Endpoint)],
    rules: &mut Rules,
) {
    let mut put = |address: IpAddr, number: u16, local: bool, external: bool| {
        let destination = Destination {
            address,
            protocol: port.protocol,
            port: number,
        };
        let action = action(scope, service, candidates, address.is_ipv4(), local, external);
        rules.0.insert(destination, action);
    };
    for address in &service.cluster_ips {
        put(*address, port.port, service.internal_local, false);
    }
    for address in &service.external_ips {
        put(*address, port.port, service.external_local, true);
    }
    if port.node_port != 0 {
        if service.cluster_ips.iter().any(IpAddr::is_ipv4) {
            put(
                Ipv4Addr::UNSPECIFIED.into(),
                port.node_port,
                service.external_local,
                true,
            );
        }
        if service.cluster_ips.iter().any(IpAddr::is_ipv6) {
            put(
                Ipv6Addr::UNSPECIFIED.into(),
                port.node_port,
                service.external_local,
                true,
            );
        }
    }
}

fn action(
    scope: &Scope,
    service: &Service,
    candidates: &[(SocketAddr, &Endpoint)],
    v4: bool,
    local: bool,
    external: bool,
) -> Action {
    let family = || candidates.iter().filter(|(address, _)| address.is_ipv4() == v4);
    let everywhere = usable(family());
    let chosen = if local {
        usable(family().filter(|(_, e)| e.node == scope.node))
    } else {
        everywhere.clone()
    };
    match (chosen.is_empty(), everywhere.is_empty()) {
        (_, true) => Action::Reject,
        (true, false) => Action::Drop,
        (false, false) => Action::Balance {
            endpoints: chosen.into_iter().collect(),
            sticky: service.client_ip_timeout,
            masquerade: !(local && external),
        },
    }
}

/// The ready ones; when there is none, those that still serve while they end.
fn usable<'a>(
    candidates: impl Iterator<Item = &'a (SocketAddr, &'a Endpoint)> + Clone,
) -> BTreeSet<SocketAddr> {
    let ready: BTreeSet<_> = candidates
        .clone()
        .filter(|(_, e)| e.ready)
        .map(|(address, _)| *address)
        .collect();
    if ready.is_empty() {
        candidates
            .filter(|(_, e)| e.serving && e.terminating)
            .map(|(address, _)| *address)
            .collect()
    } else {
        ready
    }
}
