//! `metadata` of custom resources and of the objects embedded in them.

use super::Structural;
use crate::{
    check::{TypeError, check},
    document::write,
    prune::prune_value,
    table::type_named,
};
use api::field::{self, Error};
use serde_json::Value;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Brings `metadata` of the root and of embedded objects in shape. Answers the fields that it does not have.
pub(super) fn coerce(
    value: &mut Value,
    schema: Option<&Structural>,
    path: &str,
    root: bool,
    unknown: &mut Vec<String>,
) -> Result<(), String> {
    let embedded = root || schema.is_some_and(Structural::embedded);
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let inner = field::child(path, name);
                if embedded && name == "metadata" {
                    one(value, &inner, unknown)?;
                } else if let Some(schema) = schema.and_then(|schema| schema.property(name)) {
                    coerce(value, Some(schema), &inner, false, unknown)?;
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.and_then(Structural::items) {
                for (index, item) in items.iter_mut().enumerate() {
                    coerce(item, Some(schema), &field::index(path, index), false, unknown)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn one(value: &mut Value, path: &str, unknown: &mut Vec<String>) -> Result<(), String> {
    let Some(ty) = type_named(META) else { return Ok(()) };
    let findings = check(&write(value), ty).map_err(|error| match error {
        TypeError::Syntax(error) => error.to_string(),
        TypeError::Value(text) => text,
    })?;
    unknown.extend(
        findings
            .unknown()
            .into_iter()
            .map(|found| format!("{path}.{found}")),
    );
    prune_value(value, ty);
    Ok(())
}

/// Whether embedded objects say what they are.
pub(super) fn check_embedded(path: &str, value: &Value, schema: &Structural, errors: &mut Vec<Error>) {
    match value {
        Value::Object(members) => {
            if schema.embedded {
                for name in ["apiVersion", "kind"] {
                    said(&field::child(path, name), name, members.get(name), errors);
                }
            }
            for (name, value) in members {
                match (schema.properties.get(name), schema.additional()) {
                    (Some(schema), _) => check_embedded(&field::child(path, name), value, schema, errors),
                    (None, Some(schema)) => check_embedded(&field::key(path, name), value, schema, errors),
                    (None, None) => {}
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.items() {
                for (index, item) in items.iter().enumerate() {
                    check_embedded(&field::index(path, index), item, schema, errors);
                }
            }
        }
        _ => {}
    }
}

fn said(path: &str, name: &str, value: Option<&Value>, errors: &mut Vec<Error>) {
    match value {
        None => errors.push(Error::required(path, "")),
        Some(Value::String(text)) if text.is_empty() => {
            errors.push(Error::invalid(path, text, "must not be empty"));
        }
        Some(Value::String(text)) if name == "apiVersion" && text.matches('/').count() > 1 => {
            let why = format!("unexpected GroupVersion string: {text}");
            errors.push(Error::invalid(path, text, why));
        }
        Some(Value::String(_)) => {}
        Some(other) => errors.push(Error::invalid(path, other, "must be a string")),
    }
}
