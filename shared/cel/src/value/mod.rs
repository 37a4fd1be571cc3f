//! Values. Those of JSON stay where they are, and are looked at when they are wanted.

mod equal;
mod json;
mod list;
mod map;
pub(crate) mod time;

use crate::{
    authorizer::Authorization,
    budget::Budget,
    functions::{named::Format, network::Cidr, semver::Version, urls::Url},
    pattern::Pattern,
    stop::{EvalError, Stop},
    types::Type,
};
use api::Quantity;
use jiff::Timestamp;
use std::{collections::BTreeMap, fmt, net::IpAddr, ops::Deref, sync::Arc};

pub use list::List;
pub use map::{Key, Map};

/// A text that is borrowed from JSON or shared.
#[derive(Clone)]
pub enum Text<'a> {
    /// From JSON.
    Borrowed(&'a str),
    /// Made by an expression.
    Shared(Arc<str>),
    /// A literal of an expression that is a pattern.
    Pattern(Arc<Pattern>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Shared(text) => text,
            Self::Pattern(pattern) => &pattern.text,
        }
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self::Shared(text.into())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// An object whose fields are computed when an expression asks for them, as `variables` of a policy are.
pub trait Lazy<'a>: Send + Sync {
    /// The field `name`, computed on `budget`; none if there is no such field.
    fn field(&self, name: &str, budget: &mut Budget) -> Option<Result<Value<'a>, EvalError>>;
}

/// An object that an expression made by the name of its type.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    /// `Object.spec`, `JSONPatch`, …
    pub name: Arc<str>,
    /// Its fields that were given.
    pub fields: BTreeMap<Arc<str>, Value<'a>>,
}

/// A value of CEL.
#[derive(Clone)]
pub enum Value<'a> {
    /// null
    Null,
    /// A bool.
    Bool(bool),
    /// An int.
    Int(i64),
    /// A uint.
    Uint(u64),
    /// A double.
    Double(f64),
    /// A string.
    String(Text<'a>),
    /// Bytes.
    Bytes(Arc<[u8]>),
    /// A point in time.
    Timestamp(Timestamp),
    /// Nanoseconds.
    Duration(i64),
    /// A list.
    List(List<'a>),
    /// A map, or an object of a schema.
    Map(Map<'a>),
    /// An object that an expression made.
    Object(Arc<Object<'a>>),
    /// An optional.
    Optional(Option<Arc<Value<'a>>>),
    /// A type.
    Type(Type),
    /// A quantity.
    Quantity(Quantity),
    /// An address.
    Ip(IpAddr),
    /// A network.
    Cidr(Cidr),
    /// A URL.
    Url(Arc<Url>),
    /// A version.
    Semver(Arc<Version>),
    /// A named format.
    Format(&'static Format),
    /// An authorizer, a check being built, or a decision.
    Authorization(Authorization<'a>),
    /// Fields that are computed when they are wanted.
    Lazy(Arc<dyn Lazy<'a> + 'a>),
}

impl<'a> Value<'a> {
    /// A string.
    pub fn text(text: impl Into<String>) -> Self {
        Self::String(Text::Shared(text.into().into()))
    }

    /// An optional with a value.
    pub fn some(value: Value<'a>) -> Self {
        Self::Optional(Some(Arc::new(value)))
    }

    /// A list of values.
    pub fn list(items: Vec<Value<'a>>) -> Self {
        Self::List(List::Shared(items.into()))
    }

    /// The bool that it is.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The string that it is.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Its type, as far as a value shows it.
    pub fn type_of(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Uint(_) => Type::Uint,
            Self::Double(_) => Type::Double,
            Self::String(_) => Type::String,
            Self::Bytes(_) => Type::Bytes,
            Self::Timestamp(_) => Type::Timestamp,
            Self::Duration(_) => Type::Duration,
            Self::List(_) => Type::list(Type::Dyn),
            Self::Map(map) => map.type_of(),
            Self::Lazy(_) => Type::map(Type::Dyn, Type::Dyn),
            Self::Object(object) => Type::Open(object.name.clone()),
            Self::Optional(_) => Type::optional(Type::Dyn),
            Self::Type(of) => Type::Type(Arc::new(of.clone())),
            Self::Quantity(_) => Type::Opaque("kubernetes.Quantity"),
            Self::Ip(_) => Type::Opaque("net.IP"),
            Self::Cidr(_) => Type::Opaque("net.CIDR"),
            Self::Url(_) => Type::Opaque("kubernetes.URL"),
            Self::Semver(_) => Type::Opaque("kubernetes.Semver"),
            Self::Format(_) => Type::Opaque("kubernetes.NamedFormat"),
            Self::Authorization(of) => Type::Opaque(of.type_name()),
        }
    }

    /// Whether it may be given where a signature wants a `ty`.
    pub(crate) fn is_a(&self, ty: &Type) -> bool {
        match (self, ty) {
            (_, Type::Dyn | Type::Param(_) | Type::Var(_)) => true,
            (Self::Lazy(_), Type::Map(_) | Type::Struct(_))
            | (Self::Map(_), Type::Map(_) | Type::Struct(_)) => true,
            // A list of nothing is a list of anything; else the first element tells.
            (Self::List(list), Type::List(item)) => list.get(0).is_none_or(|first| first.is_a(item)),
            (Self::Optional(inner), Type::Optional(ty)) => {
                inner.as_deref().is_none_or(|inner| inner.is_a(ty))
            }
            (Self::Type(_), Type::Type(_)) => true,
            (Self::List(_) | Self::Map(_) | Self::Optional(_), _) => false,
            (value, ty) => value.type_of() == *ty,
        }
    }

    /// Characters, bytes or elements: what costs are counted by. 1 for what has no size.
    pub(crate) fn size(&self) -> u64 {
        let size = match self {
            Self::String(text) if text.is_ascii() => text.len(),
            Self::String(text) => text.chars().count(),
            Self::Bytes(bytes) => bytes.len(),
            Self::List(list) => list.len(),
            Self::Map(map) => map.len(),
            Self::Optional(Some(inner)) => return inner.size(),
            Self::Ip(IpAddr::V4(_)) => 4,
            Self::Ip(IpAddr::V6(_)) => 16,
            Self::Cidr(cidr) => usize::from(cidr.bits).div_ceil(8),
            _ => 1,
        };
        size as u64
    }

    /// Whether it is what a variable of its type begins as.
    pub(crate) fn is_zero(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(value) => !value,
            Self::Int(value) => *value == 0,
            Self::Uint(value) => *value == 0,
            Self::Double(value) => *value == 0.0,
            Self::String(text) => text.is_empty(),
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Duration(nanos) => *nanos == 0,
            Self::List(list) => list.is_empty(),
            Self::Map(map) => map.is_empty(),
            Self::Object(object) => object.fields.is_empty(),
            Self::Optional(inner) => inner.is_none(),
            Self::Timestamp(time) => *time == time::ZERO,
            _ => false,
        }
    }

    /// The field or entry `name`.
    pub(crate) fn field(&self, name: &str, budget: &mut Budget) -> Result<Option<Value<'a>>, Stop> {
        match self {
            Self::Map(map) => map.field(name).transpose(),
            Self::Object(object) => Ok(object.fields.get(name).cloned()),
            Self::Lazy(lazy) => lazy.field(name, budget).transpose().map_err(|error| match error {
                EvalError::Failed(message) => message.into(),
                EvalError::CostLimit => Stop::Cost,
                EvalError::BudgetExhausted => Stop::Budget,
            }),
            Self::Optional(Some(inner)) => inner.field(name, budget),
            Self::Optional(None) => Ok(None),
            _ => Err(Stop::OVERLOAD),
        }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(value) => write!(f, "{value}"),
            Self::Uint(value) => write!(f, "{value}u"),
            Self::Double(value) => write!(f, "{value:?}"),
            Self::String(text) => write!(f, "{:?}", &**text),
            Self::Bytes(bytes) => write!(f, "b\"{}\"", bytes.escape_ascii()),
            Self::Timestamp(at) => write!(f, "timestamp({at})"),
            Self::Duration(nanos) => write!(f, "duration({})", time::seconds(*nanos)),
            Self::List(list) => {
                let items = (0..list.len()).filter_map(|at| list.get(at));
                f.debug_list().entries(items).finish()
            }
            Self::Map(map) => {
                let entries = map.keys().into_iter().filter_map(|key| {
                    let value = map.get(&key)?.ok()?;
                    Some((key.value(), value))
                });
                f.debug_map().entries(entries).finish()
            }
            Self::Object(object) => write!(f, "{}{:?}", object.name, object.fields),
            Self::Optional(None) => f.write_str("optional.none()"),
            Self::Optional(Some(inner)) => write!(f, "optional.of({inner:?})"),
            Self::Type(of) => f.write_str(of.name()),
            Self::Quantity(quantity) => write!(f, "quantity({quantity})"),
            Self::Ip(ip) => write!(f, "ip({ip})"),
            Self::Cidr(cidr) => write!(f, "cidr({cidr})"),
            Self::Url(url) => write!(f, "url({})", url.text),
            Self::Semver(version) => write!(f, "semver({version})"),
            Self::Format(format) => write!(f, "format({})", format.name),
            Self::Authorization(of) => f.write_str(of.type_name()),
            Self::Lazy(_) => f.write_str("lazy"),
        }
    }
}
