//! Whether a value is what its schema says, in the words of upstream's validator.

use super::{Additional, Structural, formats, lists::key_of, value::go_float};
use api::field::{self, Error, ErrorType};
use serde_json::Value;

/// What a walk found.
#[derive(Default)]
struct Found {
    errors: Vec<Error>,
    /// How much of the schema was looked at: of several schemas the one that came farthest tells what is wrong.
    depth: usize,
}

impl Found {
    fn add(&mut self, error: Error) {
        if !self.errors.contains(&error) {
            self.errors.push(error);
        }
    }

    fn take(&mut self, other: Self) {
        self.depth += other.depth;
        other.errors.into_iter().for_each(|error| self.add(error));
    }

    fn invalid(&mut self, path: &str, value: &Value, words: &str) {
        self.add(Error::invalid(path, value, format!("{path} in body {words}")));
    }

    /// About the whole value, which has no field in upstream's report.
    fn whole(&mut self, words: String) {
        self.add(Error::invalid("<nil>", "", words));
    }
}

/// Checks `value` at `path`. What was wrong before, in `old`, and did not change since may stay.
pub(super) fn check(path: &str, value: &Value, old: Option<&Value>, schema: &Structural) -> Vec<Error> {
    walk(path, value, old, schema).errors
}

fn walk(path: &str, value: &Value, old: Option<&Value>, schema: &Structural) -> Found {
    let mut found = Found::default();
    type_of(path, value, schema, &mut found);
    if value.is_null() {
        choices(path, value, schema, &mut found);
    } else {
        compose(path, value, old, schema, &mut found);
        match value {
            Value::String(text) => string(path, value, text, schema, &mut found),
            Value::Number(number) => self::number(path, value, number, schema, &mut found),
            Value::Array(items) => list(path, value, items, old, schema, &mut found),
            _ => {}
        }
        choices(path, value, schema, &mut found);
        if let Value::Object(members) = value {
            object(path, members, old, schema, &mut found);
        }
        found.depth += 2;
    }
    if !found.errors.is_empty() && old == Some(value) {
        found.errors.clear();
    }
    found
}

fn type_of(path: &str, value: &Value, schema: &Structural, found: &mut Found) {
    let wanted: &[&str] = match schema.ty.as_str() {
        "" if schema.int_or_string => &["integer", "string"],
        "" => return,
        ty => &[ty],
    };
    let given = match value {
        Value::Null if schema.nullable => return,
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
    };
    if wanted.contains(&given) || (given == "integer" && wanted.contains(&"number")) {
        found.depth += 1;
        return;
    }
    let wanted = wanted.join(",");
    found.add(Error {
        kind: ErrorType::TypeInvalid,
        field: path.to_owned(),
        value: format!("{given:?}"),
        detail: format!("{path} in body must be of type {wanted}: {given:?}"),
    });
}

/// `anyOf`, `oneOf`, `allOf`, `not`.
fn compose(path: &str, value: &Value, old: Option<&Value>, schema: &Structural, found: &mut Found) {
    let try_all = |list: &[Structural]| -> Vec<Found> {
        list.iter().map(|schema| walk(path, value, old, schema)).collect()
    };
    if !schema.any_of.is_empty() {
        let tried = try_all(&schema.any_of);
        if tried.iter().all(|tried| !tried.errors.is_empty()) {
            found.whole(format!("{path:?} must validate at least one schema (anyOf)"));
            if let Some(best) = best(tried) {
                found.take(best);
            }
        }
    }
    if !schema.one_of.is_empty() {
        let tried = try_all(&schema.one_of);
        let valid = tried.iter().filter(|tried| tried.errors.is_empty()).count();
        let head = format!("{path:?} must validate one and only one schema (oneOf).");
        match valid {
            1 => {}
            0 => {
                found.whole(format!("{head} Found none valid"));
                if let Some(best) = best(tried) {
                    found.take(best);
                }
            }
            valid => found.whole(format!("{head} Found {valid} valid alternatives")),
        }
    }
    if !schema.all_of.is_empty() {
        let tried = try_all(&schema.all_of);
        let valid = tried.iter().filter(|tried| tried.errors.is_empty()).count();
        tried.into_iter().for_each(|tried| found.take(tried));
        if valid < schema.all_of.len() {
            let none = if valid == 0 { ". None validated" } else { "" };
            found.whole(format!("{path:?} must validate all the schemas (allOf){none}"));
        }
    }
    if let Some(not) = &schema.not
        && walk(path, value, None, not).errors.is_empty()
    {
        found.whole(format!("{path:?} must not validate the schema (not)"));
    }
}

/// The one that came farthest; of equals the first.
fn best(tried: Vec<Found>) -> Option<Found> {
    tried
        .into_iter()
        .reduce(|best, next| if next.depth > best.depth { next } else { best })
}

fn string(path: &str, value: &Value, text: &str, schema: &Structural, found: &mut Found) {
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    if let Some(max) = schema.max_length.filter(|max| length > *max) {
        found.add(Error::too_long(path, usize::try_from(max).unwrap_or(0)));
    } else if let Some(min) = schema.min_length.filter(|min| length < *min) {
        found.invalid(path, value, &format!("should be at least {min} chars long"));
    } else if !schema.pattern.text.is_empty() {
        let pattern = &schema.pattern.text;
        match schema.pattern.regex() {
            Ok(regex) if regex.is_match(text) => {}
            Ok(_) => found.invalid(path, value, &format!("should match '{pattern}'")),
            Err(why) => {
                found.invalid(
                    path,
                    value,
                    &format!("should match '{pattern}, but pattern is invalid: {why}'"),
                );
            }
        }
    }
    if matches!(schema.ty.as_str(), "" | "string")
        && !schema.format.is_empty()
        && !formats::holds(&schema.format, text)
    {
        let detail = format!("{path} in body must be of type {}: {text:?}", schema.format);
        found.add(Error {
            kind: ErrorType::TypeInvalid,
            field: path.to_owned(),
            value: value.to_string(),
            detail,
        });
    }
    found.depth += 1;
}

fn number(path: &str, value: &Value, number: &serde_json::Number, schema: &Structural, found: &mut Found) {
    let given = number.as_f64().unwrap_or_default();
    if schema.ty == "integer"
        && schema.format == "int32"
        && number.as_i64().is_none_or(|n| i32::try_from(n).is_err())
    {
        found.whole(format!(
            "Checked value must be of type integer with format int32 in {path}"
        ));
    }
    // Whole numbers are compared with the whole part of a limit.
    let limit = |limit: f64| if number.is_f64() { limit } else { limit.trunc() };
    if let Some(factor) = schema.multiple_of {
        let factor = limit(factor);
        let times = if factor < 1.0 {
            1.0 / factor * given
        } else {
            given / factor
        };
        if factor <= 0.0 {
            let words = format!(
                "factor MultipleOf declared for {path} must be positive: {}",
                go_float(factor)
            );
            found.add(Error::invalid(path, value, words));
        } else if (times - times.round()).abs() > f64::EPSILON * times.abs().max(1.0) {
            found.invalid(
                path,
                value,
                &format!("should be a multiple of {}", go_float(factor)),
            );
        }
    }
    if let Some(min) = schema.minimum.map(limit) {
        if schema.exclusive_minimum && given <= min {
            found.invalid(path, value, &format!("should be greater than {}", go_float(min)));
        } else if given < min {
            let words = format!("should be greater than or equal to {}", go_float(min));
            found.invalid(path, value, &words);
        }
    }
    if let Some(max) = schema.maximum.map(limit) {
        if schema.exclusive_maximum && given >= max {
            found.invalid(path, value, &format!("should be less than {}", go_float(max)));
        } else if given > max {
            found.invalid(
                path,
                value,
                &format!("should be less than or equal to {}", go_float(max)),
            );
        }
    }
    found.depth += 1;
}

fn list(
    path: &str,
    value: &Value,
    items: &[Value],
    old: Option<&Value>,
    schema: &Structural,
    found: &mut Found,
) {
    if let Some(of) = schema.items() {
        for (index, item) in items.iter().enumerate() {
            let before = correlated(schema, item, old);
            found.take(walk(&field::index(path, index), item, before, of));
        }
    }
    let size = items.len() as i64;
    if let Some(min) = schema.min_items.filter(|min| size < *min) {
        found.add(Error::invalid(
            path,
            size,
            format!("{path} in body should have at least {min} items"),
        ));
    }
    if let Some(max) = schema.max_items.filter(|max| size > *max) {
        found.add(too_many(path, size, max));
    }
    if schema.unique_items {
        let texts: Vec<String> = items.iter().map(Value::to_string).collect();
        if (1..texts.len()).any(|at| texts[..at].contains(&texts[at])) {
            found.invalid(path, value, "shouldn't contain duplicates");
        }
    }
    found.depth += 1;
}

/// The element of the old list with the same keys.
fn correlated<'a>(schema: &Structural, item: &Value, old: Option<&'a Value>) -> Option<&'a Value> {
    if schema.list_type() != "map" {
        return None;
    }
    let key = key_of(schema, item);
    old?.as_array()?
        .iter()
        .find(|candidate| key_of(schema, candidate) == key)
}

fn too_many(path: &str, size: i64, max: i64) -> Error {
    let plural = if max == 1 { "" } else { "s" };
    Error {
        kind: ErrorType::TooMany,
        field: path.to_owned(),
        value: size.to_string(),
        detail: format!("must have at most {max} item{plural}"),
    }
}

fn choices(path: &str, value: &Value, schema: &Structural, found: &mut Found) {
    let same = |choice: &Value| match (choice, value) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    };
    let nothing = value.is_null() && schema.nullable;
    if schema.choices.is_empty() || nothing || schema.choices.iter().any(same) {
        return;
    }
    let texts: Vec<String> = schema
        .choices
        .iter()
        .map(|choice| choice.as_str().map_or_else(|| choice.to_string(), str::to_owned))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    found.add(Error::not_supported(path, value, &texts));
}

fn object(
    path: &str,
    members: &serde_json::Map<String, Value>,
    old: Option<&Value>,
    schema: &Structural,
    found: &mut Found,
) {
    let size = members.len() as i64;
    if let Some(min) = schema.min_properties.filter(|min| size < *min) {
        let words = format!("{path} in body should have at least {min} properties");
        found.add(Error::invalid(path, size, words));
    }
    if let Some(max) = schema.max_properties.filter(|max| size > *max) {
        found.add(too_many(path, size, max));
    }
    for (name, value) in members {
        let before = old.and_then(|old| old.get(name));
        match (schema.properties.get(name), &schema.additional_properties) {
            (Some(schema), _) => found.take(walk(&field::child(path, name), value, before, schema)),
            (None, Some(Additional::Schema(schema))) => {
                found.take(walk(&field::child(path, name), value, before, schema));
            }
            (None, Some(Additional::Any(false))) => {
                let words = format!("{path}.{name} in body is a forbidden property");
                found.add(Error::invalid(path, "", words));
            }
            (None, _) => {}
        }
    }
    for name in schema.required.iter().filter(|name| !members.contains_key(*name)) {
        found.add(Error::required(field::child(path, name), ""));
    }
    found.depth += 1;
}
