//! A scanner over JSON text that finds where values stand without decoding them.

use std::{borrow::Cow, ops::Range};

/// The text is not JSON where the scanner looked; the byte offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid JSON at byte {0}")]
pub struct ScanError(pub usize);

/// Offset of the first byte at or after `at` that is not white space.
pub fn skip_space(json: &[u8], mut at: usize) -> usize {
    while matches!(json.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// `at` stands on a quote; the offset past the closing one.
fn skip_string(json: &[u8], at: usize) -> Result<usize, ScanError> {
    let mut i = at + 1;
    loop {
        match json.get(i) {
            Some(b'"') => return Ok(i + 1),
            Some(b'\\') => i += 2,
            Some(_) => i += 1,
            None => return Err(ScanError(at)),
        }
    }
}

/// The offset past the value that starts at `at` (no white space before it). Nesting is only counted, so depth is free.
pub fn skip_value(json: &[u8], at: usize) -> Result<usize, ScanError> {
    match json.get(at) {
        Some(b'"') => skip_string(json, at),
        Some(b'{' | b'[') => {
            let (mut i, mut depth) = (at, 0usize);
            loop {
                match json.get(i) {
                    Some(b'"') => i = skip_string(json, i)?,
                    Some(b'{' | b'[') => {
                        depth += 1;
                        i += 1;
                    }
                    Some(b'}' | b']') => {
                        depth -= 1;
                        i += 1;
                        if depth == 0 {
                            return Ok(i);
                        }
                    }
                    Some(_) => i += 1,
                    None => return Err(ScanError(at)),
                }
            }
        }
        Some(_) => {
            let mut i = at;
            while !matches!(
                json.get(i),
                None | Some(b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t')
            ) {
                i += 1;
            }
            if i == at { Err(ScanError(at)) } else { Ok(i) }
        }
        None => Err(ScanError(at)),
    }
}

/// A member of an object: its key, and where its value stands.
pub type Member<'a> = (Cow<'a, str>, Range<usize>);

/// Members of the object that starts at `at`: key and where its value stands.
#[derive(Debug)]
pub struct Members<'a> {
    json: &'a [u8],
    at: usize,
    done: bool,
}

/// Iterates over the members of the object at `at`; nothing for any other value.
pub fn members(json: &[u8], at: usize) -> Members<'_> {
    let at = skip_space(json, at);
    let object = json.get(at) == Some(&b'{');
    Members {
        json,
        at: at + 1,
        done: !object,
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<Member<'a>, ScanError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let member = self.member();
        if !matches!(member, Ok(Some(_))) {
            self.done = true;
        }
        member.transpose()
    }
}

impl<'a> Members<'a> {
    fn member(&mut self) -> Result<Option<Member<'a>>, ScanError> {
        let mut i = skip_space(self.json, self.at);
        if self.json.get(i) == Some(&b',') {
            i = skip_space(self.json, i + 1);
        }
        match self.json.get(i) {
            Some(b'}') => return Ok(None),
            Some(b'"') => {}
            _ => return Err(ScanError(i)),
        }
        let key_end = skip_string(self.json, i)?;
        let key = text(self.json, i..key_end)?;
        let colon = skip_space(self.json, key_end);
        if self.json.get(colon) != Some(&b':') {
            return Err(ScanError(colon));
        }
        let start = skip_space(self.json, colon + 1);
        let end = skip_value(self.json, start)?;
        self.at = end;
        Ok(Some((key, start..end)))
    }
}

/// Where the elements of the array that starts at `at` stand; nothing for any other value.
pub fn elements(json: &[u8], at: usize) -> Result<Vec<Range<usize>>, ScanError> {
    let mut i = skip_space(json, at);
    let mut found = Vec::new();
    if json.get(i) != Some(&b'[') {
        return Ok(found);
    }
    i = skip_space(json, i + 1);
    while json.get(i) != Some(&b']') {
        let end = skip_value(json, i)?;
        found.push(i..end);
        i = skip_space(json, end);
        if json.get(i) == Some(&b',') {
            i = skip_space(json, i + 1);
        }
    }
    Ok(found)
}

/// The text of the JSON string at `range` (quotes included); borrowed unless it holds escapes.
pub fn text(json: &[u8], range: Range<usize>) -> Result<Cow<'_, str>, ScanError> {
    let raw = json.get(range.clone()).ok_or(ScanError(range.start))?;
    if raw.len() < 2 || raw[0] != b'"' {
        return Err(ScanError(range.start));
    }
    let inner = &raw[1..raw.len() - 1];
    if inner.contains(&b'\\') {
        serde_json::from_slice::<String>(raw)
            .map(Cow::Owned)
            .map_err(|_| ScanError(range.start))
    } else {
        std::str::from_utf8(inner)
            .map(Cow::Borrowed)
            .map_err(|_| ScanError(range.start))
    }
}

/// Where the value at the dotted `path` stands, such as `spec.nodeName`.
pub fn find(json: &[u8], path: &str) -> Result<Option<Range<usize>>, ScanError> {
    let mut range = 0..json.len();
    for part in path.split('.') {
        let mut found = None;
        for member in members(json, range.start) {
            let (key, value) = member?;
            if key == part {
                found = Some(value);
                break;
            }
        }
        match found {
            Some(value) => range = value,
            None => return Ok(None),
        }
    }
    Ok(Some(range))
}

/// The scalar at `path` as selectors compare it: a string's text, `true`, a number's digits; empty if absent or null.
pub fn scalar<'a>(json: &'a [u8], path: &str) -> Result<Cow<'a, str>, ScanError> {
    let Some(range) = find(json, path)? else {
        return Ok(Cow::Borrowed(""));
    };
    match json.get(range.start) {
        Some(b'"') => text(json, range),
        Some(b'{' | b'[') => Ok(Cow::Borrowed("")),
        _ => match std::str::from_utf8(&json[range.clone()]) {
            Ok("null") => Ok(Cow::Borrowed("")),
            Ok(value) => Ok(Cow::Borrowed(value)),
            Err(_) => Err(ScanError(range.start)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &[u8] = br#" {"a": {"b":[1,{"c":"}"},3], "d\n":"x\"y"}, "n":12 ,"t":true}"#;

    #[test]
    fn finds_values_by_path() {
        assert_eq!(scalar(POD, "n").unwrap(), "12");
        assert_eq!(scalar(POD, "t").unwrap(), "true");
        assert_eq!(scalar(POD, "a.b").unwrap(), "");
        assert_eq!(scalar(POD, "a.missing").unwrap(), "");
        let keys: Vec<_> = members(POD, find(POD, "a").unwrap().unwrap().start)
            .map(|m| m.unwrap().0)
            .collect();
        assert_eq!(keys, ["b", "d\n"]);
        let b = find(POD, "a.b").unwrap().unwrap();
        assert_eq!(elements(POD, b.start).unwrap().len(), 3);
    }

    #[test]
    fn broken_text_is_an_error_and_never_a_hang() {
        for text in [
            &b"{\"a\""[..],
            b"{\"a\":",
            b"{\"a\":[",
            b"{a:1}",
            b"{\"a\":\"\\",
            b"{\"a\" 1}",
        ] {
            assert!(find(text, "a").is_err(), "{:?}", std::str::from_utf8(text));
        }
        assert_eq!(find(b"", "a"), Ok(None));
    }
}
