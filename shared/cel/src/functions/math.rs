//! Numbers.

use super::Row;
use crate::{stop::Stop, value::Value};
use std::cmp::Ordering;

type Out<'a> = Result<Value<'a>, Stop>;

pub(super) const ROWS: &[Row] = &[
    Row("math.least", "math_least_one", "dyn->dyn", |args, _| {
        extreme(args, Ordering::Less)
    }),
    Row("math.least", "math_least_two", "dyn,dyn->dyn", |args, _| {
        extreme(args, Ordering::Less)
    }),
    Row("math.least", "math_least_three", "dyn,dyn,dyn->dyn", |args, _| {
        extreme(args, Ordering::Less)
    }),
    Row("math.greatest", "math_greatest_one", "dyn->dyn", |args, _| {
        extreme(args, Ordering::Greater)
    }),
    Row("math.greatest", "math_greatest_two", "dyn,dyn->dyn", |args, _| {
        extreme(args, Ordering::Greater)
    }),
    Row(
        "math.greatest",
        "math_greatest_three",
        "dyn,dyn,dyn->dyn",
        |args, _| extreme(args, Ordering::Greater),
    ),
    Row("math.ceil", "math_ceil_double", "double->double", |args, _| {
        double(args, f64::ceil)
    }),
    Row("math.floor", "math_floor_double", "double->double", |args, _| {
        double(args, f64::floor)
    }),
    Row("math.round", "math_round_double", "double->double", |args, _| {
        double(args, f64::round)
    }),
    Row("math.trunc", "math_trunc_double", "double->double", |args, _| {
        double(args, f64::trunc)
    }),
    Row("math.sqrt", "math_sqrt_double", "double->double", |args, _| {
        double(args, f64::sqrt)
    }),
    Row("math.sqrt", "math_sqrt_int", "int->double", |args, _| {
        double(args, f64::sqrt)
    }),
    Row("math.isInf", "math_isInf_double", "double->bool", |args, _| {
        test(args, f64::is_infinite)
    }),
    Row("math.isNaN", "math_isNaN_double", "double->bool", |args, _| {
        test(args, f64::is_nan)
    }),
    Row(
        "math.isFinite",
        "math_isFinite_double",
        "double->bool",
        |args, _| test(args, f64::is_finite),
    ),
    Row("math.abs", "math_abs_int", "int->int", |args, _| abs(args)),
    Row("math.abs", "math_abs_uint", "uint->uint", |args, _| abs(args)),
    Row("math.abs", "math_abs_double", "double->double", |args, _| {
        abs(args)
    }),
    Row("math.sign", "math_sign_int", "int->int", |args, _| sign(args)),
    Row("math.sign", "math_sign_uint", "uint->uint", |args, _| sign(args)),
    Row("math.sign", "math_sign_double", "double->double", |args, _| {
        sign(args)
    }),
    Row("math.bitAnd", "math_bitAnd_int_int", "int,int->int", |args, _| {
        bits(args, |a, b| a & b)
    }),
    Row(
        "math.bitAnd",
        "math_bitAnd_uint_uint",
        "uint,uint->uint",
        |args, _| bits(args, |a, b| a & b),
    ),
    Row("math.bitOr", "math_bitOr_int_int", "int,int->int", |args, _| {
        bits(args, |a, b| a | b)
    }),
    Row(
        "math.bitOr",
        "math_bitOr_uint_uint",
        "uint,uint->uint",
        |args, _| bits(args, |a, b| a | b),
    ),
    Row("math.bitXor", "math_bitXor_int_int", "int,int->int", |args, _| {
        bits(args, |a, b| a ^ b)
    }),
    Row(
        "math.bitXor",
        "math_bitXor_uint_uint",
        "uint,uint->uint",
        |args, _| bits(args, |a, b| a ^ b),
    ),
    Row(
        "math.bitNot",
        "math_bitNot_int_int",
        "int->int",
        |args, _| match args {
            [Value::Int(value)] => Ok(Value::Int(!value)),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        "math.bitNot",
        "math_bitNot_uint_uint",
        "uint->uint",
        |args, _| match args {
            [Value::Uint(value)] => Ok(Value::Uint(!value)),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        "math.bitShiftLeft",
        "math_bitShiftLeft_int_int",
        "int,int->int",
        |args, _| shift(args, true),
    ),
    Row(
        "math.bitShiftLeft",
        "math_bitShiftLeft_uint_int",
        "uint,int->uint",
        |args, _| shift(args, true),
    ),
    Row(
        "math.bitShiftRight",
        "math_bitShiftRight_int_int",
        "int,int->int",
        |args, _| shift(args, false),
    ),
    Row(
        "math.bitShiftRight",
        "math_bitShiftRight_uint_int",
        "uint,int->uint",
        |args, _| shift(args, false),
    ),
];

fn extreme<'a>(args: &[Value<'a>], wanted: Ordering) -> Out<'a> {
    let listed: Vec<Value<'a>>;
    let values = match args {
        [Value::List(list)] => {
            listed = list.iter().collect();
            &listed
        }
        args => args,
    };
    let mut best = values.first().cloned().ok_or("argument must not be empty")?;
    if !values
        .iter()
        .all(|value| matches!(value, Value::Int(_) | Value::Uint(_) | Value::Double(_)))
    {
        return Err(Stop::OVERLOAD);
    }
    for value in values {
        if value.order(&best) == Some(wanted) {
            best = value.clone();
        }
    }
    Ok(best)
}

fn double<'a>(args: &[Value<'a>], of: fn(f64) -> f64) -> Out<'a> {
    match args {
        [Value::Double(value)] => Ok(Value::Double(of(*value))),
        [Value::Int(value)] => Ok(Value::Double(of(*value as f64))),
        _ => Err(Stop::OVERLOAD),
    }
}

fn test<'a>(args: &[Value<'a>], holds: fn(f64) -> bool) -> Out<'a> {
    match args {
        [Value::Double(value)] => Ok(Value::Bool(holds(*value))),
        _ => Err(Stop::OVERLOAD),
    }
}

fn abs<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Int(value)] => value
            .checked_abs()
            .map(Value::Int)
            .ok_or_else(|| "integer overflow".into()),
        [Value::Uint(value)] => Ok(Value::Uint(*value)),
        [Value::Double(value)] => Ok(Value::Double(value.abs())),
        _ => Err(Stop::OVERLOAD),
    }
}

fn sign<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Int(value)] => Ok(Value::Int(value.signum())),
        [Value::Uint(value)] => Ok(Value::Uint((*value).min(1))),
        [Value::Double(value)] if *value == 0.0 || value.is_nan() => Ok(Value::Double(*value)),
        [Value::Double(value)] => Ok(Value::Double(value.signum())),
        _ => Err(Stop::OVERLOAD),
    }
}

fn bits<'a>(args: &[Value<'a>], of: fn(u64, u64) -> u64) -> Out<'a> {
    match args {
        [Value::Int(a), Value::Int(b)] => {
            Ok(Value::Int(of(a.cast_unsigned(), b.cast_unsigned()).cast_signed()))
        }
        [Value::Uint(a), Value::Uint(b)] => Ok(Value::Uint(of(*a, *b))),
        _ => Err(Stop::OVERLOAD),
    }
}

fn shift<'a>(args: &[Value<'a>], left: bool) -> Out<'a> {
    let [value, Value::Int(by)] = args else {
        return Err(Stop::OVERLOAD);
    };
    let Ok(by) = u32::try_from(*by) else {
        return Err(format!(
            "math.{}() negative offset: {by}",
            if left { "bitShiftLeft" } else { "bitShiftRight" }
        )
        .into());
    };
    let moved = |bits: u64| {
        if left {
            bits.checked_shl(by)
        } else {
            bits.checked_shr(by)
        }
        .unwrap_or(0)
    };
    match value {
        Value::Int(value) => Ok(Value::Int(moved(value.cast_unsigned()).cast_signed())),
        Value::Uint(value) => Ok(Value::Uint(moved(*value))),
        _ => Err(Stop::OVERLOAD),
    }
}
