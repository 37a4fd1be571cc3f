//! Rules for the containers of a pod.

use super::{
    env, probes, restart_rules,
    validation::{seccomp, user_id},
};
use crate::{meta, names, rules};
use api::{Quantity, field, field::Error};
use k8s_openapi::{
    api::core::v1::{Container, ContainerPort, PodSpec, ResourceRequirements, VolumeMount},
    apimachinery::pkg::api::resource::Quantity as Text,
};
use std::collections::{BTreeMap, BTreeSet};

const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

/// The names of the volumes.
pub(super) fn volumes(spec: &PodSpec) -> BTreeSet<&str> {
    let all = spec.volumes.iter().flatten();
    all.map(|volume| volume.name.as_str()).collect()
}

/// Rules for all containers of the spec at `path`.
pub(super) fn validate(spec: &PodSpec, path: &str, errors: &mut Vec<Error>) {
    let volumes = volumes(spec);
    let mut seen = BTreeSet::new();
    let mut shared_ports = BTreeSet::new();
    let list = field::child(path, "containers");
    if spec.containers.is_empty() {
        errors.push(Error::required(&list, ""));
    }
    let init = field::child(path, "initContainers");
    let all = spec
        .containers
        .iter()
        .enumerate()
        .map(|(i, c)| (field::index(&list, i), c, false));
    let all = all.chain(
        spec.init_containers
            .iter()
            .flatten()
            .enumerate()
            .map(|(i, c)| (field::index(&init, i), c, true)),
    );
    for (path, container, init) in all {
        self::container(container, &path, &volumes, errors);
        if !container.name.is_empty() && !seen.insert(&container.name) {
            errors.push(Error::duplicate(field::child(&path, "name"), &container.name));
        }
        restart_rules::validate(container, &path, errors);
        if init {
            init_only(container, &path, errors);
        }
        // Init containers run one by one: each may take the ports of the others.
        let mut own_ports = BTreeSet::new();
        let taken = if init { &mut own_ports } else { &mut shared_ports };
        ports(container, &path, spec.host_network == Some(true), taken, errors);
    }
}

/// Rules for one container.
pub(super) fn container(
    container: &Container,
    path: &str,
    volumes: &BTreeSet<&str>,
    errors: &mut Vec<Error>,
) {
    let at = |name: &str| field::child(path, name);
    if container.name.is_empty() {
        errors.push(Error::required(at("name"), ""));
    } else {
        meta::invalid(
            errors,
            &at("name"),
            &container.name,
            names::dns_label(&container.name),
        );
    }
    let image = container.image.as_deref().unwrap_or_default();
    if image.is_empty() {
        errors.push(Error::required(at("image"), ""));
    }
    let policies = ["Always", "IfNotPresent", "Never"];
    rules::one_of(
        container.image_pull_policy.as_deref(),
        &policies,
        &at("imagePullPolicy"),
        errors,
    );
    let policies = ["File", "FallbackToLogsOnError"];
    rules::one_of(
        container.termination_message_policy.as_deref(),
        &policies,
        &at("terminationMessagePolicy"),
        errors,
    );
    env::validate(container, path, errors);
    mounts(container, &at("volumeMounts"), volumes, errors);
    devices(container, &at("volumeDevices"), volumes, errors);
    if let Some(resources) = &container.resources {
        self::resources(resources, &at("resources"), errors);
    }
    probes::validate(container, path, errors);
    security(container, &at("securityContext"), errors);
}

fn init_only(container: &Container, path: &str, errors: &mut Vec<Error>) {
    if container.restart_policy.as_deref() == Some("Always") {
        return;
    }
    let fields = [
        ("lifecycle", container.lifecycle.is_some()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
    ];
    for (name, _) in fields.into_iter().filter(|(_, set)| *set) {
        let why = "may not be set for init containers without restartPolicy=Always";
        errors.push(Error::forbidden(field::child(path, name), why));
    }
}

fn ports(
    container: &Container,
    path: &str,
    host_network: bool,
    taken: &mut BTreeSet<String>,
    errors: &mut Vec<Error>,
) {
    let mut named = BTreeSet::new();
    for (i, port) in container.ports.iter().flatten().enumerate() {
        let path = field::index(&field::child(path, "ports"), i);
        let name = port.name.as_deref().unwrap_or_default();
        if !name.is_empty() {
            let wrong = names::port_name(name);
            let good = wrong.is_empty();
            meta::invalid(errors, &field::child(&path, "name"), name, wrong);
            if good && !named.insert(name) {
                errors.push(Error::duplicate(field::child(&path, "name"), name));
            }
        }
        numbers(port, &path, host_network, errors);
        let host = port.host_port.unwrap_or_default();
        if host != 0 {
            let (protocol, ip) = (port.protocol.as_deref(), port.host_ip.as_deref());
            let key = format!(
                "{}/{}/{host}",
                protocol.unwrap_or_default(),
                ip.unwrap_or_default()
            );
            if !taken.insert(key.clone()) {
                errors.push(Error::duplicate(field::child(&path, "hostPort"), key));
            }
        }
    }
}

fn numbers(port: &ContainerPort, path: &str, host_network: bool, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    if port.container_port == 0 {
        errors.push(Error::required(at("containerPort"), ""));
    } else {
        meta::invalid(
            errors,
            &at("containerPort"),
            port.container_port,
            names::port_number(port.container_port),
        );
    }
    let host = port.host_port.unwrap_or_default();
    if host != 0 {
        meta::invalid(errors, &at("hostPort"), host, names::port_number(host));
    }
    if host_network && host != 0 && host != port.container_port {
        let why = "must match `containerPort` when `hostNetwork` is true";
        errors.push(Error::invalid(at("hostPort"), host, why));
    }
    rules::one_of(
        port.protocol.as_deref(),
        &["SCTP", "TCP", "UDP"],
        &at("protocol"),
        errors,
    );
}

fn mounts(container: &Container, path: &str, volumes: &BTreeSet<&str>, errors: &mut Vec<Error>) {
    let mut seen = BTreeSet::new();
    let context = container.security_context.as_ref();
    let privileged = context.and_then(|context| context.privileged) == Some(true);
    for (i, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let path = field::index(path, i);
        let at = |name: &str| field::child(&path, name);
        if mount.name.is_empty() {
            errors.push(Error::required(at("name"), ""));
        }
        if !volumes.contains(mount.name.as_str()) {
            errors.push(Error::not_found(at("name"), &mount.name));
        }
        if mount.mount_path.is_empty() {
            errors.push(Error::required(at("mountPath"), ""));
        } else if !seen.insert(&mount.mount_path) {
            errors.push(Error::invalid(
                at("mountPath"),
                &mount.mount_path,
                "must be unique",
            ));
        }
        let sub = mount.sub_path.as_deref().unwrap_or_default();
        if sub.starts_with('/') {
            errors.push(Error::invalid(at("subPath"), sub, "must be a relative path"));
        }
        if sub.split('/').any(|part| part == "..") {
            errors.push(Error::invalid(at("subPath"), sub, "must not contain '..'"));
        }
        if !sub.is_empty()
            && mount
                .sub_path_expr
                .as_ref()
                .is_some_and(|expression| !expression.is_empty())
        {
            errors.push(Error::invalid(
                at("subPathExpr"),
                &mount.sub_path_expr,
                "subPathExpr and subPath are mutually exclusive",
            ));
        }
        propagation(mount, privileged, &path, errors);
    }
}

/// Whether mounts inside the volume are seen outside and the other way round, and whether they are read-only as well.
fn propagation(mount: &VolumeMount, privileged: bool, path: &str, errors: &mut Vec<Error>) {
    let place = field::child(path, "mountPropagation");
    let modes = ["Bidirectional", "HostToContainer", "None"];
    let mode = mount.mount_propagation.as_deref();
    if mode.is_some() {
        rules::one_of(mode, &modes, &place, errors);
    }
    if mode == Some("Bidirectional") && !privileged {
        let why = "Bidirectional mount propagation is available only to privileged containers";
        errors.push(Error::forbidden(place, why));
    }
    let Some(recursive) = mount.recursive_read_only.as_deref() else {
        return;
    };
    let place = field::child(path, "recursiveReadOnly");
    rules::one_of(
        Some(recursive),
        &["Disabled", "Enabled", "IfPossible"],
        &place,
        errors,
    );
    if recursive != "Disabled" && mount.read_only != Some(true) {
        let why = "may only be specified when readOnly is true";
        errors.push(Error::forbidden(&place, why));
    }
    if recursive != "Disabled" && mode.is_some_and(|mode| mode != "None") {
        let why = "may only be specified when mountPropagation is None or not specified";
        errors.push(Error::forbidden(place, why));
    }
}

fn devices(container: &Container, path: &str, volumes: &BTreeSet<&str>, errors: &mut Vec<Error>) {
    let mounted = |test: &dyn Fn(&VolumeMount) -> bool| container.volume_mounts.iter().flatten().any(test);
    let mut seen = BTreeSet::new();
    for (i, device) in container.volume_devices.iter().flatten().enumerate() {
        let path = field::index(path, i);
        let at = |name: &str| field::child(&path, name);
        rules::required(&at("name"), &device.name, errors);
        rules::required(&at("devicePath"), &device.device_path, errors);
        if device.device_path.split('/').any(|part| part == "..") {
            let why = "can not contain backsteps ('..')";
            errors.push(Error::invalid(at("devicePath"), &device.device_path, why));
        }
        if !seen.insert(&device.device_path) {
            errors.push(Error::invalid(
                at("devicePath"),
                &device.device_path,
                "must be unique",
            ));
        }
        if mounted(&|mount| mount.mount_path == device.device_path) {
            let why = "must not already exist as a path in volumeMounts";
            errors.push(Error::invalid(at("devicePath"), &device.device_path, why));
        }
        if !volumes.contains(device.name.as_str()) {
            errors.push(Error::not_found(at("name"), &device.name));
        }
        if mounted(&|mount| mount.name == device.name) {
            let why = "must not already exist in volumeMounts";
            errors.push(Error::invalid(at("name"), &device.name, why));
        }
    }
}

/// Whether more of it may be promised than there is.
fn overcommits(name: &str) -> bool {
    !name.starts_with("hugepages-") && (!name.contains('/') || name.contains("kubernetes.io/"))
}

pub(super) fn resources(resources: &ResourceRequirements, path: &str, errors: &mut Vec<Error>) {
    let limits = amounts(resources.limits.as_ref(), &field::child(path, "limits"), errors);
    let requests_path = field::child(path, "requests");
    for (name, request) in amounts(resources.requests.as_ref(), &requests_path, errors) {
        let Some(limit) = limits.get(name) else {
            if !overcommits(name) {
                let why = "Limit must be set for non overcommitable resources";
                errors.push(Error::required(field::child(path, "limits"), why));
            }
            continue;
        };
        if request != *limit && !overcommits(name) {
            let why = format!("must be equal to {name} limit of {limit}");
            errors.push(Error::invalid(&requests_path, request.to_string(), why));
        } else if request > *limit {
            let why = format!("must be less than or equal to {name} limit of {limit}");
            errors.push(Error::invalid(&requests_path, request.to_string(), why));
        }
    }
}

fn amounts<'a>(
    list: Option<&'a BTreeMap<String, Text>>,
    path: &str,
    errors: &mut Vec<Error>,
) -> BTreeMap<&'a str, Quantity> {
    let mut amounts = BTreeMap::new();
    for (name, text) in list.into_iter().flatten() {
        let path = field::key(path, name);
        meta::invalid(errors, &path, name, names::qualified_name(name));
        let standard = ["cpu", "memory", "ephemeral-storage"].contains(&name.as_str());
        if !name.contains('/') && !standard && !name.starts_with("hugepages-") {
            errors.push(Error::invalid(
                &path,
                name,
                "must be a standard resource for containers",
            ));
        }
        match text.0.parse::<Quantity>() {
            Ok(amount) if amount.is_negative() => {
                errors.push(Error::invalid(&path, &text.0, NOT_NEGATIVE));
            }
            Ok(amount) => {
                if !overcommits(name) && amount.millis() % 1000 != 0 {
                    errors.push(Error::invalid(&path, &text.0, "must be an integer"));
                }
                amounts.insert(name.as_str(), amount);
            }
            // What is no quantity cannot be read at all; encoding says so.
            Err(_) => {}
        }
    }
    amounts
}

fn security(container: &Container, path: &str, errors: &mut Vec<Error>) {
    let Some(context) = &container.security_context else {
        return;
    };
    user_id(context.run_as_user, &field::child(path, "runAsUser"), errors);
    user_id(context.run_as_group, &field::child(path, "runAsGroup"), errors);
    if context.allow_privilege_escalation == Some(false) {
        let added = context
            .capabilities
            .as_ref()
            .and_then(|capabilities| capabilities.add.as_deref());
        if context.privileged == Some(true) {
            let why = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            errors.push(Error::invalid(path, context, why));
        }
        if added
            .unwrap_or_default()
            .iter()
            .any(|capability| capability == "CAP_SYS_ADMIN")
        {
            let why = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            errors.push(Error::invalid(path, context, why));
        }
    }
    if let Some(profile) = &context.seccomp_profile {
        let at = field::child(path, "seccompProfile");
        seccomp(&profile.type_, profile.localhost_profile.as_deref(), &at, errors);
    }
}
