//! Service.

mod allocate;
mod families;
mod validation;
mod warnings;

use crate::{
    Cell, Refused, Row, STATUS, Subresource, WriteRequest, cells, names,
    write::{Kind, write},
};
use api::{Object, Status, field::Error};
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{ClientIPConfig, Service, ServicePort, ServiceSpec, SessionAffinityConfig},
    apimachinery::pkg::util::intstr::IntOrString,
};
use serde::Deserialize;
use std::collections::BTreeMap;

pub(crate) static ROW: Row = Row {
    short_names: &["svc"],
    categories: &["all"],
    prefix: "/registry/services/specs",
    create_on_update: true,
    subresources: &[
        Subresource {
            name: "proxy",
            kind: ("", "v1", "ServiceProxyOptions"),
            verbs: &["create", "delete", "get", "patch", "update"],
        },
        STATUS,
    ],
    fields: &["spec.clusterIP", "spec.type"],
    columns: &[
        cells::NAME,
        cells::column("Type", "string", "How the service is reached."),
        cells::column("Cluster-IP", "string", "Address inside the cluster."),
        cells::column("External-IP", "string", "Address outside the cluster."),
        cells::column("Port(s)", "string", "Ports."),
        cells::AGE,
        cells::SELECTOR,
    ],
    cells: row_cells,
    ..Row::usual("", "Service", "services", "service", write::<Service>)
};

impl Kind for Service {
    const ROW: &'static Row = &ROW;
    const NAMES: names::NameRule = names::dns_1035_label;

    fn warnings(&self) -> Vec<String> {
        warnings::of(self)
    }

    fn defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        or(&mut spec.session_affinity, "None");
        or(&mut spec.type_, "ClusterIP");
        if spec.session_affinity.as_deref() == Some("None") {
            spec.session_affinity_config = None;
        } else {
            let config = spec
                .session_affinity_config
                .get_or_insert_with(SessionAffinityConfig::default);
            config
                .client_ip
                .get_or_insert_with(ClientIPConfig::default)
                .timeout_seconds
                .get_or_insert(10800);
        }
        for port in spec.ports.iter_mut().flatten() {
            or(&mut port.protocol, "TCP");
            let same = IntOrString::Int(port.port);
            match &port.target_port {
                None | Some(IntOrString::Int(0)) => port.target_port = Some(same),
                Some(IntOrString::String(name)) if name.is_empty() => port.target_port = Some(same),
                Some(_) => {}
            }
        }
        if external(spec) {
            or(&mut spec.external_traffic_policy, "Cluster");
        }
        if kind(spec) == "LoadBalancer" {
            spec.allocate_load_balancer_node_ports.get_or_insert(true);
        }
        if kind(spec) != "ExternalName" {
            or(&mut spec.internal_traffic_policy, "Cluster");
            default_addresses(spec);
        }
        self.status
            .get_or_insert_default()
            .load_balancer
            .get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = None;
        self.defaults();
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
        if let (Some(new), Some(old)) = (&mut self.spec, &old.spec) {
            keep_allocated(new, old);
        }
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        validation::service(self, errors);
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        validation::update(self, old, errors);
    }

    fn admit(&mut self, old: Option<&Self>, request: &WriteRequest<'_>) -> Result<(), Status> {
        let old = old.and_then(|old| old.spec.as_ref());
        match &mut self.spec {
            Some(spec) => families::fill(spec, old, request.cluster)
                .map_err(|errors| Status::invalid("", "Service", request.name, errors)),
            None => Ok(()),
        }
    }

    fn allocate(&mut self, old: Option<&Self>, request: &WriteRequest<'_>) -> Result<(), Refused> {
        let old = old.and_then(|old| old.spec.as_ref());
        match &mut self.spec {
            Some(spec) => allocate::allocate(spec, old, request),
            None => Ok(()),
        }
    }
}

/// Sets what is missing or empty.
fn or(slot: &mut Option<String>, value: &str) {
    if slot.as_deref().unwrap_or_default().is_empty() {
        *slot = Some(value.to_owned());
    }
}

fn kind(spec: &ServiceSpec) -> &str {
    spec.type_.as_deref().unwrap_or_default()
}

/// Whether it is reached from outside through nodes.
fn external(spec: &ServiceSpec) -> bool {
    matches!(kind(spec), "NodePort" | "LoadBalancer")
        || (kind(spec) == "ClusterIP" && spec.external_ips.as_ref().is_some_and(|ips| !ips.is_empty()))
}

/// `clusterIP` and `clusterIPs` say the same.
fn default_addresses(spec: &mut ServiceSpec) {
    let first = spec.cluster_ips.as_ref().and_then(|ips| ips.first().cloned());
    match (&spec.cluster_ip, first) {
        (None, Some(first)) => spec.cluster_ip = Some(first),
        (Some(ip), None) if !ip.is_empty() => spec.cluster_ips = Some(vec![ip.clone()]),
        _ => {}
    }
}

/// An update that leaves out what was allocated keeps it.
fn keep_allocated(new: &mut ServiceSpec, old: &ServiceSpec) {
    // A client that knows the old field only changes it only: the new one follows.
    if new.cluster_ip != old.cluster_ip && new.cluster_ips == old.cluster_ips {
        new.cluster_ips = new
            .cluster_ip
            .clone()
            .filter(|ip| !ip.is_empty())
            .map(|ip| vec![ip]);
    }
    if kind(new) == "ExternalName" {
        if kind(old) != "ExternalName" {
            (new.cluster_ip, new.cluster_ips) = (None, None);
            (new.ip_families, new.ip_family_policy) = (None, None);
        }
    } else if kind(old) != "ExternalName" && new.cluster_ip.as_deref().unwrap_or_default().is_empty() {
        new.cluster_ip.clone_from(&old.cluster_ip);
        new.cluster_ips.clone_from(&old.cluster_ips);
    }
    if kind(old) == "LoadBalancer" && kind(new) != "LoadBalancer" {
        (new.allocate_load_balancer_node_ports, new.health_check_node_port) = (None, None);
    }
    if allocate::checks_health(new)
        && allocate::checks_health(old)
        && new.health_check_node_port.unwrap_or(0) == 0
    {
        new.health_check_node_port = old.health_check_node_port;
    }
    keep_node_ports(new, old);
}

fn keep_node_ports(new: &mut ServiceSpec, old: &ServiceSpec) {
    let numbered = |spec: &ServiceSpec| matches!(kind(spec), "NodePort" | "LoadBalancer");
    let ports = old.ports.as_deref().unwrap_or_default();
    if numbered(new) && numbered(old) {
        let unset = |port: &&mut ServicePort| port.node_port.unwrap_or_default() == 0;
        for port in new.ports.iter_mut().flatten().filter(unset) {
            let same = ports
                .iter()
                .find(|p| p.port == port.port && p.protocol == port.protocol);
            port.node_port = same.and_then(|p| p.node_port);
        }
    } else if numbered(old) && !numbered(new) {
        // Numbers that only repeat the old ones go with the type.
        let repeated = |port: &&mut ServicePort| ports.iter().any(|p| p.node_port == port.node_port);
        for port in new.ports.iter_mut().flatten().filter(repeated) {
            port.node_port = None;
        }
        if !external(new) {
            new.external_traffic_policy = None;
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: SpecView,
    status: StatusView,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SpecView {
    r#type: String,
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    #[serde(rename = "externalIPs")]
    external_ips: Vec<String>,
    external_name: String,
    ports: Vec<PortView>,
    selector: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PortView {
    port: i32,
    node_port: i32,
    protocol: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusView {
    load_balancer: cells::BalancerView,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let View { spec, status } = cells::view(object);
    let outside = match spec.r#type.as_str() {
        "ExternalName" => spec.external_name.clone(),
        "LoadBalancer" => {
            let mut list = status.load_balancer.addresses();
            list.extend(spec.external_ips.iter().cloned());
            if list.is_empty() {
                "<pending>".to_owned()
            } else {
                list.join(",")
            }
        }
        _ => spec.external_ips.join(","),
    };
    let port = |p: &PortView| match p.node_port {
        0 => format!("{}/{}", p.port, p.protocol),
        node => format!("{}:{node}/{}", p.port, p.protocol),
    };
    let ports: Vec<String> = spec.ports.iter().map(port).collect();
    vec![
        cells::name(object),
        cells::text(&spec.r#type),
        cells::or_none(&spec.cluster_ip),
        cells::or_none(&outside),
        cells::or_none(&ports.join(",")),
        cells::age(object, now),
        cells::labels(&spec.selector),
    ]
}
