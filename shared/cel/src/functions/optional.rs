//! Optional values.

use super::Row;
use crate::{
    stop::Stop,
    value::{List, Value},
};

pub(super) const ROWS: &[Row] = &[
    Row(
        "optional.of",
        "optional_of",
        "V->optional(V)",
        |args, _| match args {
            [value] => Ok(Value::some(value.clone())),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        "optional.ofNonZeroValue",
        "optional_ofNonZeroValue",
        "V->optional(V)",
        |args, _| match args {
            [value] if value.is_zero() => Ok(Value::Optional(None)),
            [value] => Ok(Value::some(value.clone())),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row("optional.none", "optional_none", "->optional(V)", |_, _| {
        Ok(Value::Optional(None))
    }),
    Row(
        "optional.unwrap",
        "optional_unwrap",
        "list(optional(V))->list(V)",
        |args, _| unwrap(args),
    ),
    Row(
        ".unwrapOpt",
        "optional_unwrapOpt",
        "list(optional(V))->list(V)",
        |args, _| unwrap(args),
    ),
    Row(
        ".value",
        "optional_value",
        "optional(V)->V",
        |args, _| match args {
            [Value::Optional(Some(value))] => Ok(Value::clone(value)),
            [Value::Optional(None)] => Err("optional.none() dereference".into()),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".hasValue",
        "optional_hasValue",
        "optional(V)->bool",
        |args, _| match args {
            [Value::Optional(value)] => Ok(Value::Bool(value.is_some())),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".or",
        "optional_or_optional",
        "optional(V),optional(V)->optional(V)",
        |args, _| match args {
            [value @ Value::Optional(Some(_)), _] => Ok(value.clone()),
            [Value::Optional(None), other] => Ok(other.clone()),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".orValue",
        "optional_orValue_value",
        "optional(V),V->V",
        |args, _| match args {
            [Value::Optional(Some(value)), _] => Ok(Value::clone(value)),
            [Value::Optional(None), other] => Ok(other.clone()),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".first",
        "list_first",
        "list(V)->optional(V)",
        |args, _| match args {
            [Value::List(list)] => Ok(Value::Optional(list.get(0).map(std::sync::Arc::new))),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".last",
        "list_last",
        "list(V)->optional(V)",
        |args, _| match args {
            [Value::List(list)] => {
                let last = list.len().checked_sub(1).and_then(|at| list.get(at));
                Ok(Value::Optional(last.map(std::sync::Arc::new)))
            }
            _ => Err(Stop::OVERLOAD),
        },
    ),
];

fn unwrap<'a>(args: &[Value<'a>]) -> Result<Value<'a>, Stop> {
    let [Value::List(list)] = args else {
        return Err(Stop::OVERLOAD);
    };
    let there = list.iter().filter_map(|item| match item {
        Value::Optional(inner) => inner.map(|inner| Value::clone(&inner)),
        other => Some(other),
    });
    Ok(Value::List(List::Shared(there.collect())))
}
