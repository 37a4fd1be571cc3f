//! Types, and which fits which.

use crate::shape::Shape;
use std::{fmt, sync::Arc};

/// A type of CEL.
#[derive(Clone, Debug)]
pub enum Type {
    /// Known when it runs.
    Dyn,
    /// Of an expression with an error.
    Error,
    /// `null_type`.
    Null,
    /// `bool`.
    Bool,
    /// `int`: 64 bits with a sign.
    Int,
    /// `uint`: 64 bits.
    Uint,
    /// `double`.
    Double,
    /// `string`.
    String,
    /// `bytes`.
    Bytes,
    /// `google.protobuf.Timestamp`.
    Timestamp,
    /// `google.protobuf.Duration`.
    Duration,
    /// `list(T)`.
    List(Arc<Type>),
    /// `map(K, V)`.
    Map(Arc<(Type, Type)>),
    /// An object of a schema.
    Struct(Arc<Shape>),
    /// An object whose fields may be anything, by its name: `Object`, `Object.spec`, `JSONPatch`.
    Open(Arc<str>),
    /// A type of a library, by its name: `kubernetes.Quantity`.
    Opaque(&'static str),
    /// `optional_type(T)`.
    Optional(Arc<Type>),
    /// The type of a type.
    Type(Arc<Type>),
    /// A letter in a signature.
    Param(u8),
    /// To be found out.
    Var(usize),
}

/// The names of opaque types in signatures.
const OPAQUE: [&str; 10] = [
    "kubernetes.Quantity",
    "net.IP",
    "net.CIDR",
    "kubernetes.URL",
    "kubernetes.NamedFormat",
    "kubernetes.Semver",
    "kubernetes.authorization.Authorizer",
    "kubernetes.authorization.PathCheck",
    "kubernetes.authorization.GroupCheck",
    "kubernetes.authorization.ResourceCheck",
];
/// The type of an authorizer's answer.
const DECISION: &str = "kubernetes.authorization.Decision";

impl Type {
    /// A list of `item`.
    pub fn list(item: Type) -> Self {
        Self::List(Arc::new(item))
    }

    /// A map from `key` to `value`.
    pub fn map(key: Type, value: Type) -> Self {
        Self::Map(Arc::new((key, value)))
    }

    /// An optional of `inner`.
    pub fn optional(inner: Type) -> Self {
        Self::Optional(Arc::new(inner))
    }

    /// The type that `text` names, as signatures and `Environment::variable` write it: `list(string)`, `map(string, dyn)`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some((name, inner)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
            return Some(match name {
                "list" => Self::list(Self::parse(inner)?),
                "optional" | "optional_type" => Self::optional(Self::parse(inner)?),
                "type" => Self::Type(Arc::new(Self::parse(inner)?)),
                "map" => {
                    let parts = split(inner);
                    let [key, value] = parts.as_slice() else {
                        return None;
                    };
                    Self::map(Self::parse(key)?, Self::parse(value)?)
                }
                _ => return None,
            });
        }
        Some(match text {
            "dyn" => Self::Dyn,
            "null" | "null_type" => Self::Null,
            "bool" => Self::Bool,
            "int" => Self::Int,
            "uint" => Self::Uint,
            "double" => Self::Double,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            "timestamp" | "google.protobuf.Timestamp" => Self::Timestamp,
            "duration" | "google.protobuf.Duration" => Self::Duration,
            "A" | "B" | "K" | "V" | "T" => Self::Param(text.as_bytes()[0]),
            DECISION => Self::Opaque(DECISION),
            _ => Self::Opaque(OPAQUE.iter().find(|name| **name == text)?),
        })
    }

    /// The name alone, without what is in it.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Dyn | Self::Param(_) | Self::Var(_) => "dyn",
            Self::Error => "!error!",
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Timestamp => "google.protobuf.Timestamp",
            Self::Duration => "google.protobuf.Duration",
            Self::List(_) => "list",
            Self::Map(_) => "map",
            Self::Struct(shape) => &shape.name,
            Self::Open(name) => name,
            Self::Opaque(name) => name,
            Self::Optional(_) => "optional_type",
            Self::Type(_) => "type",
        }
    }

    pub(crate) fn is_dyn(&self) -> bool {
        matches!(self, Self::Dyn | Self::Error)
    }
}

/// What stands between the commas of `text` that are in no bracket.
pub(crate) fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth -= 1,
            b',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if !text[start..].trim().is_empty() {
        parts.push(&text[start..]);
    }
    parts
}

impl PartialEq for Type {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::List(a), Self::List(b)) | (Self::Optional(a), Self::Optional(b)) => a == b,
            (Self::Type(a), Self::Type(b)) => a == b,
            (Self::Map(a), Self::Map(b)) => a == b,
            (Self::Var(a), Self::Var(b)) => a == b,
            (Self::Param(a), Self::Param(b)) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other) && self.name() == other.name(),
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(item) => write!(f, "list({item})"),
            Self::Map(pair) => write!(f, "map({}, {})", pair.0, pair.1),
            Self::Optional(inner) => write!(f, "optional_type({inner})"),
            Self::Type(inner) => write!(f, "type({inner})"),
            Self::Null => f.write_str("null"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Duration => f.write_str("duration"),
            other => f.write_str(other.name()),
        }
    }
}

/// What is known of the types to be found out.
#[derive(Debug, Default)]
pub(crate) struct Known {
    vars: Vec<Option<Type>>,
    bound: Vec<usize>,
}

impl Known {
    pub fn fresh(&mut self) -> Type {
        self.vars.push(None);
        Type::Var(self.vars.len() - 1)
    }

    /// `ty` with all that is known put in; the rest is dyn if `all`.
    pub fn resolve(&self, ty: &Type, all: bool) -> Type {
        self.resolve_to(ty, all, 0)
    }

    fn resolve_to(&self, ty: &Type, all: bool, depth: usize) -> Type {
        if depth > 64 {
            return Type::Dyn;
        }
        let inner = |ty: &Type| self.resolve_to(ty, all, depth + 1);
        match ty {
            Type::Var(var) => match self.vars.get(*var) {
                Some(Some(ty)) => inner(ty),
                _ if all => Type::Dyn,
                _ => ty.clone(),
            },
            Type::List(item) => Type::list(inner(item)),
            Type::Map(pair) => Type::map(inner(&pair.0), inner(&pair.1)),
            Type::Optional(of) => Type::optional(inner(of)),
            Type::Type(of) => Type::Type(Arc::new(inner(of))),
            other => other.clone(),
        }
    }

    /// Whether a `from` may stand where a `to` is wanted. What was found out on the way to a no is forgotten.
    pub fn fits(&mut self, from: &Type, to: &Type) -> bool {
        let mark = self.bound.len();
        let fits = self.assign(from, to, 0);
        if !fits {
            self.forget(mark);
        }
        fits
    }

    pub fn fit_all(&mut self, from: &[Type], to: &[Type]) -> bool {
        let mark = self.bound.len();
        let fits = from.len() == to.len() && from.iter().zip(to).all(|(from, to)| self.assign(from, to, 0));
        if !fits {
            self.forget(mark);
        }
        fits
    }

    fn forget(&mut self, mark: usize) {
        for var in self.bound.drain(mark..) {
            self.vars[var] = None;
        }
    }

    fn assign(&mut self, from: &Type, to: &Type, depth: usize) -> bool {
        // As deep as this, types are not looked at.
        if depth > 64 {
            return true;
        }
        let (from, to) = (self.shallow(from), self.shallow(to));
        match (&from, &to) {
            (Type::Var(a), Type::Var(b)) if a == b => true,
            (_, Type::Var(var)) => self.bind(*var, from),
            (Type::Var(var), _) => self.bind(*var, to),
            (from, to) if from.is_dyn() || to.is_dyn() => true,
            (
                Type::Null,
                Type::Struct(_) | Type::Open(_) | Type::Opaque(_) | Type::Timestamp | Type::Duration,
            )
            | (
                Type::Struct(_) | Type::Open(_) | Type::Opaque(_) | Type::Timestamp | Type::Duration,
                Type::Null,
            ) => true,
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => {
                self.assign(a, b, depth + 1)
            }
            (Type::Map(a), Type::Map(b)) => {
                self.assign(&a.0, &b.0, depth + 1) && self.assign(&a.1, &b.1, depth + 1)
            }
            (Type::Type(_), Type::Type(_)) => true,
            (from, to) => from == to,
        }
    }

    fn shallow(&self, ty: &Type) -> Type {
        let mut ty = ty;
        while let Type::Var(var) = ty
            && let Some(Some(known)) = self.vars.get(*var)
        {
            ty = known;
        }
        ty.clone()
    }

    fn bind(&mut self, var: usize, ty: Type) -> bool {
        if self.mentions(&ty, var) {
            return false;
        }
        self.vars[var] = Some(ty);
        self.bound.push(var);
        true
    }

    fn mentions(&self, ty: &Type, var: usize) -> bool {
        match ty {
            Type::Var(other) if *other == var => true,
            Type::Var(other) => matches!(self.vars.get(*other), Some(Some(ty)) if self.mentions(ty, var)),
            Type::List(of) | Type::Optional(of) | Type::Type(of) => self.mentions(of, var),
            Type::Map(pair) => self.mentions(&pair.0, var) || self.mentions(&pair.1, var),
            _ => false,
        }
    }

    /// The type for both, of which one fits the other.
    pub fn general(&self, a: &Type, b: &Type) -> Type {
        if self.resolve(a, false).is_dyn() {
            a.clone()
        } else if self.resolve(b, false).is_dyn() {
            b.clone()
        } else {
            a.clone()
        }
    }
}
