//! The pod template of a workload.

use super::{defaults, validation};
use crate::meta;
use api::{field, field::Error};
use k8s_openapi::api::core::v1::PodTemplateSpec;

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
