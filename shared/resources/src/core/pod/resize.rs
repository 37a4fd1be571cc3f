//! `/resize`: other resources for the containers of a running pod.

use super::{qos, update, validation, whole};
use crate::encode;
use api::{field, field::Error};
use k8s_openapi::{
    api::core::v1::{Container, Pod, PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};
use std::collections::BTreeMap;

/// The old pod with the new one's resources and resize policies, container by container.
pub(super) fn prepare(new: &mut Pod, old: &Pod) {
    let fresh = new.spec.take().unwrap_or_default();
    new.clone_from(old);
    let spec = new.spec.get_or_insert_default();
    if whole::of(&fresh).is_some() {
        spec.resources.clone_from(&fresh.resources);
    }
    take(&mut spec.containers, &fresh.containers);
    let init = spec.init_containers.as_deref_mut().unwrap_or_default();
    take(init, fresh.init_containers.as_deref().unwrap_or_default());
}

fn take(containers: &mut [Container], fresh: &[Container]) {
    for container in containers {
        if let Some(new) = fresh.iter().find(|new| new.name == container.name) {
            container.resources.clone_from(&new.resources);
            container.resize_policy.clone_from(&new.resize_policy);
        }
    }
}

/// Rules for a change: only CPU and memory, and the pod stays in its class.
pub(super) fn validate(new: &Pod, old: &Pod, errors: &mut Vec<Error>) {
    let specs = [&new.spec, &old.spec].into_iter().flatten();
    if specs.into_iter().any(|spec| whole::of(spec).is_some()) {
        errors.push(Error::forbidden(
            "",
            "pods with pod-level resources cannot be resized",
        ));
        return;
    }
    let annotations = old.metadata.annotations.as_ref();
    if annotations.is_some_and(|annotations| annotations.contains_key("kubernetes.io/config.mirror")) {
        errors.push(Error::forbidden("", "static pods cannot be resized"));
        return;
    }
    let (Some(new), Some(old)) = (&new.spec, &old.spec) else {
        return;
    };
    validation::spec(new, "spec", errors);
    if qos::class(new) != qos::class(old) {
        let why = "Pod QOS Class may not change as a result of resizing";
        errors.push(Error::invalid("spec", qos::class(new), why));
    }
    let init = |spec: &PodSpec| spec.init_containers.clone().unwrap_or_default();
    kept(&new.containers, &old.containers, "spec.containers", errors);
    kept(&init(new), &init(old), "spec.initContainers", errors);
    let mut same = new.clone();
    restore(&mut same.containers, &old.containers);
    let containers = same.init_containers.as_deref_mut().unwrap_or_default();
    restore(containers, old.init_containers.as_deref().unwrap_or_default());
    if !encode::same(&same, old) {
        let why = format!(
            "only cpu and memory resources are mutable\n{}",
            update::difference(&same, old)
        );
        errors.push(Error::forbidden("spec", why));
    }
}

type List = Option<BTreeMap<String, Quantity>>;

/// What was requested or limited may change, but not go.
fn kept(new: &[Container], old: &[Container], path: &str, errors: &mut Vec<Error>) {
    for (i, (new, old)) in new.iter().zip(old).enumerate() {
        let path = field::child(&field::index(path, i), "resources");
        let (new, old) = (
            new.resources.clone().unwrap_or_default(),
            old.resources.clone().unwrap_or_default(),
        );
        let gone = |new: &List, old: &List| {
            let mut before = old.iter().flatten();
            before.any(|(name, _)| !new.as_ref().is_some_and(|new| new.contains_key(name)))
        };
        if gone(&new.limits, &old.limits) {
            let why = "resource limits cannot be removed";
            errors.push(Error::forbidden(field::child(&path, "limits"), why));
        }
        if gone(&new.requests, &old.requests) {
            let why = "resource requests cannot be removed";
            errors.push(Error::forbidden(field::child(&path, "requests"), why));
        }
    }
}

/// Puts the old CPU and memory back, so that only forbidden changes are left.
fn restore(containers: &mut [Container], old: &[Container]) {
    for (container, old) in containers.iter_mut().zip(old) {
        let before = old.resources.clone().unwrap_or_default();
        let resources: &mut ResourceRequirements = container.resources.get_or_insert_default();
        for (new, old) in [
            (&mut resources.limits, before.limits),
            (&mut resources.requests, before.requests),
        ] {
            for name in ["cpu", "memory"] {
                let value = old.as_ref().and_then(|old| old.get(name).cloned());
                let new = new.get_or_insert_default();
                match value {
                    Some(value) => new.insert(name.to_owned(), value),
                    None => new.remove(name),
                };
            }
        }
    }
}
