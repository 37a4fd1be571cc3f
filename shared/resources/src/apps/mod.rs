//! The apps group.

pub(crate) mod controller_revision;
pub(crate) mod daemon_set;
pub(crate) mod deployment;
pub(crate) mod replica_set;
pub(crate) mod stateful_set;

use crate::{core::pod, selector};
use api::field::Error;
use k8s_openapi::{api::core::v1::PodTemplateSpec, apimachinery::pkg::apis::meta::v1::LabelSelector};
use std::collections::BTreeMap;

/// Rules that a workload's selector and template share. Upstream names the kind in two ways.
fn validate_template(
    wanted: &LabelSelector,
    template: &PodTemplateSpec,
    (selected, template_of): (&str, &str),
    errors: &mut Vec<Error>,
) {
    selector::validate(wanted, "spec.selector", errors);
    if selector::is_empty(wanted) {
        let why = format!("empty selector is invalid for {selected}");
        errors.push(Error::invalid("spec.selector", wanted, why));
    } else {
        let empty = BTreeMap::new();
        let metadata = template.metadata.as_ref();
        let labels = metadata.and_then(|meta| meta.labels.as_ref()).unwrap_or(&empty);
        pod::template::selected(selector::matches(wanted, labels), labels, errors);
    }
    pod::template::validate(template, "spec.template", errors);
    pod::template::lasting(template, template_of, errors);
}
