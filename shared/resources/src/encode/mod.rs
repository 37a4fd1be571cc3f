//! Canonical JSON of the typed structs: one text for one meaning. Fields come in the order of the type, what upstream's
//! `omitempty` leaves out is left out, quantities are in canonical form. Two equal objects have equal bytes, so that a
//! write that changes nothing is seen as such.

mod omit;

use api::Status;
use serde::ser::{Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer};

/// The canonical JSON of `value`.
pub(crate) fn canonical<T: Serialize>(value: &T) -> Result<Vec<u8>, Status> {
    checked(value).map_err(Status::internal)
}

/// The canonical JSON of what a client sent: a quantity that is none is the client's mistake.
pub(crate) fn checked<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = Text(Vec::with_capacity(2048));
    value.serialize(&mut text)?;
    Ok(text.0)
}

/// What was written, as far as `omitempty` cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Something.
    Full,
    /// An empty list or map; an empty struct is not empty in this sense.
    Empty,
    /// An empty string.
    Blank,
    /// `0` or `false`.
    Zero,
    /// `null`.
    Null,
}

#[derive(Debug)]
struct Text(Vec<u8>);

type Result1<T> = Result<T, serde_json::Error>;

fn odd(what: &str) -> serde_json::Error {
    serde::ser::Error::custom(format!("API types hold no {what}"))
}

impl Text {
    fn number(&mut self, text: &str, zero: bool) -> Shape {
        self.0.extend_from_slice(text.as_bytes());
        if zero { Shape::Zero } else { Shape::Full }
    }

    /// Rewrites the quantity that stands at `start` in canonical form.
    fn quantity(&mut self, start: usize) -> Result1<()> {
        let text: String = serde_json::from_slice(&self.0[start..])?;
        let quantity: api::Quantity = text.parse().map_err(serde::ser::Error::custom)?;
        self.0.truncate(start);
        serde_json::to_writer(&mut self.0, &quantity)
    }
}

impl<'a> Serializer for &'a mut Text {
    type Ok = Shape;
    type Error = serde_json::Error;
    type SerializeSeq = Items<'a>;
    type SerializeTuple = Impossible<Shape, serde_json::Error>;
    type SerializeTupleStruct = Impossible<Shape, serde_json::Error>;
    type SerializeTupleVariant = Impossible<Shape, serde_json::Error>;
    type SerializeMap = Items<'a>;
    type SerializeStruct = Fields<'a>;
    type SerializeStructVariant = Impossible<Shape, serde_json::Error>;

    fn serialize_bool(self, v: bool) -> Result1<Shape> {
        Ok(self.number(if v { "true" } else { "false" }, !v))
    }
    fn serialize_i8(self, v: i8) -> Result1<Shape> {
        self.serialize_i64(v.into())
    }
    fn serialize_i16(self, v: i16) -> Result1<Shape> {
        self.serialize_i64(v.into())
    }
    fn serialize_i32(self, v: i32) -> Result1<Shape> {
        self.serialize_i64(v.into())
    }
    fn serialize_i64(self, v: i64) -> Result1<Shape> {
        Ok(self.number(&v.to_string(), v == 0))
    }
    fn serialize_u8(self, v: u8) -> Result1<Shape> {
        self.serialize_u64(v.into())
    }
    fn serialize_u16(self, v: u16) -> Result1<Shape> {
        self.serialize_u64(v.into())
    }
    fn serialize_u32(self, v: u32) -> Result1<Shape> {
        self.serialize_u64(v.into())
    }
    fn serialize_u64(self, v: u64) -> Result1<Shape> {
        Ok(self.number(&v.to_string(), v == 0))
    }
    fn serialize_f32(self, v: f32) -> Result1<Shape> {
        self.serialize_f64(v.into())
    }
    fn serialize_f64(self, v: f64) -> Result1<Shape> {
        // As Go: without a fraction that says nothing.
        if v.fract() == 0.0 && v.abs() < 1e15 {
            serde_json::to_writer(&mut self.0, &(v as i64))?;
        } else {
            serde_json::to_writer(&mut self.0, &v)?;
        }
        Ok(Shape::Full)
    }
    fn serialize_char(self, v: char) -> Result1<Shape> {
        self.serialize_str(v.encode_utf8(&mut [0; 4]))
    }
    fn serialize_str(self, v: &str) -> Result1<Shape> {
        serde_json::to_writer(&mut self.0, v)?;
        Ok(if v.is_empty() { Shape::Blank } else { Shape::Full })
    }
    fn serialize_bytes(self, _: &[u8]) -> Result1<Shape> {
        Err(odd("raw bytes"))
    }
    fn serialize_none(self) -> Result1<Shape> {
        self.serialize_unit()
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result1<Shape> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result1<Shape> {
        self.0.extend_from_slice(b"null");
        Ok(Shape::Null)
    }
    fn serialize_unit_struct(self, _: &'static str) -> Result1<Shape> {
        self.serialize_unit()
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result1<Shape> {
        self.serialize_str(variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result1<Shape> {
        let start = self.0.len();
        let shape = value.serialize(&mut *self)?;
        if name == "Quantity" {
            self.quantity(start)?;
            return Ok(Shape::Full);
        }
        // What stands for any value may be an empty one, and this one only says that it is there.
        if ["JSON", "CustomResourceSubresourceStatus"].contains(&name) && shape != Shape::Null {
            return Ok(Shape::Full);
        }
        Ok(shape)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result1<Shape> {
        Err(odd("variants with content"))
    }
    fn serialize_seq(self, _: Option<usize>) -> Result1<Items<'a>> {
        self.0.push(b'[');
        Ok(Items {
            text: self,
            empty: true,
            close: b']',
        })
    }
    fn serialize_tuple(self, _: usize) -> Result1<Self::SerializeTuple> {
        Err(odd("tuples"))
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result1<Self::SerializeTupleStruct> {
        Err(odd("tuples"))
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result1<Self::SerializeTupleVariant> {
        Err(odd("tuples"))
    }
    fn serialize_map(self, _: Option<usize>) -> Result1<Items<'a>> {
        self.0.push(b'{');
        Ok(Items {
            text: self,
            empty: true,
            close: b'}',
        })
    }
    fn serialize_struct(self, name: &'static str, _: usize) -> Result1<Fields<'a>> {
        self.0.push(b'{');
        Ok(Fields {
            text: self,
            name,
            empty: true,
        })
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result1<Self::SerializeStructVariant> {
        Err(odd("variants with content"))
    }
}

/// A list or a map.
#[derive(Debug)]
struct Items<'a> {
    text: &'a mut Text,
    empty: bool,
    close: u8,
}

impl Items<'_> {
    fn comma(&mut self) {
        if !std::mem::take(&mut self.empty) {
            self.text.0.push(b',');
        }
    }

    fn close(self) -> Shape {
        self.text.0.push(self.close);
        if self.empty { Shape::Empty } else { Shape::Full }
    }
}

impl SerializeSeq for Items<'_> {
    type Ok = Shape;
    type Error = serde_json::Error;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result1<()> {
        self.comma();
        value.serialize(&mut *self.text).map(drop)
    }
    fn end(self) -> Result1<Shape> {
        Ok(self.close())
    }
}

impl SerializeMap for Items<'_> {
    type Ok = Shape;
    type Error = serde_json::Error;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result1<()> {
        self.comma();
        key.serialize(&mut *self.text)?;
        self.text.0.push(b':');
        Ok(())
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result1<()> {
        value.serialize(&mut *self.text).map(drop)
    }
    fn end(self) -> Result1<Shape> {
        Ok(self.close())
    }
}

/// A struct.
#[derive(Debug)]
struct Fields<'a> {
    text: &'a mut Text,
    name: &'static str,
    empty: bool,
}

impl SerializeStruct for Fields<'_> {
    type Ok = Shape;
    type Error = serde_json::Error;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result1<()> {
        let start = self.text.0.len();
        if !self.empty {
            self.text.0.push(b',');
        }
        self.text.0.push(b'"');
        self.text.0.extend_from_slice(key.as_bytes());
        self.text.0.extend_from_slice(b"\":");
        let shape = value.serialize(&mut *self.text)?;
        if omit::omitted(self.name, key, shape) {
            self.text.0.truncate(start);
        } else {
            self.empty = false;
        }
        Ok(())
    }
    fn end(self) -> Result1<Shape> {
        self.text.0.push(b'}');
        Ok(Shape::Full)
    }
}

/// Whether both mean the same.
pub(crate) fn same<T: Serialize>(a: &T, b: &T) -> bool {
    canonical(a).ok() == canonical(b).ok()
}
