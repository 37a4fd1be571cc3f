//! NetworkPolicy.

use crate::{
    Cell, Row, cells, encode, meta, names, rules, selector,
    write::{Kind, write},
};
use api::{Object, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::{
    api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort},
    apimachinery::pkg::util::intstr::IntOrString,
};
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    short_names: &["netpol"],
    prefix: "/registry/networkpolicies",
    columns: &[
        cells::NAME,
        cells::column("Pod-Selector", "string", "The pods that it is about."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "networking.k8s.io",
        "NetworkPolicy",
        "networkpolicies",
        "networkpolicy",
        write::<NetworkPolicy>,
    )
};

impl Kind for NetworkPolicy {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        spec.pod_selector.get_or_insert_default();
        let egress = spec.egress.as_ref().is_some_and(|rules| !rules.is_empty());
        let types = spec.policy_types.get_or_insert_default();
        if types.is_empty() {
            types.push("Ingress".to_owned());
            if egress {
                types.push("Egress".to_owned());
            }
        }
        let tcp = |port: &mut NetworkPolicyPort| {
            port.protocol.get_or_insert_with(|| "TCP".to_owned());
        };
        for rule in spec.ingress.iter_mut().flatten() {
            rule.ports.iter_mut().flatten().for_each(tcp);
        }
        for rule in spec.egress.iter_mut().flatten() {
            rule.ports.iter_mut().flatten().for_each(tcp);
        }
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let Some(spec) = &self.spec else { return };
        if let Some(wanted) = &spec.pod_selector {
            selector::validate(wanted, "spec.podSelector", errors);
        }
        for (i, rule) in spec.ingress.iter().flatten().enumerate() {
            let path = field::index("spec.ingress", i);
            rule_parts(rule.ports.as_deref(), rule.from.as_deref(), "from", &path, errors);
        }
        for (i, rule) in spec.egress.iter().flatten().enumerate() {
            let path = field::index("spec.egress", i);
            rule_parts(rule.ports.as_deref(), rule.to.as_deref(), "to", &path, errors);
        }
        let types = spec.policy_types.as_deref().unwrap_or_default();
        if types.len() > 2 {
            let why = "may not specify more than two policyTypes";
            errors.push(Error::invalid("spec.policyTypes", types, why));
            return;
        }
        for (i, kind) in types.iter().enumerate() {
            let path = field::index("spec.policyTypes", i);
            rules::one_of(Some(kind), &["Ingress", "Egress"], &path, errors);
        }
    }
}

fn rule_parts(
    ports: Option<&[NetworkPolicyPort]>,
    peers: Option<&[NetworkPolicyPeer]>,
    name: &str,
    path: &str,
    errors: &mut Vec<Error>,
) {
    for (i, port) in ports.unwrap_or_default().iter().enumerate() {
        validate_port(port, &field::index(&field::child(path, "ports"), i), errors);
    }
    for (i, peer) in peers.unwrap_or_default().iter().enumerate() {
        validate_peer(peer, &field::index(&field::child(path, name), i), errors);
    }
}

fn validate_port(port: &NetworkPolicyPort, path: &str, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    let protocols = ["TCP", "UDP", "SCTP"];
    rules::one_of(port.protocol.as_deref(), &protocols, &at("protocol"), errors);
    let end = port.end_port;
    match &port.port {
        Some(IntOrString::Int(number)) => {
            meta::invalid(errors, &at("port"), number, names::port_number(*number));
            if let Some(end) = end {
                if end < *number {
                    let why = "must be greater than or equal to `port`";
                    errors.push(Error::invalid(at("endPort"), end, why));
                }
                meta::invalid(errors, &at("endPort"), end, names::port_number(end));
            }
        }
        Some(IntOrString::String(name)) => {
            if let Some(end) = end {
                let why = "may not be specified when `port` is non-numeric";
                errors.push(Error::invalid(at("endPort"), end, why));
            }
            meta::invalid(errors, &at("port"), name, names::port_name(name));
        }
        None => {
            if let Some(end) = end {
                let why = "may not be specified when `port` is not specified";
                errors.push(Error::invalid(at("endPort"), end, why));
            }
        }
    }
}

fn validate_peer(peer: &NetworkPolicyPeer, path: &str, errors: &mut Vec<Error>) {
    let selectors = [
        ("podSelector", &peer.pod_selector),
        ("namespaceSelector", &peer.namespace_selector),
    ];
    let mut peers = 0;
    for (name, wanted) in selectors {
        if let Some(wanted) = wanted {
            peers += 1;
            selector::validate(wanted, &field::child(path, name), errors);
        }
    }
    match &peer.ip_block {
        None if peers == 0 => errors.push(Error::required(path, "must specify a peer")),
        None => {}
        Some(block) => {
            validate_block(block, &field::child(path, "ipBlock"), errors);
            if peers > 0 {
                let why = "may not specify both ipBlock and another peer";
                errors.push(Error::forbidden(path, why));
            }
        }
    }
}

fn validate_block(block: &IPBlock, path: &str, errors: &mut Vec<Error>) {
    let whole = field::child(path, "cidr");
    if block.cidr.is_empty() {
        errors.push(Error::required(whole, ""));
        return;
    }
    meta::invalid(errors, &whole, &block.cidr, names::cidr(&block.cidr));
    let Some(cidr) = names::parse_cidr(&block.cidr) else {
        return;
    };
    for (i, text) in block.except.iter().flatten().enumerate() {
        let path = field::index(&field::child(path, "except"), i);
        meta::invalid(errors, &path, text, names::cidr(text));
        match names::parse_cidr(text) {
            Some(except) if except.1 <= cidr.1 || !names::contains(cidr, except.0) => {
                errors.push(Error::invalid(path, text, "must be a strict subset of `cidr`"));
            }
            _ => {}
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: SpecView,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SpecView {
    pod_selector: cells::SelectorView,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let selector = cells::view::<View>(object).spec.pod_selector;
    vec![cells::name(object), selector.cell(), cells::age(object, now)]
}
