//! Rules for the containers of a pod.

use super::validation::{one_of, seccomp, user_id};
use crate::{meta, names};
use api::{Quantity, field, field::Error};
use k8s_openapi::{
    api::core::v1::{
        Container, ContainerPort, EnvVar, HTTPGetAction, PodSpec, Probe, ResourceRequirements, VolumeMount,
    },
    apimachinery::pkg::{api::resource::Quantity as Text, util::intstr::IntOrString},
};
use std::collections::{BTreeMap, BTreeSet};

const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

/// Rules for all containers of the spec at `path`.
pub(super) fn validate(spec: &PodSpec, path: &str, errors: &mut Vec<Error>) {
    let volumes: BTreeSet<&str> = spec
        .volumes
        .iter()
        .flatten()
        .map(|volume| volume.name.as_str())
        .collect();
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
        if init {
            init_only(container, &path, errors);
        } else if container.restart_policy.is_some() && container.restart_policy_rules.is_none() {
            one_of(
                container.restart_policy.as_deref(),
                &["Always", "OnFailure", "Never"],
                &field::child(&path, "restartPolicy"),
                errors,
            );
        }
        // Init containers run one by one: each may take the ports of the others.
        let mut own_ports = BTreeSet::new();
        let taken = if init { &mut own_ports } else { &mut shared_ports };
        ports(container, &path, spec.host_network == Some(true), taken, errors);
    }
}

fn container(container: &Container, path: &str, volumes: &BTreeSet<&str>, errors: &mut Vec<Error>) {
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
    one_of(
        container.image_pull_policy.as_deref(),
        &policies,
        &at("imagePullPolicy"),
        errors,
    );
    let policies = ["File", "FallbackToLogsOnError"];
    one_of(
        container.termination_message_policy.as_deref(),
        &policies,
        &at("terminationMessagePolicy"),
        errors,
    );
    for (i, var) in container.env.iter().flatten().enumerate() {
        env(var, &field::index(&at("env"), i), errors);
    }
    for (i, from) in container.env_from.iter().flatten().enumerate() {
        let path = field::index(&at("envFrom"), i);
        let sources = [
            (
                "configMapRef",
                from.config_map_ref.as_ref().map(|source| &source.name),
            ),
            ("secretRef", from.secret_ref.as_ref().map(|source| &source.name)),
        ];
        match sources.iter().filter(|(_, name)| name.is_some()).count() {
            0 => errors.push(Error::invalid(
                at("envFrom"),
                "",
                "must specify one of: `configMapRef` or `secretRef`",
            )),
            1 => {}
            _ => errors.push(Error::invalid(
                at("envFrom"),
                "",
                "may not have more than one field specified at a time",
            )),
        }
        if let Some(prefix) = from.prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
            meta::invalid(
                errors,
                &field::child(&path, "prefix"),
                prefix,
                names::env_name(prefix),
            );
        }
        for (source, name) in sources {
            if name.is_some_and(String::is_empty) {
                errors.push(Error::required(
                    field::child(&field::child(&path, source), "name"),
                    "",
                ));
            }
        }
    }
    mounts(
        container.volume_mounts.as_deref().unwrap_or_default(),
        &at("volumeMounts"),
        volumes,
        errors,
    );
    if let Some(resources) = &container.resources {
        self::resources(resources, &at("resources"), errors);
    }
    probes(container, path, errors);
    security(container, &at("securityContext"), errors);
}

fn init_only(container: &Container, path: &str, errors: &mut Vec<Error>) {
    if let Some(policy) = container.restart_policy.as_deref() {
        if policy == "Always" {
            return;
        }
        errors.push(Error::not_supported(
            field::child(path, "restartPolicy"),
            policy,
            &["Always"],
        ));
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
    one_of(
        port.protocol.as_deref(),
        &["SCTP", "TCP", "UDP"],
        &at("protocol"),
        errors,
    );
}

/// Fields of the pod that a variable may show.
const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

fn env(var: &EnvVar, path: &str, errors: &mut Vec<Error>) {
    if var.name.is_empty() {
        errors.push(Error::required(field::child(path, "name"), ""));
    } else {
        meta::invalid(
            errors,
            &field::child(path, "name"),
            &var.name,
            names::env_name(&var.name),
        );
    }
    let Some(from) = &var.value_from else { return };
    let path = field::child(path, "valueFrom");
    let set = [
        from.field_ref.is_some(),
        from.resource_field_ref.is_some(),
        from.config_map_key_ref.is_some(),
        from.secret_key_ref.is_some(),
        from.file_key_ref.is_some(),
    ];
    let count = set.iter().filter(|set| **set).count();
    if count == 0 {
        let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        errors.push(Error::invalid(&path, "", why));
    } else if var.value.as_ref().is_some_and(|value| !value.is_empty()) {
        errors.push(Error::invalid(
            &path,
            "",
            "may not be specified when `value` is not empty",
        ));
    } else if count > 1 {
        errors.push(Error::invalid(
            &path,
            "",
            "may not have more than one field specified at a time",
        ));
    }
    if let Some(field_ref) = &from.field_ref {
        let path = field::child(&field::child(&path, "fieldRef"), "fieldPath");
        let wanted = field_ref.field_path.as_str();
        let keyed = ["metadata.annotations['", "metadata.labels['"]
            .iter()
            .any(|prefix| wanted.starts_with(prefix));
        if wanted.is_empty() {
            errors.push(Error::required(path, ""));
        } else if !keyed && !FIELDS.contains(&wanted) {
            errors.push(Error::not_supported(path, wanted, &FIELDS));
        }
    }
    let keys = [
        (
            "configMapKeyRef",
            from.config_map_key_ref
                .as_ref()
                .map(|source| (&source.name, &source.key)),
        ),
        (
            "secretKeyRef",
            from.secret_key_ref
                .as_ref()
                .map(|source| (&source.name, &source.key)),
        ),
    ];
    for (source, (name, key)) in keys
        .into_iter()
        .filter_map(|(source, pair)| Some((source, pair?)))
    {
        let path = field::child(&path, source);
        meta::invalid(
            errors,
            &field::child(&path, "name"),
            name,
            names::dns_subdomain(name),
        );
        if key.is_empty() {
            errors.push(Error::required(field::child(&path, "key"), ""));
        } else {
            meta::invalid(errors, &field::child(&path, "key"), key, names::config_key(key));
        }
    }
}

fn mounts(mounts: &[VolumeMount], path: &str, volumes: &BTreeSet<&str>, errors: &mut Vec<Error>) {
    let mut seen = BTreeSet::new();
    for (i, mount) in mounts.iter().enumerate() {
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
    }
}

fn resources(resources: &ResourceRequirements, path: &str, errors: &mut Vec<Error>) {
    let limits = amounts(resources.limits.as_ref(), &field::child(path, "limits"), errors);
    let requests_path = field::child(path, "requests");
    for (name, request) in amounts(resources.requests.as_ref(), &requests_path, errors) {
        let Some(limit) = limits.get(name) else { continue };
        if request > *limit {
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
                amounts.insert(name.as_str(), amount);
            }
            Err(wrong) => errors.push(Error::invalid(&path, &text.0, wrong.to_string())),
        }
    }
    amounts
}

fn probes(container: &Container, path: &str, errors: &mut Vec<Error>) {
    let probes = [
        ("livenessProbe", &container.liveness_probe, true),
        ("readinessProbe", &container.readiness_probe, false),
        ("startupProbe", &container.startup_probe, true),
    ];
    for (name, probe, once) in probes {
        let Some(probe) = probe else { continue };
        let path = field::child(path, name);
        self::probe(probe, &path, errors);
        let grace = probe.termination_grace_period_seconds;
        let grace_path = field::child(&path, "terminationGracePeriodSeconds");
        if grace.is_some_and(|seconds| seconds <= 0) {
            errors.push(Error::invalid(&grace_path, grace, "must be greater than 0"));
        }
        if grace.is_some() && name == "readinessProbe" {
            errors.push(Error::invalid(
                &grace_path,
                grace,
                "must not be set for readinessProbes",
            ));
        }
        if once && probe.success_threshold.is_some_and(|threshold| threshold != 1) {
            errors.push(Error::invalid(
                field::child(&path, "successThreshold"),
                probe.success_threshold,
                "must be 1",
            ));
        }
    }
    let Some(lifecycle) = &container.lifecycle else {
        return;
    };
    for (name, handler) in [
        ("postStart", &lifecycle.post_start),
        ("preStop", &lifecycle.pre_stop),
    ] {
        let Some(handler) = handler else { continue };
        let path = field::child(&field::child(path, "lifecycle"), name);
        let command = handler
            .exec
            .as_ref()
            .map(|exec| exec.command.as_deref().unwrap_or_default());
        let tcp = handler.tcp_socket.as_ref().map(|tcp| &tcp.port);
        let others = [("sleep", handler.sleep.is_some())];
        handlers(command, handler.http_get.as_ref(), tcp, &others, &path, errors);
    }
}

fn probe(probe: &Probe, path: &str, errors: &mut Vec<Error>) {
    let command = probe
        .exec
        .as_ref()
        .map(|exec| exec.command.as_deref().unwrap_or_default());
    let tcp = probe.tcp_socket.as_ref().map(|tcp| &tcp.port);
    handlers(
        command,
        probe.http_get.as_ref(),
        tcp,
        &[("grpc", probe.grpc.is_some())],
        path,
        errors,
    );
    if let Some(grpc) = &probe.grpc {
        let at = field::child(&field::child(path, "grpc"), "port");
        meta::invalid(errors, &at, grpc.port, names::port_number(grpc.port));
    }
    let numbers = [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ];
    for (name, number) in numbers {
        if number.is_some_and(|number| number < 0) {
            errors.push(Error::invalid(field::child(path, name), number, NOT_NEGATIVE));
        }
    }
}

fn handlers(
    command: Option<&[String]>,
    http: Option<&HTTPGetAction>,
    tcp: Option<&IntOrString>,
    others: &[(&str, bool)],
    path: &str,
    errors: &mut Vec<Error>,
) {
    let first = [
        ("exec", command.is_some()),
        ("httpGet", http.is_some()),
        ("tcpSocket", tcp.is_some()),
    ];
    let set = first.iter().chain(others).filter(|(_, set)| *set);
    for (name, _) in set.clone().skip(1) {
        errors.push(Error::forbidden(
            field::child(path, name),
            "may not specify more than 1 handler type",
        ));
    }
    if set.count() == 0 {
        errors.push(Error::required(path, "must specify a handler type"));
    }
    let at = |handler: &str, name: &str| field::child(&field::child(path, handler), name);
    if command.is_some_and(<[String]>::is_empty) {
        errors.push(Error::required(at("exec", "command"), ""));
    }
    if let Some(http) = http {
        if http.path.as_deref().unwrap_or_default().is_empty() {
            errors.push(Error::required(at("httpGet", "path"), ""));
        }
        port_or_name(&http.port, &at("httpGet", "port"), errors);
        let scheme = http.scheme.as_deref().unwrap_or_default();
        if !["HTTP", "HTTPS"].contains(&scheme) {
            errors.push(Error::not_supported(
                at("httpGet", "scheme"),
                scheme,
                &["HTTP", "HTTPS"],
            ));
        }
    }
    if let Some(port) = tcp {
        port_or_name(port, &at("tcpSocket", "port"), errors);
    }
}

fn port_or_name(port: &IntOrString, path: &str, errors: &mut Vec<Error>) {
    match port {
        IntOrString::Int(number) => meta::invalid(errors, path, number, names::port_number(*number)),
        IntOrString::String(name) => meta::invalid(errors, path, name, names::port_name(name)),
    }
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
