//! JSON text as messages: one pass over the text, no values in between.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    ProtobufError,
    table::{Member, Message, MessageRef, Shape},
    wire::{self, put_bytes, put_varint},
};
use crate::{SyntaxError, syntax::Cursor, time};

/// How deep messages may stand in each other; values that were read have stood less deep.
const MAX_DEPTH: usize = 128;

const VARINT: u8 = 0;
const FIXED64: u8 = 1;

/// Writes messages from JSON text, their fields in the order of the text.
pub(super) struct Encoder<'a, 'o> {
    json: Cursor<'a>,
    out: &'o mut Vec<u8>,
    depth: usize,
}

impl<'a, 'o> Encoder<'a, 'o> {
    /// Appends what `json` says to `out`.
    pub fn new(json: &'a [u8], out: &'o mut Vec<u8>) -> Result<Self, ProtobufError> {
        out.reserve(json.len());
        let json = Cursor::new(json)?;
        Ok(Self { json, out, depth: 0 })
    }

    /// Writes the object that comes next, without its length.
    pub fn message(&mut self, message: &Message) -> Result<(), ProtobufError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ProtobufError::Depth);
        }
        self.members(|encoder, name| match message.member(name) {
            Some(member) => encoder.member(member),
            None => encoder.skip().map(drop),
        })?;
        self.depth -= 1;
        Ok(())
    }

    /// A field, in the messages that are inline.
    fn member(&mut self, member: &Member) -> Result<(), ProtobufError> {
        let inside = member.inside.iter().map(|number| wire::start(self.out, *number));
        let starts: Vec<usize> = inside.collect();
        self.field(member.number, &member.shape)?;
        starts
            .into_iter()
            .rev()
            .for_each(|start| wire::finish(self.out, start));
        Ok(())
    }

    /// Calls `each` at the value of every member of the object that comes next.
    fn members(
        &mut self,
        mut each: impl FnMut(&mut Self, &str) -> Result<(), ProtobufError>,
    ) -> Result<(), ProtobufError> {
        self.json.expect(b'{', "looking for beginning of object")?;
        if self.json.next_word() == Some(b'}') {
            self.json.at += 1;
            return Ok(());
        }
        loop {
            let name = self.text()?;
            self.json.expect(b':', "after object key")?;
            each(self, &name)?;
            if !self.more(b'}', "after object key:value pair")? {
                return Ok(());
            }
        }
    }

    /// Calls `each` at every element of the array that comes next.
    fn elements(
        &mut self,
        mut each: impl FnMut(&mut Self) -> Result<(), ProtobufError>,
    ) -> Result<(), ProtobufError> {
        self.json.expect(b'[', "looking for beginning of array")?;
        if self.json.next_word() == Some(b']') {
            self.json.at += 1;
            return Ok(());
        }
        loop {
            each(self)?;
            if !self.more(b']', "after array element")? {
                return Ok(());
            }
        }
    }

    /// Takes the comma before another, or the `end`.
    fn more(&mut self, end: u8, context: &str) -> Result<bool, ProtobufError> {
        let more = self.json.next_word() == Some(b',');
        self.json.expect(if more { b',' } else { end }, context)?;
        Ok(more)
    }

    /// A field with all that it holds; nothing for a null.
    fn field(&mut self, number: u32, shape: &Shape) -> Result<(), ProtobufError> {
        if self.null()? {
            return Ok(());
        }
        match shape {
            Shape::List(element) => self.elements(|encoder| encoder.element(number, element)),
            Shape::Map(element) => self.members(|encoder, key| {
                encoder.delimited(number, |encoder| {
                    encoder.bytes(1, key.as_bytes());
                    encoder.element(2, element)
                })
            }),
            shape => self.value(number, shape),
        }
    }

    /// An element of a list or map, which stands there even as a null.
    fn element(&mut self, number: u32, shape: &Shape) -> Result<(), ProtobufError> {
        if !self.null()? {
            return self.value(number, shape);
        }
        match shape {
            Shape::Bool | Shape::Int32 | Shape::Int64 => self.varint(number, 0),
            Shape::Double => self.double(number, 0.0),
            _ => self.bytes(number, &[]),
        }
        Ok(())
    }

    /// A value that is neither list nor map nor null.
    fn value(&mut self, number: u32, shape: &Shape) -> Result<(), ProtobufError> {
        match shape {
            Shape::String => {
                let text = self.text()?;
                self.bytes(number, text.as_bytes());
                Ok(())
            }
            Shape::Bytes => {
                let bytes = STANDARD.decode(self.text()?.as_bytes()).map_err(wrong)?;
                self.bytes(number, &bytes);
                Ok(())
            }
            Shape::Bool => {
                let set = self.json.next_word() == Some(b't');
                self.json.word(if set { "true" } else { "false" })?;
                self.varint(number, i64::from(set));
                Ok(())
            }
            Shape::Int32 | Shape::Int64 => {
                let value = self.integer()?;
                self.varint(number, value);
                Ok(())
            }
            Shape::Double => {
                self.json.next_word();
                let value = self.json.number()?.parse().map_err(wrong)?;
                self.double(number, value);
                Ok(())
            }
            Shape::Time | Shape::MicroTime => self.time(number, *shape == Shape::MicroTime),
            Shape::Quantity => {
                let plain = self.json.next_word() != Some(b'"');
                let text = if plain {
                    self.json.number()?.into()
                } else {
                    self.text()?
                };
                self.delimited(number, |encoder| {
                    encoder.bytes(1, text.as_bytes());
                    Ok(())
                })
            }
            Shape::IntOrString => self.int_or_string(number),
            Shape::Raw => {
                let text = self.skip()?;
                self.delimited(number, |encoder| {
                    encoder.bytes(1, text.as_bytes());
                    Ok(())
                })
            }
            Shape::Message(inner) => self.delimited(number, |encoder| encoder.nested(*inner)),
            Shape::Wrapped(list) => self.delimited(number, |encoder| encoder.field(1, list)),
            Shape::List(_) | Shape::Map(_) => Err(wrong("a list or map inside of a list or map")),
        }
    }

    /// A message; one that is either this or that by what comes next.
    fn nested(&mut self, inner: MessageRef) -> Result<(), ProtobufError> {
        let message = inner.get();
        if !message.either {
            return self.message(message);
        }
        let next = self.json.next_word();
        for field in message.fields() {
            match (&field.shape, next) {
                (Shape::Message(_), Some(b'{'))
                | (Shape::List(_), Some(b'['))
                | (Shape::Bool, Some(b't' | b'f')) => return self.field(field.number, &field.shape),
                // Where a schema may stand for a bool, it stands for true.
                (Shape::Bool, Some(b'{')) => self.varint(field.number, 1),
                _ => {}
            }
        }
        Err(self.json.complain("looking for beginning of value").into())
    }

    fn int_or_string(&mut self, number: u32) -> Result<(), ProtobufError> {
        let is_text = self.json.next_word() == Some(b'"');
        let (integer, text) = match is_text {
            true => (0, self.text()?),
            false => (self.integer()?, Cow::default()),
        };
        self.delimited(number, |encoder| {
            encoder.varint(1, i64::from(is_text));
            encoder.varint(2, integer);
            encoder.bytes(3, text.as_bytes());
            Ok(())
        })
    }

    fn time(&mut self, number: u32, micro: bool) -> Result<(), ProtobufError> {
        let time = time::read(&self.text()?).map_err(wrong)?;
        let nanos = if micro {
            time.subsec_nanosecond() / 1000 * 1000
        } else {
            0
        };
        self.delimited(number, |encoder| {
            encoder.varint(1, time.as_second());
            encoder.varint(2, i64::from(nanos));
            Ok(())
        })
    }

    /// Takes a null, if one comes next.
    fn null(&mut self) -> Result<bool, ProtobufError> {
        let null = self.json.next_word() == Some(b'n');
        if null {
            self.json.word("null")?;
        }
        Ok(null)
    }

    /// Takes a string.
    fn text(&mut self) -> Result<Cow<'a, str>, ProtobufError> {
        if self.json.next_word() != Some(b'"') {
            return Err(self.json.complain("looking for a string").into());
        }
        let (range, escaped) = self.json.string()?;
        if !escaped {
            return Ok(self.json.text[range].into());
        }
        let quoted = &self.json.text[range.start - 1..=range.end];
        serde_json::from_str(quoted).map(Cow::Owned).map_err(wrong)
    }

    /// Takes a whole number, however it is written.
    fn integer(&mut self) -> Result<i64, ProtobufError> {
        self.json.next_word();
        let text = self.json.number()?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float without a fraction, within limits"
        )]
        let rounded = |float: f64| (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64);
        text.parse()
            .ok()
            .or_else(|| text.parse().ok().and_then(rounded))
            .ok_or_else(|| wrong(format!("{text} is no integer")))
    }

    /// Takes any value, and gives its text.
    fn skip(&mut self) -> Result<&'a str, ProtobufError> {
        self.json.next_word();
        let start = self.json.at;
        let text = self.json.text;
        self.json.at = api::scan::skip_value(text.as_bytes(), start)
            .map_err(|_| SyntaxError("unexpected end of JSON input".to_owned()))?;
        Ok(&text[start..self.json.at])
    }
}

/// What is written.
impl Encoder<'_, '_> {
    /// A field that is a message, written by `inside`.
    fn delimited(
        &mut self,
        number: u32,
        inside: impl FnOnce(&mut Self) -> Result<(), ProtobufError>,
    ) -> Result<(), ProtobufError> {
        let start = wire::start(self.out, number);
        inside(self)?;
        wire::finish(self.out, start);
        Ok(())
    }

    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        put_bytes(self.out, number, bytes);
    }

    fn varint(&mut self, number: u32, value: i64) {
        self.tag(number, VARINT);
        put_varint(self.out, value.cast_unsigned());
    }

    fn double(&mut self, number: u32, value: f64) {
        self.tag(number, FIXED64);
        self.out.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    fn tag(&mut self, number: u32, wire: u8) {
        put_varint(self.out, u64::from(number) << 3 | u64::from(wire));
    }
}

fn wrong(error: impl ToString) -> ProtobufError {
    ProtobufError::Json(error.to_string())
}

impl From<SyntaxError> for ProtobufError {
    fn from(error: SyntaxError) -> Self {
        Self::Json(error.0)
    }
}

#[cfg(test)]
mod tests;
