//! The forms of JSON that the members of a schema have.

use super::{Additional, Items, Structural};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};
use std::fmt;

/// Whether there is a text with something in it.
pub(super) fn nonempty<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(Option::<String>::deserialize(from)?.is_some_and(|text| !text.is_empty()))
}

/// Whether there is anything.
pub(super) fn present<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(Option::<IgnoredAny>::deserialize(from)?.is_some())
}

/// A whole number, which may be written as `1.0`.
pub(super) fn integer<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
    let Some(number) = Option::<f64>::deserialize(from)? else {
        return Ok(None);
    };
    if number.fract() == 0.0 {
        return Ok(Some(number as i64));
    }
    Err(serde::de::Error::custom(format!("{number} is not an integer")))
}

struct ItemsVisitor;

impl<'de> Visitor<'de> for ItemsVisitor {
    type Value = Option<Items>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a schema or a list of schemas")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let schema = Structural::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Some(Items::One(Box::new(schema))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut count = 0;
        while list.next_element::<Structural>()?.is_some() {
            count += 1;
        }
        Ok(Some(Items::Each(count)))
    }
}

pub(super) fn items<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Items>, D::Error> {
    from.deserialize_any(ItemsVisitor)
}

struct AdditionalVisitor;

impl<'de> Visitor<'de> for AdditionalVisitor {
    type Value = Option<Additional>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a schema or a boolean")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, any: bool) -> Result<Self::Value, E> {
        Ok(Some(Additional::Any(any)))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let schema = Structural::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Some(Additional::Schema(Box::new(schema))))
    }
}

pub(super) fn additional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Additional>, D::Error> {
    from.deserialize_any(AdditionalVisitor)
}
