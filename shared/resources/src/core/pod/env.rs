//! Rules for the variables of a container.

use crate::{meta, names};
use api::{field, field::Error};
use k8s_openapi::api::core::v1::{
    Container, EnvFromSource, EnvVar, EnvVarSource, ObjectFieldSelector, ResourceFieldSelector,
};

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

/// Amounts of the container that a variable may show.
const AMOUNTS: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// Rules for `env` and `envFrom` of the container at `path`.
pub(super) fn validate(container: &Container, path: &str, errors: &mut Vec<Error>) {
    let list = field::child(path, "env");
    for (i, var) in container.env.iter().flatten().enumerate() {
        variable(var, &field::index(&list, i), errors);
    }
    let list = field::child(path, "envFrom");
    for (i, from) in container.env_from.iter().flatten().enumerate() {
        all_of(from, &list, &field::index(&list, i), errors);
    }
}

fn all_of(from: &EnvFromSource, list: &str, path: &str, errors: &mut Vec<Error>) {
    if let Some(prefix) = from.prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
        meta::invalid(
            errors,
            &field::child(path, "prefix"),
            prefix,
            names::env_name(prefix),
        );
    }
    let map = from
        .config_map_ref
        .as_ref()
        .map(|source| ("configMapRef", &source.name));
    let secret = from.secret_ref.as_ref().map(|source| ("secretRef", &source.name));
    for (source, name) in [map, secret].into_iter().flatten() {
        let path = field::child(&field::child(path, source), "name");
        if name.is_empty() {
            errors.push(Error::required(path, ""));
        } else {
            meta::invalid(errors, &path, name, names::dns_subdomain(name));
        }
    }
    match (map, secret) {
        (None, None) => {
            errors.push(Error::invalid(
                list,
                "",
                "must specify one of: `configMapRef` or `secretRef`",
            ));
        }
        (Some(_), Some(_)) => {
            errors.push(Error::invalid(
                list,
                "",
                "may not have more than one field specified at a time",
            ));
        }
        _ => {}
    }
}

fn variable(var: &EnvVar, path: &str, errors: &mut Vec<Error>) {
    let name = field::child(path, "name");
    if var.name.is_empty() {
        errors.push(Error::required(name, ""));
    } else {
        meta::invalid(errors, &name, &var.name, names::env_name(&var.name));
    }
    let Some(from) = &var.value_from else { return };
    let path = field::child(path, "valueFrom");
    source(from, &path, errors);
    let set = [
        from.field_ref.is_some(),
        from.resource_field_ref.is_some(),
        from.config_map_key_ref.is_some(),
        from.secret_key_ref.is_some(),
        from.file_key_ref.is_some(),
    ];
    let why = match set.iter().filter(|set| **set).count() {
        0 => {
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"
        }
        _ if var.value.as_ref().is_some_and(|value| !value.is_empty()) => {
            "may not be specified when `value` is not empty"
        }
        1 => return,
        _ => "may not have more than one field specified at a time",
    };
    errors.push(Error::invalid(path, "", why));
}

fn source(from: &EnvVarSource, path: &str, errors: &mut Vec<Error>) {
    if let Some(selector) = &from.field_ref {
        pod_field(selector, &field::child(path, "fieldRef"), errors);
    }
    if let Some(selector) = &from.resource_field_ref {
        amount(selector, &field::child(path, "resourceFieldRef"), errors);
    }
    let map = from
        .config_map_key_ref
        .as_ref()
        .map(|source| ("configMapKeyRef", &source.name, &source.key));
    let secret = from
        .secret_key_ref
        .as_ref()
        .map(|source| ("secretKeyRef", &source.name, &source.key));
    for (source, name, key) in [map, secret].into_iter().flatten() {
        let path = field::child(path, source);
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

fn pod_field(selector: &ObjectFieldSelector, path: &str, errors: &mut Vec<Error>) {
    let wanted = selector.field_path.as_str();
    let at = field::child(path, "fieldPath");
    if wanted.is_empty() {
        errors.push(Error::required(at, ""));
        return;
    }
    let subscript = |map: &str| wanted.strip_prefix(map)?.strip_suffix("']");
    if let Some(key) = subscript("metadata.annotations['") {
        meta::invalid(errors, path, key, names::qualified_name(&key.to_lowercase()));
    } else if let Some(key) = subscript("metadata.labels['") {
        meta::invalid(errors, path, key, names::qualified_name(key));
    } else if !FIELDS.contains(&wanted) {
        let why = format!("error converting fieldPath: field label not supported: {wanted}");
        errors.push(Error::invalid(at, wanted, why));
    }
}

fn amount(selector: &ResourceFieldSelector, path: &str, errors: &mut Vec<Error>) {
    let wanted = selector.resource.as_str();
    let pages = ["limits.hugepages-", "requests.hugepages-"]
        .iter()
        .any(|prefix| wanted.starts_with(prefix));
    if wanted.is_empty() {
        errors.push(Error::required(field::child(path, "resource"), ""));
    } else if !pages && !AMOUNTS.contains(&wanted) {
        errors.push(Error::not_supported(
            field::child(path, "resource"),
            wanted,
            &AMOUNTS,
        ));
    }
}
