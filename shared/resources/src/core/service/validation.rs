//! Rules for Services.

use super::{allocate, families, kind};
use crate::{meta, names};
use api::{field, field::Error};
use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use std::collections::BTreeSet;

const TYPES: [&str; 4] = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];

/// Rules for a service.
pub(super) fn service(service: &Service, errors: &mut Vec<Error>) {
    let Some(spec) = &service.spec else { return };
    let headless = spec.cluster_ip.as_deref() == Some("None");
    if spec.ports.as_ref().is_none_or(Vec::is_empty) && !headless && kind(spec) != "ExternalName" {
        errors.push(Error::required("spec.ports", ""));
    }
    addresses(spec, headless, errors);
    ports(spec, errors);
    meta::validate_labels(spec.selector.as_ref(), "spec.selector", errors);
    match spec.session_affinity.as_deref().unwrap_or_default() {
        "None" => {}
        "ClientIP" => {
            let config = spec
                .session_affinity_config
                .as_ref()
                .and_then(|config| config.client_ip.as_ref());
            let seconds = config.and_then(|ip| ip.timeout_seconds).unwrap_or_default();
            if !(1..=86400).contains(&seconds) {
                let path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
                errors.push(Error::invalid(
                    path,
                    seconds,
                    "must be greater than 0 and less than 86400",
                ));
            }
        }
        other => errors.push(Error::not_supported(
            "spec.sessionAffinity",
            other,
            &["ClientIP", "None"],
        )),
    }
    if !TYPES.contains(&kind(spec)) {
        errors.push(Error::not_supported("spec.type", kind(spec), &TYPES));
    }
    policies(spec, errors);
}

fn addresses(spec: &ServiceSpec, headless: bool, errors: &mut Vec<Error>) {
    let ip = spec.cluster_ip.as_deref().unwrap_or_default();
    match kind(spec) {
        "LoadBalancer" | "NodePort" if headless => {
            let why = format!("may not be set to 'None' for {} services", kind(spec));
            errors.push(Error::invalid("spec.clusterIPs[0]", ip, why));
        }
        "ExternalName" => {
            if !ip.is_empty() {
                errors.push(Error::forbidden(
                    "spec.clusterIPs",
                    "may not be set for ExternalName services",
                ));
            }
            let name = spec.external_name.as_deref().unwrap_or_default();
            let name = name.strip_suffix('.').unwrap_or(name);
            if name.is_empty() {
                errors.push(Error::required("spec.externalName", ""));
            } else {
                meta::invalid(errors, "spec.externalName", name, names::dns_subdomain(name));
            }
            return;
        }
        _ => {}
    }
    families::check(spec, errors);
    for (i, ip) in spec.external_ips.iter().flatten().enumerate() {
        meta::invalid(
            errors,
            &field::index("spec.externalIPs", i),
            ip,
            names::endpoint_ip(ip),
        );
    }
}

fn ports(spec: &ServiceSpec, errors: &mut Vec<Error>) {
    let list = spec.ports.as_deref().unwrap_or_default();
    let (mut named, mut numbered, mut on_node) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for (i, port) in list.iter().enumerate() {
        let path = field::index("spec.ports", i);
        one_port(port, &path, list.len() > 1, errors);
        let name = port.name.as_deref().unwrap_or_default();
        if !name.is_empty() && !named.insert(name) {
            errors.push(Error::duplicate(field::child(&path, "name"), name));
        }
        if !numbered.insert((port.port, port.protocol.as_deref())) {
            let key = ServicePort {
                port: port.port,
                protocol: port.protocol.clone(),
                ..ServicePort::default()
            };
            errors.push(Error::duplicate(&path, &key));
        }
        let node_port = port.node_port.unwrap_or_default();
        if node_port != 0 {
            let path = field::child(&path, "nodePort");
            if matches!(kind(spec), "ClusterIP" | "ExternalName") {
                errors.push(Error::forbidden(
                    path,
                    format!("may not be used when `type` is '{}'", kind(spec)),
                ));
            } else if !on_node.insert((node_port, port.protocol.as_deref())) {
                errors.push(Error::duplicate(path, node_port));
            }
        }
    }
}

fn one_port(port: &ServicePort, path: &str, many: bool, errors: &mut Vec<Error>) {
    let name = port.name.as_deref().unwrap_or_default();
    if many && name.is_empty() {
        errors.push(Error::required(field::child(path, "name"), ""));
    } else if !name.is_empty() {
        meta::invalid(errors, &field::child(path, "name"), name, names::dns_label(name));
    }
    meta::invalid(
        errors,
        &field::child(path, "port"),
        port.port,
        names::port_number(port.port),
    );
    let protocol = port.protocol.as_deref().unwrap_or_default();
    if !["SCTP", "TCP", "UDP"].contains(&protocol) {
        let supported = ["SCTP", "TCP", "UDP"];
        errors.push(Error::not_supported(
            field::child(path, "protocol"),
            protocol,
            &supported,
        ));
    }
    let target = field::child(path, "targetPort");
    match &port.target_port {
        Some(IntOrString::Int(number)) => meta::invalid(errors, &target, number, names::port_number(*number)),
        Some(IntOrString::String(name)) => meta::invalid(errors, &target, name, names::port_name(name)),
        None => {}
    }
    if let Some(app) = &port.app_protocol {
        meta::invalid(
            errors,
            &field::child(path, "appProtocol"),
            app,
            names::qualified_name(app),
        );
    }
}

fn policies(spec: &ServiceSpec, errors: &mut Vec<Error>) {
    let policies = ["Cluster", "Local"];
    let external = spec.external_traffic_policy.as_deref().unwrap_or_default();
    if super::external(spec) {
        if !policies.contains(&external) {
            errors.push(Error::not_supported(
                "spec.externalTrafficPolicy",
                external,
                &policies,
            ));
        }
    } else if !external.is_empty() {
        let why = "may only be set for externally-accessible services";
        errors.push(Error::invalid("spec.externalTrafficPolicy", external, why));
    }
    let health = spec.health_check_node_port.unwrap_or_default();
    if health != 0 && !allocate::checks_health(spec) {
        let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        errors.push(Error::invalid("spec.healthCheckNodePort", health, why));
    } else if health != 0 {
        meta::invalid(
            errors,
            "spec.healthCheckNodePort",
            health,
            names::port_number(health),
        );
    }
    sources(spec, errors);
    if let Some(internal) = &spec.internal_traffic_policy
        && !policies.contains(&internal.as_str())
    {
        errors.push(Error::not_supported(
            "spec.internalTrafficPolicy",
            internal,
            &policies,
        ));
    }
}

/// Rules for the ranges that may reach a load balancer.
fn sources(spec: &ServiceSpec, errors: &mut Vec<Error>) {
    let path = "spec.LoadBalancerSourceRanges";
    let ranges = spec.load_balancer_source_ranges.as_deref().unwrap_or_default();
    if !ranges.is_empty() && kind(spec) != "LoadBalancer" {
        errors.push(Error::forbidden(
            path,
            "may only be used when `type` is 'LoadBalancer'",
        ));
    }
    for (i, range) in ranges.iter().enumerate() {
        let range = range.trim();
        meta::invalid(errors, &field::index(path, i), range, names::cidr(range));
    }
}

/// Rules for a change: an address stays as long as the service has one.
pub(super) fn update(new: &Service, old: &Service, errors: &mut Vec<Error>) {
    if let (Some(new), Some(old)) = (&new.spec, &old.spec) {
        families::check_change(new, old, errors);
    }
    service(new, errors);
}
