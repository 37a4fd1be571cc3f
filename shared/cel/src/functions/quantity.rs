//! Quantities, exact.

use super::Row;
use crate::{stop::Stop, value::Value};
use api::Quantity;
use std::cmp::Ordering;

const NANO: i128 = 1_000_000_000;

pub(super) const ROWS: &[Row] = &[
    Row(
        "quantity",
        "string_to_quantity",
        "string->kubernetes.Quantity",
        |args, _| match args {
            [Value::String(text)] => {
                let quantity: Quantity = text
                    .parse()
                    .map_err(|error: api::QuantityError| error.to_string())?;
                Ok(Value::Quantity(quantity))
            }
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        "isQuantity",
        "is_quantity_string",
        "string->bool",
        |args, _| match args {
            [Value::String(text)] => Ok(Value::Bool(text.parse::<Quantity>().is_ok())),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".sign",
        "quantity_sign",
        "kubernetes.Quantity->int",
        |args, _| match args {
            [Value::Quantity(quantity)] => {
                Ok(Value::Int(i64::try_from(quantity.nanos().signum()).unwrap_or(0)))
            }
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".isGreaterThan",
        "quantity_is_greater_than",
        "kubernetes.Quantity,kubernetes.Quantity->bool",
        |args, _| Ok(Value::Bool(order(args)?.is_gt())),
    ),
    Row(
        ".isLessThan",
        "quantity_is_less_than",
        "kubernetes.Quantity,kubernetes.Quantity->bool",
        |args, _| Ok(Value::Bool(order(args)?.is_lt())),
    ),
    Row(
        ".compareTo",
        "quantity_compare_to",
        "kubernetes.Quantity,kubernetes.Quantity->int",
        |args, _| Ok(Value::Int(order(args)? as i64)),
    ),
    Row(
        ".asApproximateFloat",
        "quantity_get_float",
        "kubernetes.Quantity->double",
        |args, _| match args {
            [Value::Quantity(quantity)] => Ok(Value::Double(quantity.nanos() as f64 / 1e9)),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".asInteger",
        "quantity_get_int",
        "kubernetes.Quantity->int",
        |args, _| match args {
            [Value::Quantity(quantity)] => whole(*quantity)
                .map(Value::Int)
                .ok_or_else(|| "cannot convert value to integer".into()),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".isInteger",
        "quantity_is_integer",
        "kubernetes.Quantity->bool",
        |args, _| match args {
            [Value::Quantity(quantity)] => Ok(Value::Bool(whole(*quantity).is_some())),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".add",
        "quantity_add",
        "kubernetes.Quantity,kubernetes.Quantity->kubernetes.Quantity",
        |args, _| match args {
            [Value::Quantity(a), Value::Quantity(b)] => Ok(Value::Quantity(*a + *b)),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".add",
        "quantity_add_int",
        "kubernetes.Quantity,int->kubernetes.Quantity",
        |args, _| match args {
            [Value::Quantity(a), Value::Int(b)] => Ok(Value::Quantity(*a + Quantity::from_int(*b))),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".sub",
        "quantity_sub",
        "kubernetes.Quantity,kubernetes.Quantity->kubernetes.Quantity",
        |args, _| match args {
            [Value::Quantity(a), Value::Quantity(b)] => Ok(Value::Quantity(*a - *b)),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".sub",
        "quantity_sub_int",
        "kubernetes.Quantity,int->kubernetes.Quantity",
        |args, _| match args {
            [Value::Quantity(a), Value::Int(b)] => Ok(Value::Quantity(*a - Quantity::from_int(*b))),
            _ => Err(Stop::OVERLOAD),
        },
    ),
];

fn order(args: &[Value<'_>]) -> Result<Ordering, Stop> {
    match args {
        [Value::Quantity(a), Value::Quantity(b)] => Ok(a.cmp(b)),
        _ => Err(Stop::OVERLOAD),
    }
}

fn whole(quantity: Quantity) -> Option<i64> {
    let nanos = quantity.nanos();
    (nanos % NANO == 0)
        .then(|| i64::try_from(nanos / NANO).ok())
        .flatten()
}
