//! What is allowed in a pod but hardly meant.

use api::field;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use std::collections::BTreeMap;

/// Node labels that have newer names.
const OLD_LABELS: [(&str, &str, &str); 4] = [
    ("beta.kubernetes.io/arch", "v1.14", "kubernetes.io/arch"),
    ("beta.kubernetes.io/os", "v1.14", "kubernetes.io/os"),
    (
        "failure-domain.beta.kubernetes.io/region",
        "v1.17",
        "topology.kubernetes.io/region",
    ),
    (
        "failure-domain.beta.kubernetes.io/zone",
        "v1.17",
        "topology.kubernetes.io/zone",
    ),
];

/// Warnings about the pod spec at `path`.
pub(crate) fn of(spec: &PodSpec, path: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    let selector = field::child(path, "nodeSelector");
    for (old, since, new) in OLD_LABELS {
        if spec
            .node_selector
            .as_ref()
            .is_some_and(|labels| labels.contains_key(old))
        {
            let place = field::key(&selector, old);
            warnings.push(format!("{place}: deprecated since {since}; use {new:?} instead"));
        }
    }
    let lists = [
        ("initContainers", spec.init_containers.as_deref()),
        ("containers", Some(spec.containers.as_slice())),
    ];
    for (name, list) in lists {
        for (i, container) in list.unwrap_or_default().iter().enumerate() {
            self::container(
                container,
                &field::index(&field::child(path, name), i),
                &mut warnings,
            );
        }
    }
    warnings
}

fn container(container: &Container, path: &str, warnings: &mut Vec<String>) {
    let mut seen = BTreeMap::new();
    for (i, var) in container.env.iter().flatten().enumerate() {
        let place = field::index(&field::child(path, "env"), i);
        if seen.insert(&var.name, i).is_some() {
            let name = &var.name;
            warnings.push(format!(
                "{place}: hides previous definition of {name:?}, which may be dropped when using apply"
            ));
        }
    }
    let mut ports = BTreeMap::new();
    for (i, port) in container.ports.iter().flatten().enumerate() {
        let place = field::index(&field::child(path, "ports"), i);
        let same = (
            port.container_port,
            port.protocol.as_deref(),
            port.host_ip.as_deref(),
            port.host_port,
        );
        if let Some(first) = ports.insert(same, place.clone()) {
            warnings.push(format!("{place}: duplicate port definition with {first}"));
        }
    }
}
