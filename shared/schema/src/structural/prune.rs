//! Dropping the fields that a structural schema does not name.

use super::{Additional, Structural};
use serde_json::Value;

const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// The way to where the pruner is, and what it has dropped.
#[derive(Default)]
pub(super) struct Dropped {
    path: String,
    pub paths: Vec<String>,
}

impl Dropped {
    fn inside(&mut self, part: &str, f: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if length > 0 && !part.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(part);
        f(self);
        self.path.truncate(length);
    }

    fn note(&mut self, name: &str) {
        self.inside(name, |this| {
            let path = this.path.clone();
            this.paths.push(path);
        });
    }
}

/// Prunes `value`; its own kind, version and metadata are left alone if it is `embedded`, which the root is.
pub(super) fn prune(value: &mut Value, schema: Option<&Structural>, embedded: bool, dropped: &mut Dropped) {
    let keep = schema.is_some_and(Structural::preserve_unknown);
    match value {
        Value::Object(members) => members.retain(|name, value| {
            if embedded && META.contains(&name.as_str()) {
                return true;
            }
            let known = schema.and_then(|schema| schema.properties.get(name));
            let (inner, is_known) = match (known, schema.and_then(|s| s.additional_properties.as_ref())) {
                (Some(schema), _) => (Some(schema), true),
                (None, Some(Additional::Schema(schema))) => (Some(&**schema), true),
                // What may be anything has no schema, and its fields no names.
                (None, Some(Additional::Any(_))) => (None, true),
                (None, None) => (None, false),
            };
            if is_known {
                let embedded = inner.is_some_and(Structural::embedded);
                dropped.inside(name, |dropped| prune(value, inner, embedded, dropped));
            } else if !keep {
                // Of an embedded object that is none.
                if !(dropped.path.is_empty() && META.contains(&name.as_str())) {
                    dropped.note(name);
                }
            }
            is_known || keep
        }),
        Value::Array(items) => {
            let inner = schema.and_then(Structural::items);
            // Elements of a list that may be anything are not looked into.
            if keep && inner.is_none() {
                return;
            }
            let embedded = inner.is_some_and(Structural::embedded);
            for (index, item) in items.iter_mut().enumerate() {
                dropped.inside(&format!("[{index}]"), |dropped| {
                    prune(item, inner, embedded, dropped);
                });
            }
        }
        _ => {}
    }
}
