//! The configuration that a client applies, as text.

use crate::{document, syntax::SyntaxError};

/// `json` as [`super::apply`] takes it: an object with sorted keys, each once.
///
/// # Errors
/// Text that is no JSON object.
pub fn config(json: &[u8]) -> Result<Vec<u8>, SyntaxError> {
    let value = document::read(json)?;
    if value.is_object() {
        return Ok(document::write(&value));
    }
    Err(SyntaxError(format!(
        "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
        document::go_kind(&value)
    )))
}
