//! Lists as sets.

use super::Row;
use crate::{
    budget::Budget,
    stop::Stop,
    value::{List, Value},
};

pub(super) const ROWS: &[Row] = &[
    Row(
        "sets.contains",
        "list_sets_contains_list",
        "list(T),list(T)->bool",
        |args, budget| match args {
            [Value::List(a), Value::List(b)] => Ok(Value::Bool(contains(a, b, budget)?)),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        "sets.equivalent",
        "list_sets_equivalent_list",
        "list(T),list(T)->bool",
        |args, budget| match args {
            [Value::List(a), Value::List(b)] => {
                Ok(Value::Bool(contains(a, b, budget)? && contains(b, a, budget)?))
            }
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        "sets.intersects",
        "list_sets_intersects_list",
        "list(T),list(T)->bool",
        |args, budget| match args {
            [Value::List(a), Value::List(b)] => {
                for item in a.iter() {
                    if has(b, &item, budget)? {
                        return Ok(Value::Bool(true));
                    }
                }
                Ok(Value::Bool(false))
            }
            _ => Err(Stop::OVERLOAD),
        },
    ),
];

fn has(list: &List<'_>, wanted: &Value<'_>, budget: &mut Budget) -> Result<bool, Stop> {
    for item in list.iter() {
        if item.equals(wanted, budget)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn contains(list: &List<'_>, part: &List<'_>, budget: &mut Budget) -> Result<bool, Stop> {
    for item in part.iter() {
        if !has(list, &item, budget)? {
            return Ok(false);
        }
    }
    Ok(true)
}
