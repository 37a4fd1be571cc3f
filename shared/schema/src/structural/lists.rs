//! Lists that are sets and maps: each element once.

use super::Structural;
use api::field::{self, Error};
use serde_json::{Map, Value};
use std::collections::HashMap;

/// The elements that stand twice in sets, and whose keys stand twice in maps.
pub(super) fn check(path: &str, schema: &Structural, value: &Value, errors: &mut Vec<Error>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match (schema.properties.get(name), schema.additional()) {
                    (Some(schema), _) => check(&field::child(path, name), schema, value, errors),
                    (None, Some(schema)) => check(&field::key(path, name), schema, value, errors),
                    (None, None) => {}
                }
            }
        }
        Value::Array(items) => {
            match schema.list_type() {
                "set" => {
                    for index in twice(items.iter()) {
                        errors.push(Error::duplicate(field::index(path, index), &items[index]));
                    }
                }
                "map" => map(path, schema, items, errors),
                _ => {}
            }
            if let Some(schema) = schema.items() {
                for (index, item) in items.iter().enumerate() {
                    check(&field::index(path, index), schema, item, errors);
                }
            }
        }
        _ => {}
    }
}

fn map(path: &str, schema: &Structural, items: &[Value], errors: &mut Vec<Error>) {
    if let Some(index) = items.iter().position(|item| !item.is_object() && !item.is_null()) {
        let why = "must be an object for an array of list-type map";
        errors.push(Error::invalid(field::index(path, index), &items[index], why));
        return;
    }
    let keys: Vec<Value> = items.iter().map(|item| key_of(schema, item)).collect();
    for index in twice(keys.iter()) {
        errors.push(Error::duplicate(field::index(path, index), &keys[index]));
    }
}

/// The members of `item` that are keys of the list.
pub(super) fn key_of(schema: &Structural, item: &Value) -> Value {
    let keys = schema.list_map_keys.iter();
    let member = |key: &String| Some((key.clone(), item.get(key)?.clone()));
    Value::Object(keys.filter_map(member).collect::<Map<_, _>>())
}

/// The second place of each value that stands more than once.
fn twice<'a>(values: impl Iterator<Item = &'a Value>) -> Vec<usize> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let mut places = Vec::new();
    for (index, value) in values.enumerate() {
        let times = seen.entry(value.to_string()).or_default();
        *times += 1;
        if *times == 2 {
            places.push(index);
        }
    }
    places
}
