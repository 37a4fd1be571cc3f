//! From JSON and to JSON.

use super::{List, Map, Text, Value, time};
use crate::{
    escape::unescape,
    shape::{Kind, Shape},
    stop::Stop,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map as Members, Value as Json};

impl<'a> Value<'a> {
    /// The value of `json`, whose lists and objects are looked at when they are wanted. A text that is not of its format is
    /// null; where an error is wanted, fields are read by expressions.
    pub fn json(json: &'a Json, shape: Option<&'a Shape>) -> Self {
        Self::read(json, shape).unwrap_or(Self::Null)
    }

    pub(crate) fn read(json: &'a Json, shape: Option<&'a Shape>) -> Result<Self, Stop> {
        let kind = shape.map(|shape| &shape.kind);
        Ok(match (json, kind) {
            (Json::Null, _) => Self::Null,
            (Json::Bool(value), _) => Self::Bool(*value),
            (Json::Number(number), Some(Kind::Double)) => Self::Double(number.as_f64().unwrap_or(f64::NAN)),
            (Json::Number(number), kind) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(value), ..) => Self::Int(value),
                (_, Some(value), _) => Self::Uint(value),
                (.., Some(value)) if matches!(kind, Some(Kind::Int)) && value.fract() == 0.0 => {
                    Self::Int(value as i64)
                }
                (.., value) => Self::Double(value.unwrap_or(f64::NAN)),
            },
            (Json::String(text), Some(Kind::Timestamp)) => Self::Timestamp(time::timestamp(text)?),
            (Json::String(text), Some(Kind::Date)) => Self::Timestamp(time::date(text)?),
            (Json::String(text), Some(Kind::Duration)) => Self::Duration(time::duration(text)?),
            (Json::String(text), Some(Kind::Bytes)) => {
                let bytes = STANDARD.decode(text).map_err(|error| error.to_string())?;
                Self::Bytes(bytes.into())
            }
            (Json::String(text), _) => Self::String(Text::Borrowed(text)),
            (Json::Array(items), _) => Self::List(List::Json(items, shape)),
            (Json::Object(members), _) => Self::Map(Map::Json(members, shape)),
        })
    }

    /// The value as JSON, of at most about `limit` bytes.
    ///
    /// # Errors
    /// A value that JSON does not have, or too large a one.
    pub fn to_json(&self, limit: usize) -> Result<Json, String> {
        let mut left = limit;
        self.write(&mut left, 0)
    }

    fn write(&self, left: &mut usize, depth: usize) -> Result<Json, String> {
        let own = match self {
            Self::String(text) => text.len() + 2,
            Self::Bytes(bytes) => bytes.len() * 2,
            _ => 2,
        };
        *left = left.checked_sub(own).ok_or("the result is too large")?;
        if depth > 200 {
            return Err("the result is too deep".into());
        }
        Ok(match self {
            Self::Null => Json::Null,
            Self::Bool(value) => Json::Bool(*value),
            Self::Int(value) => Json::from(*value),
            Self::Uint(value) => Json::from(*value),
            Self::Double(value) => serde_json::Number::from_f64(*value)
                .map(Json::Number)
                .ok_or_else(|| format!("{value} is no number of JSON"))?,
            Self::String(text) => Json::String(text.to_string()),
            Self::Bytes(bytes) => Json::String(STANDARD.encode(bytes)),
            Self::Timestamp(at) => Json::String(at.to_string()),
            Self::Duration(nanos) => Json::String(time::seconds(*nanos)),
            Self::Quantity(quantity) => Json::String(quantity.to_string()),
            Self::List(list) => {
                let mut items = Vec::new();
                for item in list.iter() {
                    items.push(item.write(left, depth + 1)?);
                }
                Json::Array(items)
            }
            Self::Map(map) => {
                let mut members = Members::new();
                let object = matches!(
                    map,
                    Map::Json(
                        _,
                        Some(Shape {
                            kind: Kind::Object(_),
                            ..
                        })
                    )
                );
                for key in map.keys() {
                    let value = key.value();
                    let name = value.as_str().ok_or("a key of JSON is a string")?;
                    let inner = map
                        .get(&key)
                        .ok_or("an entry is gone")?
                        .map_err(|_| "an entry is not of its format")?;
                    let name = if object { unescape(name) } else { None }.unwrap_or_else(|| name.into());
                    members.insert(name, inner.write(left, depth + 1)?);
                }
                Json::Object(members)
            }
            Self::Object(object) => {
                let mut members = Members::new();
                for (name, value) in &object.fields {
                    let name = unescape(name).ok_or("a field name is no identifier")?;
                    members.insert(name, value.write(left, depth + 1)?);
                }
                Json::Object(members)
            }
            Self::Optional(Some(inner)) => inner.write(left, depth + 1)?,
            other => return Err(format!("a {} has no form in JSON", other.type_of())),
        })
    }
}
