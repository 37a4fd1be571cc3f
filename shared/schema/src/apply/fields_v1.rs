//! `FieldsV1`: sets of fields as JSON.

use super::{
    raw::Raw,
    set::{Entry, FieldSet, Scalar, Step},
};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};
use std::{borrow::Cow, fmt};

/// Reads a set. Steps of an unknown kind are left out, as upstream.
pub(super) fn read(json: Raw<'_>) -> Result<FieldSet, String> {
    let level: Level = serde_json::from_slice(json.text()).map_err(|error| error.to_string())?;
    Ok(level.below)
}

/// What is said of one field: whether it is in the set itself, and what is below it.
struct Level {
    own: bool,
    below: FieldSet,
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

struct LevelVisitor;

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LevelVisitor)
    }
}

impl<'de> Visitor<'de> for LevelVisitor {
    type Value = Level;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Level, A::Error> {
        let (mut own, mut entries) = (false, Vec::new());
        while let Some(Key(key)) = access.next_key()? {
            let step = match &*key {
                "." => {
                    own = true;
                    None
                }
                key => step(key).map_err(A::Error::custom)?,
            };
            let Some(step) = step else {
                access.next_value::<IgnoredAny>()?;
                continue;
            };
            let Level { own, below } = access.next_value()?;
            let own = own || below.is_empty();
            entries.push(Entry { step, own, below });
        }
        if !entries.is_sorted_by(|a, b| a.step < b.step) {
            entries.sort_by(|a, b| a.step.cmp(&b.step));
            entries.dedup_by(|a, b| a.step == b.step);
        }
        let below = FieldSet(entries);
        Ok(Level { own, below })
    }
}

fn step(text: &str) -> Result<Option<Step>, String> {
    let (kind, rest) = match text.split_at_checked(2) {
        None => return Err("key must be 2 characters long:".to_owned()),
        Some((kind, rest)) => (kind, rest),
    };
    let json = || {
        let value: Result<&serde_json::value::RawValue, _> = serde_json::from_str(rest);
        value
            .map(|value| Raw::new(value.get().as_bytes()))
            .map_err(|error| error.to_string())
    };
    match kind {
        "f:" => Ok(Some(Step::Field(rest.into()))),
        "v:" => Ok(Some(Step::Value(Scalar::read(json()?)))),
        "k:" => {
            let members = json()?.members().into_iter();
            Ok(Some(Step::Key(
                members
                    .map(|(name, value)| (name.into(), Scalar::read(value)))
                    .collect(),
            )))
        }
        "i:" => {
            let wrong = |_| format!("strconv.Atoi: parsing {rest:?}: invalid syntax");
            rest.parse().map(|at| Some(Step::Index(at))).map_err(wrong)
        }
        kind if kind.ends_with(':') => Ok(None),
        _ => Err(format!("missing colon: {text}")),
    }
}

/// Appends the set as JSON, in upstream's order.
pub(super) fn write(set: &FieldSet, out: &mut Vec<u8>) {
    write_level(set, false, out);
}

fn write_level(set: &FieldSet, own: bool, out: &mut Vec<u8>) {
    out.push(b'{');
    if own && !set.is_empty() {
        out.extend_from_slice(br#"".":{}"#);
    }
    let mut first = !own;
    for entry in &set.0 {
        if !std::mem::take(&mut first) {
            out.push(b',');
        }
        write_step(&entry.step, out);
        out.push(b':');
        write_level(&entry.below, entry.own, out);
    }
    out.push(b'}');
}

fn write_step(step: &Step, out: &mut Vec<u8>) {
    let mut text = String::new();
    match step {
        Step::Field(name) => {
            if !name.bytes().any(|b| b < b' ' || b == b'"' || b == b'\\') {
                out.extend_from_slice(b"\"f:");
                out.extend_from_slice(name.as_bytes());
                out.push(b'"');
                return;
            }
            text.push_str("f:");
            text.push_str(name);
        }
        Step::Key(fields) => {
            text.push_str("k:{");
            for (at, (name, value)) in fields.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                Scalar::String(name.clone()).write(&mut text);
                text.push(':');
                value.write(&mut text);
            }
            text.push('}');
        }
        Step::Value(value) => {
            text.push_str("v:");
            value.write(&mut text);
        }
        Step::Index(at) => text.push_str(&format!("i:{at}")),
    }
    out.extend_from_slice(serde_json::Value::String(text).to_string().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(json: &str) -> String {
        let set = read(Raw::new(json.as_bytes())).unwrap();
        let mut out = Vec::new();
        write(&set, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn sets_are_written_in_upstreams_order() {
        let json = r#"{"f:spec":{"f:ports":{"k:{\"port\":443,\"protocol\":\"TCP\"}":{".":{},"f:port":{}},"k:{\"protocol\":\"TCP\",\"port\":80}":{"f:port":{}}},"f:a":{"v:2":{},"v:\"x\"":{},"i:3":{},"f:z":{},"v:10":{},"v:true":{}}},"f:metadata":{"f:labels":{".":{},"f:a\"b":{}}},"x:new":{}}"#;
        assert_eq!(
            again(json),
            r#"{"f:metadata":{"f:labels":{".":{},"f:a\"b":{}}},"f:spec":{"f:a":{"f:z":{},"v:2":{},"v:10":{},"v:\"x\"":{},"v:true":{},"i:3":{}},"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{"f:port":{}},"k:{\"port\":443,\"protocol\":\"TCP\"}":{".":{},"f:port":{}}}}}"#
        );
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for json in [
            "[]",
            r#"{"a":{}}"#,
            r#"{"fx":{}}"#,
            r#"{"i:x":{}}"#,
            r#"{"v:{":{}}"#,
            r#"{"f:x":3}"#,
        ] {
            assert!(read(Raw::new(json.as_bytes())).is_err(), "{json}");
        }
        assert_eq!(again("{}"), "{}");
    }
}
