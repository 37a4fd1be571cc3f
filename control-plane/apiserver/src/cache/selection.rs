//! Which objects of a resource a reader wants.

use super::{Cache, Held};
use api::{FieldSelector, LabelSelector, Object, Status};
use resources::Row;

/// A namespace and selectors. Matches on headers only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Namespace; empty: all.
    pub namespace: String,
    /// By labels.
    pub labels: LabelSelector,
    /// By fields.
    pub fields: FieldSelector,
    /// By fields of another form than the stored one: the number of the served version, and the fields.
    pub converted: Option<(usize, FieldSelector)>,
}

impl Selection {
    /// Parses selectors, in upstream's words when they are bad.
    pub fn parse(row: &Row, namespace: &str, labels: &str, fields: &str) -> Result<Self, Status> {
        let labels = LabelSelector::parse(labels).map_err(|e| Status::bad_request(e.to_string()))?;
        let mut fields = FieldSelector::parse(fields).map_err(|e| Status::bad_request(e.to_string()))?;
        for (path, _, _) in &mut fields.0 {
            *path = row.field_name(path);
            let known = path == "metadata.name"
                || (path == "metadata.namespace" && row.namespaced)
                || row.fields.contains(&path.as_str());
            if !known {
                return Err(unknown_field(row, path));
            }
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            labels,
            fields,
            converted: None,
        })
    }

    /// Whether an object is wanted. The form of the version whose fields are looked at has to be there.
    pub fn wants(&self, row: &Row, held: &Held) -> bool {
        self.matches(row, held.hub())
            && self.converted.as_ref().is_none_or(|(version, fields)| {
                let object = held.version(*version);
                fields.matches(|path| row.selected(object, path))
            })
    }

    /// Whether `object` (in its stored form) is wanted, but for the fields of other forms.
    pub fn matches(&self, row: &Row, object: &Object) -> bool {
        (self.namespace.is_empty() || object.namespace() == self.namespace)
            && self.labels.matches(|key| object.label(key))
            && self.fields.matches(|path| row.selected(object, path))
    }

    /// Whether all objects of the namespace are wanted.
    pub fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything() && self.converted.is_none()
    }

    /// The key of the one object that is wanted, when the selectors say that there is only one.
    pub fn only(&self, row: &Row) -> Option<String> {
        let name = self.fields.required("metadata.name")?;
        let namespace = match self.namespace.as_str() {
            "" => self.fields.required("metadata.namespace").unwrap_or_default(),
            namespace => namespace,
        };
        if row.namespaced && namespace.is_empty() {
            return None;
        }
        Some(Cache::suffix(row, namespace, name))
    }

    /// The value that the trigger field must have.
    pub fn trigger(&self, row: &Row) -> Option<&str> {
        row.trigger
            .and_then(|index| row.fields.get(index))
            .and_then(|path| self.fields.required(path))
    }
}

fn unknown_field(row: &Row, path: &str) -> Status {
    if row.fields.is_empty() {
        let known = r#""metadata.name", "metadata.namespace""#;
        return Status::bad_request(format!("{path:?} is not a known field selector: only {known}"));
    }
    Status::bad_request(format!("field label not supported: {path}"))
}
