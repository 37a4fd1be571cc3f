//! JSON text as CBOR: one pass that counts what stands in objects and lists, one that writes.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{CborError, Major, SELF_DESCRIBED};
use crate::{
    SyntaxError,
    syntax::Cursor,
    table::{Shape, type_of},
    type_meta,
};

/// Tag "base64 in JSON", before bytes.
const BASE64: u64 = 22;

/// The object `json` as a CBOR body. Which text is bytes and which numbers are floating is known of built-in kinds.
///
/// # Errors
/// Text that is no JSON.
pub fn json_to_cbor(json: &[u8]) -> Result<Vec<u8>, CborError> {
    let mut out = SELF_DESCRIBED.to_vec();
    let meta = type_meta(json).map_err(SyntaxError)?;
    encode(json, shape_of(&meta.api_version, &meta.kind), &mut out)?;
    Ok(out)
}

/// The object `json` of that kind as an item: what a body holds, or the item of a list.
///
/// # Errors
/// As [`json_to_cbor`].
pub fn json_to_item(api_version: &str, kind: &str, json: &[u8]) -> Result<Vec<u8>, CborError> {
    let mut out = Vec::new();
    encode(json, shape_of(api_version, kind), &mut out)?;
    Ok(out)
}

/// The body of an object, which is `item`.
pub fn cbor_body(item: &[u8]) -> Vec<u8> {
    [SELF_DESCRIBED, item].concat()
}

/// What stands before the `count` items of a list of that kind in its body: `metadata` is JSON. Nothing stands after them.
///
/// # Errors
/// Metadata that is no JSON.
pub fn cbor_list(api_version: &str, kind: &str, metadata: &[u8], count: usize) -> Result<Vec<u8>, CborError> {
    let mut out = SELF_DESCRIBED.to_vec();
    head(&mut out, Major::Map, 4);
    for (name, value) in [("kind", kind), ("apiVersion", api_version)] {
        string(&mut out, name.as_bytes());
        string(&mut out, value.as_bytes());
    }
    string(&mut out, b"metadata");
    encode(metadata, None, &mut out)?;
    string(&mut out, b"items");
    head(&mut out, Major::Array, count as u64);
    Ok(out)
}

/// A frame of a watch: the event of type `kind` that holds `object`, a CBOR body.
pub fn cbor_frame(kind: &str, object: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(object.len() + 32);
    out.extend_from_slice(SELF_DESCRIBED);
    head(&mut out, Major::Map, 2);
    string(&mut out, b"type");
    string(&mut out, kind.as_bytes());
    string(&mut out, b"object");
    out.extend_from_slice(object);
    out
}

fn shape_of(api_version: &str, kind: &str) -> Option<Shape> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    type_of(group, version, kind).map(Shape::Struct)
}

fn element_of(shape: Shape) -> Option<Shape> {
    match shape {
        Shape::List(element) | Shape::Map(element) => Some(element.get()),
        _ => None,
    }
}

/// Appends the value `json`, which is of that shape if one is known.
fn encode(json: &[u8], shape: Option<Shape>, out: &mut Vec<u8>) -> Result<(), CborError> {
    let mut encoder = Encoder {
        sizes: sizes(json)?.into_iter(),
        json: Cursor::new(json)?,
        out,
        open: Vec::new(),
    };
    encoder.out.reserve(json.len());
    encoder.value(shape)?;
    while let Some((object, shape)) = encoder.open.last().copied() {
        match encoder.json.next_word() {
            Some(b'}' | b']') => {
                encoder.json.at += 1;
                encoder.open.pop();
            }
            Some(b',') => encoder.json.at += 1,
            _ if object => encoder.member(shape)?,
            _ => encoder.value(shape.and_then(element_of))?,
        }
    }
    match encoder.json.next_word() {
        None => Ok(()),
        Some(_) => Err(encoder.json.complain("after top-level value").into()),
    }
}

/// How many members or elements every object and list has, in the order of their openings.
fn sizes(json: &[u8]) -> Result<Vec<u64>, CborError> {
    let mut cursor = Cursor::new(json)?;
    let (mut sizes, mut open) = (Vec::new(), Vec::new());
    while let Some(byte) = cursor.next_word() {
        match byte {
            b'"' => {
                cursor.string()?;
                continue;
            }
            b'{' | b'[' => {
                cursor.at += 1;
                open.push(sizes.len());
                let some = !matches!(cursor.next_word(), Some(b'}' | b']'));
                sizes.push(u64::from(some));
                continue;
            }
            b'}' | b']' => drop(open.pop()),
            b',' => {
                if let Some(size) = open.last().and_then(|at: &usize| sizes.get_mut(*at)) {
                    *size += 1;
                }
            }
            _ => {}
        }
        cursor.at += 1;
    }
    Ok(sizes)
}

struct Encoder<'a, 'o> {
    json: Cursor<'a>,
    sizes: std::vec::IntoIter<u64>,
    out: &'o mut Vec<u8>,
    /// What is open: whether it is an object, and its shape.
    open: Vec<(bool, Option<Shape>)>,
}

impl<'a> Encoder<'a, '_> {
    fn member(&mut self, shape: Option<Shape>) -> Result<(), CborError> {
        if self.json.next_word() != Some(b'"') {
            let context = "looking for beginning of object key string";
            return Err(self.json.complain(context).into());
        }
        let name = self.text()?;
        string(self.out, name.as_bytes());
        self.json.expect(b':', "after object key")?;
        let shape = match shape {
            Some(Shape::Struct(ty)) => ty.field(&name).map(|(_, field)| field.shape),
            shape => shape.and_then(element_of),
        };
        self.value(shape)
    }

    /// Takes the string that comes next.
    fn text(&mut self) -> Result<Cow<'a, str>, CborError> {
        let start = self.json.at;
        self.json.string()?;
        let text = api::scan::text(self.json.text.as_bytes(), start..self.json.at);
        text.map_err(|error| SyntaxError(error.to_string()).into())
    }

    /// The next value, or its opening.
    fn value(&mut self, shape: Option<Shape>) -> Result<(), CborError> {
        let size = |sizes: &mut std::vec::IntoIter<u64>| sizes.next().unwrap_or_default();
        match self.json.next_word() {
            Some(byte @ (b'{' | b'[')) => {
                self.json.at += 1;
                let object = byte == b'{';
                let major = if object { Major::Map } else { Major::Array };
                head(self.out, major, size(&mut self.sizes));
                self.open.push((object, shape));
            }
            Some(b'"') => {
                let text = self.text()?;
                match (shape, STANDARD.decode(text.as_bytes())) {
                    (Some(Shape::Bytes), Ok(bytes)) => {
                        head(self.out, Major::Tag, BASE64);
                        string(self.out, &bytes);
                    }
                    _ => string(self.out, text.as_bytes()),
                }
            }
            Some(b'n') => self.word("null", 0xf6)?,
            Some(b't') => self.word("true", 0xf5)?,
            Some(b'f') => self.word("false", 0xf4)?,
            Some(b'-' | b'0'..=b'9') => {
                let text = self.json.number()?;
                number(self.out, text, shape == Some(Shape::Float));
            }
            _ => return Err(self.json.complain("looking for beginning of value").into()),
        }
        Ok(())
    }

    fn word(&mut self, word: &str, byte: u8) -> Result<(), CborError> {
        self.json.word(word)?;
        self.out.push(byte);
        Ok(())
    }
}

fn string(out: &mut Vec<u8>, text: &[u8]) {
    head(out, Major::Bytes, text.len() as u64);
    out.extend_from_slice(text);
}

/// The first bytes of an item, as few as do.
fn head(out: &mut Vec<u8>, major: Major, value: u64) {
    let first = (major as u8) << 5;
    let bytes = value.to_be_bytes();
    match value {
        0..24 => out.push(first | bytes[7]),
        24..0x100 => out.extend_from_slice(&[first | 24, bytes[7]]),
        0x100..0x1_0000 => {
            out.push(first | 25);
            out.extend_from_slice(&bytes[6..]);
        }
        0x1_0000..0x1_0000_0000 => {
            out.push(first | 26);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(first | 27);
            out.extend_from_slice(&bytes);
        }
    }
}

/// A whole number, or a floating one in the fewest bytes that hold it.
pub(super) fn number(out: &mut Vec<u8>, text: &str, floating: bool) {
    if !floating {
        if let Ok(whole) = text.parse::<u64>() {
            return head(out, Major::Positive, whole);
        }
        if let Ok(whole) = text.parse::<i64>() {
            return head(out, Major::Negative, !whole.cast_unsigned());
        }
    }
    let number: f64 = text.parse().unwrap_or_default();
    #[expect(clippy::cast_possible_truncation, reason = "whether it fits is looked at")]
    let single = number as f32;
    if f64::from(single) != number {
        out.push(0xfb);
        out.extend_from_slice(&number.to_be_bytes());
    } else if let Some(half) = half(single) {
        out.push(0xf9);
        out.extend_from_slice(&half.to_be_bytes());
    } else {
        out.push(0xfa);
        out.extend_from_slice(&single.to_be_bytes());
    }
}

/// The number in 16 bits, if it is the same there.
fn half(number: f32) -> Option<u16> {
    let bits = number.to_bits();
    let sign = bits >> 16 & 0x8000;
    let fraction = bits & 0x7f_ffff;
    let exponent = (bits >> 23 & 0xff).cast_signed() - 127;
    let size = match exponent {
        -127 if fraction == 0 => 0,
        -14..=15 if fraction.trailing_zeros() >= 13 => {
            ((exponent + 15).cast_unsigned() << 10) | fraction >> 13
        }
        -24..-14 => {
            let whole = fraction | 0x80_0000;
            let shift = (-1 - exponent).cast_unsigned();
            if whole.trailing_zeros() < shift {
                return None;
            }
            whole >> shift
        }
        _ => return None,
    };
    u16::try_from(sign | size).ok()
}
