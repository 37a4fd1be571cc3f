//! Rules for a pod's spec.

use super::{containers, volumes, whole};
use crate::{meta, names, rules};
use api::{field, field::Error};
use k8s_openapi::api::core::v1::{
    Affinity, NodeSelector, NodeSelectorTerm, Pod, PodAffinityTerm, PodSpec, Toleration,
    TopologySpreadConstraint,
};
use std::collections::BTreeSet;

/// Rules for a new pod.
pub(super) fn pod(pod: &Pod, errors: &mut Vec<Error>) {
    let Some(spec) = &pod.spec else { return };
    self::spec(spec, "spec", errors);
    only_pods(spec, errors);
    if spec
        .ephemeral_containers
        .as_ref()
        .is_some_and(|list| !list.is_empty())
    {
        errors.push(Error::forbidden(
            "spec.ephemeralContainers",
            "cannot be set on create",
        ));
    }
    let gated = spec
        .scheduling_gates
        .as_ref()
        .is_some_and(|gates| !gates.is_empty());
    if gated && spec.node_name.as_ref().is_some_and(|node| !node.is_empty()) {
        let why = "cannot be set until all schedulingGates have been cleared";
        errors.push(Error::forbidden("spec.nodeName", why));
    }
}

/// Rules for pods that templates are spared.
pub(super) fn only_pods(spec: &PodSpec, errors: &mut Vec<Error>) {
    let lists = [
        ("spec.containers", spec.containers.as_slice()),
        (
            "spec.initContainers",
            spec.init_containers.as_deref().unwrap_or_default(),
        ),
    ];
    for (path, list) in lists {
        for (i, container) in list.iter().enumerate() {
            let image = container.image.as_deref().unwrap_or_default();
            if image.trim() != image {
                let path = field::child(&field::index(path, i), "image");
                errors.push(Error::invalid(
                    path,
                    image,
                    "must not have leading or trailing whitespace",
                ));
            }
        }
    }
}

/// DNS settings, readiness and scheduling gates, host aliases.
fn names_and_gates(spec: &PodSpec, path: &str, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    let dns = at("dnsConfig");
    let servers = spec
        .dns_config
        .iter()
        .flat_map(|config| config.nameservers.iter().flatten());
    if spec.dns_policy.as_deref() == Some("None") && servers.clone().next().is_none() {
        let (path, why) = if spec.dns_config.is_none() {
            (dns.clone(), "must provide `dnsConfig` when `dnsPolicy` is None")
        } else {
            let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
            (field::child(&dns, "nameservers"), why)
        };
        errors.push(Error::required(path, why));
    }
    if servers.clone().count() > 3 {
        let list: Vec<&String> = servers.clone().collect();
        errors.push(Error::invalid(
            field::child(&dns, "nameservers"),
            list,
            "must not have more than 3 nameservers",
        ));
    }
    for (i, server) in servers.enumerate() {
        meta::invalid(
            errors,
            &field::index(&field::child(&dns, "nameservers"), i),
            server,
            names::ip(server),
        );
    }
    for (i, gate) in spec.readiness_gates.iter().flatten().enumerate() {
        let path = field::child(&field::index(&at("readinessGates"), i), "conditionType");
        meta::invalid(
            errors,
            &path,
            &gate.condition_type,
            names::qualified_name(&gate.condition_type),
        );
    }
    let mut seen = BTreeSet::new();
    for (i, gate) in spec.scheduling_gates.iter().flatten().enumerate() {
        let path = field::index(&at("schedulingGates"), i);
        meta::invalid(errors, &path, &gate.name, names::qualified_name(&gate.name));
        if !seen.insert(&gate.name) {
            errors.push(Error::duplicate(path, &gate.name));
        }
    }
    for (i, alias) in spec.host_aliases.iter().flatten().enumerate() {
        let path = field::index(&at("hostAliases"), i);
        meta::invalid(
            errors,
            &field::child(&path, "ip"),
            &alias.ip,
            names::ip(&alias.ip),
        );
        for (i, name) in alias.hostnames.iter().flatten().enumerate() {
            let path = field::index(&field::child(&path, "hostnames"), i);
            meta::invalid(errors, &path, name, names::dns_subdomain(name));
        }
    }
}

/// Rules for a pod spec at `path`.
pub(super) fn spec(spec: &PodSpec, path: &str, errors: &mut Vec<Error>) {
    let at = |name: &str| field::child(path, name);
    volumes::validate(spec, &at("volumes"), errors);
    containers::validate(spec, path, errors);
    whole::validate(spec, &at("resources"), errors);
    let policies = ["Always", "OnFailure", "Never"];
    rules::one_of(
        spec.restart_policy.as_deref(),
        &policies,
        &at("restartPolicy"),
        errors,
    );
    let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
    rules::one_of(spec.dns_policy.as_deref(), &policies, &at("dnsPolicy"), errors);
    names_and_gates(spec, path, errors);
    meta::validate_labels(spec.node_selector.as_ref(), &at("nodeSelector"), errors);
    let named = [
        (
            "serviceAccountName",
            &spec.service_account_name,
            names::dns_subdomain as names::NameRule,
        ),
        ("nodeName", &spec.node_name, names::dns_subdomain),
        ("hostname", &spec.hostname, names::dns_label),
        ("subdomain", &spec.subdomain, names::dns_label),
        (
            "priorityClassName",
            &spec.priority_class_name,
            names::dns_subdomain,
        ),
        ("runtimeClassName", &spec.runtime_class_name, names::dns_subdomain),
        ("schedulerName", &spec.scheduler_name, names::qualified_name),
    ];
    for (name, value, rule) in named {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            meta::invalid(errors, &at(name), value, rule(value));
        }
    }
    if let Some(seconds) = spec.active_deadline_seconds
        && !(1..=i64::from(i32::MAX)).contains(&seconds)
    {
        let why = "must be between 1 and 2147483647, inclusive";
        errors.push(Error::invalid(at("activeDeadlineSeconds"), seconds, why));
    }
    security(spec, path, errors);
    for (i, toleration) in spec.tolerations.iter().flatten().enumerate() {
        self::toleration(toleration, &field::index(&at("tolerations"), i), errors);
    }
    if let Some(affinity) = &spec.affinity {
        self::affinity(affinity, &at("affinity"), errors);
    }
    let mut spreads = BTreeSet::new();
    for (i, constraint) in spec.topology_spread_constraints.iter().flatten().enumerate() {
        let path = field::index(&at("topologySpreadConstraints"), i);
        spread(constraint, &path, errors);
        if !spreads.insert((&constraint.topology_key, &constraint.when_unsatisfiable)) {
            let pair = format!(
                "{{{}, {}}}",
                constraint.topology_key, constraint.when_unsatisfiable
            );
            errors.push(Error::duplicate(
                field::child(&path, "{topologyKey, whenUnsatisfiable}"),
                pair,
            ));
        }
    }
}

fn security(spec: &PodSpec, path: &str, errors: &mut Vec<Error>) {
    let Some(context) = &spec.security_context else {
        return;
    };
    let at = |name: &str| field::child(&field::child(path, "securityContext"), name);
    let ids = [
        ("runAsUser", context.run_as_user),
        ("runAsGroup", context.run_as_group),
        ("fsGroup", context.fs_group),
    ];
    for (name, id) in ids {
        user_id(id, &at(name), errors);
    }
    for (i, id) in context.supplemental_groups.iter().flatten().enumerate() {
        user_id(Some(*id), &field::index(&at("supplementalGroups"), i), errors);
    }
    let mut seen = BTreeSet::new();
    for (i, sysctl) in context.sysctls.iter().flatten().enumerate() {
        let path = field::child(&field::index(&at("sysctls"), i), "name");
        if sysctl.name.is_empty() {
            errors.push(Error::required(&path, ""));
        } else if !sysctl_name(&sysctl.name) {
            let why = r"must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            errors.push(Error::invalid(&path, &sysctl.name, why));
        }
        if !seen.insert(&sysctl.name) {
            errors.push(Error::duplicate(&path, &sysctl.name));
        }
    }
    if spec.host_pid == Some(true) && spec.share_process_namespace == Some(true) {
        let why = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(Error::invalid(at("shareProcessNamespace"), true, why));
    }
    if let Some(profile) = &context.seccomp_profile {
        seccomp(
            &profile.type_,
            profile.localhost_profile.as_deref(),
            &at("seccompProfile"),
            errors,
        );
    }
}

/// Whether it may be the name of a kernel parameter.
fn sysctl_name(name: &str) -> bool {
    let character = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let part = |part: &str| {
        let bytes = part.as_bytes();
        bytes.first().is_some_and(|b| character(*b))
            && bytes.last().is_some_and(|b| character(*b))
            && bytes.iter().all(|b| character(*b) || b"-_".contains(b))
    };
    name.len() <= 253 && name.split(['.', '/']).all(part)
}

/// A user or group number.
pub(super) fn user_id(id: Option<i64>, path: &str, errors: &mut Vec<Error>) {
    if let Some(id) = id
        && !(0..=i64::from(i32::MAX)).contains(&id)
    {
        errors.push(Error::invalid(
            path,
            id,
            "must be between 0 and 2147483647, inclusive",
        ));
    }
}

/// A seccomp profile.
pub(super) fn seccomp(kind: &str, file: Option<&str>, path: &str, errors: &mut Vec<Error>) {
    let localhost = field::child(path, "localhostProfile");
    match (kind, file) {
        ("Localhost", None | Some("")) => {
            let why = "must be set when seccomp type is Localhost";
            errors.push(Error::required(localhost, why));
        }
        ("RuntimeDefault" | "Unconfined", Some(file)) => {
            errors.push(Error::invalid(
                localhost,
                file,
                "can only be set when seccomp type is Localhost",
            ));
        }
        ("RuntimeDefault" | "Unconfined" | "Localhost", _) => {}
        (other, _) => {
            let supported = ["Localhost", "RuntimeDefault", "Unconfined"];
            errors.push(Error::not_supported(
                field::child(path, "type"),
                other,
                &supported,
            ));
        }
    }
}

fn toleration(toleration: &Toleration, path: &str, errors: &mut Vec<Error>) {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let (key, value) = (text(&toleration.key), text(&toleration.value));
    let (operator, effect) = (text(&toleration.operator), text(&toleration.effect));
    if !key.is_empty() {
        meta::invalid(
            errors,
            &field::child(path, "key"),
            &key,
            names::qualified_name(&key),
        );
    } else if operator != "Exists" {
        let why =
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        errors.push(Error::invalid(field::child(path, "operator"), &operator, why));
    }
    if toleration.toleration_seconds.is_some() && effect != "NoExecute" {
        let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        errors.push(Error::invalid(field::child(path, "effect"), &effect, why));
    }
    match operator.as_str() {
        "Equal" | "" => meta::invalid(
            errors,
            &field::child(path, "operator"),
            &value,
            names::label_value(&value),
        ),
        "Exists" if !value.is_empty() => {
            let why = "value must be empty when `operator` is 'Exists'";
            errors.push(Error::invalid(field::child(path, "operator"), &value, why));
        }
        "Exists" => {}
        other => errors.push(Error::not_supported(
            field::child(path, "operator"),
            other,
            &["Equal", "Exists"],
        )),
    }
    let effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
    if !effect.is_empty() && !effects.contains(&effect.as_str()) {
        errors.push(Error::not_supported(
            field::child(path, "effect"),
            &effect,
            &effects,
        ));
    }
}

fn affinity(affinity: &Affinity, path: &str, errors: &mut Vec<Error>) {
    const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
    const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
    if let Some(node) = &affinity.node_affinity {
        let path = field::child(path, "nodeAffinity");
        if let Some(selector) = &node.required_during_scheduling_ignored_during_execution {
            node_selector(selector, &field::child(&path, REQUIRED), errors);
        }
        let preferred = node
            .preferred_during_scheduling_ignored_during_execution
            .iter()
            .flatten();
        for (i, term) in preferred.enumerate() {
            let path = field::index(&field::child(&path, PREFERRED), i);
            weight(term.weight, &path, errors);
            node_term(&term.preference, &field::child(&path, "preference"), errors);
        }
    }
    let pods = affinity.pod_affinity.as_ref().map(|a| {
        (
            &a.required_during_scheduling_ignored_during_execution,
            &a.preferred_during_scheduling_ignored_during_execution,
        )
    });
    let anti = affinity.pod_anti_affinity.as_ref().map(|a| {
        (
            &a.required_during_scheduling_ignored_during_execution,
            &a.preferred_during_scheduling_ignored_during_execution,
        )
    });
    for (name, terms) in [("podAffinity", pods), ("podAntiAffinity", anti)] {
        let Some((required, preferred)) = terms else {
            continue;
        };
        let path = field::child(path, name);
        for (i, term) in required.iter().flatten().enumerate() {
            pod_term(term, &field::index(&field::child(&path, REQUIRED), i), errors);
        }
        for (i, term) in preferred.iter().flatten().enumerate() {
            let path = field::index(&field::child(&path, PREFERRED), i);
            weight(term.weight, &path, errors);
            pod_term(
                &term.pod_affinity_term,
                &field::child(&path, "podAffinityTerm"),
                errors,
            );
        }
    }
}

fn weight(weight: i32, path: &str, errors: &mut Vec<Error>) {
    if !(1..=100).contains(&weight) {
        errors.push(Error::invalid(
            field::child(path, "weight"),
            weight,
            "must be in the range 1-100",
        ));
    }
}

/// Rules for a node selector.
pub(crate) fn node_selector(selector: &NodeSelector, path: &str, errors: &mut Vec<Error>) {
    let path = field::child(path, "nodeSelectorTerms");
    if selector.node_selector_terms.is_empty() {
        errors.push(Error::required(
            &path,
            "must have at least one node selector term",
        ));
    }
    for (i, term) in selector.node_selector_terms.iter().enumerate() {
        node_term(term, &field::index(&path, i), errors);
    }
}

fn node_term(term: &NodeSelectorTerm, path: &str, errors: &mut Vec<Error>) {
    for (i, requirement) in term.match_expressions.iter().flatten().enumerate() {
        let path = field::index(&field::child(path, "matchExpressions"), i);
        let values = requirement.values.as_deref().unwrap_or_default();
        let at = field::child(&path, "values");
        match requirement.operator.as_str() {
            "In" | "NotIn" if values.is_empty() => {
                errors.push(Error::required(
                    at,
                    "must be specified when `operator` is 'In' or 'NotIn'",
                ));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(Error::forbidden(at, why));
            }
            "Gt" | "Lt" if values.len() != 1 => {
                let why = "must be specified single value when `operator` is 'Lt' or 'Gt'";
                errors.push(Error::required(at, why));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => {
                let why = "not a valid selector operator";
                errors.push(Error::invalid(field::child(&path, "operator"), other, why));
            }
        }
        meta::invalid(
            errors,
            &field::child(&path, "key"),
            &requirement.key,
            names::qualified_name(&requirement.key),
        );
    }
}

fn pod_term(term: &PodAffinityTerm, path: &str, errors: &mut Vec<Error>) {
    if let Some(selector) = &term.label_selector {
        crate::selector::validate(selector, &field::child(path, "labelSelector"), errors);
    }
    let key = field::child(path, "topologyKey");
    if term.topology_key.is_empty() {
        errors.push(Error::required(key, "can not be empty"));
    } else {
        meta::invalid(
            errors,
            &key,
            &term.topology_key,
            names::qualified_name(&term.topology_key),
        );
    }
}

fn spread(constraint: &TopologySpreadConstraint, path: &str, errors: &mut Vec<Error>) {
    if constraint.max_skew <= 0 {
        errors.push(Error::invalid(
            field::child(path, "maxSkew"),
            constraint.max_skew,
            "must be greater than zero",
        ));
    }
    if constraint.topology_key.is_empty() {
        errors.push(Error::required(
            field::child(path, "topologyKey"),
            "can not be empty",
        ));
    }
    let supported = ["DoNotSchedule", "ScheduleAnyway"];
    if !supported.contains(&constraint.when_unsatisfiable.as_str()) {
        let at = field::child(path, "whenUnsatisfiable");
        errors.push(Error::not_supported(
            at,
            &constraint.when_unsatisfiable,
            &supported,
        ));
    }
    if let Some(selector) = &constraint.label_selector {
        crate::selector::validate(selector, &field::child(path, "labelSelector"), errors);
    }
}
