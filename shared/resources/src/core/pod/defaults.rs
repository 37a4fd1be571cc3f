//! What a pod's author may leave out.

use super::whole;
use k8s_openapi::api::core::v1::{
    Container, EmptyDirVolumeSource, EnvVar, HTTPGetAction, Lifecycle, PodCondition, PodSpec, Probe,
    ProjectedVolumeSource, ResourceRequirements, Volume,
};

const MODE: i32 = 0o644;

/// Sets what is missing or empty.
fn or(slot: &mut Option<String>, value: &str) {
    if slot.as_deref().unwrap_or_default().is_empty() {
        *slot = Some(value.to_owned());
    }
}

/// Defaults of any pod spec, in a pod or in a template.
pub(super) fn spec(spec: &mut PodSpec) {
    or(&mut spec.dns_policy, "ClusterFirst");
    or(&mut spec.restart_policy, "Always");
    or(&mut spec.scheduler_name, "default-scheduler");
    spec.security_context.get_or_insert_default();
    spec.termination_grace_period_seconds.get_or_insert(30);
    let account = [&spec.service_account_name, &spec.service_account]
        .into_iter()
        .flatten()
        .find(|a| !a.is_empty());
    let account = account.cloned();
    // The old name of the field says the same as the new one.
    spec.service_account.clone_from(&account);
    spec.service_account_name = account;
    spec.volumes.iter_mut().flatten().for_each(volume);
    for container in spec
        .containers
        .iter_mut()
        .chain(spec.init_containers.iter_mut().flatten())
    {
        self::container(container);
    }
    for container in spec.ephemeral_containers.iter_mut().flatten() {
        or(&mut container.termination_message_path, "/dev/termination-log");
        or(&mut container.termination_message_policy, "File");
        or(
            &mut container.image_pull_policy,
            pull_policy(container.image.as_deref().unwrap_or_default()),
        );
        container.resources.get_or_insert_default();
        container.env.iter_mut().flatten().for_each(env);
    }
}

/// Defaults of pods only, not of templates.
pub(super) fn pod(spec: &mut PodSpec) {
    spec.enable_service_links.get_or_insert(true);
    let host = spec.host_network == Some(true);
    for container in spec
        .containers
        .iter_mut()
        .chain(spec.init_containers.iter_mut().flatten())
    {
        if let Some(resources) = &mut container.resources {
            requests_from_limits(resources);
        }
        for port in container
            .ports
            .iter_mut()
            .flatten()
            .filter(|port| host && port.host_port.unwrap_or_default() == 0)
        {
            port.host_port = Some(port.container_port);
        }
    }
    whole::defaults(spec);
}

/// A limit without a request is a request too.
fn requests_from_limits(resources: &mut ResourceRequirements) {
    for (name, limit) in resources.limits.iter().flatten() {
        let requests = resources.requests.get_or_insert_default();
        requests.entry(name.clone()).or_insert_with(|| limit.clone());
    }
}

fn container(container: &mut Container) {
    or(&mut container.termination_message_path, "/dev/termination-log");
    or(&mut container.termination_message_policy, "File");
    or(
        &mut container.image_pull_policy,
        pull_policy(container.image.as_deref().unwrap_or_default()),
    );
    container.resources.get_or_insert_default();
    container.env.iter_mut().flatten().for_each(env);
    for port in container.ports.iter_mut().flatten() {
        or(&mut port.protocol, "TCP");
    }
    let probes = [
        &mut container.liveness_probe,
        &mut container.readiness_probe,
        &mut container.startup_probe,
    ];
    probes.into_iter().flatten().for_each(probe);
    if let Some(lifecycle) = &mut container.lifecycle {
        hooks(lifecycle);
    }
}

fn env(var: &mut EnvVar) {
    if let Some(field) = var.value_from.as_mut().and_then(|from| from.field_ref.as_mut()) {
        or(&mut field.api_version, "v1");
    }
}

fn http(action: &mut HTTPGetAction) {
    or(&mut action.path, "/");
    or(&mut action.scheme, "HTTP");
}

fn probe(probe: &mut Probe) {
    let fields = [
        (&mut probe.timeout_seconds, 1),
        (&mut probe.period_seconds, 10),
        (&mut probe.success_threshold, 1),
        (&mut probe.failure_threshold, 3),
    ];
    for (field, value) in fields {
        if field.unwrap_or_default() == 0 {
            *field = Some(value);
        }
    }
    if let Some(action) = &mut probe.http_get {
        http(action);
    }
    if let Some(action) = &mut probe.grpc {
        action.service.get_or_insert_default();
    }
}

fn hooks(lifecycle: &mut Lifecycle) {
    for handler in [&mut lifecycle.post_start, &mut lifecycle.pre_stop]
        .into_iter()
        .flatten()
    {
        if let Some(action) = &mut handler.http_get {
            http(action);
        }
    }
}

/// The tag `latest` moves, so its image is pulled each time.
fn pull_policy(image: &str) -> &'static str {
    let name = image.rsplit('/').next().unwrap_or_default();
    let latest = match (image.contains('@'), name.rsplit_once(':')) {
        (true, _) => false,
        (false, Some((_, tag))) => tag == "latest",
        (false, None) => true,
    };
    if latest { "Always" } else { "IfNotPresent" }
}

fn volume(volume: &mut Volume) {
    if super::volumes::sources(volume).is_empty() {
        volume.empty_dir = Some(EmptyDirVolumeSource::default());
    }
    if let Some(source) = &mut volume.secret {
        source.default_mode.get_or_insert(MODE);
    }
    if let Some(source) = &mut volume.config_map {
        source.default_mode.get_or_insert(MODE);
    }
    if let Some(source) = &mut volume.downward_api {
        source.default_mode.get_or_insert(MODE);
        for file in source.items.iter_mut().flatten() {
            if let Some(field) = &mut file.field_ref {
                or(&mut field.api_version, "v1");
            }
        }
    }
    if let Some(source) = &mut volume.host_path {
        source.type_.get_or_insert_default();
    }
    if let Some(source) = &mut volume.projected {
        projected(source);
    }
    if let Some(claim) = volume
        .ephemeral
        .as_mut()
        .and_then(|source| source.volume_claim_template.as_mut())
    {
        or(&mut claim.spec.volume_mode, "Filesystem");
    }
}

fn projected(source: &mut ProjectedVolumeSource) {
    source.default_mode.get_or_insert(MODE);
    for source in source.sources.iter_mut().flatten() {
        if let Some(token) = &mut source.service_account_token {
            token.expiration_seconds.get_or_insert(3600);
        }
        for file in source
            .downward_api
            .iter_mut()
            .flat_map(|api| api.items.iter_mut().flatten())
        {
            if let Some(field) = &mut file.field_ref {
                or(&mut field.api_version, "v1");
            }
        }
    }
}

/// A pod with scheduling gates says so from the start.
pub(super) fn gated(spec: &PodSpec) -> Option<Vec<PodCondition>> {
    spec.scheduling_gates.as_ref().filter(|gates| !gates.is_empty())?;
    Some(vec![PodCondition {
        type_: "PodScheduled".to_owned(),
        status: "False".to_owned(),
        reason: Some("SchedulingGated".to_owned()),
        message: Some("Scheduling is blocked due to non-empty scheduling gates".to_owned()),
        ..PodCondition::default()
    }])
}
