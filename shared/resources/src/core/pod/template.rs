//! The pod template of a workload.

use super::{defaults, validation};
use crate::meta;
use api::{field, field::Error};
use k8s_openapi::api::core::v1::PodTemplateSpec;
use std::collections::BTreeMap;

/// Defaults of a template.
pub(crate) fn defaults(template: &mut PodTemplateSpec) {
    template.metadata.get_or_insert_default();
    defaults::spec(template.spec.get_or_insert_default());
}

/// Rules for a template.
pub(crate) fn validate(template: &PodTemplateSpec, path: &str, errors: &mut Vec<Error>) {
    let path_of = |name: &str| field::child(&field::child(path, "metadata"), name);
    if let Some(metadata) = &template.metadata {
        meta::validate_labels(metadata.labels.as_ref(), &path_of("labels"), errors);
        meta::validate_annotations(metadata.annotations.as_ref(), &path_of("annotations"), errors);
    }
    let spec = template.spec.clone().unwrap_or_default();
    validation::spec(&spec, &field::child(path, "spec"), errors);
    if spec.ephemeral_containers.is_some_and(|list| !list.is_empty()) {
        let why = "ephemeral containers not allowed in pod template";
        errors.push(Error::forbidden(
            field::child(&field::child(path, "spec"), "ephemeralContainers"),
            why,
        ));
    }
}

/// The controller's selector must find the pods of its template.
pub(crate) fn selected(matches: bool, labels: &BTreeMap<String, String>, errors: &mut Vec<Error>) {
    if !matches {
        let why = "`selector` does not match template `labels`";
        errors.push(Error::invalid("spec.template.metadata.labels", labels, why));
    }
}

/// Pods that are to stay (of a `kind`) start again when they end, and have no deadline.
pub(crate) fn lasting(template: &PodTemplateSpec, kind: &str, errors: &mut Vec<Error>) {
    let Some(spec) = &template.spec else { return };
    let policy = spec.restart_policy.as_deref().unwrap_or_default();
    if policy != "Always" {
        errors.push(Error::not_supported(
            "spec.template.spec.restartPolicy",
            policy,
            &["Always"],
        ));
    }
    if spec.active_deadline_seconds.is_some() {
        let why = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.push(Error::forbidden("spec.template.spec.activeDeadlineSeconds", why));
    }
}

/// Warnings about a template.
pub(crate) fn warnings(template: &PodTemplateSpec) -> Vec<String> {
    let spec = template.spec.as_ref();
    spec.map(|spec| super::warnings::of(spec, "spec.template.spec"))
        .unwrap_or_default()
}
