//! The selectors of an access review (KEP-4601).

use crate::security::Selectors;
use api::{
    FieldSelector, LabelSelector, MatchExpression, Requirement,
    field::{Error, child, index},
};
use serde::Deserialize;
use std::sync::Arc;

/// A selector: as text, or in parts.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Selected {
    raw_selector: String,
    requirements: Vec<MatchExpression>,
}

impl Selected {
    /// What is wrong with it. An operator that is not known is not: it only narrows.
    pub fn check(&self, path: &str, labels: bool, errors: &mut Vec<Error>) {
        let (raw, list) = (child(path, "rawSelector"), child(path, "requirements"));
        match (self.raw_selector.is_empty(), self.requirements.is_empty()) {
            (false, false) => {
                let why = "may not specified at the same time as requirements";
                errors.push(Error::invalid(raw, &self.raw_selector, why));
            }
            (true, true) => {
                let why = format!("when {path} is specified, requirements or rawSelector is required");
                errors.push(Error::required(list.clone(), why));
            }
            _ => {}
        }
        for (at, of) in self.requirements.iter().enumerate() {
            let place = index(&list, at);
            match (of.operator.as_str(), of.values.is_empty()) {
                ("In" | "NotIn", true) => {
                    let why = "must be specified when `operator` is 'In' or 'NotIn'";
                    errors.push(Error::required(child(&place, "values"), why));
                }
                ("Exists" | "DoesNotExist", false) => {
                    let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                    errors.push(Error::forbidden(child(&place, "values"), why));
                }
                _ => {}
            }
            let key = child(&place, "key");
            if of.key.is_empty() && !labels {
                errors.push(Error::required(key, "must be specified"));
            } else if labels && !is_key(&of.key) {
                errors.push(Error::invalid(key, &of.key, BAD_KEY));
            }
        }
    }

    fn fields(&self) -> (Vec<(String, bool, String)>, bool) {
        if !self.raw_selector.is_empty() {
            let parsed = FieldSelector::parse(&self.raw_selector);
            return parsed.map_or((Vec::new(), true), |selector| (selector.0, false));
        }
        let mut broken = false;
        let parts = self.requirements.iter().filter_map(|of| {
            let part = match (of.operator.as_str(), of.values.as_slice()) {
                ("In", [value]) => Some((of.key.clone(), true, value.clone())),
                ("NotIn", [value]) => Some((of.key.clone(), false, value.clone())),
                _ => None,
            };
            broken |= part.is_none();
            part
        });
        (parts.collect(), broken)
    }

    fn labels(&self) -> (Vec<Requirement>, bool) {
        if !self.raw_selector.is_empty() {
            let parsed = LabelSelector::parse(&self.raw_selector);
            return parsed.map_or((Vec::new(), true), |selector| {
                (selector.requirements().to_vec(), false)
            });
        }
        let mut broken = false;
        let parts = self.requirements.iter().filter_map(|of| {
            let (key, values) = (of.key.clone(), of.values.iter().cloned().collect());
            let part = match of.operator.as_str() {
                "In" => Some(Requirement::In(key, values)),
                "NotIn" => Some(Requirement::NotIn(key, values)),
                "Exists" => Some(Requirement::Exists(key)),
                "DoesNotExist" => Some(Requirement::Absent(key)),
                _ => None,
            };
            broken |= part.is_none();
            part
        });
        (parts.collect(), broken)
    }
}

fn is_key(key: &str) -> bool {
    let parsed = LabelSelector::parse(key);
    parsed
        .is_ok_and(|selector| matches!(selector.requirements(), [Requirement::Exists(known)] if known == key))
}

const BAD_KEY: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
     alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
     '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

/// What is selected, as far as it can be read, and what cannot.
pub(super) fn read(
    fields: Option<&Selected>,
    labels: Option<&Selected>,
) -> (Option<Arc<Selectors>>, Vec<String>) {
    let (fields, bad_fields) = fields.map(Selected::fields).unwrap_or_default();
    let (labels, bad_labels) = labels.map(Selected::labels).unwrap_or_default();
    let mut told = Vec::new();
    for (name, broken, some) in [
        ("fieldSelector", bad_fields, !fields.is_empty()),
        ("labelSelector", bad_labels, !labels.is_empty()),
    ] {
        if broken {
            let part = if some { "partially ignored" } else { "ignored" };
            told.push(format!(
                "spec.resourceAttributes.{name} {part} due to parse error"
            ));
        }
    }
    (Selectors { fields, labels }.some(), told)
}
