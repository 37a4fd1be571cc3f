//! Strategic merge patch: JSON merge patch that knows how each list and map of a type is merged, and directives
//! (`$patch`, `$retainKeys`, `$deleteFromPrimitiveList/…`, `$setElementOrder/…`).

mod lists;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use super::PatchError;
use crate::{
    document::{go_kind, go_print, go_type, read, write},
    syntax::quote,
    table::{Field, Shape, TypeRef},
};

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";
const SET_ORDER: &str = "$setElementOrder";

type Members = Map<String, Value>;

/// `doc`, of type `ty`, with the strategic merge patch `patch` applied.
///
/// # Errors
/// A patch that is not a JSON object, or with malformed directives, is a bad request; lists of lists are unprocessable; a list
/// element without its merge key, or an unknown field that is in `doc` too, is internal, as upstream.
pub fn strategic_merge(doc: &[u8], patch: &[u8], ty: TypeRef) -> Result<Vec<u8>, PatchError> {
    let patch = match read(patch).map_err(|error| PatchError::BadRequest(error.to_string()))? {
        Value::Object(patch) => patch,
        other => {
            return Err(PatchError::BadRequest(format!(
                "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
                go_kind(&other)
            )));
        }
    };
    let Value::Object(mut doc) = read(doc).map_err(|error| PatchError::Internal(error.to_string()))? else {
        return Err(PatchError::Internal("invalid JSON document".to_owned()));
    };
    merge_map(&mut doc, patch, Shape::Struct(ty))?;
    Ok(write(&Value::Object(doc)))
}

/// Merges `patch` into `original`, a struct or map of that shape.
fn merge_map(original: &mut Members, mut patch: Members, shape: Shape) -> Result<(), PatchError> {
    if let Some(directive) = patch.get(PATCH) {
        match directive.as_str() {
            Some("replace") => {
                patch.remove(PATCH);
                *original = patch;
            }
            Some("delete") => original.clear(),
            _ => return Err(unknown_directive(directive, &patch)),
        }
        return Ok(());
    }
    retain_keys(original, &mut patch)?;
    lists::merge_ordered(original, &mut patch, shape)?;
    for (key, value) in patch {
        merge_member(original, key, value, shape)?;
    }
    Ok(())
}

fn merge_member(original: &mut Members, key: String, value: Value, shape: Shape) -> Result<(), PatchError> {
    let (key, deletes) = match directive_field(&key, DELETE_FROM)? {
        Some(field) => (field.to_owned(), true),
        None => (key, false),
    };
    if value.is_null() {
        original.remove(&key);
        return Ok(());
    }
    let Some(current) = original
        .get_mut(&key)
        .filter(|current| go_type(current) == go_type(&value))
    else {
        match without_directives(value) {
            _ if deletes => {}
            Some(value) => drop(original.insert(key, value)),
            None => drop(original.remove(&key)),
        }
        return Ok(());
    };
    match (current, value) {
        (Value::Object(current), Value::Object(patch)) => {
            let facts = facts(shape, &key)?;
            if facts.replaces() {
                *current = patch;
                return Ok(());
            }
            merge_map(current, patch, facts.shape)
        }
        (Value::Array(current), Value::Array(patch)) => {
            let facts = facts(shape, &key)?;
            let current_items = std::mem::take(current);
            *current = if facts.merges() {
                lists::merge(current_items, patch, &facts, deletes)?
            } else {
                patch
            };
            Ok(())
        }
        (current, value) => {
            *current = value;
            Ok(())
        }
    }
}

/// What the table says of a member of a struct or map.
struct Facts {
    shape: Shape,
    field: Option<&'static Field>,
}

impl Facts {
    fn merges(&self) -> bool {
        self.field.is_some_and(Field::merges)
    }

    fn replaces(&self) -> bool {
        self.field.is_some_and(Field::replaces)
    }

    fn merge_key(&self) -> &'static str {
        self.field.map_or("", |field| field.merge_key)
    }

    /// The shape of the elements of a list.
    fn element(&self) -> Shape {
        if let Shape::List(element) = self.shape {
            element.get()
        } else {
            Shape::Raw
        }
    }
}

fn facts(shape: Shape, key: &str) -> Result<Facts, PatchError> {
    let (name, kind) = match shape {
        Shape::Struct(ty) => match ty.field(key) {
            Some((_, field)) => {
                return Ok(Facts {
                    shape: field.shape,
                    field: Some(field),
                });
            }
            None => (ty.struct_name(), "json field"),
        },
        Shape::Map(element) => {
            return Ok(Facts {
                shape: element.get(),
                field: None,
            });
        }
        _ => ("RawExtension", "json field"),
    };
    Err(PatchError::Internal(format!(
        "unable to find api field in struct {name} for the {kind} {}",
        quote(key)
    )))
}

/// The field that the directive `KEY/field` is about; None for other keys.
fn directive_field<'a>(key: &'a str, directive: &str) -> Result<Option<&'a str>, PatchError> {
    match key.strip_prefix(directive) {
        None => Ok(None),
        Some(rest) => match rest.strip_prefix('/') {
            Some(field) => Ok(Some(field)),
            None if directive == DELETE_FROM => Err(PatchError::BadRequest(
                "invalid patch format of primitive list".to_owned(),
            )),
            None => Err(PatchError::BadRequest(
                "invalid patch format of setElementOrder list".to_owned(),
            )),
        },
    }
}

/// `$retainKeys`: drops all members of `original` that it does not name.
fn retain_keys(original: &mut Members, patch: &mut Members) -> Result<(), PatchError> {
    let wrong = || PatchError::BadRequest("invalid patch format of retainKeys".to_owned());
    let Some(keys) = patch.remove(RETAIN_KEYS) else {
        return Ok(());
    };
    let keys = keys.as_array().ok_or_else(wrong)?;
    let retained = |key: &str| keys.iter().any(|k| k == key);
    for (key, value) in patch.iter() {
        let directive = key.starts_with(DELETE_FROM) || key.starts_with(SET_ORDER);
        if !value.is_null() && !directive && !retained(key) {
            return Err(wrong());
        }
    }
    original.retain(|key, _| retained(key));
    Ok(())
}

/// A value of the patch that is taken whole: nulls and directives have nothing to act on. None if it is itself a directive.
fn without_directives(mut value: Value) -> Option<Value> {
    match &mut value {
        Value::Object(members) => {
            if members.contains_key(PATCH) {
                return None;
            }
            let directive =
                |key: &str| key == RETAIN_KEYS || key.starts_with(DELETE_FROM) || key.starts_with(SET_ORDER);
            let own = std::mem::take(members).into_iter();
            let own = own.filter(|(key, value)| !directive(key) && !value.is_null());
            *members = own
                .filter_map(|(key, value)| Some((key, without_directives(value)?)))
                .collect();
        }
        Value::Array(items) => {
            *items = std::mem::take(items)
                .into_iter()
                .filter_map(without_directives)
                .collect();
        }
        _ => {}
    }
    Some(value)
}

fn unknown_directive(directive: &Value, map: &Members) -> PatchError {
    PatchError::Internal(format!(
        "unknown patch type: {} in map: {}",
        go_print(directive),
        go_print(&Value::Object(map.clone()))
    ))
}

fn wrong_type(expected: &str, actual: &Value) -> PatchError {
    PatchError::Internal(format!(
        "expected a {expected}, but received a {}",
        go_type(actual)
    ))
}
