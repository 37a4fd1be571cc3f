//! Small changes to stored JSON without decoding it: set or remove one member.

use api::scan::{self, ScanError};
use std::ops::Range;

/// `json` with the member at the dotted `path` set to `value` (JSON text), or removed. Parents must exist, except for
/// a removal. A new member goes where the canonical (alphabetical) order wants it.
pub fn set(json: &[u8], path: &str, value: Option<&[u8]>) -> Result<Vec<u8>, ScanError> {
    let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
    let object = match parent {
        "" => Some(scan::skip_space(json, 0)..json.len()),
        parent => scan::find(json, parent)?,
    };
    let Some(object) = object else {
        return if value.is_none() {
            Ok(json.to_vec())
        } else {
            Err(ScanError(0))
        };
    };
    let members = members(json, object.start)?;
    let found = members.iter().position(|(key, _)| key == name);
    match (found, value) {
        (Some(at), Some(value)) => Ok(replace(json, members[at].1.clone(), value)),
        (Some(at), None) => Ok(remove(json, &members, at)),
        (None, None) => Ok(json.to_vec()),
        (None, Some(value)) => Ok(insert(json, object.start, &members, name, value)),
    }
}

type Member = (String, Range<usize>);

fn members(json: &[u8], at: usize) -> Result<Vec<Member>, ScanError> {
    scan::members(json, at)
        .map(|member| member.map(|(key, value)| (key.into_owned(), value)))
        .collect()
}

fn replace(json: &[u8], range: Range<usize>, with: &[u8]) -> Vec<u8> {
    [&json[..range.start], with, &json[range.end..]].concat()
}

/// The members stay without the one at `at`, with its comma.
fn remove(json: &[u8], members: &[Member], at: usize) -> Vec<u8> {
    let range = if at > 0 {
        members[at - 1].1.end..members[at].1.end
    } else {
        let start = key_start(json, &members[0]);
        let end = members
            .get(1)
            .map_or(members[0].1.end, |next| key_start(json, next));
        start..end
    };
    replace(json, range, b"")
}

/// Where the opening quote of a member's key stands.
fn key_start(json: &[u8], (key, value): &Member) -> usize {
    let quoted = format!("\"{key}\"");
    json[..value.start]
        .windows(quoted.len())
        .rposition(|w| w == quoted.as_bytes())
        .unwrap_or(value.start)
}

fn insert(json: &[u8], object: usize, members: &[Member], name: &str, value: &[u8]) -> Vec<u8> {
    let member = [b"\"", name.as_bytes(), b"\":", value].concat();
    match members.iter().rposition(|(key, _)| key.as_str() < name) {
        Some(before) => {
            let at = members[before].1.end;
            replace(json, at..at, &[b",".as_slice(), &member].concat())
        }
        None => {
            let at = object + 1;
            let comma: &[u8] = if members.is_empty() { b"" } else { b"," };
            replace(json, at..at, &[member.as_slice(), comma].concat())
        }
    }
}

/// Text as a JSON string.
pub fn quoted(text: &str) -> Vec<u8> {
    serde_json::to_vec(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::set;

    fn with(json: &str, path: &str, value: Option<&str>) -> String {
        String::from_utf8(set(json.as_bytes(), path, value.map(str::as_bytes)).unwrap()).unwrap()
    }

    #[test]
    fn members_come_go_and_change() {
        let text = r#"{"a":1,"m":{"b":2,"d":{"x":"y"}}}"#;
        assert_eq!(
            with(text, "m.c", Some("3")),
            r#"{"a":1,"m":{"b":2,"c":3,"d":{"x":"y"}}}"#
        );
        assert_eq!(
            with(text, "m.a", Some("[]")),
            r#"{"a":1,"m":{"a":[],"b":2,"d":{"x":"y"}}}"#
        );
        assert_eq!(
            with(text, "m.b", Some("9")),
            r#"{"a":1,"m":{"b":9,"d":{"x":"y"}}}"#
        );
        assert_eq!(with(text, "m.b", None), r#"{"a":1,"m":{"d":{"x":"y"}}}"#);
        assert_eq!(with(text, "m.d", None), r#"{"a":1,"m":{"b":2}}"#);
        assert_eq!(with(text, "m", None), r#"{"a":1}"#);
        assert_eq!(with(text, "z.y", None), text);
        assert_eq!(with("{}", "a", Some("1")), r#"{"a":1}"#);
        assert_eq!(with(r#"{"a":1}"#, "a", None), "{}");
    }
}
