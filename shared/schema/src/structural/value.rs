//! Values as an unstructured decoder has them.

use serde_json::{Number, Value};

/// Largest number up to which every whole number is exact in a double.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Numbers without a fraction become whole, as upstream writes them.
pub(super) fn normalize(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(float) = number.as_f64().filter(|_| number.is_f64())
                && float.fract() == 0.0
                && float.abs() <= EXACT
            {
                *number = Number::from(float as i64);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalize),
        Value::Object(members) => members.values_mut().for_each(normalize),
        _ => {}
    }
}

/// `number` as Go's `%v` prints a double.
pub(super) fn go_float(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e21 {
        return format!("{number:.0}");
    }
    let exponent = number.abs().log10().floor();
    if (-4.0..21.0).contains(&exponent) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    // Go writes at least two digits, and a sign.
    let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, digits) = power
        .strip_prefix('-')
        .map_or(('+', power), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// The member at a dotted path.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.trim_start_matches('.')
        .split('.')
        .try_fold(value, |value, part| value.get(part))
}
