//! Regular expressions. They run in linear time; a pattern that is too large a machine is an error.

use super::Row;
use crate::{
    pattern::go_pattern,
    stop::Stop,
    value::{Text, Value},
};
use regex::Regex;
use std::borrow::Cow;

/// Largest machine of one pattern, in bytes.
const LARGEST: usize = 1 << 20;

pub(super) const ROWS: &[Row] = &[
    Row(
        ".find",
        "string_find_string",
        "string,string->string",
        |args, _| match args {
            [Value::String(text), Value::String(pattern)] => {
                let found = regex(pattern)?.find(text).map(|found| found.as_str().to_owned());
                Ok(Value::text(found.unwrap_or_default()))
            }
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        ".findAll",
        "string_find_all_string",
        "string,string->list(string)",
        |args, _| find_all(args),
    ),
    Row(
        ".findAll",
        "string_find_all_string_int",
        "string,string,int->list(string)",
        |args, _| find_all(args),
    ),
];

pub(super) const EXTENDED: &[Row] = &[
    Row(
        "regex.replace",
        "regex_replaceAll_string_string_string",
        "string,string,string->string",
        |args, _| replace(args),
    ),
    Row(
        "regex.replace",
        "regex_replaceCount_string_string_string_int",
        "string,string,string,int->string",
        |args, _| replace(args),
    ),
    Row(
        "regex.extract",
        "regex_extract_string_string",
        "string,string->optional(string)",
        |args, _| match args {
            [Value::String(text), Value::String(pattern)] => {
                let first = groups(text, pattern)?.into_iter().next();
                Ok(Value::Optional(first.map(|text| Value::text(text).into())))
            }
            _ => Err(Stop::OVERLOAD),
        },
    ),
    Row(
        "regex.extractAll",
        "regex_extractAll_string_string",
        "string,string->list(string)",
        |args, _| match args {
            [Value::String(text), Value::String(pattern)] => Ok(Value::list(
                groups(text, pattern)?.into_iter().map(Value::text).collect(),
            )),
            _ => Err(Stop::OVERLOAD),
        },
    ),
];

/// Reads a pattern.
pub(crate) fn compile(pattern: &str) -> Result<Regex, Stop> {
    let regex = regex::RegexBuilder::new(&go_pattern(pattern))
        .size_limit(LARGEST)
        .dfa_size_limit(LARGEST)
        .build();
    regex.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "error parsing regexp: expression too large".into(),
        error => {
            let text = error.to_string();
            let why = text
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned();
            Stop::from(format!("error parsing regexp: {why}: `{pattern}`"))
        }
    })
}

/// A literal pattern was read with its expression.
fn regex<'t>(pattern: &'t Text<'_>) -> Result<Cow<'t, Regex>, Stop> {
    match pattern {
        Text::Pattern(pattern) => Ok(Cow::Borrowed(&pattern.regex)),
        other => compile(other).map(Cow::Owned),
    }
}

pub(super) fn matches<'a>(args: &[Value<'a>]) -> Result<Value<'a>, Stop> {
    match args {
        [Value::String(text), Value::String(pattern)] => Ok(Value::Bool(regex(pattern)?.is_match(text))),
        _ => Err(Stop::OVERLOAD),
    }
}

fn find_all<'a>(args: &[Value<'a>]) -> Result<Value<'a>, Stop> {
    let (text, pattern, most) = match args {
        [Value::String(text), Value::String(pattern)] => (text, pattern, -1),
        [Value::String(text), Value::String(pattern), Value::Int(most)] => (text, pattern, *most),
        _ => return Err(Stop::OVERLOAD),
    };
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let regex = regex(pattern)?;
    let found = regex
        .find_iter(text)
        .take(most)
        .map(|found| Value::text(found.as_str()));
    Ok(Value::list(found.collect()))
}

fn groups(text: &str, pattern: &Text<'_>) -> Result<Vec<String>, Stop> {
    let regex = regex(pattern)?;
    if regex.captures_len() > 2 {
        return Err(format!("regular expression has more than one capturing group: {pattern:?}").into());
    }
    let captured = regex
        .captures_iter(text)
        .filter_map(|captures| captures.get(captures.len() - 1));
    Ok(captured.map(|found| found.as_str().to_owned()).collect())
}

/// `\1` in the replacement stands for the first group.
fn replace<'a>(args: &[Value<'a>]) -> Result<Value<'a>, Stop> {
    let (text, pattern, with, most) = match args {
        [Value::String(text), Value::String(pattern), Value::String(with)] => (text, pattern, with, -1),
        [
            Value::String(text),
            Value::String(pattern),
            Value::String(with),
            Value::Int(most),
        ] => (text, pattern, with, *most),
        _ => return Err(Stop::OVERLOAD),
    };
    let regex = regex(pattern)?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let (mut out, mut last) = (String::new(), 0);
    for captures in regex.captures_iter(text).take(most) {
        let Some(whole) = captures.get(0) else { continue };
        out.push_str(&text[last..whole.start()]);
        let mut letters = with.chars();
        while let Some(letter) = letters.next() {
            match (letter, letters.as_str().chars().next()) {
                ('\\', Some('\\')) => out.push('\\'),
                ('\\', Some(digit)) if digit.is_ascii_digit() => {
                    let group = digit as usize - '0' as usize;
                    if group >= regex.captures_len() {
                        return Err(format!(
                            "replacement string references group {group} but regex has only {} group(s)",
                            regex.captures_len() - 1
                        )
                        .into());
                    }
                    out.push_str(captures.get(group).map_or("", |group| group.as_str()));
                }
                ('\\', _) => {
                    return Err("invalid replacement string: \\ must be followed by a digit or \\".into());
                }
                (letter, _) => {
                    out.push(letter);
                    continue;
                }
            }
            letters.next();
        }
        last = whole.end();
        if out.len() > super::strings::LARGEST {
            return Err(Stop::Cost);
        }
    }
    out.push_str(&text[last..]);
    Ok(Value::text(out))
}
