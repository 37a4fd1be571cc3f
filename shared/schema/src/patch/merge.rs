//! JSON merge patch (RFC 7386).

use serde_json::Value;

use super::PatchError;
use crate::document::{go_kind, read, write};

/// `doc` with the merge patch `patch` applied.
///
/// # Errors
/// A patch that is not a JSON object is a bad request; a document that is not JSON is internal.
pub fn merge_patch(doc: &[u8], patch: &[u8]) -> Result<Vec<u8>, PatchError> {
    let patch =
        read(patch).map_err(|error| PatchError::BadRequest(format!("error decoding patch: {error}")))?;
    let mut doc = read(doc).map_err(|error| PatchError::Internal(error.to_string()))?;
    let Value::Object(_) = patch else {
        return Err(PatchError::BadRequest(format!(
            "error decoding patch: json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            go_kind(&patch)
        )));
    };
    json_patch::merge(&mut doc, &patch);
    Ok(write(&doc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_removes_and_lists_are_replaced() {
        let doc = br#"{"metadata":{"labels":{"a":"1","b":"2"}},"spec":{"args":["x","y"]}}"#;
        let patch =
            br#"{"metadata":{"labels":{"a":null,"c":"3"}},"spec":{"args":["z"],"new":{"k":null,"l":1}}}"#;
        let merged = merge_patch(doc, patch).unwrap();
        assert_eq!(
            String::from_utf8(merged).unwrap(),
            r#"{"metadata":{"labels":{"b":"2","c":"3"}},"spec":{"args":["z"],"new":{"l":1}}}"#
        );
    }

    #[test]
    fn a_patch_that_is_no_object_is_a_bad_request() {
        let error = merge_patch(b"{}", b"[]").unwrap_err();
        assert_eq!(
            error.to_string(),
            "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"
        );
        let error = merge_patch(b"{}", b"{").unwrap_err();
        assert_eq!(
            error,
            PatchError::BadRequest("error decoding patch: unexpected end of JSON input".into())
        );
    }
}
