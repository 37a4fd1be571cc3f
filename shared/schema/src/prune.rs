//! Dropping what a type does not have.

use serde_json::{Map, Value};

use crate::{
    document::{read, write},
    syntax::SyntaxError,
    table::{Field, Shape, TypeRef},
};

/// `json` without unknown fields and nulls, keys sorted; of a duplicate field the last stays. After [`crate::check`] found no
/// error, the result decodes in any typed decoder.
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

/// The same of a value.
pub(crate) fn prune_value(value: &mut Value, ty: TypeRef) {
    shaped(value, Shape::Struct(ty), false);
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
                .for_each(|value| element_shaped(value, element.get(), canonical));
        }
        (Shape::List(element), Value::Array(items)) => {
            items
                .iter_mut()
                .for_each(|value| element_shaped(value, element.get(), canonical));
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

/// An element of a list or map: a null there stands for the zero value, as in upstream's decoder.
fn element_shaped(value: &mut Value, shape: Shape, canonical: bool) {
    if value.is_null() {
        *value = match shape {
            Shape::String | Shape::Bytes => "".into(),
            Shape::Int32 | Shape::Int64 | Shape::Float | Shape::IntOrString => 0.into(),
            Shape::Bool => false.into(),
            Shape::Quantity => "0".into(),
            Shape::Struct(_) | Shape::Map(_) => Value::Object(Map::new()),
            Shape::List(_) => Value::Array(Vec::new()),
            Shape::Time | Shape::MicroTime | Shape::Raw => Value::Null,
        };
    }
    shaped(value, shape, canonical);
}

/// Whether upstream omits this empty list or map.
fn omitted(field: &Field, value: &Value) -> bool {
    let empty = match field.shape {
        Shape::List(_) => value.as_array().is_some_and(Vec::is_empty),
        Shape::Map(_) => value.as_object().is_some_and(Map::is_empty),
        _ => false,
    };
    empty && !field.written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::type_of;

    const POD: &str = r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"1000m","memory":null}},"name":"a","env":[]},null],
        "odd":{"x":1},"volumes":[{"name":"v","emptyDir":{}}],"nodeSelector":{},"overhead":{"cpu":0.5},"hostNetwork":false},
        "metadata":{"labels":{"a":null},"name":"x","name":"p","creationTimestamp":null,"managedFields":[{"fieldsV1":{"f:x":{}}}]}}"#;

    fn with(change: fn(&[u8], TypeRef) -> Result<Vec<u8>, SyntaxError>) -> String {
        let pruned = change(POD.as_bytes(), type_of("", "v1", "Pod").unwrap()).unwrap();
        String::from_utf8(pruned).unwrap()
    }

    #[test]
    fn unknown_fields_and_nulls_go() {
        assert_eq!(
            with(prune),
            concat!(
                r#"{"metadata":{"labels":{"a":""},"managedFields":[{"fieldsV1":{"f:x":{}}}],"name":"p"},"#,
                r#""spec":{"containers":[{"env":[],"name":"a","resources":{"limits":{"cpu":"1000m","memory":"0"}}},{}],"#,
                r#""hostNetwork":false,"nodeSelector":{},"overhead":{"cpu":0.5},"volumes":[{"emptyDir":{},"name":"v"}]}}"#
            )
        );
    }

    #[test]
    fn empty_lists_and_maps_go_and_quantities_are_canonical() {
        assert_eq!(
            with(canonical),
            concat!(
                r#"{"metadata":{"labels":{"a":""},"managedFields":[{"fieldsV1":{"f:x":{}}}],"name":"p"},"#,
                r#""spec":{"containers":[{"name":"a","resources":{"limits":{"cpu":"1","memory":"0"}}},{}],"#,
                r#""hostNetwork":false,"overhead":{"cpu":"500m"},"volumes":[{"emptyDir":{},"name":"v"}]}}"#
            )
        );
    }
}
