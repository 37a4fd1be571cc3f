//! From `application/vnd.kubernetes.protobuf` to JSON, by a table: what typed clients, kubectl's `create` among them,
//! send. Answers are JSON, which all of them accept.

mod table;
mod wire;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use table::{Field, Kind, table};
use wire::{Fields, Value, WireError};

const MAGIC: &[u8] = b"k8s\0";
/// Messages in messages, at most.
const DEPTH: usize = 64;

/// The body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It does not start as upstream's do.
    #[error("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")]
    Prefix,
    /// It breaks off or holds what there is not.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The table has no such kind.
    #[error("no kind {0:?} is registered for version {1:?}")]
    Kind(String, String),
}

type Parts<'a> = Vec<(u64, Value<'a>)>;

fn parts(message: &[u8]) -> Result<Parts<'_>, WireError> {
    Fields::new(message).collect()
}

fn bytes<'a>(parts: &Parts<'a>, number: u64) -> &'a [u8] {
    let last = parts.iter().rev().find_map(|part| match part {
        (n, Value::Bytes(bytes)) if *n == number => Some(*bytes),
        _ => None,
    });
    last.unwrap_or_default()
}

fn number(parts: &Parts<'_>, number: u64) -> i64 {
    let last = parts.iter().rev().find_map(|part| match part {
        (n, Value::Varint(value)) if *n == number => Some(value.cast_signed()),
        _ => None,
    });
    last.unwrap_or(0)
}

fn text(bytes: &[u8]) -> Result<&str, WireError> {
    std::str::from_utf8(bytes).map_err(|_| WireError)
}

/// The object in `body`, as JSON.
pub fn to_json(body: &[u8]) -> Result<Vec<u8>, Error> {
    let envelope = parts(body.strip_prefix(MAGIC).ok_or(Error::Prefix)?)?;
    let meta = parts(bytes(&envelope, 1))?;
    let (api_version, kind) = (text(bytes(&meta, 1))?, text(bytes(&meta, 2))?);
    let unknown = || Error::Kind(kind.to_owned(), api_version.to_owned());
    let of = table().of_kind(api_version, kind).ok_or_else(unknown)?;
    let mut out = b"{\"kind\":".to_vec();
    put_text(kind, &mut out);
    out.extend_from_slice(b",\"apiVersion\":");
    put_text(api_version, &mut out);
    put_fields(bytes(&envelope, 2), of, DEPTH, &mut out)?;
    out.push(b'}');
    Ok(out)
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(&serde_json::to_vec(text).unwrap_or_default());
}

/// Writes the members of a message into the object that is open in `out`.
fn put_fields(message: &[u8], of: usize, depth: usize, out: &mut Vec<u8>) -> Result<(), WireError> {
    let depth = depth.checked_sub(1).ok_or(WireError)?;
    let parts = parts(message)?;
    for field in table().fields(of) {
        let values: Vec<Value<'_>> = parts
            .iter()
            .filter(|(n, _)| *n == field.number)
            .map(|(_, v)| *v)
            .collect();
        let Some(last) = values.last() else { continue };
        if field.inline {
            if let (Kind::Message(of), Value::Bytes(message)) = (&field.kind, last) {
                put_fields(message, *of, depth, out)?;
            }
            continue;
        }
        let start = out.len();
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        put_text(field.name, out);
        out.push(b':');
        if !put_values(field, &values, depth, out)? {
            out.truncate(start);
        }
    }
    Ok(())
}

/// Writes the value of a field; false when JSON leaves it out.
fn put_values(
    field: &Field,
    values: &[Value<'_>],
    depth: usize,
    out: &mut Vec<u8>,
) -> Result<bool, WireError> {
    match &field.kind {
        Kind::List(kind) => {
            out.push(b'[');
            for value in values {
                put_elements(kind, value, depth, out)?;
            }
            out.push(b']');
            Ok(true)
        }
        Kind::Map(kind) => {
            out.push(b'{');
            for value in values {
                let Value::Bytes(entry) = value else {
                    return Err(WireError);
                };
                let entry = parts(entry)?;
                separate(out, b'{');
                put_text(text(bytes(&entry, 1))?, out);
                out.push(b':');
                let value = entry.iter().rev().find(|(n, _)| *n == 2).map(|(_, value)| *value);
                put_one(kind, &value.unwrap_or(Value::Bytes(b"")), depth, out)?;
            }
            out.push(b'}');
            Ok(true)
        }
        kind => {
            let full = values
                .last()
                .map(|value| put_one(kind, value, depth, out))
                .transpose()?
                .unwrap_or(false);
            Ok(full || (field.always && !matches!(kind, Kind::Time | Kind::MicroTime | Kind::Raw)))
        }
    }
}

fn separate(out: &mut Vec<u8>, open: u8) {
    if out.last() != Some(&open) {
        out.push(b',');
    }
}

/// An element of a list; numbers may come packed.
fn put_elements(kind: &Kind, value: &Value<'_>, depth: usize, out: &mut Vec<u8>) -> Result<(), WireError> {
    if let (Kind::Int | Kind::Bool, Value::Bytes(packed)) = (kind, value) {
        let mut rest = *packed;
        while !rest.is_empty() {
            let (number, after) = wire::varint(rest)?;
            rest = after;
            separate(out, b'[');
            put_one(kind, &Value::Varint(number), depth, out)?;
        }
        return Ok(());
    }
    separate(out, b'[');
    put_one(kind, value, depth, out)?;
    Ok(())
}

/// Writes one value; false when it is zero or empty.
fn put_one(kind: &Kind, value: &Value<'_>, depth: usize, out: &mut Vec<u8>) -> Result<bool, WireError> {
    match (kind, value) {
        (Kind::Int, Value::Varint(n)) => {
            out.extend_from_slice(n.cast_signed().to_string().as_bytes());
            Ok(*n != 0)
        }
        (Kind::Bool, Value::Varint(n)) => {
            out.extend_from_slice(if *n == 0 { b"false" } else { b"true" });
            Ok(*n != 0)
        }
        (Kind::Float, Value::Fixed64(bits)) => {
            let text = serde_json::to_vec(&f64::from_bits(*bits)).map_err(|_| WireError)?;
            out.extend_from_slice(&text);
            Ok(*bits != 0)
        }
        (_, Value::Bytes(bytes)) => put_message(kind, bytes, depth, out),
        _ => Err(WireError),
    }
}

fn put_message(kind: &Kind, message: &[u8], depth: usize, out: &mut Vec<u8>) -> Result<bool, WireError> {
    match kind {
        Kind::Text => {
            put_text(text(message)?, out);
            return Ok(!message.is_empty());
        }
        Kind::Bytes => {
            put_text(&STANDARD.encode(message), out);
            return Ok(!message.is_empty());
        }
        Kind::Message(of) => {
            out.push(b'{');
            put_fields(message, *of, depth, out)?;
            out.push(b'}');
            return Ok(true);
        }
        _ => {}
    }
    let parts = parts(message)?;
    match kind {
        Kind::Quantity => put_text(text(bytes(&parts, 1))?, out),
        Kind::Time | Kind::MicroTime => {
            let time = Timestamp::new(
                number(&parts, 1),
                i32::try_from(number(&parts, 2)).map_err(|_| WireError)?,
            );
            let time = time.map_err(|_| WireError)?;
            let form = if *kind == Kind::Time {
                "%Y-%m-%dT%H:%M:%SZ"
            } else {
                "%Y-%m-%dT%H:%M:%S.%6fZ"
            };
            put_text(&time.strftime(form).to_string(), out);
        }
        Kind::IntOrString if number(&parts, 1) == 0 => {
            out.extend_from_slice(number(&parts, 2).to_string().as_bytes());
            return Ok(true);
        }
        Kind::IntOrString => {
            put_text(text(bytes(&parts, 3))?, out);
            return Ok(true);
        }
        Kind::Duration => put_text(&format!("{}ns", number(&parts, 1)), out),
        Kind::Raw => {
            let raw = bytes(&parts, 1);
            let json: &serde_json::value::RawValue = match raw {
                b"" => return Ok(false),
                raw => serde_json::from_slice(raw).map_err(|_| WireError)?,
            };
            out.extend_from_slice(json.get().as_bytes());
        }
        Kind::Texts => {
            out.push(b'[');
            for (_, value) in &parts {
                put_elements(&Kind::Text, value, depth, out)?;
            }
            out.push(b']');
        }
        _ => return Err(WireError),
    }
    Ok(!message.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let tag = u16::from(number) << 3 | 2;
        let tag = if tag < 128 {
            vec![tag as u8]
        } else {
            vec![tag as u8 | 0x80, (tag >> 7) as u8]
        };
        [tag.as_slice(), &[u8::try_from(bytes.len()).unwrap()], bytes].concat()
    }

    fn int(number: u8, value: u8) -> Vec<u8> {
        vec![number << 3, value]
    }

    fn body(api_version: &str, kind: &str, object: &[u8]) -> Vec<u8> {
        let meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
        [
            MAGIC,
            &field(1, &meta),
            &field(2, object),
            &field(3, b""),
            &field(4, b""),
        ]
        .concat()
    }

    fn json(body: &[u8]) -> String {
        String::from_utf8(to_json(body).unwrap()).unwrap()
    }

    #[test]
    fn objects_become_what_upstream_prints() {
        let meta = [
            field(1, b"c"),
            field(3, b""),
            field(8, b""),
            field(11, &[field(1, b"k"), field(2, b"v")].concat()),
        ];
        let object = [
            field(1, &meta.concat()),
            field(2, &[field(1, b"a"), field(2, b"b")].concat()),
            int(4, 0),
        ]
        .concat();
        let expected = r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"c","labels":{"k":"v"}},"data":{"a":"b"},"immutable":false}"#;
        assert_eq!(json(&body("v1", "ConfigMap", &object)), expected);
        let source = field(2, &field(19, &field(1, &field(1, b"c"))));
        let volume = [field(1, b"v"), source].concat();
        let pod = field(2, &[field(1, &volume), int(11, 0), int(4, 30)].concat());
        let pod = json(&body("v1", "Pod", &pod));
        let expected = r#""spec":{"volumes":[{"name":"v","configMap":{"name":"c"}}],"terminationGracePeriodSeconds":30}}"#;
        assert!(pod.ends_with(expected), "{pod}");
        let ports = [int(3, 80), field(4, &int(2, 80)), field(2, b"TCP")].concat();
        let service = json(&body("v1", "Service", &field(2, &field(1, &ports))));
        assert!(
            service.contains(r#""ports":[{"protocol":"TCP","port":80,"targetPort":80}]"#),
            "{service}"
        );
    }

    #[test]
    fn broken_bodies_are_refused() {
        assert_eq!(to_json(b"{}"), Err(Error::Prefix));
        assert!(matches!(to_json(&body("v9", "Pod", b"")), Err(Error::Kind(..))));
        let mut whole = body("v1", "ConfigMap", &field(1, &field(1, b"c")));
        let cut = whole.len() - 6;
        whole.truncate(cut);
        assert_eq!(to_json(&whole), Err(Error::Wire(WireError)));
        for end in 0..whole.len() {
            let _ = to_json(&whole[..end]);
        }
    }
}
