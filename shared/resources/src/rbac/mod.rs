//! The rbac.authorization.k8s.io group.

pub(crate) mod cluster_role;
pub(crate) mod cluster_role_binding;
pub(crate) mod role;
pub(crate) mod role_binding;

use crate::{Cell, cells, meta, names};
use api::{Object, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::{PolicyRule, RoleRef, Subject};
use serde::Deserialize;

const GROUP: &str = "rbac.authorization.k8s.io";

fn validate_rules(rules: &[PolicyRule], namespaced: bool, errors: &mut Vec<Error>) {
    let empty = |list: &Option<Vec<String>>| list.as_ref().is_none_or(Vec::is_empty);
    for (i, rule) in rules.iter().enumerate() {
        let path = field::index("rules", i);
        if rule.verbs.is_empty() {
            errors.push(Error::required(
                field::child(&path, "verbs"),
                "verbs must contain at least one value",
            ));
        }
        if !empty(&rule.non_resource_urls) {
            if namespaced {
                let why = "namespaced rules cannot apply to non-resource URLs";
                errors.push(Error::invalid(
                    field::child(&path, "nonResourceURLs"),
                    &rule.non_resource_urls,
                    why,
                ));
            }
            if !empty(&rule.api_groups) || !empty(&rule.resources) || !empty(&rule.resource_names) {
                let why = "rules cannot apply to both regular resources and non-resource URLs";
                errors.push(Error::invalid(
                    field::child(&path, "nonResourceURLs"),
                    &rule.non_resource_urls,
                    why,
                ));
            }
            continue;
        }
        if empty(&rule.api_groups) {
            let why = "resource rules must supply at least one api group";
            errors.push(Error::required(field::child(&path, "apiGroups"), why));
        }
        if empty(&rule.resources) {
            let why = "resource rules must supply at least one resource";
            errors.push(Error::required(field::child(&path, "resources"), why));
        }
    }
}

fn default_binding(role: &mut RoleRef, subjects: &mut Option<Vec<Subject>>) {
    if role.api_group.as_deref().unwrap_or_default().is_empty() {
        role.api_group = Some(GROUP.to_owned());
    }
    for subject in subjects.iter_mut().flatten() {
        if subject.api_group.is_none() && ["User", "Group"].contains(&subject.kind.as_str()) {
            subject.api_group = Some(GROUP.to_owned());
        }
    }
}

fn validate_binding(
    role: &RoleRef,
    subjects: Option<&Vec<Subject>>,
    kinds: &[&str],
    namespaced: bool,
    errors: &mut Vec<Error>,
) {
    let group = role.api_group.as_deref().unwrap_or_default();
    if group != GROUP {
        errors.push(Error::not_supported("roleRef.apiGroup", group, &[GROUP]));
    }
    if !kinds.contains(&role.kind.as_str()) {
        errors.push(Error::not_supported("roleRef.kind", &role.kind, kinds));
    }
    if role.name.is_empty() {
        errors.push(Error::required("roleRef.name", ""));
    } else {
        meta::invalid(
            errors,
            "roleRef.name",
            &role.name,
            names::path_segment(&role.name),
        );
    }
    for (i, subject) in subjects.into_iter().flatten().enumerate() {
        validate_subject(subject, &field::index("subjects", i), namespaced, errors);
    }
}

fn validate_subject(subject: &Subject, path: &str, namespaced: bool, errors: &mut Vec<Error>) {
    let group = subject.api_group.as_deref().unwrap_or_default();
    let group_path = field::child(path, "apiGroup");
    if subject.name.is_empty() {
        errors.push(Error::required(field::child(path, "name"), ""));
    }
    match subject.kind.as_str() {
        "ServiceAccount" => {
            if !subject.name.is_empty() {
                meta::invalid(
                    errors,
                    &field::child(path, "name"),
                    &subject.name,
                    names::dns_subdomain(&subject.name),
                );
            }
            if !group.is_empty() {
                errors.push(Error::not_supported(group_path, group, &[""]));
            }
            if !namespaced && subject.namespace.as_deref().unwrap_or_default().is_empty() {
                errors.push(Error::required(field::child(path, "namespace"), ""));
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                errors.push(Error::not_supported(group_path, group, &[GROUP]));
            }
        }
        other => {
            let kinds = ["ServiceAccount", "User", "Group"];
            errors.push(Error::not_supported(field::child(path, "kind"), other, &kinds));
        }
    }
}

fn validate_role_ref(new: &RoleRef, old: &RoleRef, errors: &mut Vec<Error>) {
    if new != old {
        errors.push(Error::invalid("roleRef", new, "cannot change roleRef"));
    }
}

const BINDING_COLUMNS: &[crate::Column] = &[
    cells::NAME,
    cells::column("Role", "string", "The role that is granted."),
    cells::AGE,
    cells::wide("Users", "Users that have the role."),
    cells::wide("Groups", "Groups that have the role."),
    cells::wide("ServiceAccounts", "Service accounts that have the role."),
];

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct BindingView {
    role_ref: RefView,
    subjects: Vec<RefView>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RefView {
    kind: String,
    namespace: String,
    name: String,
}

fn binding_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let view: BindingView = cells::view(object);
    let subjects = |kind: &str| {
        let named = view
            .subjects
            .iter()
            .filter(|subject| subject.kind == kind)
            .map(|subject| {
                if subject.namespace.is_empty() || kind != "ServiceAccount" {
                    subject.name.clone()
                } else {
                    format!("{}/{}", subject.namespace, subject.name)
                }
            });
        Cell::Text(named.collect::<Vec<_>>().join(", "))
    };
    vec![
        cells::name(object),
        Cell::Text(format!("{}/{}", view.role_ref.kind, view.role_ref.name)),
        cells::age(object, now),
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}
