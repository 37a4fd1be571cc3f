//! Texts.

use super::{Row, print};
use crate::{stop::Stop, value::Value};

/// Largest text that a function makes, in bytes.
pub(super) const LARGEST: usize = 8 * 1024 * 1024;

type Out<'a> = Result<Value<'a>, Stop>;

pub(super) const ROWS: &[Row] = &[
    Row(
        ".charAt",
        "string_char_at_int",
        "string,int->string",
        |args, _| char_at(args),
    ),
    Row(
        ".format",
        "string_format",
        "string,list(dyn)->string",
        |args, _| print::format(args),
    ),
    Row(
        ".indexOf",
        "string_index_of_string",
        "string,string->int",
        |args, _| find(args, false),
    ),
    Row(
        ".indexOf",
        "string_index_of_string_int",
        "string,string,int->int",
        |args, _| find(args, false),
    ),
    Row(
        ".lastIndexOf",
        "string_last_index_of_string",
        "string,string->int",
        |args, _| find(args, true),
    ),
    Row(
        ".lastIndexOf",
        "string_last_index_of_string_int",
        "string,string,int->int",
        |args, _| find(args, true),
    ),
    Row(".join", "list_join", "list(string)->string", |args, _| join(args)),
    Row(
        ".join",
        "list_join_string",
        "list(string),string->string",
        |args, _| join(args),
    ),
    Row(
        ".lowerAscii",
        "string_lower_ascii",
        "string->string",
        |args, _| map(args, str::to_ascii_lowercase),
    ),
    Row(
        ".upperAscii",
        "string_upper_ascii",
        "string->string",
        |args, _| map(args, str::to_ascii_uppercase),
    ),
    Row(".trim", "string_trim", "string->string", |args, _| {
        map(args, |text| text.trim().to_owned())
    }),
    Row(".reverse", "string_reverse", "string->string", |args, _| {
        map(args, |text| text.chars().rev().collect())
    }),
    Row("strings.quote", "strings_quote", "string->string", |args, _| {
        map(args, quote)
    }),
    Row(
        ".replace",
        "string_replace_string_string",
        "string,string,string->string",
        |args, _| replace(args),
    ),
    Row(
        ".replace",
        "string_replace_string_string_int",
        "string,string,string,int->string",
        |args, _| replace(args),
    ),
    Row(
        ".split",
        "string_split_string",
        "string,string->list(string)",
        |args, _| split(args),
    ),
    Row(
        ".split",
        "string_split_string_int",
        "string,string,int->list(string)",
        |args, _| split(args),
    ),
    Row(
        ".substring",
        "string_substring_int",
        "string,int->string",
        |args, _| substring(args),
    ),
    Row(
        ".substring",
        "string_substring_int_int",
        "string,int,int->string",
        |args, _| substring(args),
    ),
];

fn map<'a>(args: &[Value<'a>], change: fn(&str) -> String) -> Out<'a> {
    match args {
        [Value::String(text)] => Ok(Value::text(change(text))),
        _ => Err(Stop::OVERLOAD),
    }
}

fn range(at: i64) -> Stop {
    format!("index out of range: {at}").into()
}

/// The byte at which the character `at` begins; the end of the text is a place too.
fn byte(text: &str, at: i64) -> Result<usize, Stop> {
    let index = usize::try_from(at).map_err(|_| range(at))?;
    if text.is_ascii() {
        return (index <= text.len()).then_some(index).ok_or_else(|| range(at));
    }
    let mut places = text.char_indices().map(|(byte, _)| byte).chain([text.len()]);
    places.nth(index).ok_or_else(|| range(at))
}

fn char_at<'a>(args: &[Value<'a>]) -> Out<'a> {
    let [Value::String(text), Value::Int(at)] = args else {
        return Err(Stop::OVERLOAD);
    };
    let start = byte(text, *at)?;
    let letter = text[start..].chars().next();
    Ok(Value::text(letter.map(String::from).unwrap_or_default()))
}

fn find<'a>(args: &[Value<'a>], last: bool) -> Out<'a> {
    let (text, part, offset) = match args {
        [Value::String(text), Value::String(part)] => (&**text, &**part, None),
        [Value::String(text), Value::String(part), Value::Int(offset)] => (&**text, &**part, Some(*offset)),
        _ => return Err(Stop::OVERLOAD),
    };
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    if part.is_empty() {
        return Ok(Value::Int(offset.unwrap_or(if last { length } else { 0 })));
    }
    let found = match (last, offset) {
        (_, Some(offset)) if offset < 0 || offset > length => return Err(range(offset)),
        (false, offset) => {
            let start = byte(text, offset.unwrap_or(0))?;
            text[start..].find(part).map(|found| start + found)
        }
        (true, None) => text.rfind(part),
        (true, Some(offset)) => {
            let start = byte(text, offset)?;
            let mut end = (start + part.len()).min(text.len());
            while !text.is_char_boundary(end) {
                end += 1;
            }
            text[..end].rfind(part).filter(|found| *found <= start)
        }
    };
    let at = found.map_or(-1, |byte| {
        i64::try_from(text[..byte].chars().count()).unwrap_or(i64::MAX)
    });
    Ok(Value::Int(at))
}

fn join<'a>(args: &[Value<'a>]) -> Out<'a> {
    let (list, between) = match args {
        [Value::List(list)] => (list, ""),
        [Value::List(list), Value::String(between)] => (list, &**between),
        _ => return Err(Stop::OVERLOAD),
    };
    let mut out = String::new();
    for (at, item) in list.iter().enumerate() {
        if at > 0 {
            out.push_str(between);
        }
        out.push_str(item.as_str().ok_or(Stop::OVERLOAD)?);
        if out.len() > LARGEST {
            return Err(Stop::Cost);
        }
    }
    Ok(Value::text(out))
}

fn replace<'a>(args: &[Value<'a>]) -> Out<'a> {
    let (text, old, new, count) = match args {
        [Value::String(text), Value::String(old), Value::String(new)] => (text, old, new, -1),
        [
            Value::String(text),
            Value::String(old),
            Value::String(new),
            Value::Int(count),
        ] => (text, old, new, *count),
        _ => return Err(Stop::OVERLOAD),
    };
    let found = if old.is_empty() {
        text.len() + 1
    } else {
        text.len() / old.len()
    };
    let times = usize::try_from(count).map_or(found, |count| count.min(found));
    if times.saturating_mul(new.len()) > LARGEST {
        return Err(Stop::Cost);
    }
    Ok(Value::text(match usize::try_from(count) {
        Ok(count) => text.replacen(&**old, new, count),
        Err(_) => text.replace(&**old, new),
    }))
}

fn split<'a>(args: &[Value<'a>]) -> Out<'a> {
    let (text, between, count) = match args {
        [Value::String(text), Value::String(between)] => (text, between, -1),
        [Value::String(text), Value::String(between), Value::Int(count)] => (text, between, *count),
        _ => return Err(Stop::OVERLOAD),
    };
    let part = |text: &str| Value::text(text);
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    if limit == 0 {
        return Ok(Value::list(Vec::new()));
    }
    if !between.is_empty() {
        return Ok(Value::list(text.splitn(limit, &**between).map(part).collect()));
    }
    let mut parts = Vec::new();
    let mut rest: &str = text;
    while let Some(letter) = rest.chars().next() {
        let end = if parts.len() + 1 == limit {
            rest.len()
        } else {
            letter.len_utf8()
        };
        parts.push(part(&rest[..end]));
        rest = &rest[end..];
    }
    Ok(Value::list(parts))
}

fn substring<'a>(args: &[Value<'a>]) -> Out<'a> {
    let (text, start, end) = match args {
        [Value::String(text), Value::Int(start)] => (text, *start, None),
        [Value::String(text), Value::Int(start), Value::Int(end)] => (text, *start, Some(*end)),
        _ => return Err(Stop::OVERLOAD),
    };
    if let Some(end) = end.filter(|end| start > *end) {
        return Err(format!("invalid substring range. start: {start}, end: {end}").into());
    }
    let from = byte(text, start)?;
    let to = end.map_or(Ok(text.len()), |end| byte(text, end))?;
    Ok(Value::text(&text[from..to]))
}

/// The text in quotation marks, with escapes.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            other => out.push(other),
        }
    }
    out.push('"');
    out
}
