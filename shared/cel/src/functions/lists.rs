//! Lists.

use super::Row;
use crate::{
    budget::Budget,
    stop::Stop,
    value::{List, Value},
};
use std::cmp::Ordering;

type Out<'a> = Result<Value<'a>, Stop>;

pub(super) const ROWS: &[Row] = &[
    Row(
        ".isSorted",
        "list_int_is_sorted_bool",
        "list(int)->bool",
        |args, _| is_sorted(args),
    ),
    Row(
        ".isSorted",
        "list_uint_is_sorted_bool",
        "list(uint)->bool",
        |args, _| is_sorted(args),
    ),
    Row(
        ".isSorted",
        "list_double_is_sorted_bool",
        "list(double)->bool",
        |args, _| is_sorted(args),
    ),
    Row(
        ".isSorted",
        "list_bool_is_sorted_bool",
        "list(bool)->bool",
        |args, _| is_sorted(args),
    ),
    Row(
        ".isSorted",
        "list_duration_is_sorted_bool",
        "list(duration)->bool",
        |args, _| is_sorted(args),
    ),
    Row(
        ".isSorted",
        "list_timestamp_is_sorted_bool",
        "list(timestamp)->bool",
        |args, _| is_sorted(args),
    ),
    Row(
        ".isSorted",
        "list_string_is_sorted_bool",
        "list(string)->bool",
        |args, _| is_sorted(args),
    ),
    Row(
        ".isSorted",
        "list_bytes_is_sorted_bool",
        "list(bytes)->bool",
        |args, _| is_sorted(args),
    ),
    Row(".sum", "list_int_sum_int", "list(int)->int", |args, _| {
        sum(args, Value::Int(0))
    }),
    Row(".sum", "list_uint_sum_uint", "list(uint)->uint", |args, _| {
        sum(args, Value::Uint(0))
    }),
    Row(
        ".sum",
        "list_double_sum_double",
        "list(double)->double",
        |args, _| sum(args, Value::Double(0.0)),
    ),
    Row(
        ".sum",
        "list_duration_sum_duration",
        "list(duration)->duration",
        |args, _| sum(args, Value::Duration(0)),
    ),
    Row(".min", "list_int_min_int", "list(int)->int", |args, _| {
        extreme(args, "min", Ordering::Less)
    }),
    Row(".min", "list_uint_min_uint", "list(uint)->uint", |args, _| {
        extreme(args, "min", Ordering::Less)
    }),
    Row(
        ".min",
        "list_double_min_double",
        "list(double)->double",
        |args, _| extreme(args, "min", Ordering::Less),
    ),
    Row(".min", "list_bool_min_bool", "list(bool)->bool", |args, _| {
        extreme(args, "min", Ordering::Less)
    }),
    Row(
        ".min",
        "list_duration_min_duration",
        "list(duration)->duration",
        |args, _| extreme(args, "min", Ordering::Less),
    ),
    Row(
        ".min",
        "list_timestamp_min_timestamp",
        "list(timestamp)->timestamp",
        |args, _| extreme(args, "min", Ordering::Less),
    ),
    Row(
        ".min",
        "list_string_min_string",
        "list(string)->string",
        |args, _| extreme(args, "min", Ordering::Less),
    ),
    Row(".min", "list_bytes_min_bytes", "list(bytes)->bytes", |args, _| {
        extreme(args, "min", Ordering::Less)
    }),
    Row(".max", "list_int_max_int", "list(int)->int", |args, _| {
        extreme(args, "max", Ordering::Greater)
    }),
    Row(".max", "list_uint_max_uint", "list(uint)->uint", |args, _| {
        extreme(args, "max", Ordering::Greater)
    }),
    Row(
        ".max",
        "list_double_max_double",
        "list(double)->double",
        |args, _| extreme(args, "max", Ordering::Greater),
    ),
    Row(".max", "list_bool_max_bool", "list(bool)->bool", |args, _| {
        extreme(args, "max", Ordering::Greater)
    }),
    Row(
        ".max",
        "list_duration_max_duration",
        "list(duration)->duration",
        |args, _| extreme(args, "max", Ordering::Greater),
    ),
    Row(
        ".max",
        "list_timestamp_max_timestamp",
        "list(timestamp)->timestamp",
        |args, _| extreme(args, "max", Ordering::Greater),
    ),
    Row(
        ".max",
        "list_string_max_string",
        "list(string)->string",
        |args, _| extreme(args, "max", Ordering::Greater),
    ),
    Row(".max", "list_bytes_max_bytes", "list(bytes)->bytes", |args, _| {
        extreme(args, "max", Ordering::Greater)
    }),
    Row(
        ".indexOf",
        "list_a_index_of_int",
        "list(A),A->int",
        |args, budget| find(args, budget, false),
    ),
    Row(
        ".lastIndexOf",
        "list_a_last_index_of_int",
        "list(A),A->int",
        |args, budget| find(args, budget, true),
    ),
    Row(".includes", "list_includes_dyn_dyn", "dyn,dyn->bool", includes),
    Row(".slice", "list_slice", "list(A),int,int->list(A)", |args, _| {
        slice(args)
    }),
    Row(".flatten", "list_flatten", "list(list(A))->list(A)", flatten),
    Row(
        ".flatten",
        "list_flatten_int",
        "list(dyn),int->list(dyn)",
        flatten,
    ),
    Row(".sort", "list_int_sort", "list(int)->list(int)", |args, _| {
        sort(args)
    }),
    Row(".sort", "list_uint_sort", "list(uint)->list(uint)", |args, _| {
        sort(args)
    }),
    Row(
        ".sort",
        "list_double_sort",
        "list(double)->list(double)",
        |args, _| sort(args),
    ),
    Row(".sort", "list_bool_sort", "list(bool)->list(bool)", |args, _| {
        sort(args)
    }),
    Row(
        ".sort",
        "list_duration_sort",
        "list(duration)->list(duration)",
        |args, _| sort(args),
    ),
    Row(
        ".sort",
        "list_timestamp_sort",
        "list(timestamp)->list(timestamp)",
        |args, _| sort(args),
    ),
    Row(
        ".sort",
        "list_string_sort",
        "list(string)->list(string)",
        |args, _| sort(args),
    ),
    Row(
        ".sort",
        "list_bytes_sort",
        "list(bytes)->list(bytes)",
        |args, _| sort(args),
    ),
    Row(
        ".@sortByAssociatedKeys",
        "list_int_sortByAssociatedKeys",
        "list(T),list(int)->list(T)",
        |args, _| sort(args),
    ),
    Row(
        ".@sortByAssociatedKeys",
        "list_uint_sortByAssociatedKeys",
        "list(T),list(uint)->list(T)",
        |args, _| sort(args),
    ),
    Row(
        ".@sortByAssociatedKeys",
        "list_double_sortByAssociatedKeys",
        "list(T),list(double)->list(T)",
        |args, _| sort(args),
    ),
    Row(
        ".@sortByAssociatedKeys",
        "list_bool_sortByAssociatedKeys",
        "list(T),list(bool)->list(T)",
        |args, _| sort(args),
    ),
    Row(
        ".@sortByAssociatedKeys",
        "list_duration_sortByAssociatedKeys",
        "list(T),list(duration)->list(T)",
        |args, _| sort(args),
    ),
    Row(
        ".@sortByAssociatedKeys",
        "list_timestamp_sortByAssociatedKeys",
        "list(T),list(timestamp)->list(T)",
        |args, _| sort(args),
    ),
    Row(
        ".@sortByAssociatedKeys",
        "list_string_sortByAssociatedKeys",
        "list(T),list(string)->list(T)",
        |args, _| sort(args),
    ),
    Row(
        ".@sortByAssociatedKeys",
        "list_bytes_sortByAssociatedKeys",
        "list(T),list(bytes)->list(T)",
        |args, _| sort(args),
    ),
    Row("lists.range", "lists_range", "int->list(int)", |args, _| {
        range(args)
    }),
    Row(
        ".reverse",
        "list_reverse",
        "list(A)->list(A)",
        |args, _| match args {
            [Value::List(list)] => {
                let mut items: Vec<_> = list.iter().collect();
                items.reverse();
                Ok(Value::list(items))
            }
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(".distinct", "list_distinct", "list(T)->list(T)", distinct),
];

fn is_sorted<'a>(args: &[Value<'a>]) -> Out<'a> {
    let [Value::List(list)] = args else {
        return Err(Stop::OVERLOAD);
    };
    let mut before: Option<Value<'a>> = None;
    for item in list.iter() {
        if let Some(before) = &before
            && before.order(&item).ok_or(Stop::OVERLOAD)?.is_gt()
        {
            return Ok(Value::Bool(false));
        }
        before = Some(item);
    }
    Ok(Value::Bool(true))
}

fn sum<'a>(args: &[Value<'a>], zero: Value<'a>) -> Out<'a> {
    let [Value::List(list)] = args else {
        return Err(Stop::OVERLOAD);
    };
    // A list whose type is known only now begins with its own zero.
    let mut sum = match list.get(0) {
        Some(Value::Uint(_)) => Value::Uint(0),
        Some(Value::Double(_)) => Value::Double(0.0),
        Some(Value::Duration(_)) => Value::Duration(0),
        _ => zero,
    };
    for item in list.iter() {
        sum = match (&sum, &item) {
            (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_add(*b).ok_or("integer overflow")?),
            (Value::Uint(a), Value::Uint(b)) => {
                Value::Uint(a.checked_add(*b).ok_or("unsigned integer overflow")?)
            }
            (Value::Double(a), Value::Double(b)) => Value::Double(a + b),
            (Value::Duration(a), Value::Duration(b)) => {
                Value::Duration(a.checked_add(*b).ok_or("duration overflow")?)
            }
            _ => return Err(Stop::OVERLOAD),
        };
    }
    Ok(sum)
}

fn extreme<'a>(args: &[Value<'a>], name: &str, wanted: Ordering) -> Out<'a> {
    let [Value::List(list)] = args else {
        return Err(Stop::OVERLOAD);
    };
    let mut items = list.iter();
    let mut best = items
        .next()
        .ok_or_else(|| format!("{name} called on empty list"))?;
    for item in items {
        if item.order(&best).ok_or(Stop::OVERLOAD)? == wanted {
            best = item;
        }
    }
    Ok(best)
}

fn find<'a>(args: &[Value<'a>], budget: &mut Budget, last: bool) -> Out<'a> {
    let [Value::List(list), wanted] = args else {
        return Err(Stop::OVERLOAD);
    };
    let mut found = -1;
    for (at, item) in (0i64..).zip(list.iter()) {
        if item.equals(wanted, budget)? {
            found = at;
            if !last {
                break;
            }
        }
    }
    Ok(Value::Int(found))
}

/// Whether a list has the value, or a value is it.
fn includes<'a>(args: &[Value<'a>], budget: &mut Budget) -> Out<'a> {
    match args {
        [Value::List(list), wanted] => {
            for item in list.iter() {
                if item.equals(wanted, budget)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        [value, wanted] => Ok(Value::Bool(value.equals(wanted, budget)?)),
        _ => Err(Stop::OVERLOAD),
    }
}

fn slice<'a>(args: &[Value<'a>]) -> Out<'a> {
    let [Value::List(list), Value::Int(start), Value::Int(end)] = args else {
        return Err(Stop::OVERLOAD);
    };
    if *start < 0 || *end < 0 {
        return Err(format!("cannot slice({start}, {end}), negative indexes not supported").into());
    }
    if start > end {
        return Err(format!(
            "cannot slice({start}, {end}), start index must be less than or equal to end index"
        )
        .into());
    }
    let end_at = usize::try_from(*end).unwrap_or(usize::MAX);
    if end_at > list.len() {
        return Err(format!("cannot slice({start}, {end}), list is length {}", list.len()).into());
    }
    let start = usize::try_from(*start).unwrap_or(usize::MAX);
    Ok(Value::list(
        (start..end_at).filter_map(|at| list.get(at)).collect(),
    ))
}

fn flatten<'a>(args: &[Value<'a>], budget: &mut Budget) -> Out<'a> {
    let (list, depth) = match args {
        [Value::List(list)] => (list, 1),
        [Value::List(list), Value::Int(depth)] if *depth >= 0 => (list, *depth),
        [Value::List(_), Value::Int(_)] => return Err("level must be non-negative".into()),
        _ => return Err(Stop::OVERLOAD),
    };
    let mut out = Vec::new();
    flatten_into(&mut out, list, depth.min(100), budget)?;
    Ok(Value::list(out))
}

fn flatten_into<'a>(
    out: &mut Vec<Value<'a>>,
    list: &List<'a>,
    depth: i64,
    budget: &mut Budget,
) -> Result<(), Stop> {
    for item in list.iter() {
        match item {
            Value::List(inner) if depth > 0 => {
                budget.charge(inner.len() as u64 / 10)?;
                flatten_into(out, &inner, depth - 1, budget)?;
            }
            other => out.push(other),
        }
    }
    Ok(())
}

/// By its own elements, or by those of the list beside it. Equal ones keep their order.
fn sort<'a>(args: &[Value<'a>]) -> Out<'a> {
    let (list, keys) = match args {
        [Value::List(list)] => (list, list),
        [Value::List(list), Value::List(keys)] => (list, keys),
        _ => return Err(Stop::OVERLOAD),
    };
    let mut pairs: Vec<_> = keys.iter().zip(list.iter()).collect();
    if let Some((first, _)) = pairs.first() {
        let kind = std::mem::discriminant(first);
        if pairs.iter().any(|(key, _)| std::mem::discriminant(key) != kind) {
            return Err("list elements must have the same type".into());
        }
        if first.order(first).is_none() && !matches!(first, Value::Double(_)) {
            return Err("list elements must be comparable".into());
        }
    }
    pairs.sort_by(|(a, _), (b, _)| match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.total_cmp(b),
        (a, b) => a.order(b).unwrap_or(Ordering::Equal),
    });
    Ok(Value::list(pairs.into_iter().map(|(_, item)| item).collect()))
}

fn range<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Int(end)] if *end > 1_000_000 => Err(Stop::Cost),
        [Value::Int(end)] => Ok(Value::list((0..*end).map(Value::Int).collect())),
        _ => Err(Stop::OVERLOAD),
    }
}

fn distinct<'a>(args: &[Value<'a>], budget: &mut Budget) -> Out<'a> {
    let [Value::List(list)] = args else {
        return Err(Stop::OVERLOAD);
    };
    let mut out: Vec<Value<'a>> = Vec::new();
    for item in list.iter() {
        let mut seen = false;
        for before in &out {
            if before.equals(&item, budget)? {
                seen = true;
                break;
            }
        }
        if !seen {
            out.push(item);
        }
    }
    Ok(Value::list(out))
}
