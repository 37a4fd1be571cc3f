//! `format`: texts with places for values.

use super::{standard::go_double, strings::LARGEST};
use crate::{
    stop::Stop,
    value::{Value, time},
};

/// Fills the places of a text with the values of a list.
pub(super) fn format<'a>(args: &[Value<'a>]) -> Result<Value<'a>, Stop> {
    let [Value::String(text), Value::List(values)] = args else {
        return Err(Stop::OVERLOAD);
    };
    let mut out = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut next = 0;
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        if letters.next_if_eq(&'%').is_some() {
            out.push('%');
            continue;
        }
        let mut precision = None;
        if letters.next_if_eq(&'.').is_some() {
            let mut digits = String::new();
            while let Some(digit) = letters.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            let number: usize = digits
                .parse()
                .map_err(|_| "error while parsing precision: could not find a digit")?;
            precision = Some(number.min(1_000));
        }
        let verb = letters
            .next()
            .ok_or("could not parse formatting clause: unexpected end of string")?;
        let value = values
            .get(next)
            .ok_or_else(|| format!("index {next} out of range"))?;
        next += 1;
        clause(&mut out, verb, precision, &value)?;
        if out.len() > LARGEST {
            return Err(Stop::Cost);
        }
    }
    Ok(Value::text(out))
}

fn clause(out: &mut String, verb: char, precision: Option<usize>, value: &Value<'_>) -> Result<(), Stop> {
    let wrong = |what: &str| -> Stop {
        let name = value.type_of();
        format!(
            "error during formatting: {what} given value of type {}",
            name.name()
        )
        .into()
    };
    match (verb, value) {
        ('s', value) => print(out, value, 0)?,
        ('d', Value::Int(number)) => out.push_str(&number.to_string()),
        ('d', Value::Uint(number)) => out.push_str(&number.to_string()),
        ('d', Value::Double(number)) if !number.is_finite() => out.push_str(special(*number)),
        ('d', _) => return Err(wrong("decimal clause can only be used on integers, was")),
        ('b', Value::Int(number)) => {
            let sign = if *number < 0 { "-" } else { "" };
            out.push_str(&format!("{sign}{:b}", number.unsigned_abs()));
        }
        ('b', Value::Uint(number)) => out.push_str(&format!("{number:b}")),
        ('b', Value::Bool(value)) => out.push(if *value { '1' } else { '0' }),
        ('b', _) => return Err(wrong("only integers and bools can be formatted as binary, was")),
        ('o', Value::Int(number)) => {
            let sign = if *number < 0 { "-" } else { "" };
            out.push_str(&format!("{sign}{:o}", number.unsigned_abs()));
        }
        ('o', Value::Uint(number)) => out.push_str(&format!("{number:o}")),
        ('o', _) => return Err(wrong("octal clause can only be used on integers, was")),
        ('x' | 'X', value) => {
            let hex = match value {
                Value::Int(number) => {
                    let sign = if *number < 0 { "-" } else { "" };
                    format!("{sign}{:x}", number.unsigned_abs())
                }
                Value::Uint(number) => format!("{number:x}"),
                Value::String(text) => hex(text.as_bytes()),
                Value::Bytes(bytes) => hex(bytes),
                _ => {
                    return Err(wrong(
                        "only integers, byte buffers, and strings can be formatted as hex, was",
                    ));
                }
            };
            out.push_str(&if verb == 'X' {
                hex.to_ascii_uppercase()
            } else {
                hex
            });
        }
        ('f' | 'e', value) => {
            let number = match value {
                Value::Double(number) => *number,
                Value::Int(number) => *number as f64,
                Value::Uint(number) => *number as f64,
                _ => return Err(wrong("fixed-point clause can only be used on doubles, was")),
            };
            let precision = precision.unwrap_or(6);
            if !number.is_finite() {
                out.push_str(special(number));
            } else if verb == 'f' {
                out.push_str(&format!("{number:.precision$}"));
            } else {
                let text = format!("{number:.precision$e}");
                let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
                let (sign, digits) = power
                    .strip_prefix('-')
                    .map_or(('+', power), |digits| ('-', digits));
                out.push_str(&format!("{mantissa}e{sign}{digits:0>2}"));
            }
        }
        (verb, _) => {
            return Err(format!(
                "could not parse formatting clause: unrecognized formatting clause \"{verb}\""
            )
            .into());
        }
    }
    Ok(())
}

fn special(number: f64) -> &'static str {
    if number.is_nan() {
        "NaN"
    } else if number > 0.0 {
        "Infinity"
    } else {
        "-Infinity"
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn print(out: &mut String, value: &Value<'_>, depth: usize) -> Result<(), Stop> {
    if out.len() > LARGEST || depth > 100 {
        return Err(Stop::Cost);
    }
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(number) => out.push_str(&number.to_string()),
        Value::Uint(number) => out.push_str(&number.to_string()),
        Value::Double(number) if !number.is_finite() => out.push_str(special(*number)),
        Value::Double(number) => out.push_str(&go_double(*number)),
        Value::String(text) => out.push_str(text),
        Value::Bytes(bytes) => out.push_str(&String::from_utf8_lossy(bytes)),
        Value::Timestamp(at) => out.push_str(&at.to_string()),
        Value::Duration(nanos) => out.push_str(&time::seconds(*nanos)),
        Value::Type(of) => out.push_str(of.name()),
        Value::List(list) => {
            out.push('[');
            for (at, item) in list.iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                print(out, &item, depth + 1)?;
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (at, key) in map.keys().iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                print(out, &key.value(), depth + 1)?;
                out.push_str(": ");
                let value = map.get(key).unwrap_or(Ok(Value::Null))?;
                print(out, &value, depth + 1)?;
            }
            out.push('}');
        }
        other => {
            let what = "error during formatting: string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps, was given";
            return Err(format!("{what} {}", other.type_of().name()).into());
        }
    }
    Ok(())
}
