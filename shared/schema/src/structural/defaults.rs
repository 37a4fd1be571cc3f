//! Defaults, and the nulls that stand for nothing.

use super::Structural;
use serde_json::Value;

fn stray(value: &Value, schema: &Structural) -> bool {
    value.is_null() && !schema.nullable
}

/// Fills what is left out, or null where null may not stand.
pub(super) fn fill(value: &mut Value, schema: &Structural) {
    match value {
        Value::Object(members) => {
            for (name, property) in &schema.properties {
                let Some(default) = &property.default else {
                    continue;
                };
                match members.get_mut(name) {
                    Some(there) if stray(there, property) => *there = default.clone(),
                    Some(_) => {}
                    None => {
                        members.insert(name.clone(), default.clone());
                    }
                }
            }
            for (name, value) in members {
                if let Some(property) = schema.properties.get(name) {
                    fill(value, property);
                } else if let Some(additional) = schema.additional() {
                    fill_null(value, additional);
                    fill(value, additional);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.items() {
                for item in items {
                    fill_null(item, schema);
                    fill(item, schema);
                }
            }
        }
        _ => {}
    }
}

fn fill_null(value: &mut Value, schema: &Structural) {
    if let Some(default) = &schema.default
        && stray(value, schema)
    {
        *value = default.clone();
    }
}

/// Drops nulls of fields that may not be null and have no default.
pub(super) fn drop_nulls(value: &mut Value, schema: Option<&Structural>) {
    match value {
        Value::Object(members) => members.retain(|name, value| {
            let property = schema.and_then(|schema| schema.property(name));
            if property.is_some_and(|schema| stray(value, schema) && schema.default.is_none()) {
                return false;
            }
            drop_nulls(value, property);
            true
        }),
        Value::Array(items) => {
            let schema = schema.and_then(Structural::items);
            items.iter_mut().for_each(|item| drop_nulls(item, schema));
        }
        _ => {}
    }
}
