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

/// Whether a byte of the eight is `byte`: the lowest bit that is set is the highest of the first such byte.
fn has(word: u64, byte: u8) -> u64 {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let differs = word ^ (LOW * u64::from(byte));
    differs.wrapping_sub(LOW) & !differs & (LOW << 7)
}

/// `at` stands on a quote; the offset past the closing one.
fn skip_string(json: &[u8], at: usize) -> Result<usize, ScanError> {
    let mut i = at + 1;
    loop {
        // Eight bytes at a time: most of an object's text is in strings.
        while let Some(word) = json.get(i..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_le_bytes(*word);
            let found = has(word, b'"') | has(word, b'\\');
            if found != 0 {
                i += (found.trailing_zeros() / 8) as usize;
                break;
            }
            i += 8;
        }
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

/// Values that are looked for together, in one walk: their dotted paths, and where they stand.
#[derive(Debug)]
pub struct Wanted<'a> {
    paths: Vec<(usize, &'a str)>,
    found: Vec<Option<Range<usize>>>,
}

impl<'a> Wanted<'a> {
    /// What stands at these paths.
    pub fn new(paths: &[&'a str]) -> Self {
        Self {
            paths: paths.iter().copied().enumerate().collect(),
            found: vec![None; paths.len()],
        }
    }

    /// Looks into a member of the outermost object.
    pub fn member(&mut self, json: &[u8], key: &str, value: Range<usize>) -> Result<(), ScanError> {
        look(json, key, value, &self.paths, &mut self.found)
    }

    /// The scalars, as [`scalar`] tells each.
    pub fn scalars(self, json: &[u8]) -> impl Iterator<Item = Result<Cow<'_, str>, ScanError>> {
        self.found.into_iter().map(|range| told(json, range))
    }
}

fn look(
    json: &[u8],
    key: &str,
    value: Range<usize>,
    paths: &[(usize, &str)],
    found: &mut [Option<Range<usize>>],
) -> Result<(), ScanError> {
    let mut inside = Vec::new();
    for (index, path) in paths {
        match path.strip_prefix(key) {
            Some("") if found[*index].is_none() => found[*index] = Some(value.clone()),
            Some(rest) => inside.extend(rest.strip_prefix('.').map(|rest| (*index, rest))),
            None => {}
        }
    }
    if !inside.is_empty() {
        for member in members(json, value.start) {
            let (key, value) = member?;
            look(json, &key, value, &inside, found)?;
        }
    }
    Ok(())
}

/// The scalar at `path` as selectors compare it: a string's text, `true`, a number's digits; empty if absent or null.
pub fn scalar<'a>(json: &'a [u8], path: &str) -> Result<Cow<'a, str>, ScanError> {
    told(json, find(json, path)?)
}

fn told(json: &[u8], range: Option<Range<usize>>) -> Result<Cow<'_, str>, ScanError> {
    let Some(range) = range else {
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
    fn values_are_found_together_as_alone() {
        let paths = ["n", "a.b", "a.d\n", "t", "a.missing", "missing.x", "n.x"];
        let mut wanted = Wanted::new(&paths);
        for member in members(POD, 0) {
            let (key, value) = member.unwrap();
            wanted.member(POD, &key, value).unwrap();
        }
        let together: Vec<_> = wanted.scalars(POD).map(Result::unwrap).collect();
        let alone: Vec<_> = paths.map(|path| scalar(POD, path).unwrap()).to_vec();
        assert_eq!(together, alone);
        assert_eq!(together[..3], ["12", "", "x\"y"]);
    }

    #[test]
    fn strings_end_at_their_quote() {
        for length in 0..40 {
            let plain = format!("\"{}\",", "é".repeat(length / 2) + &"x".repeat(length % 2));
            assert_eq!(skip_string(plain.as_bytes(), 0), Ok(plain.len() - 1));
            let escaped = format!("\"{}\\\"{}\",", "x".repeat(length), "y".repeat(40 - length));
            assert_eq!(skip_string(escaped.as_bytes(), 0), Ok(escaped.len() - 1));
            let open = format!("\"{}", "x".repeat(length));
            assert_eq!(skip_string(open.as_bytes(), 0), Err(ScanError(0)));
        }
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
