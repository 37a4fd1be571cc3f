//! Equality and order.

use super::{Key, List, Map, Value};
use crate::{budget::Budget, shape::ListKind, stop::Stop};
use std::cmp::Ordering;

/// Steps that one comparison may take.
const STEPS: u64 = 10_000_000;

impl Value<'_> {
    /// Whether they are equal. What is of different types is not, but numbers are compared as numbers.
    pub(crate) fn equals(&self, other: &Value<'_>, budget: &mut Budget) -> Result<bool, Stop> {
        let mut steps = 0;
        let equal = same(self, other, &mut steps);
        budget.work(steps)?;
        equal
    }

    /// Their order; none for what has none.
    pub(crate) fn order(&self, other: &Value<'_>) -> Option<Ordering> {
        Some(match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Int(a), Value::Int(b)) => a.cmp(b),
            (Value::String(a), Value::String(b)) => (**a).cmp(b),
            (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
            (Value::Timestamp(a), Value::Timestamp(b)) => a.cmp(b),
            (Value::Duration(a), Value::Duration(b)) => a.cmp(b),
            (Value::Quantity(a), Value::Quantity(b)) => a.cmp(b),
            (Value::Semver(a), Value::Semver(b)) => a.cmp(b),
            (a, b) => return numbers(a, b),
        })
    }
}

fn numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Ordering> {
    let whole = |value: &Value<'_>| match value {
        Value::Int(value) => Some(i128::from(*value)),
        Value::Uint(value) => Some(i128::from(*value)),
        _ => None,
    };
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => a.partial_cmp(b),
        (Value::Double(a), b) => against(*a, whole(b)?),
        (a, Value::Double(b)) => against(*b, whole(a)?).map(Ordering::reverse),
        (a, b) => Some(whole(a)?.cmp(&whole(b)?)),
    }
}

/// Exact: a double that is whole is compared as a whole number.
fn against(double: f64, whole: i128) -> Option<Ordering> {
    if double.is_nan() {
        return None;
    }
    if double.abs() > 1e20 {
        return Some(if double > 0.0 {
            Ordering::Greater
        } else {
            Ordering::Less
        });
    }
    let floor = double.floor();
    let rest = if floor < double {
        Ordering::Greater
    } else {
        Ordering::Equal
    };
    Some((floor as i128).cmp(&whole).then(rest))
}

fn same(a: &Value<'_>, b: &Value<'_>, steps: &mut u64) -> Result<bool, Stop> {
    *steps += 1;
    if *steps > STEPS {
        return Err(Stop::Cost);
    }
    Ok(match (a, b) {
        (Value::Null, Value::Null) => true,
        (Value::List(a), Value::List(b)) => lists(a, b, steps)?,
        (Value::Map(a), Value::Map(b)) => maps(a, b, steps)?,
        (Value::Optional(a), Value::Optional(b)) => match (a, b) {
            (Some(a), Some(b)) => same(a, b, steps)?,
            (a, b) => a.is_none() && b.is_none(),
        },
        (Value::Object(a), Value::Object(b)) => {
            if a.name != b.name || a.fields.len() != b.fields.len() {
                return Ok(false);
            }
            for ((name, value), (other_name, other)) in a.fields.iter().zip(&b.fields) {
                if name != other_name || !same(value, other, steps)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Type(a), Value::Type(b)) => a.name() == b.name(),
        (Value::Ip(a), Value::Ip(b)) => a == b,
        (Value::Cidr(a), Value::Cidr(b)) => a == b,
        (Value::Url(a), Value::Url(b)) => a.text == b.text,
        (Value::Format(a), Value::Format(b)) => a.name == b.name,
        (a, b) => a.order(b) == Some(Ordering::Equal),
    })
}

fn lists(a: &List<'_>, b: &List<'_>, steps: &mut u64) -> Result<bool, Stop> {
    if a.len() != b.len() {
        return Ok(false);
    }
    let kind = if a.kind() == &ListKind::Atomic {
        b.kind()
    } else {
        a.kind()
    };
    if kind == &ListKind::Atomic {
        for (a, b) in a.iter().zip(b.iter()) {
            if !same(&a, &b, steps)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    let others: Vec<_> = b.iter().collect();
    for item in a.iter() {
        let mut found = false;
        for other in &others {
            if matches(kind, &item, other, steps)? && same(&item, other, steps)? {
                found = true;
                break;
            }
        }
        if !found {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether two elements are the same one by the kind of their list.
fn matches(kind: &ListKind, a: &Value<'_>, b: &Value<'_>, steps: &mut u64) -> Result<bool, Stop> {
    let ListKind::Map(names) = kind else {
        return same(a, b, steps);
    };
    let (Value::Map(a), Value::Map(b)) = (a, b) else {
        return Ok(false);
    };
    for name in names {
        let equal = match (member(a, name), member(b, name)) {
            (Some(a), Some(b)) => same(&a, &b, steps)?,
            (a, b) => a.is_none() && b.is_none(),
        };
        if !equal {
            return Ok(false);
        }
    }
    Ok(true)
}

fn member<'a>(map: &Map<'a>, name: &str) -> Option<Value<'a>> {
    map.field(name)?.ok()
}

fn maps(a: &Map<'_>, b: &Map<'_>, steps: &mut u64) -> Result<bool, Stop> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for key in a.keys() {
        let (Some(left), Some(right)) = (a.get(&key), find(b, &key)) else {
            return Ok(false);
        };
        if !same(&left?, &right?, steps)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn find<'b>(map: &Map<'b>, key: &Key<'_>) -> Option<Result<Value<'b>, Stop>> {
    match key {
        Key::String(name) => map.field(name),
        Key::Bool(value) => map.get(&Key::Bool(*value)),
        Key::Int(value) => map.get(&Key::Int(*value)),
        Key::Uint(value) => map.get(&Key::Uint(*value)),
    }
}

impl<'a> List<'a> {
    /// The sum of two lists: of a set or a map, elements of `other` that are there take the place of the old ones.
    pub(crate) fn add(self, other: List<'a>, budget: &mut Budget) -> Result<List<'a>, Stop> {
        let kind = self.kind().clone();
        if kind == ListKind::Atomic {
            return Ok(self.concatenated(other));
        }
        let mut steps = 0;
        let mut items: Vec<Value<'a>> = self.iter().collect();
        let old = items.len();
        for item in other.iter() {
            let mut place = None;
            for (at, before) in items.iter().enumerate().take(old) {
                if matches(&kind, before, &item, &mut steps)? {
                    place = Some(at);
                    break;
                }
            }
            match place {
                Some(at) => items[at] = item,
                None => items.push(item),
            }
        }
        budget.work(steps)?;
        Ok(List::Shared(items.into()))
    }
}
