//! What a request body says it is, and upstream's words for one that cannot be decoded.

use std::ops::Range;

use crate::{
    check::{TypeError, check_untyped},
    syntax::SyntaxError,
};

/// How much of a body an error shows.
const SUMMARY: usize = 30;

/// What a body says it is; empty where it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeMeta {
    /// `apiVersion`.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
}

/// Reads `apiVersion` and `kind` of a body. The rest of the text is only skimmed: [`crate::check`] finds what is wrong there.
///
/// # Errors
/// `couldn't get version/kind; json parse error: …`, for [`undecodable`].
pub fn type_meta(json: &[u8]) -> Result<TypeMeta, String> {
    read(json).map_err(|error| unreadable(&error))
}

/// Upstream's text about a body that is not JSON: it fails to say its kind.
pub fn unreadable(error: &SyntaxError) -> String {
    format!("couldn't get version/kind; json parse error: {error}")
}

fn read(json: &[u8]) -> Result<TypeMeta, SyntaxError> {
    let start = api::scan::skip_space(json, 0);
    let mut meta = TypeMeta::default();
    if json.get(start) != Some(&b'{') {
        return match (syntax(json), kind_of(json, start)) {
            (Some(error), _) => Err(error),
            (None, "null") => Ok(meta),
            (None, kind) => Err(SyntaxError(format!(
                "json: cannot unmarshal {kind} into Go value of type struct {{ APIVersion string \
                 \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}"
            ))),
        };
    }
    for member in api::scan::members(json, start) {
        let (key, value) = match member {
            Ok(member) => member,
            Err(error) => return Err(syntax(json).unwrap_or_else(|| SyntaxError(error.to_string()))),
        };
        match &*key {
            "apiVersion" => text(json, "apiVersion", value, &mut meta.api_version)?,
            "kind" => text(json, "kind", value, &mut meta.kind)?,
            _ => {}
        }
    }
    Ok(meta)
}

fn text(json: &[u8], name: &str, value: Range<usize>, into: &mut String) -> Result<(), SyntaxError> {
    match kind_of(json, value.start) {
        "null" => Ok(()),
        "string" => {
            let text = api::scan::text(json, value);
            let text = text.map_err(|e| syntax(json).unwrap_or_else(|| SyntaxError(e.to_string())))?;
            *into = text.into_owned();
            Ok(())
        }
        kind => Err(syntax(json).unwrap_or_else(|| {
            SyntaxError(format!(
                "json: cannot unmarshal {kind} into Go struct field .{name} of type string"
            ))
        })),
    }
}

fn syntax(json: &[u8]) -> Option<SyntaxError> {
    match check_untyped(json) {
        Err(TypeError::Syntax(error)) => Some(error),
        _ => None,
    }
}

fn kind_of(json: &[u8], at: usize) -> &'static str {
    match json.get(at) {
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b'"') => "string",
        Some(b't' | b'f') => "bool",
        Some(b'n') => "null",
        _ => "number",
    }
}

/// The message of the 400 for a body whose kind could not be read; `wanted` is the kind that the path takes.
pub fn undecodable(wanted: &str, error: &str, body: &[u8]) -> String {
    let head = &body[..body.len().min(SUMMARY)];
    let more = if body.len() > SUMMARY { " ..." } else { "" };
    let summary = match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(head).into_owned() + more,
        Some(_) => head.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + more,
    };
    format!("the object provided is unrecognized (must be of type {wanted}): {error} ({summary})")
}

/// The message of the 400 for a body of a known kind and version that cannot be decoded, or not strictly.
pub fn mishandled(kind: &str, version: &str, wanted: &str, error: &str) -> String {
    format!("{kind} in version \"{version}\" cannot be handled as a {wanted}: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_says_what_it_is() {
        let meta = type_meta(br#"{"metadata":{"kind":"x"},"kind":"Pod","apiVersion":"v1"}"#).unwrap();
        assert_eq!((meta.api_version.as_str(), meta.kind.as_str()), ("v1", "Pod"));
        assert_eq!(type_meta(br#" {"kind":null} "#), Ok(TypeMeta::default()));
    }

    #[test]
    fn a_body_that_does_not_is_refused_in_upstreams_words() {
        let text = |body: &str| undecodable("Pod", &type_meta(body.as_bytes()).unwrap_err(), body.as_bytes());
        assert_eq!(
            text("kind: Pod"),
            "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: \
             invalid character 'k' looking for beginning of value (6b696e643a20506f64)"
        );
        assert_eq!(
            text(""),
            "the object provided is unrecognized (must be of type Pod): couldn't get version/kind; json parse error: \
             unexpected end of JSON input (<empty>)"
        );
        assert!(text(r#"{"kind":5,"metadata":{"name":"a-long-name"}}"#).ends_with(
            r#"cannot unmarshal number into Go struct field .kind of type string ({"kind":5,"metadata":{"name":" ...)"#
        ));
        assert!(text("[1]").contains(
            "json: cannot unmarshal array into Go value of type struct { APIVersion string \"json:"
        ));
        assert_eq!(
            mishandled("Pod", "v1", "Pod", "strict decoding error: unknown field \"x\""),
            "Pod in version \"v1\" cannot be handled as a Pod: strict decoding error: unknown field \"x\""
        );
    }
}
