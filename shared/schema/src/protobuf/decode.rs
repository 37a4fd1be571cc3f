//! Messages as JSON values.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Number, Value};

use super::{
    ProtobufError,
    table::{Field, MessageRef, Shape},
    wire::{Fields, Wire, varint},
};
use crate::{document, time::complaint};

/// How deep messages may stand in each other; the deepest of upstream stay far below, but for schemas.
const MAX_DEPTH: usize = 100;

/// The first second of the year 1, which is the zero time of Go.
const GO_ZERO: i64 = -62_135_596_800;

/// Reads a message into `object`, where parts of it may stand already: a message may come in pieces.
pub(super) fn message(
    message: MessageRef,
    bytes: &[u8],
    object: &mut Map<String, Value>,
    depth: usize,
) -> Result<(), ProtobufError> {
    if depth > MAX_DEPTH {
        return Err(ProtobufError::Depth);
    }
    let message = message.get();
    for field in Fields::new(bytes) {
        let (number, wire) = field?;
        let Some(field) = message.field(number) else {
            continue;
        };
        match &field.shape {
            Shape::Message(inner) if field.inline => {
                self::message(*inner, wire.bytes(field.name)?, object, depth + 1)?;
            }
            Shape::List(element) => {
                if let Value::Array(items) = object
                    .entry(field.name)
                    .or_insert_with(|| Value::Array(Vec::new()))
                {
                    elements(field, element, wire, items, depth)?;
                }
            }
            Shape::Map(element) => {
                if let Value::Object(members) = object.entry(field.name).or_insert_with(|| Map::new().into())
                {
                    let (key, value) = entry(field, element, wire.bytes(field.name)?, depth)?;
                    members.insert(key, value);
                }
            }
            shape => {
                let value = value(field, shape, wire, object.remove(field.name), depth)?;
                if !(value.is_null() || field.omits_zero && is_zero(&value, shape)) {
                    object.insert(field.name.to_owned(), value);
                }
            }
        }
    }
    Ok(())
}

/// Whether upstream's Go takes the value for none. It never does so with structs.
fn is_zero(value: &Value, shape: &Shape) -> bool {
    match value {
        Value::Bool(set) => !set,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() && *shape != Shape::Quantity,
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// One element of a list, or several numbers in one piece.
fn elements(
    field: &Field,
    element: &Shape,
    wire: Wire<'_>,
    items: &mut Vec<Value>,
    depth: usize,
) -> Result<(), ProtobufError> {
    let packed = matches!(element, Shape::Int32 | Shape::Int64 | Shape::Bool);
    let (Wire::Bytes(mut rest), true) = (wire, packed) else {
        items.push(value(field, element, wire, None, depth)?);
        return Ok(());
    };
    while !rest.is_empty() {
        let number = Wire::Varint(varint(&mut rest)?);
        items.push(value(field, element, number, None, depth)?);
    }
    Ok(())
}

/// A member of a map: a message of a key and a value, both of which may be left out.
fn entry(
    field: &Field,
    element: &Shape,
    bytes: &[u8],
    depth: usize,
) -> Result<(String, Value), ProtobufError> {
    let (mut key, mut held) = ("", None);
    for part in Fields::new(bytes) {
        match part? {
            (1, wire) => key = wire.text(field.name)?,
            (2, wire) => held = Some(value(field, element, wire, held, depth)?),
            _ => {}
        }
    }
    let nothing = match element {
        Shape::Bool | Shape::Int32 | Shape::Int64 => Wire::Varint(0),
        Shape::Double => Wire::Fixed64(0),
        _ => Wire::Bytes(&[]),
    };
    let held = held.map_or_else(|| value(field, element, nothing, None, depth), Ok)?;
    Ok((key.to_owned(), held))
}

/// A value that is neither list nor map; `before` is what an earlier piece of a message said.
fn value(
    field: &Field,
    shape: &Shape,
    wire: Wire<'_>,
    before: Option<Value>,
    depth: usize,
) -> Result<Value, ProtobufError> {
    let name = field.name;
    let wrong = |text: &str| ProtobufError::Value(name.to_owned(), text.to_owned());
    Ok(match shape {
        Shape::String => wire.text(name)?.into(),
        Shape::Bytes => STANDARD.encode(wire.bytes(name)?).into(),
        Shape::Bool => (wire.varint(name)? != 0).into(),
        Shape::Int32 => truncated(wire.varint(name)?).into(),
        Shape::Int64 => wire.varint(name)?.cast_signed().into(),
        Shape::Double => match wire {
            Wire::Fixed64(bits) => Number::from_f64(f64::from_bits(bits))
                .ok_or_else(|| wrong("not a finite number"))?
                .into(),
            _ => return Err(ProtobufError::WireType(name.to_owned())),
        },
        Shape::Time => time(name, wire.bytes(name)?, false)?,
        Shape::MicroTime => time(name, wire.bytes(name)?, true)?,
        Shape::Quantity => match inside(wire.bytes(name)?, 1)? {
            Some(text) => text.text(name)?.into(),
            None => "0".into(),
        },
        Shape::IntOrString => int_or_string(name, wire.bytes(name)?)?,
        Shape::Raw => match inside(wire.bytes(name)?, 1)?
            .map(|raw| raw.bytes(name))
            .transpose()?
        {
            None | Some([]) => Value::Null,
            Some(text) => document::read(text).map_err(|error| wrong(&error.0))?,
        },
        Shape::Message(inner) => nested(*inner, wire.bytes(name)?, before, depth + 1)?,
        Shape::Wrapped(list) => {
            let mut items = match (list.as_ref(), before) {
                (_, Some(Value::Array(items))) => items,
                _ => Vec::new(),
            };
            if let Shape::List(element) = list.as_ref() {
                for part in Fields::new(wire.bytes(name)?) {
                    if let (1, wire) = part? {
                        elements(field, element, wire, &mut items, depth + 1)?;
                    }
                }
            }
            items.into()
        }
        Shape::List(_) | Shape::Map(_) => return Err(wrong("a list or map inside of a list or map")),
    })
}

/// A message as a value of its own.
fn nested(
    inner: MessageRef,
    bytes: &[u8],
    before: Option<Value>,
    depth: usize,
) -> Result<Value, ProtobufError> {
    let mut object = match before {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    };
    message(inner, bytes, &mut object, depth)?;
    if !inner.get().either {
        return Ok(object.into());
    }
    let mut members: Vec<Value> = object.into_iter().map(|(_, member)| member).collect();
    members.sort_by_key(|member| match member {
        Value::Array(_) => 2,
        Value::Object(_) => 1,
        _ => 0,
    });
    Ok(members.pop().unwrap_or_default())
}

/// The last field of that number in a message.
fn inside(bytes: &[u8], number: u32) -> Result<Option<Wire<'_>>, ProtobufError> {
    let mut found = None;
    for field in Fields::new(bytes) {
        let (at, wire) = field?;
        if at == number {
            found = Some(wire);
        }
    }
    Ok(found)
}

/// Upstream's readers drop the upper bits.
#[expect(clippy::cast_possible_truncation, reason = "that is the rule of the format")]
fn truncated(number: u64) -> i32 {
    number as i32
}

fn int_or_string(name: &str, bytes: &[u8]) -> Result<Value, ProtobufError> {
    let number = |wire: Option<Wire<'_>>| wire.map_or(Ok(0), |wire| wire.varint(name));
    match number(inside(bytes, 1)?)? {
        0 => Ok(truncated(number(inside(bytes, 2)?)?).into()),
        1 => Ok(inside(bytes, 3)?.map_or(Ok(""), |wire| wire.text(name))?.into()),
        _ => Err(ProtobufError::Value(
            name.to_owned(),
            "impossible IntOrString.Type".to_owned(),
        )),
    }
}

/// A time; upstream writes the zero time as an empty message and as a null, and keeps parts of a second only of micro times.
fn time(name: &str, bytes: &[u8], micro: bool) -> Result<Value, ProtobufError> {
    let number = |wire: Option<Wire<'_>>| wire.map_or(Ok(0), |wire| wire.varint(name));
    let seconds = number(inside(bytes, 1)?)?.cast_signed();
    let nanos = if micro {
        truncated(number(inside(bytes, 2)?)?)
    } else {
        0
    };
    if bytes.is_empty() || (seconds, nanos) == (GO_ZERO, 0) {
        return Ok(Value::Null);
    }
    let layout = if micro {
        "%Y-%m-%dT%H:%M:%S%.6fZ"
    } else {
        "%Y-%m-%dT%H:%M:%SZ"
    };
    let wrong = |text: String| ProtobufError::Value(name.to_owned(), text);
    let text = Timestamp::new(seconds, nanos)
        .map_err(|error| wrong(error.to_string()))?
        .strftime(layout)
        .to_string();
    match complaint(&text, micro) {
        Some(complaint) => Err(wrong(complaint)),
        None => Ok(text.into()),
    }
}
