//! Maps, and objects of a schema.

use super::{Text, Value};
use crate::{
    shape::{Kind, Shape},
    stop::Stop,
    types::Type,
};
use serde_json::Value as Json;
use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

/// The key of an entry. Whole numbers of both kinds are the same key.
#[derive(Clone, Debug)]
pub enum Key<'a> {
    /// A bool.
    Bool(bool),
    /// An int.
    Int(i64),
    /// A uint.
    Uint(u64),
    /// A string.
    String(Text<'a>),
}

impl<'a> Key<'a> {
    pub(crate) fn of(value: &Value<'a>) -> Result<Self, Stop> {
        Ok(match value {
            Value::Bool(value) => Self::Bool(*value),
            Value::Int(value) => Self::Int(*value),
            Value::Uint(value) => Self::Uint(*value),
            Value::String(text) => Self::String(text.clone()),
            Value::Double(value) if value.fract() == 0.0 && value.abs() < 9.0e18 => Self::Int(*value as i64),
            other => return Err(Stop::key(format!("{other:?}"))),
        })
    }

    /// The value that it is.
    pub fn value(&self) -> Value<'a> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Uint(value) => Value::Uint(*value),
            Self::String(text) => Value::String(text.clone()),
        }
    }

    fn number(&self) -> Option<i128> {
        match self {
            Self::Int(value) => Some((*value).into()),
            Self::Uint(value) => Some((*value).into()),
            _ => None,
        }
    }
}

impl Ord for Key<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let rank = |key: &Self| match key {
            Self::Bool(_) => 0,
            Self::Int(_) | Self::Uint(_) => 1,
            Self::String(_) => 2,
        };
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::String(a), Self::String(b)) => (**a).cmp(b),
            (a, b) => a.number().cmp(&b.number()).then(rank(a).cmp(&rank(b))),
        }
    }
}

impl PartialOrd for Key<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key<'_> {}

/// A map.
#[derive(Clone, Debug)]
pub enum Map<'a> {
    /// Made by an expression.
    Shared(Arc<BTreeMap<Key<'a>, Value<'a>>>),
    /// From JSON; with a shape of an object, its keys are escaped.
    Json(&'a serde_json::Map<String, Json>, Option<&'a Shape>),
}

impl<'a> Map<'a> {
    /// How many entries there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Shared(entries) => entries.len(),
            Self::Json(members, _) => members.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn type_of(&self) -> Type {
        match self {
            Self::Json(_, Some(shape)) if matches!(shape.kind, Kind::Object(_)) => {
                Type::Open(shape.name.as_str().into())
            }
            _ => Type::map(Type::Dyn, Type::Dyn),
        }
    }

    /// The value at `key`.
    pub(crate) fn get(&self, key: &Key<'a>) -> Option<Result<Value<'a>, Stop>> {
        match (self, key) {
            (Self::Shared(entries), key) => entries.get(key).cloned().map(Ok),
            (_, Key::String(name)) => self.field(name),
            _ => None,
        }
    }

    /// The value at the text `name`.
    pub(crate) fn field(&self, name: &str) -> Option<Result<Value<'a>, Stop>> {
        match self {
            Self::Shared(entries) => entries
                .get(&Key::String(Text::Shared(name.into())))
                .cloned()
                .map(Ok),
            Self::Json(members, shape) => {
                let (json, shape) = match shape.map(|shape| &shape.kind) {
                    Some(Kind::Object(fields)) => {
                        let field = fields.get(name)?;
                        (field.json.as_str(), Some(&*field.shape))
                    }
                    Some(Kind::Map(value)) => (name, Some(&**value)),
                    _ => (name, None),
                };
                members.get(json).map(|json| Value::read(json, shape))
            }
        }
    }

    /// The keys, sorted.
    pub fn keys(&self) -> Vec<Key<'a>> {
        match self {
            Self::Shared(entries) => entries.keys().cloned().collect(),
            Self::Json(
                _,
                Some(Shape {
                    kind: Kind::Object(fields),
                    ..
                }),
            ) => {
                let there = fields.iter().filter(|(_, field)| self.has(&field.json));
                there.map(|(name, _)| Key::String(Text::Borrowed(name))).collect()
            }
            Self::Json(members, _) => {
                let mut keys: Vec<_> = members
                    .keys()
                    .map(|name| Key::String(Text::Borrowed(name)))
                    .collect();
                keys.sort();
                keys
            }
        }
    }

    fn has(&self, json: &str) -> bool {
        matches!(self, Self::Json(members, _) if members.contains_key(json))
    }
}
