//! Schemas of types.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{Dialect, prose};
use crate::table::{Field, Shape, TypeRef};

const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const INT_OR_STRING: &str = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
const TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const MICRO_TIME: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";

/// The schemas of `types` and of all that they refer to, and of `others`, by name.
pub(super) fn reachable(
    dialect: Dialect,
    types: &BTreeSet<TypeRef>,
    others: &BTreeSet<(String, String, String)>,
) -> Map<String, Value> {
    let mut schemas = scalars(dialect);
    for (group, version, kind) in others {
        let mut schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
        schema["x-kubernetes-group-version-kind"] = json!([gvk(group, version, kind)]);
        schemas.insert(other_name(group, version, kind), schema);
    }
    let mut open: Vec<TypeRef> = types.iter().copied().collect();
    let mut seen = types.clone();
    while let Some(ty) = open.pop() {
        schemas.insert(ty.name().to_owned(), of_type(dialect, ty));
        for raw in ty
            .fields()
            .iter()
            .map(|field| field.raw)
            .filter(|raw| !raw.is_empty())
        {
            let object = raw.ends_with(".RawExtension") || raw.ends_with(".FieldsV1");
            let schema = if object {
                json!({ "type": "object" })
            } else {
                json!({})
            };
            schemas.insert(raw.to_owned(), schema);
        }
        let referred = ty.fields().iter().filter_map(|field| referred(field.shape));
        open.extend(referred.filter(|ty| seen.insert(*ty)));
    }
    schemas
}

/// The name of the schema of a kind that the table does not know: the group backwards, as for custom resources.
pub(super) fn other_name(group: &str, version: &str, kind: &str) -> String {
    let mut parts: Vec<&str> = group.split('.').filter(|part| !part.is_empty()).rev().collect();
    parts.extend([version, kind]);
    parts.join(".")
}

pub(super) fn gvk(group: &str, version: &str, kind: &str) -> Value {
    json!({ "group": group, "version": version, "kind": kind })
}

fn referred(shape: Shape) -> Option<TypeRef> {
    match shape {
        Shape::Struct(ty) => Some(ty),
        Shape::List(element) | Shape::Map(element) => referred(element.get()),
        _ => None,
    }
}

/// Types that are scalars in JSON, but have names.
fn scalars(dialect: Dialect) -> Map<String, Value> {
    let (quantity, int_or_string) = match dialect {
        Dialect::V2 => (
            json!({ "type": "string" }),
            json!({ "type": "string", "format": "int-or-string" }),
        ),
        Dialect::V3 => (
            json!({ "oneOf": [{ "type": "string" }, { "type": "number" }] }),
            json!({ "format": "int-or-string", "oneOf": [{ "type": "integer" }, { "type": "string" }] }),
        ),
    };
    let time = json!({ "type": "string", "format": "date-time" });
    [
        (QUANTITY, quantity),
        (INT_OR_STRING, int_or_string),
        (TIME, time.clone()),
        (MICRO_TIME, time),
        (PATCH, json!({ "type": "object" })),
    ]
    .into_iter()
    .map(|(name, schema)| (name.to_owned(), schema))
    .collect()
}

fn of_type(dialect: Dialect, ty: TypeRef) -> Value {
    let mut schema = json!({ "type": "object" });
    let properties: Map<String, Value> = ty
        .fields()
        .iter()
        .map(|field| {
            let schema = of_field(dialect, field);
            let schema = match prose::of(ty.name(), !ty.kinds().is_empty(), field.name) {
                Some(text) => prose::described(dialect, schema, text),
                None => schema,
            };
            (field.name.to_owned(), schema)
        })
        .collect();
    if !properties.is_empty() {
        schema["properties"] = Value::Object(properties);
    }
    let required: Vec<&str> = ty
        .fields()
        .iter()
        .filter(|field| field.required)
        .map(|field| field.name)
        .collect();
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    if !ty.map_type().is_empty() {
        schema["x-kubernetes-map-type"] = json!(ty.map_type());
    }
    let kinds = ty.kinds().iter().map(|(api_version, kind)| {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        gvk(group, version, kind)
    });
    let kinds: Vec<Value> = kinds.collect();
    if !kinds.is_empty() {
        schema["x-kubernetes-group-version-kind"] = Value::Array(kinds);
    }
    schema
}

fn of_field(dialect: Dialect, field: &Field) -> Value {
    let mut schema = of_shape(dialect, field.shape, field.raw);
    let keys: Vec<&str> = field.list_keys.split(',').filter(|key| !key.is_empty()).collect();
    let words = [
        ("x-kubernetes-patch-strategy", field.patch_strategy),
        ("x-kubernetes-patch-merge-key", field.merge_key),
        ("x-kubernetes-list-type", field.list_type),
        ("x-kubernetes-map-type", field.map_type),
    ];
    let words = words
        .into_iter()
        .filter(|(_, word)| !word.is_empty())
        .map(|(key, word)| (key, json!(word)));
    let keys = (!keys.is_empty()).then(|| ("x-kubernetes-list-map-keys", json!(keys)));
    for (extension, value) in words.chain(keys) {
        // In v3 nothing may stand beside a reference.
        if dialect == Dialect::V3 && schema.get("$ref").is_some() {
            schema = json!({ "allOf": [schema] });
        }
        schema[extension] = value;
    }
    schema
}

fn of_shape(dialect: Dialect, shape: Shape, raw: &str) -> Value {
    match shape {
        Shape::String => json!({ "type": "string" }),
        Shape::Int32 => json!({ "type": "integer", "format": "int32" }),
        Shape::Int64 => json!({ "type": "integer", "format": "int64" }),
        Shape::Bool => json!({ "type": "boolean" }),
        Shape::Float => json!({ "type": "number", "format": "double" }),
        Shape::Bytes => json!({ "type": "string", "format": "byte" }),
        Shape::Quantity => dialect.reference(QUANTITY),
        Shape::IntOrString => dialect.reference(INT_OR_STRING),
        Shape::Time => dialect.reference(TIME),
        Shape::MicroTime => dialect.reference(MICRO_TIME),
        Shape::Raw if raw.is_empty() => json!({ "x-kubernetes-preserve-unknown-fields": true }),
        Shape::Raw => dialect.reference(raw),
        Shape::Struct(ty) => dialect.reference(ty.name()),
        Shape::List(element) => json!({ "type": "array", "items": of_shape(dialect, element.get(), raw) }),
        Shape::Map(element) => {
            json!({ "type": "object", "additionalProperties": of_shape(dialect, element.get(), raw) })
        }
    }
}
