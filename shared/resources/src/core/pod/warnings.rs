//! What is allowed in a pod but hardly meant.

use crate::rules;
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
    volumes(spec, path, &mut warnings);
    let seconds = spec.termination_grace_period_seconds;
    if seconds.is_some_and(|seconds| seconds < 0) {
        let place = field::child(path, "terminationGracePeriodSeconds");
        warnings.push(format!(
            "{place}: must be >= 0; negative values are invalid and will be treated as 1"
        ));
    }
    let mut secrets = BTreeMap::new();
    for (i, secret) in spec.image_pull_secrets.iter().flatten().enumerate() {
        let place = field::index(&field::child(path, "imagePullSecrets"), i);
        if secret.name.is_empty() {
            warnings.push(format!("{place}: invalid empty name {:?}", secret.name));
        }
        if secrets.insert(&secret.name, i).is_some() {
            warnings.push(format!("{place}: duplicate name {:?}", secret.name));
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

/// Volumes of plugins that are gone or going.
fn volumes(spec: &PodSpec, path: &str, warnings: &mut Vec<String>) {
    for (i, volume) in spec.volumes.iter().flatten().enumerate() {
        let kinds = [
            (
                "photonPersistentDisk",
                volume.photon_persistent_disk.is_some(),
                "v1.11, non-functional in v1.16+",
            ),
            (
                "gitRepo",
                volume.git_repo.is_some(),
                "v1.11, and disabled by default in v1.33+",
            ),
            (
                "scaleIO",
                volume.scale_io.is_some(),
                "v1.16, non-functional in v1.22+",
            ),
            (
                "flocker",
                volume.flocker.is_some(),
                "v1.22, non-functional in v1.25+",
            ),
            (
                "storageOS",
                volume.storageos.is_some(),
                "v1.22, non-functional in v1.25+",
            ),
            (
                "quobyte",
                volume.quobyte.is_some(),
                "v1.22, non-functional in v1.25+",
            ),
            (
                "glusterfs",
                volume.glusterfs.is_some(),
                "v1.25, non-functional in v1.26+",
            ),
            (
                "cephfs",
                volume.cephfs.is_some(),
                "v1.28, non-functional in v1.31+",
            ),
            ("rbd", volume.rbd.is_some(), "v1.28, non-functional in v1.31+"),
        ];
        let place = field::index(&field::child(path, "volumes"), i);
        for (kind, _, since) in kinds.into_iter().filter(|(_, there, _)| *there) {
            warnings.push(format!("{}: deprecated in {since}", field::child(&place, kind)));
        }
    }
}

/// Bytes have no fractions.
fn fractions(container: &Container, path: &str, warnings: &mut Vec<String>) {
    let resources = container.resources.clone().unwrap_or_default();
    for (list, amounts) in [("limits", resources.limits), ("requests", resources.requests)] {
        for (name, quantity) in amounts.iter().flatten() {
            let bytes = ["memory", "ephemeral-storage"].contains(&name.as_str());
            if bytes && rules::parse(quantity).is_some_and(|quantity| quantity.millis() % 1000 != 0) {
                let place = field::key(&field::child(&field::child(path, "resources"), list), name);
                warnings.push(format!(
                    "{place}: fractional byte value {:?} is invalid, must be an integer",
                    quantity.0
                ));
            }
        }
    }
}

fn container(container: &Container, path: &str, warnings: &mut Vec<String>) {
    fractions(container, path, warnings);
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
