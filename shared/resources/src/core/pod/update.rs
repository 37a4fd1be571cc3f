//! What may change in a pod that is there.

use super::validation;
use crate::encode;
use api::{field, field::Error};
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Toleration};

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
    if !encode::same(&with_mutable(new, old), old) {
        errors.push(Error::forbidden("spec", MUTABLE));
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
            errors.push(Error::forbidden(field::index("spec.schedulingGates", i), why));
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
    if old
        .termination_grace_period_seconds
        .is_some_and(|seconds| seconds < 0)
        && new.termination_grace_period_seconds == Some(1)
    {
        same.termination_grace_period_seconds = old.termination_grace_period_seconds;
    }
    same
}
