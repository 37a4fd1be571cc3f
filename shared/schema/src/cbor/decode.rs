//! CBOR as JSON text: one pass over the items, no values in between and no recursion.

use std::{borrow::Cow, collections::HashSet};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use jiff::Timestamp;

use super::{CborError, Major};
use crate::MAX_DEPTH;

/// The tags that mean something here.
mod tag {
    pub const TIME_TEXT: u64 = 0;
    pub const TIME_NUMBER: u64 = 1;
    pub const BIG: std::ops::RangeInclusive<u64> = 2..=3;
    pub const BASE64_URL: u64 = 21;
    pub const BASE64: u64 = 22;
    pub const BASE16: u64 = 23;
}

/// The JSON of a body. Byte strings are text, unless a tag says which encoding they have in JSON; times are text, also those that
/// are numbers under a tag.
///
/// # Errors
/// What is not well-formed, members that come twice, keys that are not text, and values that JSON cannot hold: numbers that are
/// not finite or have more than 64 bits, and simple values but `false`, `true` and `null`.
pub fn cbor_to_json(body: &[u8]) -> Result<Vec<u8>, CborError> {
    if body.is_empty() {
        return Err(CborError::Empty);
    }
    let mut reader = Reader {
        rest: body,
        out: Vec::with_capacity(body.len() * 5 / 4),
        open: Vec::new(),
    };
    reader.value(None)?;
    while let Some(mut container) = reader.open.pop() {
        if reader.ends(&mut container)? {
            reader.out.push(if container.object { b'}' } else { b']' });
            continue;
        }
        if container.read > 0 {
            reader.out.push(b',');
        }
        if container.object {
            reader.key(&mut container)?;
        }
        container.read += 1;
        let later = container.later;
        reader.open.push(container);
        reader.value(later)?;
    }
    match reader.rest.len() {
        0 => Ok(reader.out),
        more => Err(CborError::Extra(more, body.len() - more)),
    }
}

/// The first bytes of an item.
struct Head {
    major: Major,
    information: u8,
    /// None: no length is given, the end is marked.
    value: Option<u64>,
}

/// An array or map that is open.
struct Container<'a> {
    object: bool,
    /// How many elements it has; none: its end is marked.
    length: Option<u64>,
    read: usize,
    keys: HashSet<Cow<'a, str>>,
    later: Option<u64>,
}

struct Reader<'a> {
    rest: &'a [u8],
    out: Vec<u8>,
    open: Vec<Container<'a>>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: u64) -> Result<&'a [u8], CborError> {
        let count = usize::try_from(count).map_err(|_| CborError::Truncated)?;
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(CborError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn head(&mut self) -> Result<Head, CborError> {
        let first = self.take(1)?[0];
        let (major, information) = (Major::ALL[usize::from(first >> 5)], first & 0x1f);
        let value = match information {
            0..24 => Some(u64::from(information)),
            24..28 => {
                let bytes = self.take(1 << (information - 24))?;
                Some(
                    bytes
                        .iter()
                        .fold(0, |number, byte| number << 8 | u64::from(*byte)),
                )
            }
            31 if major == Major::Simple => return Err(CborError::Break),
            31 if matches!(major, Major::Bytes | Major::Text | Major::Array | Major::Map) => None,
            _ => return Err(CborError::Information(information, major.name())),
        };
        Ok(Head {
            major,
            information,
            value,
        })
    }

    /// Whether the container is at its end, which is taken.
    fn ends(&mut self, container: &mut Container<'_>) -> Result<bool, CborError> {
        match (container.length, self.rest.first()) {
            (Some(length), _) => Ok(length == container.read as u64),
            (None, Some(0xff)) => {
                self.rest = &self.rest[1..];
                Ok(true)
            }
            (None, Some(_)) => Ok(false),
            (None, None) => Err(CborError::Truncated),
        }
    }

    fn key(&mut self, container: &mut Container<'a>) -> Result<(), CborError> {
        let mut head = self.head()?;
        while head.major == Major::Tag {
            head = self.head()?;
        }
        if !matches!(head.major, Major::Bytes | Major::Text) {
            let name = head.major.name();
            let text = format!("cannot unmarshal {name} into Go value of type string");
            return Err(CborError::Value(text));
        }
        let bytes = self.string(&head)?;
        let key = text(bytes)?;
        self.write(&key);
        self.out.push(b':');
        if container.keys.contains(&key) {
            return Err(CborError::Duplicate(key.into_owned(), container.read));
        }
        container.keys.insert(key);
        Ok(())
    }

    /// The next item, or the opening of it. `later` is the tag around it about bytes.
    fn value(&mut self, mut later: Option<u64>) -> Result<(), CborError> {
        let mut time = None;
        let head = loop {
            let head = self.head()?;
            match (head.major, head.value) {
                (Major::Tag, Some(number)) if tag::BIG.contains(&number) => {
                    let text = "cannot unmarshal tag into Go value of type interface {}: bignum is forbidden";
                    return Err(CborError::Value(text.to_owned()));
                }
                (Major::Tag, Some(number @ (tag::TIME_TEXT | tag::TIME_NUMBER))) => time = Some(number),
                (Major::Tag, Some(number @ (tag::BASE64_URL | tag::BASE64 | tag::BASE16))) => {
                    later = Some(number);
                }
                (Major::Tag, _) => {}
                _ => break head,
            }
        };
        if let Some(time) = time {
            return self.time(time, &head);
        }
        match (head.major, head.value) {
            (Major::Positive | Major::Negative, Some(number)) => self.integer(head.major, number)?,
            (Major::Bytes, _) => {
                let bytes = self.string(&head)?;
                match later {
                    Some(tag::BASE64_URL) => self.write(&URL_SAFE.encode(bytes)),
                    Some(tag::BASE64) => self.write(&STANDARD.encode(bytes)),
                    Some(_) => self.write(&base16(&bytes)),
                    None => self.write(&text(bytes)?),
                }
            }
            (Major::Text, _) => {
                let bytes = self.string(&head)?;
                self.write(&text(bytes)?);
            }
            (Major::Array | Major::Map, length) => self.opening(head.major == Major::Map, length, later)?,
            _ => self.simple(&head)?,
        }
        Ok(())
    }

    fn opening(&mut self, object: bool, length: Option<u64>, later: Option<u64>) -> Result<(), CborError> {
        if self.open.len() >= MAX_DEPTH {
            return Err(CborError::Depth);
        }
        self.out.push(if object { b'{' } else { b'[' });
        self.open.push(Container {
            object,
            length,
            read: 0,
            keys: HashSet::new(),
            later,
        });
        Ok(())
    }

    /// The bytes of a string, which may come in pieces.
    fn string(&mut self, head: &Head) -> Result<Cow<'a, [u8]>, CborError> {
        if let Some(length) = head.value {
            return self.take(length).map(Cow::Borrowed);
        }
        let mut whole = Vec::new();
        while self.rest.first() != Some(&0xff) {
            let piece = self.head()?;
            match piece.value {
                Some(length) if piece.major == head.major => whole.extend_from_slice(self.take(length)?),
                _ => return Err(CborError::Piece(piece.major.name(), head.major.name())),
            }
        }
        self.take(1)?;
        Ok(whole.into())
    }

    fn write(&mut self, text: &str) {
        // Text always has a JSON form, and memory takes it.
        let _ = serde_json::to_writer(&mut self.out, text);
    }

    fn integer(&mut self, major: Major, number: u64) -> Result<(), CborError> {
        let signed = i64::try_from(number).map_err(|_| {
            let (name, shown) = match major {
                Major::Negative => (major.name(), (-1 - i128::from(number)).to_string()),
                _ => (major.name(), number.to_string()),
            };
            CborError::Value(format!(
                "cannot unmarshal {name} into Go value of type int64 ({shown} overflows Go's int64)"
            ))
        })?;
        let signed = if major == Major::Negative {
            -1 - signed
        } else {
            signed
        };
        self.out.extend_from_slice(signed.to_string().as_bytes());
        Ok(())
    }

    fn simple(&mut self, head: &Head) -> Result<(), CborError> {
        let word = match (head.information, head.value.unwrap_or_default()) {
            (20, _) => "false",
            (21, _) => "true",
            (22, _) => "null",
            (25..28, _) => return self.float(head),
            (_, value) => {
                return Err(CborError::Value(format!(
                    "data item of cbor type primitives with content simple value {value} is not accepted"
                )));
            }
        };
        self.out.extend_from_slice(word.as_bytes());
        Ok(())
    }

    fn float(&mut self, head: &Head) -> Result<(), CborError> {
        let number = float(head).unwrap_or_default();
        match serde_json::Number::from_f64(number) {
            Some(number) => {
                self.out.extend_from_slice(number.to_string().as_bytes());
                Ok(())
            }
            None => Err(CborError::Value(format!(
                "data item of cbor type primitives with content {} is not accepted",
                if number.is_nan() {
                    "floating-point NaN"
                } else {
                    "floating-point infinity"
                }
            ))),
        }
    }

    /// A time under a tag: the text as it is, a number of seconds as text.
    fn time(&mut self, tag: u64, head: &Head) -> Result<(), CborError> {
        let wrong = |text: String| CborError::Value(format!("cannot set time: {text}"));
        let text = match (tag, head.major, head.value) {
            (tag::TIME_TEXT, Major::Bytes | Major::Text, _) => text(self.string(head)?)?,
            (tag::TIME_NUMBER, Major::Positive | Major::Negative, Some(number)) => {
                let seconds = i64::try_from(number).map_err(|error| wrong(error.to_string()))?;
                let seconds = if head.major == Major::Negative {
                    -1 - seconds
                } else {
                    seconds
                };
                let time = Timestamp::from_second(seconds).map_err(|error| wrong(error.to_string()))?;
                Cow::Owned(time.to_string())
            }
            (tag::TIME_NUMBER, Major::Simple, _) => {
                let seconds = float(head).filter(|seconds| seconds.is_finite());
                let seconds = seconds.ok_or_else(|| wrong("no number".to_owned()))?;
                let span = jiff::SignedDuration::try_from_secs_f64(seconds);
                let time = span.and_then(Timestamp::from_duration);
                Cow::Owned(time.map_err(|error| wrong(error.to_string()))?.to_string())
            }
            _ => return Err(wrong(format!("{} under tag {tag}", head.major.name()))),
        };
        self.write(&text);
        Ok(())
    }
}

fn text(bytes: Cow<'_, [u8]>) -> Result<Cow<'_, str>, CborError> {
    match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes)
            .map(Cow::Borrowed)
            .map_err(|_| CborError::Utf8),
        Cow::Owned(bytes) => String::from_utf8(bytes)
            .map(Cow::Owned)
            .map_err(|_| CborError::Utf8),
    }
}

fn base16(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A floating-point number of any width; none: it is something else.
fn float(head: &Head) -> Option<f64> {
    let bits = head.value?;
    match head.information {
        25 => u16::try_from(bits).ok().map(half),
        26 => u32::try_from(bits).ok().map(|bits| f32::from_bits(bits).into()),
        27 => Some(f64::from_bits(bits)),
        _ => None,
    }
}

fn half(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3ff);
    let size = match i32::from(bits >> 10 & 0x1f) {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (fraction + 1024.0) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}
