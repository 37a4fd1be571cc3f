//! A structural schema as OpenAPI documents show it.

use serde_json::{Map, Value, json};

/// A custom kind in a version, as OpenAPI documents show it.
#[derive(Clone, Debug)]
pub struct Published {
    /// The kind of lists.
    pub list_kind: String,
    /// The text of the schema; none for a kind that may hold anything.
    schema: Option<Box<[u8]>>,
    /// What the schema does not name stays all the same.
    preserve: bool,
    /// Paths of the selectable fields.
    selectable: Vec<String>,
}

const TYPE_META: [&str; 2] = ["apiVersion", "kind"];

/// The members of a schema that version 2 of OpenAPI has as well, besides extensions.
const OLD: [&str; 21] = [
    "additionalProperties",
    "description",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "properties",
    "required",
    "title",
    "type",
];

impl Published {
    /// Of a kind with this `openAPIV3Schema`.
    pub fn new(list_kind: &str, schema: Option<&[u8]>, preserve: bool, selectable: Vec<String>) -> Self {
        Self {
            list_kind: list_kind.to_owned(),
            schema: schema.map(Box::from),
            preserve,
            selectable,
        }
    }

    /// The schema of the kind. `meta` refers to that of metadata; `old`: for version 2 of OpenAPI.
    pub(crate) fn schema(&self, meta: &Value, old: bool) -> Value {
        let given = self.schema.as_ref();
        let Some(given) = given.and_then(|json| serde_json::from_slice::<Value>(json).ok()) else {
            return json!({ "type": "object" });
        };
        let open = given["x-kubernetes-preserve-unknown-fields"] == json!(true);
        if old && (self.preserve || open) {
            return json!({ "type": "object" });
        }
        let mut schema = if old { older(&given) } else { given };
        embedded(&mut schema, meta);
        object(&mut schema, meta);
        if !self.selectable.is_empty() && !old {
            let fields = self.selectable.iter().map(|path| json!({ "fieldPath": path }));
            schema["x-kubernetes-selectable-fields"] = fields.collect();
        }
        schema
    }
}

/// Adds what every object has.
fn object(schema: &mut Value, meta: &Value) {
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    let properties = schema
        .entry("properties")
        .or_insert_with(|| Value::Object(Map::new()));
    for name in TYPE_META {
        properties[name] = json!({ "type": "string" });
    }
    properties["metadata"] = meta.clone();
}

/// Adds what every object has to the schemas of embedded objects.
fn embedded(schema: &mut Value, meta: &Value) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties
            .values_mut()
            .for_each(|property| embedded(property, meta));
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(inner) {
            embedded(inner, meta);
        }
    }
    if schema.get("x-kubernetes-embedded-resource") == Some(&json!(true)) {
        object(schema, meta);
        let required = schema.as_object_mut().map(|schema| {
            schema
                .entry("required")
                .or_insert_with(|| Value::Array(Vec::new()))
        });
        if let Some(Value::Array(required)) = required {
            for name in ["kind", "apiVersion"] {
                if !required.contains(&json!(name)) {
                    required.push(json!(name));
                }
            }
        }
    }
}

/// What version 2 of OpenAPI can say of it, as far as old clients bear it.
fn older(schema: &Value) -> Value {
    let Some(members) = schema.as_object() else {
        return schema.clone();
    };
    let on = |name: &str| members.get(name) == Some(&json!(true));
    let open = on("nullable") || on("x-kubernetes-preserve-unknown-fields");
    let typeless = open || on("x-kubernetes-int-or-string");
    let kept = members.iter().filter(|(name, value)| {
        let known = OLD.contains(&name.as_str()) || name.starts_with("x-");
        let shape = ["properties", "items", "additionalProperties", "required"].contains(&name.as_str());
        let typed = ["type", "format", "enum", "pattern"].contains(&name.as_str());
        let lost = open && shape || typeless && typed;
        known && !value.is_null() && !lost
    });
    let shown = |(name, value): (&String, &Value)| {
        let value = match (name.as_str(), value) {
            ("properties", Value::Object(all)) => {
                let all = all.iter().map(|(name, schema)| (name.clone(), older(schema)));
                Value::Object(all.collect())
            }
            ("items" | "additionalProperties", inner) => older(inner),
            (_, other) => other.clone(),
        };
        (name.clone(), value)
    };
    Value::Object(kept.map(shown).collect())
}
