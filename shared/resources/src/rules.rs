//! Rules for the fields of many kinds: counts, shares of a whole, quantities, choices, what may not change.

use crate::encode;
use api::{
    Quantity as Parsed,
    field::{Error, ErrorType},
};
use k8s_openapi::apimachinery::pkg::{api::resource::Quantity, util::intstr::IntOrString};
use serde::Serialize;

const NEGATIVE: &str = "must be greater than or equal to 0";

/// A count that may not be negative.
pub(crate) fn count(path: &str, count: Option<impl Into<i64>>, errors: &mut Vec<Error>) {
    if let Some(count) = count.map(Into::into)
        && count < 0
    {
        errors.push(Error::invalid(path, count, NEGATIVE));
    }
}

/// The number before a `%`.
pub(crate) fn percent(text: &str) -> Option<u64> {
    let digits = text.strip_suffix('%')?;
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        digits.parse().ok()
    } else {
        None
    }
}

/// A count or a share: not negative, and the text is a percentage.
pub(crate) fn share(path: &str, value: Option<&IntOrString>, errors: &mut Vec<Error>) {
    match value {
        Some(IntOrString::Int(n)) => count(path, Some(*n), errors),
        Some(IntOrString::String(text)) if percent(text).is_none() => {
            let why = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
            errors.push(Error::invalid(path, text, why));
        }
        _ => {}
    }
}

/// A share is at most the whole.
pub(crate) fn at_most_all(path: &str, value: Option<&IntOrString>, errors: &mut Vec<Error>) {
    if let Some(IntOrString::String(text)) = value
        && percent(text).is_some_and(|n| n > 100)
    {
        errors.push(Error::invalid(path, text, "must not be greater than 100%"));
    }
}

/// Whether it is nothing, or not there.
pub(crate) fn is_zero(value: Option<&IntOrString>) -> bool {
    match value {
        Some(IntOrString::Int(n)) => *n == 0,
        Some(IntOrString::String(text)) => percent(text) == Some(0),
        None => true,
    }
}

/// The quantity, if it is one: what is none is refused when the object is encoded.
pub(crate) fn parse(quantity: &Quantity) -> Option<Parsed> {
    quantity.0.parse().ok()
}

/// A quantity that may not be negative.
pub(crate) fn quantity(path: &str, quantity: &Quantity, errors: &mut Vec<Error>) {
    if parse(quantity).is_some_and(|quantity| quantity.is_negative()) {
        errors.push(Error::invalid(path, quantity, NEGATIVE));
    }
}

/// A quantity of something.
pub(crate) fn positive(path: &str, quantity: &Quantity, errors: &mut Vec<Error>) {
    if parse(quantity).is_some_and(|quantity| quantity.is_negative() || quantity.is_zero()) {
        errors.push(Error::invalid(path, quantity, "must be greater than zero"));
    }
}

/// A required value out of a few.
pub(crate) fn one_of(value: Option<&str>, supported: &[&str], path: &str, errors: &mut Vec<Error>) {
    match value.unwrap_or_default() {
        "" => errors.push(Error::required(path, "")),
        value if !supported.contains(&value) => errors.push(Error::not_supported(path, value, supported)),
        _ => {}
    }
}

/// A text that must be there.
pub(crate) fn required(path: &str, text: &str, errors: &mut Vec<Error>) {
    if text.is_empty() {
        errors.push(Error::required(path, ""));
    }
}

/// What is set once and for all.
pub(crate) fn immutable<T: Serialize>(path: &str, new: &T, old: &T, errors: &mut Vec<Error>) {
    if !encode::same(new, old) {
        errors.push(Error::invalid(path, new, "field is immutable"));
    }
}

/// At most `max` items.
pub(crate) fn at_most(path: &str, items: usize, max: usize, errors: &mut Vec<Error>) {
    if items > max {
        errors.push(Error {
            kind: ErrorType::TooMany,
            field: path.to_owned(),
            value: items.to_string(),
            detail: format!("must have at most {max} items"),
        });
    }
}

/// An `Invalid` that does not show the value.
pub(crate) fn wrong(path: impl Into<String>, why: impl Into<String>) -> Error {
    Error {
        kind: ErrorType::Invalid,
        field: path.into(),
        value: String::new(),
        detail: why.into(),
    }
}
