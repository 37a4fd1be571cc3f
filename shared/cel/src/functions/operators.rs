//! Operators.

use super::Row;
use crate::{
    budget::Budget,
    stop::Stop,
    value::{Key, Value, time},
};
use std::cmp::Ordering;

const INT: &str = "integer overflow";
const UINT: &str = "unsigned integer overflow";
const DURATION: &str = "duration overflow";

type Out<'a> = Result<Value<'a>, Stop>;

/// `&&`, `||` and `?:` are evaluated by the evaluator, since they do not look at all they are given.
pub(super) const ROWS: &[Row] = &[
    Row("_&&_", "logical_and", "bool,bool->bool", |_, _| {
        Err(Stop::OVERLOAD)
    }),
    Row("_||_", "logical_or", "bool,bool->bool", |_, _| {
        Err(Stop::OVERLOAD)
    }),
    Row("_?_:_", "conditional", "bool,T,T->T", |_, _| Err(Stop::OVERLOAD)),
    Row("!_", "logical_not", "bool->bool", |args, _| match args {
        [Value::Bool(value)] => Ok(Value::Bool(!value)),
        _ => Err(Stop::OVERLOAD),
    }),
    Row("-_", "negate_int64", "int->int", negate),
    Row("-_", "negate_double", "double->double", negate),
    Row("_==_", "equals", "T,T->bool", |args, budget| {
        equal(args, budget, true)
    }),
    Row("_!=_", "not_equals", "T,T->bool", |args, budget| {
        equal(args, budget, false)
    }),
    Row("_+_", "add_bytes", "bytes,bytes->bytes", add),
    Row("_+_", "add_double", "double,double->double", add),
    Row("_+_", "add_duration_duration", "duration,duration->duration", add),
    Row(
        "_+_",
        "add_duration_timestamp",
        "duration,timestamp->timestamp",
        add,
    ),
    Row(
        "_+_",
        "add_timestamp_duration",
        "timestamp,duration->timestamp",
        add,
    ),
    Row("_+_", "add_int64", "int,int->int", add),
    Row("_+_", "add_list", "list(A),list(A)->list(A)", add),
    Row("_+_", "add_string", "string,string->string", add),
    Row("_+_", "add_uint64", "uint,uint->uint", add),
    Row("_-_", "subtract_double", "double,double->double", subtract),
    Row(
        "_-_",
        "subtract_duration_duration",
        "duration,duration->duration",
        subtract,
    ),
    Row("_-_", "subtract_int64", "int,int->int", subtract),
    Row(
        "_-_",
        "subtract_timestamp_duration",
        "timestamp,duration->timestamp",
        subtract,
    ),
    Row(
        "_-_",
        "subtract_timestamp_timestamp",
        "timestamp,timestamp->duration",
        subtract,
    ),
    Row("_-_", "subtract_uint64", "uint,uint->uint", subtract),
    Row("_*_", "multiply_double", "double,double->double", multiply),
    Row("_*_", "multiply_int64", "int,int->int", multiply),
    Row("_*_", "multiply_uint64", "uint,uint->uint", multiply),
    Row("_/_", "divide_double", "double,double->double", divide),
    Row("_/_", "divide_int64", "int,int->int", divide),
    Row("_/_", "divide_uint64", "uint,uint->uint", divide),
    Row("_%_", "modulo_int64", "int,int->int", modulo),
    Row("_%_", "modulo_uint64", "uint,uint->uint", modulo),
    Row("_<_", "less_bool", "bool,bool->bool", less),
    Row("_<_", "less_int64", "int,int->bool", less),
    Row("_<_", "less_int64_double", "int,double->bool", less),
    Row("_<_", "less_int64_uint64", "int,uint->bool", less),
    Row("_<_", "less_uint64", "uint,uint->bool", less),
    Row("_<_", "less_uint64_double", "uint,double->bool", less),
    Row("_<_", "less_uint64_int64", "uint,int->bool", less),
    Row("_<_", "less_double", "double,double->bool", less),
    Row("_<_", "less_double_int64", "double,int->bool", less),
    Row("_<_", "less_double_uint64", "double,uint->bool", less),
    Row("_<_", "less_string", "string,string->bool", less),
    Row("_<_", "less_bytes", "bytes,bytes->bool", less),
    Row("_<_", "less_timestamp", "timestamp,timestamp->bool", less),
    Row("_<_", "less_duration", "duration,duration->bool", less),
    Row("_<=_", "less_equals_bool", "bool,bool->bool", less_equals),
    Row("_<=_", "less_equals_int64", "int,int->bool", less_equals),
    Row(
        "_<=_",
        "less_equals_int64_double",
        "int,double->bool",
        less_equals,
    ),
    Row("_<=_", "less_equals_int64_uint64", "int,uint->bool", less_equals),
    Row("_<=_", "less_equals_uint64", "uint,uint->bool", less_equals),
    Row(
        "_<=_",
        "less_equals_uint64_double",
        "uint,double->bool",
        less_equals,
    ),
    Row("_<=_", "less_equals_uint64_int64", "uint,int->bool", less_equals),
    Row("_<=_", "less_equals_double", "double,double->bool", less_equals),
    Row(
        "_<=_",
        "less_equals_double_int64",
        "double,int->bool",
        less_equals,
    ),
    Row(
        "_<=_",
        "less_equals_double_uint64",
        "double,uint->bool",
        less_equals,
    ),
    Row("_<=_", "less_equals_string", "string,string->bool", less_equals),
    Row("_<=_", "less_equals_bytes", "bytes,bytes->bool", less_equals),
    Row(
        "_<=_",
        "less_equals_timestamp",
        "timestamp,timestamp->bool",
        less_equals,
    ),
    Row(
        "_<=_",
        "less_equals_duration",
        "duration,duration->bool",
        less_equals,
    ),
    Row("_>_", "greater_bool", "bool,bool->bool", greater),
    Row("_>_", "greater_int64", "int,int->bool", greater),
    Row("_>_", "greater_int64_double", "int,double->bool", greater),
    Row("_>_", "greater_int64_uint64", "int,uint->bool", greater),
    Row("_>_", "greater_uint64", "uint,uint->bool", greater),
    Row("_>_", "greater_uint64_double", "uint,double->bool", greater),
    Row("_>_", "greater_uint64_int64", "uint,int->bool", greater),
    Row("_>_", "greater_double", "double,double->bool", greater),
    Row("_>_", "greater_double_int64", "double,int->bool", greater),
    Row("_>_", "greater_double_uint64", "double,uint->bool", greater),
    Row("_>_", "greater_string", "string,string->bool", greater),
    Row("_>_", "greater_bytes", "bytes,bytes->bool", greater),
    Row("_>_", "greater_timestamp", "timestamp,timestamp->bool", greater),
    Row("_>_", "greater_duration", "duration,duration->bool", greater),
    Row("_>=_", "greater_equals_bool", "bool,bool->bool", greater_equals),
    Row("_>=_", "greater_equals_int64", "int,int->bool", greater_equals),
    Row(
        "_>=_",
        "greater_equals_int64_double",
        "int,double->bool",
        greater_equals,
    ),
    Row(
        "_>=_",
        "greater_equals_int64_uint64",
        "int,uint->bool",
        greater_equals,
    ),
    Row("_>=_", "greater_equals_uint64", "uint,uint->bool", greater_equals),
    Row(
        "_>=_",
        "greater_equals_uint64_double",
        "uint,double->bool",
        greater_equals,
    ),
    Row(
        "_>=_",
        "greater_equals_uint64_int64",
        "uint,int->bool",
        greater_equals,
    ),
    Row(
        "_>=_",
        "greater_equals_double",
        "double,double->bool",
        greater_equals,
    ),
    Row(
        "_>=_",
        "greater_equals_double_int64",
        "double,int->bool",
        greater_equals,
    ),
    Row(
        "_>=_",
        "greater_equals_double_uint64",
        "double,uint->bool",
        greater_equals,
    ),
    Row(
        "_>=_",
        "greater_equals_string",
        "string,string->bool",
        greater_equals,
    ),
    Row(
        "_>=_",
        "greater_equals_bytes",
        "bytes,bytes->bool",
        greater_equals,
    ),
    Row(
        "_>=_",
        "greater_equals_timestamp",
        "timestamp,timestamp->bool",
        greater_equals,
    ),
    Row(
        "_>=_",
        "greater_equals_duration",
        "duration,duration->bool",
        greater_equals,
    ),
    Row("@in", "in_list", "A,list(A)->bool", contains),
    Row("@in", "in_map", "A,map(A,B)->bool", contains),
    Row("_[_]", "index_list", "list(A),int->A", index),
    Row("_[_]", "index_map", "map(A,B),A->B", index),
    Row(
        "_[_]",
        "optional_list_index_int",
        "optional(list(A)),int->optional(A)",
        index_optional,
    ),
    Row(
        "_[_]",
        "optional_map_index_value",
        "optional(map(A,B)),A->optional(B)",
        index_optional,
    ),
    Row(
        "_[?_]",
        "list_optindex_optional_int",
        "list(A),int->optional(A)",
        index_optional,
    ),
    Row(
        "_[?_]",
        "optional_list_optindex_optional_int",
        "optional(list(A)),int->optional(A)",
        index_optional,
    ),
    Row(
        "_[?_]",
        "map_optindex_optional_value",
        "map(A,B),A->optional(B)",
        index_optional,
    ),
    Row(
        "_[?_]",
        "optional_map_optindex_optional_value",
        "optional(map(A,B)),A->optional(B)",
        index_optional,
    ),
];

fn equal<'a>(args: &[Value<'a>], budget: &mut Budget, wanted: bool) -> Out<'a> {
    match args {
        [a, b] => Ok(Value::Bool(a.equals(b, budget)? == wanted)),
        _ => Err(Stop::OVERLOAD),
    }
}

fn negate<'a>(args: &[Value<'a>], _: &mut Budget) -> Out<'a> {
    match args {
        [Value::Int(value)] => value.checked_neg().map(Value::Int).ok_or_else(|| INT.into()),
        [Value::Double(value)] => Ok(Value::Double(-value)),
        _ => Err(Stop::OVERLOAD),
    }
}

fn add<'a>(args: &[Value<'a>], budget: &mut Budget) -> Out<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => a.checked_add(*b).map(Value::Int).ok_or_else(|| INT.into()),
        [Value::Uint(a), Value::Uint(b)] => a.checked_add(*b).map(Value::Uint).ok_or_else(|| UINT.into()),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a + b)),
        [Value::String(a), Value::String(b)] => Ok(Value::text([&**a, &**b].concat())),
        [Value::Bytes(a), Value::Bytes(b)] => Ok(Value::Bytes([&**a, &**b].concat().into())),
        [Value::List(a), Value::List(b)] => Ok(Value::List(a.clone().add(b.clone(), budget)?)),
        [Value::Duration(a), Value::Duration(b)] => a
            .checked_add(*b)
            .map(Value::Duration)
            .ok_or_else(|| DURATION.into()),
        [Value::Timestamp(at), Value::Duration(nanos)] | [Value::Duration(nanos), Value::Timestamp(at)] => {
            Ok(Value::Timestamp(time::plus(*at, *nanos)?))
        }
        _ => Err(Stop::OVERLOAD),
    }
}

fn subtract<'a>(args: &[Value<'a>], _: &mut Budget) -> Out<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => a.checked_sub(*b).map(Value::Int).ok_or_else(|| INT.into()),
        [Value::Uint(a), Value::Uint(b)] => a.checked_sub(*b).map(Value::Uint).ok_or_else(|| UINT.into()),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a - b)),
        [Value::Duration(a), Value::Duration(b)] => a
            .checked_sub(*b)
            .map(Value::Duration)
            .ok_or_else(|| DURATION.into()),
        [Value::Timestamp(a), Value::Timestamp(b)] => Ok(Value::Duration(time::between(*a, *b)?)),
        [Value::Timestamp(at), Value::Duration(nanos)] => Ok(Value::Timestamp(time::minus(*at, *nanos)?)),
        _ => Err(Stop::OVERLOAD),
    }
}

fn multiply<'a>(args: &[Value<'a>], _: &mut Budget) -> Out<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => a.checked_mul(*b).map(Value::Int).ok_or_else(|| INT.into()),
        [Value::Uint(a), Value::Uint(b)] => a.checked_mul(*b).map(Value::Uint).ok_or_else(|| UINT.into()),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a * b)),
        _ => Err(Stop::OVERLOAD),
    }
}

fn divide<'a>(args: &[Value<'a>], _: &mut Budget) -> Out<'a> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => Err("division by zero".into()),
        [Value::Int(a), Value::Int(b)] => a.checked_div(*b).map(Value::Int).ok_or_else(|| INT.into()),
        [Value::Uint(a), Value::Uint(b)] => Ok(Value::Uint(a / b)),
        [Value::Double(a), Value::Double(b)] => Ok(Value::Double(a / b)),
        _ => Err(Stop::OVERLOAD),
    }
}

fn modulo<'a>(args: &[Value<'a>], _: &mut Budget) -> Out<'a> {
    match args {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => Err("modulus by zero".into()),
        [Value::Int(a), Value::Int(b)] => a.checked_rem(*b).map(Value::Int).ok_or_else(|| INT.into()),
        [Value::Uint(a), Value::Uint(b)] => Ok(Value::Uint(a % b)),
        _ => Err(Stop::OVERLOAD),
    }
}

fn compare<'a>(args: &[Value<'a>], holds: fn(Ordering) -> bool) -> Out<'a> {
    let [a, b] = args else {
        return Err(Stop::OVERLOAD);
    };
    match a.order(b) {
        Some(order) => Ok(Value::Bool(holds(order))),
        None if matches!((a, b), (Value::Double(_), _) | (_, Value::Double(_))) => {
            Err("NaN values cannot be ordered".into())
        }
        None => Err(Stop::OVERLOAD),
    }
}

fn less<'a>(args: &[Value<'a>], _: &mut Budget) -> Out<'a> {
    compare(args, Ordering::is_lt)
}

fn less_equals<'a>(args: &[Value<'a>], _: &mut Budget) -> Out<'a> {
    compare(args, Ordering::is_le)
}

fn greater<'a>(args: &[Value<'a>], _: &mut Budget) -> Out<'a> {
    compare(args, Ordering::is_gt)
}

fn greater_equals<'a>(args: &[Value<'a>], _: &mut Budget) -> Out<'a> {
    compare(args, Ordering::is_ge)
}

fn contains<'a>(args: &[Value<'a>], budget: &mut Budget) -> Out<'a> {
    match args {
        [value, Value::List(list)] => {
            for item in list.iter() {
                if value.equals(&item, budget)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        [value, Value::Map(map)] => Ok(Value::Bool(match Key::of(value) {
            Ok(key) => map.get(&key).is_some(),
            Err(_) => false,
        })),
        _ => Err(Stop::OVERLOAD),
    }
}

fn at<'a>(container: &Value<'a>, index: &Value<'a>, budget: &mut Budget) -> Result<Option<Value<'a>>, Stop> {
    match (container, index) {
        (Value::List(list), index) => {
            let at = match index {
                Value::Int(at) => usize::try_from(*at).ok(),
                Value::Uint(at) => usize::try_from(*at).ok(),
                Value::Double(at) if at.fract() == 0.0 && *at >= 0.0 => Some(*at as usize),
                _ => {
                    return Err(
                        format!("unsupported index type '{}' in list", index.type_of().name()).into(),
                    );
                }
            };
            Ok(at.and_then(|at| list.get(at)))
        }
        (Value::Map(map), index) => map.get(&Key::of(index)?).transpose(),
        (Value::Lazy(_) | Value::Object(_), Value::String(name)) => container.field(name, budget),
        _ => Err(Stop::OVERLOAD),
    }
}

fn index<'a>(args: &[Value<'a>], budget: &mut Budget) -> Out<'a> {
    let [container, index] = args else {
        return Err(Stop::OVERLOAD);
    };
    at(container, index, budget)?.ok_or_else(|| match (container, index) {
        (Value::List(_), index) => format!("index out of bounds: {index:?}").into(),
        (_, Value::String(name)) => Stop::key(&**name),
        (_, index) => Stop::key(format!("{index:?}")),
    })
}

fn index_optional<'a>(args: &[Value<'a>], budget: &mut Budget) -> Out<'a> {
    let [container, index] = args else {
        return Err(Stop::OVERLOAD);
    };
    let container = match container {
        Value::Optional(None) => return Ok(Value::Optional(None)),
        Value::Optional(Some(inner)) => inner,
        other => other,
    };
    Ok(Value::Optional(
        at(container, index, budget)?.map(std::sync::Arc::new),
    ))
}
