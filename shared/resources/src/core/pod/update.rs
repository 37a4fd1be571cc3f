//! What may change in a pod that is there.

use super::validation;
use crate::{encode, meta, names};
use api::{field, field::Error, scan};
use k8s_openapi::api::core::v1::{Container, ContainerStatus, Pod, PodIP, PodSpec, PodStatus, Toleration};
use std::collections::{BTreeMap, BTreeSet};

const MUTABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Takes from the old pod what admission set, if the client left it out.
pub(super) fn keep_admitted(new: &mut Pod, old: &Pod) {
    if let (Some(new), Some(old)) = (&mut new.spec, &old.spec) {
        new.priority = new.priority.or(old.priority);
        if new.preemption_policy.is_none() {
            new.preemption_policy.clone_from(&old.preemption_policy);
        }
    }
}

/// Rules for a change.
pub(super) fn validate(new: &Pod, old: &Pod, errors: &mut Vec<Error>) {
    let (Some(new), Some(old)) = (&new.spec, &old.spec) else {
        return;
    };
    let before = errors.len();
    validation::spec(new, "spec", errors);
    validation::only_pods(new, errors);
    images(&new.containers, &old.containers, "spec.containers", errors);
    let (fresh, stale) = (new.init_containers.as_deref(), old.init_containers.as_deref());
    images(
        fresh.unwrap_or_default(),
        stale.unwrap_or_default(),
        "spec.initContainers",
        errors,
    );
    deadline(new.active_deadline_seconds, old.active_deadline_seconds, errors);
    gates(new, old, errors);
    if errors.len() > before {
        return;
    }
    tolerations(new, old, errors);
    node_selector(new, old, errors);
    let same = with_mutable(new, old);
    if !encode::same(&same, old) {
        let why = format!("{MUTABLE}\n{}", difference(&same, old));
        errors.push(Error::forbidden("spec", why));
    }
}

/// One address and the list of them say the same; where they do not, the one holds.
pub(super) fn agree(status: &mut PodStatus) {
    let first = |status: &PodStatus| Some(status.pod_ips.as_ref()?.first()?.ip.clone());
    match status.pod_ip.clone().filter(|ip| !ip.is_empty()) {
        Some(ip) if first(status).as_ref() != Some(&ip) => status.pod_ips = Some(vec![PodIP { ip }]),
        Some(_) => {}
        None => status.pod_ip = first(status),
    }
}

/// A new address is an address; others dial what stands there.
fn addresses(new: &PodStatus, old: &PodStatus, errors: &mut Vec<Error>) {
    if new.pod_ips == old.pod_ips {
        return;
    }
    let ips: Vec<&str> = new.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()).collect();
    for (i, ip) in ips.iter().enumerate() {
        let path = field::index("status.podIPs", i);
        meta::invalid(errors, &path, ip, names::ip(ip));
        if ips[..i].contains(ip) {
            errors.push(Error::duplicate(path, ip));
        }
    }
    let of_version_6 = ips.iter().filter(|ip| ip.contains(':')).count();
    if of_version_6 > 1 || ips.len() - of_version_6 > 1 {
        let why = "may specify no more than one IP for each IP family";
        errors.push(Error::invalid("status.podIPs", &new.pod_ips, why));
    }
}

/// Rules for a change of the status: what has ended for good does not run again.
pub(super) fn validate_status(new: &Pod, old: &Pod, errors: &mut Vec<Error>) {
    let (Some(spec), Some(new), Some(old)) = (&old.spec, &new.status, &old.status) else {
        return;
    };
    addresses(new, old, errors);
    let policy = spec.restart_policy.as_deref().unwrap_or_default();
    let sidecar = |name: &str| {
        let mut init = spec.init_containers.iter().flatten();
        init.any(|container| container.name == name && container.restart_policy.as_deref() == Some("Always"))
    };
    let ruled = |name: &str| {
        let mut all = spec
            .containers
            .iter()
            .chain(spec.init_containers.iter().flatten());
        all.any(|container| {
            let rules = container
                .restart_policy_rules
                .as_ref()
                .is_some_and(|rules| !rules.is_empty());
            container.name == name && (container.restart_policy.is_some() || rules)
        })
    };
    let lists = [
        (
            "containerStatuses",
            &new.container_statuses,
            &old.container_statuses,
            policy,
        ),
        (
            "initContainerStatuses",
            &new.init_container_statuses,
            &old.init_container_statuses,
            policy,
        ),
        (
            "ephemeralContainerStatuses",
            &new.ephemeral_container_statuses,
            &old.ephemeral_container_statuses,
            "Never",
        ),
    ];
    for (name, new, old, policy) in lists.into_iter().filter(|(_, _, _, policy)| *policy != "Always") {
        for (i, before) in old.iter().flatten().enumerate() {
            let terminated =
                |s: &ContainerStatus| s.state.as_ref().and_then(|state| state.terminated.clone());
            let Some(end) = terminated(before) else { continue };
            let may_restart = end.exit_code != 0 && policy == "OnFailure";
            let after = new.iter().flatten().find(|status| status.name == before.name);
            if may_restart || sidecar(&before.name) || ruled(&before.name) {
                continue;
            }
            if after.is_some_and(|after| terminated(after).is_none()) {
                let path = field::child(&field::index(&field::child("status", name), i), "state");
                errors.push(Error::forbidden(
                    path,
                    "may not be transitioned to non-terminated state",
                ));
            }
        }
    }
}

fn images(new: &[Container], old: &[Container], path: &str, errors: &mut Vec<Error>) {
    if new.len() != old.len() {
        errors.push(Error::forbidden(
            path,
            "pod updates may not add or remove containers",
        ));
    }
}

fn deadline(new: Option<i64>, old: Option<i64>, errors: &mut Vec<Error>) {
    let path = "spec.activeDeadlineSeconds";
    match (new, old) {
        (Some(new), Some(old)) if new > old => {
            errors.push(Error::invalid(
                path,
                new,
                "must be less than or equal to previous value",
            ));
        }
        (None, Some(_)) => {
            errors.push(Error::invalid(
                path,
                new,
                "must not update from a positive integer to nil value",
            ));
        }
        _ => {}
    }
}

fn gates(new: &PodSpec, old: &PodSpec, errors: &mut Vec<Error>) {
    let before = old.scheduling_gates.as_deref().unwrap_or_default();
    for (i, gate) in new.scheduling_gates.iter().flatten().enumerate() {
        if !before.contains(gate) {
            let why = format!(
                "only deletion is allowed, but found new scheduling gate '{}'",
                gate.name
            );
            let path = field::child(&field::index("spec.schedulingGates", i), "name");
            errors.push(Error::forbidden(path, why));
        }
    }
}

fn tolerations(new: &PodSpec, old: &PodSpec, errors: &mut Vec<Error>) {
    let plain = |toleration: &Toleration| Toleration {
        toleration_seconds: None,
        ..toleration.clone()
    };
    let list: Vec<Toleration> = new.tolerations.iter().flatten().map(plain).collect();
    if old
        .tolerations
        .iter()
        .flatten()
        .any(|toleration| !list.contains(&plain(toleration)))
    {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        errors.push(Error::forbidden("spec.tolerations", why));
    }
}

fn is_gated(spec: &PodSpec) -> bool {
    spec.scheduling_gates
        .as_ref()
        .is_some_and(|gates| !gates.is_empty())
}

/// A gated pod may be narrowed to fewer nodes.
fn node_selector(new: &PodSpec, old: &PodSpec, errors: &mut Vec<Error>) {
    let after = new.node_selector.as_ref();
    let mut before = old.node_selector.iter().flatten();
    if is_gated(old) && !before.all(|(key, value)| after.and_then(|labels| labels.get(key)) == Some(value)) {
        let why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.push(Error::invalid("spec.nodeSelector", after, why));
    }
}

/// The fields that differ, the old value above the new.
pub(super) fn difference(new: &PodSpec, old: &PodSpec) -> String {
    let fields = |spec: &PodSpec| -> BTreeMap<String, String> {
        let text = encode::canonical(spec).unwrap_or_default();
        let members = scan::members(&text, 0).filter_map(Result::ok);
        members
            .map(|(key, value)| {
                (
                    key.into_owned(),
                    String::from_utf8_lossy(&text[value]).into_owned(),
                )
            })
            .collect()
    };
    let (new, old) = (fields(new), fields(old));
    let names: BTreeSet<&String> = new.keys().chain(old.keys()).collect();
    let mut lines = Vec::new();
    for name in names.into_iter().filter(|name| new.get(*name) != old.get(*name)) {
        lines.extend(old.get(name).map(|value| format!("- {name}: {value}")));
        lines.extend(new.get(name).map(|value| format!("+ {name}: {value}")));
    }
    lines.join("\n")
}

/// The new spec with the old one's values wherever a change is allowed.
fn with_mutable(new: &PodSpec, old: &PodSpec) -> PodSpec {
    let mut same = new.clone();
    for (container, old) in same.containers.iter_mut().zip(&old.containers) {
        container.image.clone_from(&old.image);
    }
    let old_init = old.init_containers.as_deref().unwrap_or_default();
    for (container, old) in same.init_containers.iter_mut().flatten().zip(old_init) {
        container.image.clone_from(&old.image);
    }
    same.active_deadline_seconds = old.active_deadline_seconds;
    same.tolerations.clone_from(&old.tolerations);
    same.scheduling_gates.clone_from(&old.scheduling_gates);
    if is_gated(old) {
        same.node_selector.clone_from(&old.node_selector);
    }
    if old
        .termination_grace_period_seconds
        .is_some_and(|seconds| seconds < 0)
        && new.termination_grace_period_seconds == Some(1)
    {
        same.termination_grace_period_seconds = old.termination_grace_period_seconds;
    }
    same
}
