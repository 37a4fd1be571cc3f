//! Whole documents as DOM values, which patches and pruning change.

use std::borrow::Cow;

use serde_json::Value;

use crate::{
    check::{TypeError, check_untyped},
    syntax::SyntaxError,
};

/// Reads `json`; the errors are in Go's words. Nesting is bounded by what `serde_json` takes (128).
pub(crate) fn read(json: &[u8]) -> Result<Value, SyntaxError> {
    serde_json::from_slice(json).map_err(|error| match check_untyped(json) {
        Err(TypeError::Syntax(error)) => error,
        Err(TypeError::Value(text)) => SyntaxError(text),
        Ok(_) => SyntaxError(error.to_string()),
    })
}

/// The text of `value`, with sorted keys.
pub(crate) fn write(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// The Go type that an untyped decoder gives `value`.
pub(crate) fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "%!s(<nil>)",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() => "int64",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

/// The kind of `value` in Go's decoding errors.
pub(crate) fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// `value` as Go's `%v` prints it.
pub(crate) fn go_print(value: &Value) -> Cow<'_, str> {
    match value {
        Value::Null => "<nil>".into(),
        Value::String(text) => text.into(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(go_print).collect();
            format!("[{}]", items.join(" ")).into()
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members
                .iter()
                .map(|(k, v)| format!("{k}:{}", go_print(v)))
                .collect();
            members.sort();
            format!("map[{}]", members.join(" ")).into()
        }
        other => other.to_string().into(),
    }
}
