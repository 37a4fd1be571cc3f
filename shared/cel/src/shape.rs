//! What a schema says about values: their types, largest sizes and equality.

use crate::{escape::escape, types::Type};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// Largest request, in bytes: what limits sizes that no schema limits.
pub const MAX_REQUEST_BYTES: u64 = 3 * 1024 * 1024;
const LARGEST: u64 = MAX_REQUEST_BYTES - 2;

/// A structural schema, as the caller has it. Every method but the first has an answer for a schema that does not say.
pub trait Schema {
    /// `object`, `array`, `string`, `integer`, `number`, `boolean`, or empty.
    fn type_name(&self) -> &str;
    /// `date-time`, `duration`, `byte`, …
    fn format(&self) -> &str {
        ""
    }
    /// A number or a text.
    fn int_or_string(&self) -> bool {
        false
    }
    /// An object of some kind: it has `apiVersion`, `kind` and `metadata`.
    fn embedded(&self) -> bool {
        false
    }
    /// The properties with names.
    fn properties(&self) -> Vec<(&str, &dyn Schema)> {
        Vec::new()
    }
    /// The schema of all other properties.
    fn additional(&self) -> Option<&dyn Schema> {
        None
    }
    /// The schema of the elements.
    fn items(&self) -> Option<&dyn Schema> {
        None
    }
    /// The properties that must be there.
    fn required(&self) -> &[String] {
        &[]
    }
    /// Whether there is a default.
    fn has_default(&self) -> bool {
        false
    }
    /// Longest text, in characters.
    fn max_length(&self) -> Option<i64> {
        None
    }
    /// Most elements.
    fn max_items(&self) -> Option<i64> {
        None
    }
    /// Most properties.
    fn max_properties(&self) -> Option<i64> {
        None
    }
    /// The length of the longest text that is allowed, if the texts are listed.
    fn longest_choice(&self) -> Option<usize> {
        None
    }
    /// `atomic`, `set` or `map`.
    fn list_type(&self) -> &str {
        "atomic"
    }
    /// The keys of a list that is a map.
    fn list_map_keys(&self) -> &[String] {
        &[]
    }
}

/// How lists are compared and added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ListKind {
    Atomic,
    Set,
    /// By the values of these properties.
    Map(Vec<String>),
}

#[derive(Debug)]
pub(crate) struct FieldShape {
    /// The name in JSON.
    pub json: String,
    pub shape: Arc<Shape>,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Dyn,
    Bool,
    Int,
    Double,
    String,
    Bytes,
    Date,
    Timestamp,
    Duration,
    List(Arc<Shape>, ListKind),
    Map(Arc<Shape>),
    /// Fields by their escaped names.
    Object(BTreeMap<String, FieldShape>),
    /// Of this type, whatever is in it.
    Of(Type),
}

/// A schema made ready for CEL. Cheap to share.
pub struct Shape {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// Most elements, characters or bytes; 0 where the size is no matter.
    pub(crate) max: u64,
    /// Fewest bytes in JSON.
    min_json: u64,
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shape({})", self.name)
    }
}

impl Shape {
    /// Reads `schema`; `name` is how errors call its objects. None for a schema without a type.
    pub fn of(schema: &dyn Schema, name: &str, resource_root: bool) -> Option<Arc<Self>> {
        let make = |kind, max, min_json| {
            let name = name.to_owned();
            Some(Arc::new(Self {
                name,
                kind,
                max,
                min_json,
            }))
        };
        let length = schema.max_length().map(positive);
        if schema.int_or_string() {
            return make(
                Kind::Dyn,
                length.map_or(LARGEST, |length| length.saturating_mul(4)),
                1,
            );
        }
        let typed = schema.type_name();
        if typed == "object" || resource_root {
            return Self::object(schema, name, resource_root);
        }
        match (typed, schema.format()) {
            ("array", _) => {
                let items = schema.items()?;
                let item = Self::of(items, &format!("{name}.@idx"), items.embedded())?;
                let max = schema.max_items().map_or(LARGEST / (item.min_json + 1), positive);
                let kind = match schema.list_type() {
                    "set" => ListKind::Set,
                    "map" => ListKind::Map(schema.list_map_keys().to_vec()),
                    _ => ListKind::Atomic,
                };
                make(Kind::List(item, kind), max, 2)
            }
            ("string", "byte") => make(Kind::Bytes, length.unwrap_or(LARGEST), 2),
            ("string", "duration") => make(Kind::Duration, 32, 3),
            ("string", "date") => make(Kind::Date, 12, 12),
            ("string", "date-time") => make(Kind::Timestamp, 32, 21),
            ("string", _) => {
                let longest = schema.longest_choice().map(|longest| longest as u64);
                let length = length.map(|length| length.saturating_mul(4));
                make(Kind::String, length.or(longest).unwrap_or(LARGEST), 2)
            }
            ("boolean", _) => make(Kind::Bool, 0, 4),
            ("number", _) => make(Kind::Double, 0, 1),
            ("integer", _) => make(Kind::Int, 0, 1),
            _ => None,
        }
    }

    fn object(schema: &dyn Schema, name: &str, resource_root: bool) -> Option<Arc<Self>> {
        let name = name.to_owned();
        if let Some(values) = schema.additional() {
            let value = Self::of(values, &format!("{name}.@elem"), values.embedded())?;
            let max = schema
                .max_properties()
                .map_or(LARGEST / (value.min_json + 6), positive);
            let kind = Kind::Map(value);
            return Some(Arc::new(Self {
                name,
                kind,
                max,
                min_json: 2,
            }));
        }
        let mut fields = BTreeMap::new();
        let mut min_json = 2;
        for (json, property) in schema.properties() {
            let Some(shape) = Self::of(property, &format!("{name}.{json}"), property.embedded()) else {
                continue;
            };
            if schema.required().iter().any(|required| required == json) && !property.has_default() {
                min_json += json.len() as u64 + shape.min_json + 4;
            }
            if let Some(escaped) = escape(json) {
                let json = json.to_owned();
                fields.insert(escaped, FieldShape { json, shape });
            }
        }
        if resource_root {
            root_fields(&mut fields, &name);
        }
        let kind = Kind::Object(fields);
        Some(Arc::new(Self {
            name,
            kind,
            max: 0,
            min_json,
        }))
    }

    /// The shape of a value of which nothing is known.
    pub fn any() -> Arc<Self> {
        Arc::new(Self {
            name: "dyn".into(),
            kind: Kind::Dyn,
            max: LARGEST,
            min_json: 1,
        })
    }

    /// Values of the type `ty`.
    fn typed(ty: &Type) -> Arc<Self> {
        let kind = match ty {
            Type::Struct(shape) => return shape.clone(),
            Type::Bool => Kind::Bool,
            Type::Int => Kind::Int,
            Type::String => Kind::String,
            Type::Timestamp => Kind::Timestamp,
            Type::List(item) => Kind::List(Self::typed(item), ListKind::Atomic),
            Type::Map(pair) if pair.0 == Type::String => Kind::Map(Self::typed(&pair.1)),
            other => Kind::Of(other.clone()),
        };
        Arc::new(Self {
            name: ty.name().to_owned(),
            kind,
            max: LARGEST,
            min_json: 1,
        })
    }

    /// An object of the type `name` with fields of these types.
    pub fn object_of<'n>(name: &str, fields: impl IntoIterator<Item = (&'n str, Type)>) -> Arc<Self> {
        let fields = fields.into_iter().map(|(name, ty)| {
            let field = FieldShape {
                json: name.to_owned(),
                shape: Self::typed(&ty),
            };
            (name.to_owned(), field)
        });
        Arc::new(Self {
            name: name.to_owned(),
            kind: Kind::Object(fields.collect()),
            max: 0,
            min_json: 2,
        })
    }

    /// How many such values a request has room for, with a comma between them.
    pub fn most_in_a_request(&self) -> u64 {
        MAX_REQUEST_BYTES / (self.min_json + 1)
    }

    /// Its type in expressions.
    pub fn of_type(self: &Arc<Self>) -> Type {
        match &self.kind {
            Kind::Dyn => Type::Dyn,
            Kind::Bool => Type::Bool,
            Kind::Int => Type::Int,
            Kind::Double => Type::Double,
            Kind::String => Type::String,
            Kind::Bytes => Type::Bytes,
            Kind::Date | Kind::Timestamp => Type::Timestamp,
            Kind::Duration => Type::Duration,
            Kind::List(item, _) => Type::list(item.of_type()),
            Kind::Map(value) => Type::map(Type::String, value.of_type()),
            Kind::Object(_) => Type::Struct(self.clone()),
            Kind::Of(ty) => ty.clone(),
        }
    }

    /// The shape one step below: a field, `@items`, `@values` or `@keys`.
    pub(crate) fn step(&self, step: &str) -> Option<Arc<Shape>> {
        match (&self.kind, step) {
            (Kind::List(item, _), "@items") | (Kind::Map(item), "@values") => Some(item.clone()),
            (Kind::Map(_), "@keys") => Some(Arc::new(Self {
                name: "string".into(),
                kind: Kind::String,
                max: 0,
                min_json: 2,
            })),
            (Kind::Object(fields), _) => fields.get(step).map(|field| field.shape.clone()),
            _ => None,
        }
    }
}

fn positive(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// What every object has.
fn root_fields(fields: &mut BTreeMap<String, FieldShape>, name: &str) {
    let text = || {
        Arc::new(Shape {
            name: "string".into(),
            kind: Kind::String,
            max: LARGEST,
            min_json: 2,
        })
    };
    let field = |json: &str| FieldShape {
        json: json.into(),
        shape: text(),
    };
    let complete = |fields: &BTreeMap<String, FieldShape>| {
        let metadata = fields.get("metadata").map(|field| &field.shape.kind);
        let named = matches!(metadata, Some(Kind::Object(inner))
            if inner.contains_key("name") && inner.contains_key("generateName"));
        named && fields.contains_key("kind") && fields.contains_key("apiVersion")
    };
    if complete(fields) {
        return;
    }
    for json in ["kind", "apiVersion"] {
        fields.insert(json.into(), field(json));
    }
    let inner = ["name", "generateName"].map(|json| (json.to_owned(), field(json)));
    let shape = Arc::new(Shape {
        name: format!("{name}.metadata"),
        kind: Kind::Object(BTreeMap::from(inner)),
        max: 0,
        min_json: 2,
    });
    let json = "metadata".into();
    fields.insert("metadata".into(), FieldShape { json, shape });
}
