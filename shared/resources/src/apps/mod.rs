//! The apps group.

pub(crate) mod controller_revision;
pub(crate) mod daemon_set;
pub(crate) mod deployment;
pub(crate) mod replica_set;
pub(crate) mod stateful_set;

use crate::{core::pod, selector};
use api::field::Error;
use k8s_openapi::{api::core::v1::PodTemplateSpec, apimachinery::pkg::apis::meta::v1::LabelSelector};

/// Rules that a workload's selector and template share.
fn validate_template(
    wanted: &LabelSelector,
    template: &PodTemplateSpec,
    empty_words: &str,
    errors: &mut Vec<Error>,
) {
    selector::validate(wanted, "spec.selector", errors);
    if selector::is_empty(wanted) {
        errors.push(Error::invalid("spec.selector", wanted, empty_words));
    }
    let labels = template
        .metadata
        .as_ref()
        .and_then(|meta| meta.labels.clone())
        .unwrap_or_default();
    if !selector::is_empty(wanted) && !selector::matches(wanted, &labels) {
        let why = "`selector` does not match template `labels`";
        errors.push(Error::invalid("spec.template.metadata.labels", &labels, why));
    }
    pod::template::validate(template, "spec.template", errors);
    let spec = template.spec.as_ref();
    let policy = spec
        .and_then(|spec| spec.restart_policy.as_deref())
        .unwrap_or_default();
    if policy != "Always" {
        errors.push(Error::not_supported(
            "spec.template.spec.restartPolicy",
            policy,
            &["Always"],
        ));
    }
    if spec.is_some_and(|spec| spec.active_deadline_seconds.is_some()) {
        let why = "activeDeadlineSeconds in ReplicaSet is not Supported";
        errors.push(Error::forbidden("spec.template.spec.activeDeadlineSeconds", why));
    }
}

/// Warnings about a template.
fn warnings(template: &PodTemplateSpec) -> Vec<String> {
    template
        .spec
        .as_ref()
        .map(|spec| pod::warnings::of(spec, "spec.template.spec"))
        .unwrap_or_default()
}

/// A count that may not be negative.
fn validate_count(path: &str, count: Option<i32>, errors: &mut Vec<Error>) {
    if let Some(count) = count
        && count < 0
    {
        errors.push(Error::invalid(path, count, "must be greater than or equal to 0"));
    }
}
