//! Label selector objects: their rules, and what they match.

use crate::{meta, names};
use api::{LabelSelector as Matcher, Requirement, field, field::Error};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use std::collections::BTreeMap;

/// Whether it has no requirement at all.
pub(crate) fn is_empty(selector: &LabelSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(BTreeMap::is_empty)
        && selector.match_expressions.as_ref().is_none_or(Vec::is_empty)
}

/// Rules for a label selector.
pub(crate) fn validate(selector: &LabelSelector, path: &str, errors: &mut Vec<Error>) {
    meta::validate_labels(
        selector.match_labels.as_ref(),
        &field::child(path, "matchLabels"),
        errors,
    );
    for (i, expression) in selector.match_expressions.iter().flatten().enumerate() {
        let path = field::index(&field::child(path, "matchExpressions"), i);
        let values = expression.values.as_deref().unwrap_or_default();
        match expression.operator.as_str() {
            "In" | "NotIn" if values.is_empty() => {
                let why = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.push(Error::required(field::child(&path, "values"), why));
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.push(Error::forbidden(field::child(&path, "values"), why));
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                errors.push(Error::invalid(
                    field::child(&path, "operator"),
                    other,
                    "not a valid selector operator",
                ));
            }
        }
        meta::invalid(
            errors,
            &field::child(&path, "key"),
            &expression.key,
            names::qualified_name(&expression.key),
        );
        for (i, value) in values.iter().enumerate() {
            let path = field::index(&field::child(&path, "values"), i);
            meta::invalid(errors, &path, value, names::label_value(value));
        }
    }
}

/// Whether it matches `labels`.
pub(crate) fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let pairs = selector.match_labels.iter().flatten();
    let mut requirements: Vec<Requirement> = pairs
        .map(|(key, value)| Requirement::In(key.clone(), [value.clone()].into()))
        .collect();
    for expression in selector.match_expressions.iter().flatten() {
        let key = expression.key.clone();
        let values = expression.values.iter().flatten().cloned().collect();
        requirements.push(match expression.operator.as_str() {
            "In" => Requirement::In(key, values),
            "NotIn" => Requirement::NotIn(key, values),
            "Exists" => Requirement::Exists(key),
            _ => Requirement::Absent(key),
        });
    }
    Matcher::new(requirements).matches(|key| labels.get(key).map(String::as_str))
}
