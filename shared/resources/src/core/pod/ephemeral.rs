//! `/ephemeralcontainers`: containers that are added to a running pod to look at it.

use super::containers;
use crate::encode;
use api::{field, field::Error};
use k8s_openapi::api::core::v1::{Container, EphemeralContainer, Pod, PodSpec};
use std::collections::BTreeSet;

const PATH: &str = "spec.ephemeralContainers";

/// The old pod with the new one's ephemeral containers.
pub(super) fn prepare(new: &mut Pod, old: &Pod) {
    let spec = new.spec.take().unwrap_or_default();
    new.clone_from(old);
    new.spec.get_or_insert_default().ephemeral_containers = spec.ephemeral_containers;
}

/// Rules for a change: containers are added, those that are there stay as they are.
pub(super) fn validate(new: &PodSpec, old: &PodSpec, errors: &mut Vec<Error>) {
    let list = new.ephemeral_containers.as_deref().unwrap_or_default();
    all(new, list, errors);
    for before in old.ephemeral_containers.iter().flatten() {
        let name = &before.name;
        match list.iter().find(|container| container.name == *name) {
            None => {
                let why = format!("existing ephemeral containers {name:?} may not be removed\n");
                errors.push(Error::forbidden(PATH, why));
            }
            Some(after) if !encode::same(after, before) => {
                let why = format!("existing ephemeral containers {name:?} may not be changed\n");
                errors.push(Error::forbidden(PATH, why));
            }
            Some(_) => {}
        }
    }
}

fn all(spec: &PodSpec, list: &[EphemeralContainer], errors: &mut Vec<Error>) {
    let volumes = containers::volumes(spec);
    let init = spec.init_containers.iter().flatten();
    let mut names: BTreeSet<&str> = spec
        .containers
        .iter()
        .chain(init)
        .map(|c| c.name.as_str())
        .collect();
    let targets = names.clone();
    for (i, container) in list.iter().enumerate() {
        let path = field::index(PATH, i);
        let target = container.target_container_name.as_deref().unwrap_or_default();
        if !target.is_empty() && !targets.contains(target) {
            errors.push(Error::not_found(
                field::child(&path, "targetContainerName"),
                target,
            ));
        }
        if container.name.is_empty() {
            errors.push(Error::required(&path, "ephemeralContainer requires a name"));
            continue;
        }
        containers::container(&common(container), &path, &volumes, errors);
        if !names.insert(&container.name) {
            errors.push(Error::duplicate(field::child(&path, "name"), &container.name));
        }
        forbidden(container, &path, errors);
    }
}

/// Nobody should rely on such a container, so it cannot serve, be probed or reserve anything.
fn forbidden(container: &EphemeralContainer, path: &str, errors: &mut Vec<Error>) {
    let resources = container.resources.clone().unwrap_or_default();
    let fields = [
        (
            "ports",
            container.ports.as_ref().is_some_and(|ports| !ports.is_empty()),
        ),
        ("resources", !encode::same(&resources, &Default::default())),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
        ("lifecycle", container.lifecycle.is_some()),
    ];
    for (name, _) in fields.into_iter().filter(|(_, set)| *set) {
        let why = "cannot be set for an Ephemeral Container";
        errors.push(Error::forbidden(field::child(path, name), why));
    }
    let mounts = container.volume_mounts.iter().flatten().enumerate();
    for (i, _) in mounts.filter(|(_, mount)| mount.sub_path.is_some() || mount.sub_path_expr.is_some()) {
        let path = field::index(&field::child(path, "volumeMounts"), i);
        let why = "cannot be set for an Ephemeral Container";
        errors.push(Error::forbidden(field::child(&path, "subPath"), why));
    }
}

/// What it has in common with other containers.
fn common(container: &EphemeralContainer) -> Container {
    let c = container.clone();
    Container {
        args: c.args,
        command: c.command,
        env: c.env,
        env_from: c.env_from,
        image: c.image,
        image_pull_policy: c.image_pull_policy,
        name: c.name,
        security_context: c.security_context,
        stdin: c.stdin,
        stdin_once: c.stdin_once,
        termination_message_path: c.termination_message_path,
        termination_message_policy: c.termination_message_policy,
        tty: c.tty,
        volume_devices: c.volume_devices,
        volume_mounts: c.volume_mounts,
        working_dir: c.working_dir,
        ..Container::default()
    }
}
