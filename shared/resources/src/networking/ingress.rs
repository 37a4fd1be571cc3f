//! Ingress.

use super::ingress_class;
use crate::{
    Cell, Row, STATUS, WriteRequest,
    admission::default_ingress_class,
    cells, encode, meta, names, rules,
    write::{Kind, write},
};
use api::{Object, Status, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, Ingress, IngressBackend, IngressSpec, IngressStatus,
};
use serde::{Deserialize, de::IgnoredAny};

pub(crate) static ROW: Row = Row {
    short_names: &["ing"],
    prefix: "/registry/ingress",
    subresources: &[STATUS],
    columns: &[
        cells::NAME,
        cells::column("Class", "string", "The class of the controller that serves it."),
        cells::column("Hosts", "string", "The hosts of its rules."),
        cells::column("Address", "string", "Where it is reached."),
        cells::column("Ports", "string", "The ports at which it is reached."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "networking.k8s.io",
        "Ingress",
        "ingresses",
        "ingress",
        write::<Ingress>,
    )
};

impl Kind for Ingress {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        self.spec.get_or_insert_default();
        self.status
            .get_or_insert_default()
            .load_balancer
            .get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(IngressStatus {
            load_balancer: Some(Default::default()),
        });
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }

    fn warnings(&self) -> Vec<String> {
        let annotations = self.metadata.annotations.as_ref();
        if annotations.is_some_and(|annotations| annotations.contains_key(CLASS_ANNOTATION)) {
            return vec![format!(
                "annotation {CLASS_ANNOTATION:?} is deprecated, please use 'spec.ingressClassName' instead"
            )];
        }
        Vec::new()
    }

    fn admit(&mut self, old: Option<&Self>, request: &WriteRequest<'_>) -> Result<(), Status> {
        if old.is_none() {
            default_ingress_class::admit(self, request);
        }
        Ok(())
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let Some(spec) = &self.spec else { return };
        validate_spec(spec, errors);
        let annotations = self.metadata.annotations.as_ref();
        let annotation = annotations.and_then(|annotations| annotations.get(CLASS_ANNOTATION));
        if let (Some(value), Some(class), None) = (
            annotation,
            &spec.ingress_class_name,
            &self.metadata.resource_version,
        ) && value != class
        {
            let why = "must match `ingressClassName` when both are specified";
            errors.push(Error::invalid(
                field::child("annotations", CLASS_ANNOTATION),
                value,
                why,
            ));
        }
    }
}

/// The old place of the name of the class.
pub(crate) const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

fn validate_spec(spec: &IngressSpec, errors: &mut Vec<Error>) {
    let rules = spec.rules.as_deref().unwrap_or_default();
    if rules.is_empty() && spec.default_backend.is_none() {
        let why = "either `defaultBackend` or `rules` must be specified";
        errors.push(Error::invalid("spec", rules, why));
    }
    if let Some(backend) = &spec.default_backend {
        validate_backend(backend, "spec.defaultBackend", errors);
    }
    for (i, rule) in rules.iter().enumerate() {
        let path = field::index("spec.rules", i);
        validate_host(
            rule.host.as_deref().unwrap_or_default(),
            &field::child(&path, "host"),
            errors,
        );
        let Some(http) = &rule.http else { continue };
        let path = field::child(&path, "http.paths");
        if http.paths.is_empty() {
            errors.push(Error::required(&path, ""));
        }
        for (i, http) in http.paths.iter().enumerate() {
            validate_path(http, &field::index(&path, i), errors);
        }
    }
    for (i, tls) in spec.tls.iter().flatten().enumerate() {
        let path = field::index("spec.tls", i);
        for (i, host) in tls.hosts.iter().flatten().enumerate() {
            let path = field::index(&field::child(&path, "hosts"), i);
            meta::invalid(errors, &path, host, host_name(host));
        }
        if let Some(name) = tls.secret_name.as_deref().filter(|name| !name.is_empty()) {
            meta::invalid(
                errors,
                &field::child(&path, "secretName"),
                name,
                names::dns_subdomain(name),
            );
        }
    }
    if let Some(class) = &spec.ingress_class_name {
        meta::invalid(
            errors,
            "spec.ingressClassName",
            class,
            names::dns_subdomain(class),
        );
    }
}

fn host_name(host: &str) -> Vec<String> {
    if host.contains('*') {
        names::wildcard_host(host)
    } else {
        names::dns_subdomain(host)
    }
}

fn validate_host(host: &str, path: &str, errors: &mut Vec<Error>) {
    if host.is_empty() {
        return;
    }
    if host.parse::<std::net::IpAddr>().is_ok() {
        let why = "must be a DNS name, not an IP address";
        errors.push(Error::invalid(path, host, why));
    }
    meta::invalid(errors, path, host, host_name(host));
}

fn validate_path(http: &HTTPIngressPath, path: &str, errors: &mut Vec<Error>) {
    let text = http.path.as_deref().unwrap_or_default();
    let place = field::child(path, "path");
    let mut wrong = |why: String| errors.push(Error::invalid(&place, text, why));
    let absolute = text.starts_with('/');
    match http.path_type.as_str() {
        "Exact" | "Prefix" => {
            if !absolute {
                wrong("must be an absolute path".to_owned());
            }
            for part in ["//", "/./", "/../", "%2f", "%2F"] {
                if text.contains(part) {
                    wrong(format!("must not contain '{part}'"));
                }
            }
            for end in ["/..", "/."] {
                if text.ends_with(end) {
                    wrong(format!("cannot end with '{end}'"));
                }
            }
        }
        "ImplementationSpecific" if !text.is_empty() && !absolute => {
            wrong("must be an absolute path".to_owned());
        }
        "ImplementationSpecific" => {}
        "" => {
            let why = "pathType must be specified";
            errors.push(Error::required(field::child(path, "pathType"), why));
        }
        other => {
            let types = ["Exact", "ImplementationSpecific", "Prefix"];
            errors.push(Error::not_supported(
                field::child(path, "pathType"),
                other,
                &types,
            ));
        }
    }
    validate_backend(&http.backend, &field::child(path, "backend"), errors);
}

fn validate_backend(backend: &IngressBackend, path: &str, errors: &mut Vec<Error>) {
    match (&backend.resource, &backend.service) {
        (Some(_), Some(_)) => {
            let why = "cannot set both resource and service backends";
            errors.push(Error::invalid(path, "", why));
        }
        (None, None) => {
            let why = "resource or service backend is required";
            errors.push(Error::invalid(path, "", why));
        }
        (Some(resource), None) => {
            let path = field::child(path, "resource");
            let group = resource.api_group.as_deref();
            ingress_class::validate_reference(group, &resource.kind, &resource.name, &path, errors);
        }
        (None, Some(service)) => {
            let at = |name: &str| field::child(&field::child(path, "service"), name);
            rules::required(&at("name"), &service.name, errors);
            if !service.name.is_empty() {
                meta::invalid(
                    errors,
                    &at("name"),
                    &service.name,
                    names::dns_1035_label(&service.name),
                );
            }
            let port = service.port.clone().unwrap_or_default();
            let name = port.name.as_deref().unwrap_or_default();
            match (name, port.number.unwrap_or_default()) {
                ("", 0) => errors.push(Error::required(path, "port name or number is required")),
                ("", number) => meta::invalid(errors, &at("port.number"), number, names::port_number(number)),
                (name, 0) => meta::invalid(errors, &at("port.name"), name, names::port_name(name)),
                _ => errors.push(Error::invalid(
                    path,
                    "",
                    "cannot set both port name & port number",
                )),
            }
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
    ingress_class_name: String,
    rules: Vec<RuleView>,
    tls: Vec<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RuleView {
    host: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusView {
    load_balancer: cells::BalancerView,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let View { spec, status } = cells::view(object);
    let ports = if spec.tls.is_empty() { "80" } else { "80, 443" };
    vec![
        cells::name(object),
        cells::or_none(&spec.ingress_class_name),
        Cell::Text(hosts(&spec.rules)),
        Cell::Text(status.load_balancer.addresses().join(",")),
        cells::text(ports),
        cells::age(object, now),
    ]
}

/// At most three hosts, then how many more rules there are.
fn hosts(rules: &[RuleView]) -> String {
    let named = |rule: &&RuleView| !rule.host.is_empty();
    let list: Vec<&str> = rules
        .iter()
        .filter(named)
        .take(3)
        .map(|rule| rule.host.as_str())
        .collect();
    let third = rules.iter().enumerate().filter(|(_, rule)| named(rule)).nth(2);
    match third {
        _ if list.is_empty() => "*".to_owned(),
        Some((index, _)) if index + 1 < rules.len() => {
            format!("{} + {} more...", list.join(","), rules.len() - 3)
        }
        _ => list.join(","),
    }
}
