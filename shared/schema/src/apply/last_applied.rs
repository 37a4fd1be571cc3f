//! The annotation of client-side apply, for who changes from it to server-side apply and back.

use super::{compare::compare, engine::Versions, fields::fields, raw::Raw, set::FieldSet, validate};
use crate::document;
use serde_json::Value;

/// The only manager for whom the annotation is looked at.
pub(super) const MANAGER: &str = "kubectl";
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// How large all annotations may be.
const MAX_SIZE: usize = 256 << 10;

fn annotation(object: Raw<'_>) -> Option<String> {
    let annotations = object.member("metadata")?.member("annotations")?;
    let text = annotations.member(ANNOTATION)?.string()?;
    (!text.is_empty()).then(|| text.into_owned())
}

/// What was applied by the client and still is so: no conflict is one about these. `None`: nothing is known of it.
pub(super) fn allowed(versions: Versions<'_>, version: &str, live: &[u8]) -> Option<FieldSet> {
    let live = Raw::new(live);
    let last = annotation(live)?;
    let last = document::write(&document::read(last.as_bytes()).ok()?);
    let last = Raw::new(&last);
    let node = versions.node(version)?;
    let of = last.member("apiVersion").and_then(Raw::string)?;
    if of != version || validate::complaint(node, last, false).is_some() {
        return None;
    }
    let change = compare(node, last, live);
    Some(
        fields(node, last)
            .difference(&change.set)
            .difference(&change.removed),
    )
}

/// `json` with the annotation, if there is one, saying what `config` says.
pub(super) fn keep(json: Vec<u8>, config: &[u8]) -> Vec<u8> {
    if annotation(Raw::new(&json)).is_none() {
        return json;
    }
    let (Ok(mut object), Ok(mut config)) = (document::read(&json), document::read(config)) else {
        return json;
    };
    if let Some(Value::Object(annotations)) = config.pointer_mut("/metadata/annotations") {
        annotations.remove(ANNOTATION);
    }
    if let Some(Value::Object(annotations)) = object.pointer_mut("/metadata/annotations") {
        annotations.insert(ANNOTATION.to_owned(), format!("{config}\n").into());
        let size = |(name, value): (&String, &Value)| name.len() + value.as_str().map_or(0, str::len);
        if annotations.iter().map(size).sum::<usize>() > MAX_SIZE {
            annotations.remove(ANNOTATION);
        }
    }
    document::write(&object)
}
