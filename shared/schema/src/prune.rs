//! Dropping what a type does not have.

use serde_json::{Map, Value};

use crate::{
    document::{read, write},
    syntax::SyntaxError,
    table::{Field, Shape, TypeRef},
};

/// `json` without unknown fields and nulls, keys sorted; of a duplicate field the last stays.
///
/// # Errors
/// Text that is not JSON.
pub fn prune(json: &[u8], ty: TypeRef) -> Result<Vec<u8>, SyntaxError> {
    let mut value = read(json)?;
    shaped(&mut value, Shape::Struct(ty), false);
    Ok(write(&value))
}

/// `json` pruned, and without what upstream omits when empty as far as the table knows it: lists and maps that are not
/// required. Quantities are in canonical form. (An empty text or a zero may mean something in a field that is a pointer
/// upstream, which the table cannot tell: these stay.)
///
/// # Errors
/// Text that is not JSON.
pub fn canonical(json: &[u8], ty: TypeRef) -> Result<Vec<u8>, SyntaxError> {
    let mut value = read(json)?;
    shaped(&mut value, Shape::Struct(ty), true);
    Ok(write(&value))
}

fn shaped(value: &mut Value, shape: Shape, canonical: bool) {
    match (shape, value) {
        (Shape::Struct(ty), Value::Object(members)) => members.retain(|name, value| {
            let Some((_, field)) = ty.field(name) else {
                return false;
            };
            shaped(value, field.shape, canonical);
            !(value.is_null() || canonical && omitted(field, value))
        }),
        (Shape::Map(element), Value::Object(members)) => {
            members
                .values_mut()
                .for_each(|value| shaped(value, element.get(), canonical));
        }
        (Shape::List(element), Value::Array(items)) => {
            items
                .iter_mut()
                .for_each(|value| shaped(value, element.get(), canonical));
        }
        (Shape::Quantity, value) if canonical => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            if let Ok(quantity) = text.trim().parse::<api::Quantity>() {
                *value = Value::String(quantity.to_string());
            }
        }
        _ => {}
    }
}

/// Whether upstream omits this empty list or map.
fn omitted(field: &Field, value: &Value) -> bool {
    let empty = match field.shape {
        Shape::List(_) => value.as_array().is_some_and(Vec::is_empty),
        Shape::Map(_) => value.as_object().is_some_and(Map::is_empty),
        _ => false,
    };
    empty && !field.required
}
