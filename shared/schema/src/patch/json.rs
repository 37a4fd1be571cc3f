//! JSON patch (RFC 6902), with the limits of upstream.

use json_patch::{PatchErrorKind, PatchOperation};
use serde_json::Value;

use super::PatchError;
use crate::{
    document::{go_kind, read, write},
    syntax::quote,
};

/// How many operations a JSON patch may have, as upstream.
pub const MAX_OPERATIONS: usize = 10_000;
/// How many bytes `copy` operations may add in all, as upstream; a few doublings would fill the memory.
const MAX_COPIED: usize = 3 << 20;

/// `doc` with the operations of `patch` applied, all or none.
///
/// # Errors
/// A patch that is no list of objects is a bad request; an operation that does not apply is unprocessable.
pub fn json_patch(doc: &[u8], patch: &[u8]) -> Result<Vec<u8>, PatchError> {
    let patch = read(patch).map_err(|error| PatchError::BadRequest(error.to_string()))?;
    let mut doc = read(doc).map_err(|error| PatchError::Internal(error.to_string()))?;
    let mut copied = 0;
    for operation in operations(patch)? {
        copied += copied_bytes(&doc, &operation);
        if copied > MAX_COPIED {
            return Err(PatchError::Unprocessable(format!(
                "Unable to complete the copy, the accumulated size increase of copy is {copied}, \
                 exceeding the limit {MAX_COPIED}"
            )));
        }
        apply(&mut doc, operation)?;
    }
    Ok(write(&doc))
}

fn operations(patch: Value) -> Result<Vec<PatchOperation>, PatchError> {
    let cannot = |value: &Value, into: &str| {
        let kind = go_kind(value);
        PatchError::BadRequest(format!(
            "json: cannot unmarshal {kind} into Go value of type jsonpatch.{into}"
        ))
    };
    let Value::Array(operations) = patch else {
        return Err(cannot(&patch, "Patch"));
    };
    if let Some(wrong) = operations.iter().find(|operation| !operation.is_object()) {
        return Err(cannot(wrong, "Operation"));
    }
    if operations.len() > MAX_OPERATIONS {
        return Err(PatchError::TooLarge(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            operations.len()
        )));
    }
    let read =
        |operation| serde_json::from_value(operation).map_err(|e| PatchError::Unprocessable(e.to_string()));
    operations.into_iter().map(read).collect()
}

fn copied_bytes(doc: &Value, operation: &PatchOperation) -> usize {
    match operation {
        PatchOperation::Copy(copy) => doc
            .pointer(copy.from.as_str())
            .map_or(0, |value| value.to_string().len()),
        _ => 0,
    }
}

fn apply(doc: &mut Value, operation: PatchOperation) -> Result<(), PatchError> {
    let (name, path) = match &operation {
        PatchOperation::Add(o) => ("add", &o.path),
        PatchOperation::Remove(o) => ("remove", &o.path),
        PatchOperation::Replace(o) => ("replace", &o.path),
        PatchOperation::Move(o) => ("move", &o.path),
        PatchOperation::Copy(o) => ("copy", &o.path),
        // Upstream takes a missing value for null.
        PatchOperation::Test(o) if o.value.is_null() && doc.pointer(o.path.as_str()).is_none() => {
            return Ok(());
        }
        PatchOperation::Test(o) => ("test", &o.path),
    };
    let path = path.to_string();
    if path.is_empty() {
        of_the_whole(name, &operation)?;
    }
    json_patch::patch_unsafe(doc, &[operation]).map_err(|error| {
        PatchError::Unprocessable(match error.kind {
            PatchErrorKind::TestFailed => format!("testing value {path} failed: test failed"),
            _ => format!(
                "{name} operation does not apply: doc is missing path: {}: missing value",
                quote(&path)
            ),
        })
    })
}

/// An object is replaced as a whole by what can be one, and is not put, moved or taken away.
fn of_the_whole(name: &str, operation: &PatchOperation) -> Result<(), PatchError> {
    let why = match operation {
        PatchOperation::Test(_) => return Ok(()),
        PatchOperation::Replace(o) if o.value.is_object() || o.value.is_array() => return Ok(()),
        PatchOperation::Replace(_) => {
            "replace operation value must be object or array: %!w(<nil>)".to_owned()
        }
        _ => format!(r#"{name} operation does not apply: doc is missing path: "": missing value"#),
    };
    Err(PatchError::Unprocessable(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(doc: &str, patch: &str) -> Result<String, PatchError> {
        json_patch(doc.as_bytes(), patch.as_bytes()).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn operations_apply_in_order() {
        let doc = r#"{"spec":{"containers":[{"image":"a","name":"x"}],"replicas":1}}"#;
        let patch = r#"[{"op":"test","path":"/spec/replicas","value":1},
            {"op":"replace","path":"/spec/containers/0/image","value":"b"},
            {"op":"add","path":"/spec/containers/-","value":{"name":"y"}},
            {"op":"copy","from":"/spec/replicas","path":"/spec/min"},
            {"op":"move","from":"/spec/replicas","path":"/spec/max"},
            {"op":"test","path":"/spec/none","value":null},
            {"op":"add","path":"/metadata","value":{"labels":{"a~b":"1"}}},
            {"op":"remove","path":"/metadata/labels/a~0b"}]"#;
        assert_eq!(
            patched(doc, patch).unwrap(),
            r#"{"metadata":{"labels":{}},"spec":{"containers":[{"image":"b","name":"x"},{"name":"y"}],"max":1,"min":1}}"#
        );
    }

    #[test]
    fn what_does_not_apply_is_unprocessable() {
        let text = |patch: &str| match patched(r#"{"a":{"b":[1]}}"#, patch) {
            Err(PatchError::Unprocessable(text)) => text,
            other => panic!("{other:?}"),
        };
        for (patch, why) in [
            (
                r#"[{"op":"replace","path":"","value":null}]"#,
                "replace operation value must be object or array: %!w(<nil>)",
            ),
            (
                r#"[{"op":"add","path":"","value":{}}]"#,
                r#"add operation does not apply: doc is missing path: "": missing value"#,
            ),
            (
                r#"[{"op":"remove","path":""}]"#,
                r#"remove operation does not apply: doc is missing path: "": missing value"#,
            ),
        ] {
            assert_eq!(text(patch), why);
        }
        assert_eq!(
            text(r#"[{"op":"test","path":"/a/b/0","value":2}]"#),
            "testing value /a/b/0 failed: test failed"
        );
        assert_eq!(
            text(r#"[{"op":"remove","path":"/x/y"}]"#),
            r#"remove operation does not apply: doc is missing path: "/x/y": missing value"#
        );
        assert!(
            text(r#"[{"op":"add","path":"/a/b/7","value":2}]"#).starts_with("add operation does not apply")
        );
        assert!(text(r#"[{"op":"grow","path":"/a"}]"#).contains("unknown variant"));
        let doubling = r#"{"op":"copy","from":"/a","path":"/a/c"},"#.repeat(64);
        let patch = format!(
            r#"[{}{{"op":"remove","path":"/a"}}]"#,
            doubling.replace("/a/c", "/a/b/-")
        );
        assert!(
            text(&patch).starts_with("Unable to complete the copy"),
            "{}",
            text(&patch)
        );
    }

    #[test]
    fn what_is_no_patch_is_a_bad_request() {
        let text = |patch: &str| match patched("{}", patch) {
            Err(PatchError::BadRequest(text)) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            text("{}"),
            "json: cannot unmarshal object into Go value of type jsonpatch.Patch"
        );
        assert_eq!(
            text("[3]"),
            "json: cannot unmarshal number into Go value of type jsonpatch.Operation"
        );
        assert_eq!(
            text("[x]"),
            "invalid character 'x' looking for beginning of value"
        );
        let many = vec![r#"{"op":"test","path":"/a","value":null}"#; MAX_OPERATIONS + 1].join(",");
        assert_eq!(
            patched("{}", &format!("[{many}]")),
            Err(PatchError::TooLarge(
                "The allowed maximum operations in a JSON patch is 10000, got 10001".to_owned()
            ))
        );
    }
}
