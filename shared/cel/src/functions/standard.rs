//! Sizes, conversions, and the texts of the language itself.

use super::{Row, regexes};
use crate::{
    stop::Stop,
    value::{Text, Value, time},
};

const RANGE: &str = "range error";

pub(super) const ROWS: &[Row] = &[
    Row("size", "size_bytes", "bytes->int", |args, _| size(args)),
    Row("size", "size_list", "list(A)->int", |args, _| size(args)),
    Row("size", "size_map", "map(A,B)->int", |args, _| size(args)),
    Row("size", "size_string", "string->int", |args, _| size(args)),
    Row(".size", "bytes_size", "bytes->int", |args, _| size(args)),
    Row(".size", "list_size", "list(A)->int", |args, _| size(args)),
    Row(".size", "map_size", "map(A,B)->int", |args, _| size(args)),
    Row(".size", "string_size", "string->int", |args, _| size(args)),
    Row("dyn", "to_dyn", "A->dyn", |args, _| same(args)),
    Row("type", "type", "A->type(A)", |args, _| match args {
        [value] => Ok(Value::Type(value.type_of())),
        _ => Err(Stop::OVERLOAD),
    }),
    Row("bool", "bool_to_bool", "bool->bool", |args, _| same(args)),
    Row("bool", "string_to_bool", "string->bool", |args, _| match args {
        [Value::String(text)] => match &**text {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(Value::Bool(true)),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(Value::Bool(false)),
            text => Err(format!("type conversion error from 'string' to 'bool': {text:?}").into()),
        },
        _ => Err(Stop::OVERLOAD),
    }),
    Row("bytes", "bytes_to_bytes", "bytes->bytes", |args, _| same(args)),
    Row(
        "bytes",
        "string_to_bytes",
        "string->bytes",
        |args, _| match args {
            [Value::String(text)] => Ok(Value::Bytes(text.as_bytes().into())),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row("double", "double_to_double", "double->double", |args, _| {
        same(args)
    }),
    Row("double", "int64_to_double", "int->double", |args, _| double(args)),
    Row("double", "string_to_double", "string->double", |args, _| {
        double(args)
    }),
    Row("double", "uint64_to_double", "uint->double", |args, _| {
        double(args)
    }),
    Row(
        "duration",
        "duration_to_duration",
        "duration->duration",
        |args, _| same(args),
    ),
    Row(
        "duration",
        "int64_to_duration",
        "int->duration",
        |args, _| match args {
            [Value::Int(nanos)] => Ok(Value::Duration(*nanos)),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        "duration",
        "string_to_duration",
        "string->duration",
        |args, _| match args {
            [Value::String(text)] => Ok(Value::Duration(time::duration(text)?)),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row("int", "int64_to_int64", "int->int", |args, _| same(args)),
    Row("int", "double_to_int64", "double->int", |args, _| int(args)),
    Row("int", "duration_to_int64", "duration->int", |args, _| int(args)),
    Row("int", "string_to_int64", "string->int", |args, _| int(args)),
    Row("int", "timestamp_to_int64", "timestamp->int", |args, _| int(args)),
    Row("int", "uint64_to_int64", "uint->int", |args, _| int(args)),
    Row("uint", "uint64_to_uint64", "uint->uint", |args, _| same(args)),
    Row("uint", "double_to_uint64", "double->uint", |args, _| uint(args)),
    Row("uint", "int64_to_uint64", "int->uint", |args, _| uint(args)),
    Row("uint", "string_to_uint64", "string->uint", |args, _| uint(args)),
    Row("string", "string_to_string", "string->string", |args, _| {
        same(args)
    }),
    Row("string", "bool_to_string", "bool->string", |args, _| string(args)),
    Row("string", "bytes_to_string", "bytes->string", |args, _| {
        string(args)
    }),
    Row("string", "double_to_string", "double->string", |args, _| {
        string(args)
    }),
    Row("string", "duration_to_string", "duration->string", |args, _| {
        string(args)
    }),
    Row("string", "int64_to_string", "int->string", |args, _| string(args)),
    Row("string", "timestamp_to_string", "timestamp->string", |args, _| {
        string(args)
    }),
    Row("string", "uint64_to_string", "uint->string", |args, _| {
        string(args)
    }),
    Row(
        "timestamp",
        "timestamp_to_timestamp",
        "timestamp->timestamp",
        |args, _| same(args),
    ),
    Row(
        "timestamp",
        "int64_to_timestamp",
        "int->timestamp",
        |args, _| match args {
            [Value::Int(seconds)] => {
                let at = jiff::Timestamp::from_second(*seconds).ok();
                Ok(Value::Timestamp(time::checked(at)?))
            }
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        "timestamp",
        "string_to_timestamp",
        "string->timestamp",
        |args, _| match args {
            [Value::String(text)] => Ok(Value::Timestamp(time::timestamp(text)?)),
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".contains",
        "contains_string",
        "string,string->bool",
        |args, _| texts(args, |text, part| text.contains(part)),
    ),
    Row(
        ".startsWith",
        "starts_with_string",
        "string,string->bool",
        |args, _| texts(args, |text, part| text.starts_with(part)),
    ),
    Row(
        ".endsWith",
        "ends_with_string",
        "string,string->bool",
        |args, _| texts(args, |text, part| text.ends_with(part)),
    ),
    Row("matches", "matches", "string,string->bool", |args, _| {
        regexes::matches(args)
    }),
    Row(".matches", "matches_string", "string,string->bool", |args, _| {
        regexes::matches(args)
    }),
];

fn size<'a>(args: &[Value<'a>]) -> Result<Value<'a>, Stop> {
    match args {
        [value @ (Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_))] => {
            Ok(Value::Int(i64::try_from(value.size()).unwrap_or(i64::MAX)))
        }
        _ => Err(Stop::OVERLOAD),
    }
}

fn same<'a>(args: &[Value<'a>]) -> Result<Value<'a>, Stop> {
    args.first().cloned().ok_or(Stop::OVERLOAD)
}

fn texts<'a>(args: &[Value<'a>], holds: fn(&str, &str) -> bool) -> Result<Value<'a>, Stop> {
    match args {
        [Value::String(text), Value::String(part)] => Ok(Value::Bool(holds(text, part))),
        _ => Err(Stop::OVERLOAD),
    }
}

fn double<'a>(args: &[Value<'a>]) -> Result<Value<'a>, Stop> {
    Ok(Value::Double(match args {
        [Value::Int(value)] => *value as f64,
        [Value::Uint(value)] => *value as f64,
        [Value::String(text)] => text
            .parse()
            .map_err(|_| format!("type conversion error from 'string' to 'double': {:?}", &**text))?,
        _ => return Err(Stop::OVERLOAD),
    }))
}

fn int<'a>(args: &[Value<'a>]) -> Result<Value<'a>, Stop> {
    const OVERFLOW: &str = "integer overflow";
    Ok(Value::Int(match args {
        [Value::Uint(value)] => i64::try_from(*value).map_err(|_| OVERFLOW)?,
        [Value::Double(value)] if value.abs() < 9_223_372_036_854_775_807.0 => *value as i64,
        [Value::Double(_)] => return Err(OVERFLOW.into()),
        [Value::Duration(nanos)] => *nanos,
        [Value::Timestamp(at)] => at.as_second(),
        [Value::String(text)] => text
            .parse()
            .map_err(|_| format!("type conversion error from 'string' to 'int': {:?}", &**text))?,
        _ => return Err(Stop::OVERLOAD),
    }))
}

fn uint<'a>(args: &[Value<'a>]) -> Result<Value<'a>, Stop> {
    const OVERFLOW: &str = "unsigned integer overflow";
    Ok(Value::Uint(match args {
        [Value::Int(value)] => u64::try_from(*value).map_err(|_| OVERFLOW)?,
        [Value::Double(value)] if *value > -1.0 && *value < 18_446_744_073_709_551_615.0 => *value as u64,
        [Value::Double(_)] => return Err(RANGE.into()),
        [Value::String(text)] => text
            .parse()
            .map_err(|_| format!("type conversion error from 'string' to 'uint': {:?}", &**text))?,
        _ => return Err(Stop::OVERLOAD),
    }))
}

/// A double as Go's shortest form writes it.
pub(super) fn go_double(value: f64) -> String {
    if value.is_nan() {
        return "NaN".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    let scientific = format!("{value:e}");
    let (mantissa, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    if (-4..21).contains(&power) {
        return format!("{value}");
    }
    let sign = if power < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", power.abs())
}

fn string<'a>(args: &[Value<'a>]) -> Result<Value<'a>, Stop> {
    Ok(match args {
        [Value::String(text)] => Value::String(text.clone()),
        [Value::Bool(value)] => Value::text(value.to_string()),
        [Value::Int(value)] => Value::text(value.to_string()),
        [Value::Uint(value)] => Value::text(value.to_string()),
        [Value::Double(value)] => Value::text(go_double(*value)),
        [Value::Duration(nanos)] => Value::text(time::seconds(*nanos)),
        [Value::Timestamp(at)] => Value::text(at.to_string()),
        [Value::Bytes(bytes)] => {
            let text =
                std::str::from_utf8(bytes).map_err(|_| "invalid UTF-8 in bytes, cannot convert to string")?;
            Value::String(Text::Shared(text.into()))
        }
        _ => return Err(Stop::OVERLOAD),
    })
}
