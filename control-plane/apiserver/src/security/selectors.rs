//! The selectors of a request, as authorizers see them (KEP-4601).

use api::{FieldSelector, LabelSelector, Requirement};
use std::{fmt::Write, sync::Arc};

/// What of a collection is asked for. A selector that cannot be read is none: then everything is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selectors {
    /// Fields: path, whether it equals or differs, value.
    pub fields: Vec<(String, bool, String)>,
    /// Labels.
    pub labels: Vec<Requirement>,
}

impl Selectors {
    /// Of the texts of a query; none without any that can be read.
    pub fn parse(fields: &str, labels: &str) -> Option<Arc<Self>> {
        if fields.is_empty() && labels.is_empty() {
            return None;
        }
        let fields = FieldSelector::parse(fields).map(|selector| selector.0);
        let labels = LabelSelector::parse(labels).map(|selector| selector.requirements().to_vec());
        Self {
            fields: fields.unwrap_or_default(),
            labels: labels.unwrap_or_default(),
        }
        .some()
    }

    /// None when nothing is selected.
    pub fn some(self) -> Option<Arc<Self>> {
        (self != Self::default()).then(|| Arc::new(self))
    }

    /// Whether only what has `value` at `path` is asked for.
    pub fn requires(&self, path: &str, value: &str) -> bool {
        let is = |(known, equals, of): &(String, bool, String)| *equals && known == path && of == value;
        self.fields.iter().any(is)
    }

    /// The selectors in one text, for caches.
    pub fn told(&self) -> String {
        let mut out = FieldSelector(self.fields.clone()).to_string();
        // Writing to a string does not fail.
        let _ = write!(out, ";{}", LabelSelector::new(self.labels.clone()));
        out
    }
}
