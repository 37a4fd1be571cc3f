//! Quantities such as `100m`, `1Gi`, `2e3`, exact to a nano-unit, in upstream's canonical form
//! (apimachinery `api/resource`).

use std::{cmp::Ordering, fmt, str::FromStr};

/// The text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
pub struct QuantityError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Decimal,
    Binary,
    Exponent,
}

/// A fixed-point number with the suffix family it was written in. Equality and order compare values only.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    nanos: i128,
    format: Format,
}

const NANO: i128 = 1_000_000_000;
const DECIMAL: [(&str, u32); 10] = [
    ("n", 0),
    ("u", 3),
    ("m", 6),
    ("", 9),
    ("k", 12),
    ("M", 15),
    ("G", 18),
    ("T", 21),
    ("P", 24),
    ("E", 27),
];
const BINARY: [(&str, u32); 6] = [
    ("Ki", 10),
    ("Mi", 20),
    ("Gi", 30),
    ("Ti", 40),
    ("Pi", 50),
    ("Ei", 60),
];

impl Quantity {
    /// A whole number.
    pub fn from_int(value: i64) -> Self {
        Self {
            nanos: i128::from(value) * NANO,
            format: Format::Decimal,
        }
    }

    /// The exact value, in nano-units.
    pub fn nanos(&self) -> i128 {
        self.nanos
    }

    /// A number of thousandths.
    pub fn from_millis(value: i64) -> Self {
        Self {
            nanos: i128::from(value) * 1_000_000,
            format: Format::Decimal,
        }
    }

    /// A number of bytes, printed with binary suffixes.
    pub fn from_bytes(value: i64) -> Self {
        Self {
            nanos: i128::from(value) * NANO,
            format: Format::Binary,
        }
    }

    /// The value, rounded up.
    pub fn value(&self) -> i64 {
        clamp(ceil(self.nanos, NANO))
    }

    /// The value in thousandths, rounded up.
    pub fn millis(&self) -> i64 {
        clamp(ceil(self.nanos, 1_000_000))
    }

    /// Whether it is 0.
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// Nothing takes the suffixes of what it is added to.
    fn format_with(&self, other: Self) -> Format {
        if self.is_zero() { other.format } else { self.format }
    }

    /// Whether it is below 0.
    pub fn is_negative(&self) -> bool {
        self.nanos < 0
    }
}

impl std::ops::Add for Quantity {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            nanos: self.nanos.saturating_add(other.nanos),
            format: self.format_with(other),
        }
    }
}

impl std::ops::Sub for Quantity {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self {
            nanos: self.nanos.saturating_sub(other.nanos),
            format: self.format_with(other),
        }
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}
impl Eq for Quantity {}
impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

fn ceil(value: i128, unit: i128) -> i128 {
    value.div_euclid(unit) + i128::from(value.rem_euclid(unit) != 0)
}

fn clamp(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let end = unsigned
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
            return Err(QuantityError);
        }
        let (multiplier, exponent, format) = scale(suffix)?;
        let mut nanos: i128 = 0;
        // Digits beyond what an i128 holds saturate, as upstream caps at 2^63-1 of the unit.
        for (place, digit) in (0i32..).zip(whole.bytes().rev()) {
            nanos = nanos.saturating_add(scaled(i128::from(digit - b'0'), multiplier, exponent + place));
        }
        for (place, digit) in (1i32..).zip(fraction.bytes()) {
            nanos = nanos.saturating_add(scaled(i128::from(digit - b'0'), multiplier, exponent - place));
        }
        let cap = i128::from(i64::MAX).saturating_mul(NANO);
        let nanos = nanos.min(cap);
        Ok(Self {
            nanos: if negative { -nanos } else { nanos },
            format,
        })
    }
}

/// `digit * multiplier * 10^exponent` in nano-units, rounded up below one.
fn scaled(digit: i128, multiplier: i128, exponent: i32) -> i128 {
    let value = digit.saturating_mul(multiplier);
    if value == 0 {
        return 0;
    }
    match u32::try_from(exponent) {
        Ok(up) => value.saturating_mul(10i128.checked_pow(up).unwrap_or(i128::MAX)),
        Err(_) => 10i128
            .checked_pow(exponent.unsigned_abs())
            .map_or(1, |down| ceil(value, down)),
    }
}

/// Multiplier and decimal exponent (of nano-units) of a suffix.
fn scale(suffix: &str) -> Result<(i128, i32, Format), QuantityError> {
    if let Some(&(_, exponent)) = DECIMAL.iter().find(|(s, _)| *s == suffix) {
        return Ok((1, exponent.cast_signed(), Format::Decimal));
    }
    if let Some(&(_, shift)) = BINARY.iter().find(|(s, _)| *s == suffix) {
        return Ok((1i128 << shift, 9, Format::Binary));
    }
    let exponent = suffix.strip_prefix(['e', 'E']).ok_or(QuantityError)?;
    let exponent: i32 = exponent.parse().map_err(|_| QuantityError)?;
    if exponent.abs() > 30 {
        return Err(QuantityError);
    }
    Ok((1, 9 + exponent, Format::Exponent))
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let whole = self.nanos % NANO == 0;
        if self.format == Format::Binary && whole && self.nanos.abs() >= 1024 * NANO {
            let value = self.nanos / NANO;
            let fitting = BINARY
                .iter()
                .rev()
                .find(|(_, shift)| value % (1i128 << shift) == 0);
            return match fitting {
                Some((suffix, shift)) => write!(f, "{}{suffix}", value >> shift),
                None => write!(f, "{value}"),
            };
        }
        if self.format == Format::Binary && whole {
            return write!(f, "{}", self.nanos / NANO);
        }
        let fitting = DECIMAL
            .iter()
            .rev()
            .find(|(_, zeros)| self.nanos % 10i128.pow(*zeros) == 0);
        let (suffix, zeros) = fitting.copied().unwrap_or(("n", 0));
        let mantissa = self.nanos / 10i128.pow(zeros);
        if self.format == Format::Exponent {
            let exponent = zeros.cast_signed() - 9;
            return if exponent == 0 {
                write!(f, "{mantissa}")
            } else {
                write!(f, "{mantissa}e{exponent}")
            };
        }
        write!(f, "{mantissa}{suffix}")
    }
}

impl serde::Serialize for Quantity {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Quantity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Quantity;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a quantity")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Quantity, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Quantity, E> {
                Ok(Quantity::from_int(value))
            }
            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Quantity, E> {
                Ok(Quantity::from_int(i64::try_from(value).unwrap_or(i64::MAX)))
            }
            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Quantity, E> {
                value.to_string().parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_form_is_upstreams() {
        for (text, canonical) in [
            ("0", "0"),
            ("0.5", "500m"),
            ("1.5", "1500m"),
            ("1000m", "1"),
            ("1500", "1500"),
            ("1000", "1k"),
            ("100m", "100m"),
            ("1Gi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1024Mi", "1Gi"),
            ("500Ki", "500Ki"),
            ("0.5Ki", "512"),
            ("1e3", "1e3"),
            ("1E", "1E"),
            ("12e-3", "12e-3"),
            ("-2k", "-2k"),
            ("0.1n", "1n"),
            ("1000Ki", "1000Ki"),
            ("128974848", "128974848"),
            ("129M", "129M"),
            (".5", "500m"),
            ("1.", "1"),
        ] {
            assert_eq!(text.parse::<Quantity>().unwrap().to_string(), canonical, "{text}");
        }
        for bad in ["", "-", "1x", "1.2.3", "Gi", "1 Gi", "1e", "0x1", "1e1000", "١"] {
            assert!(bad.parse::<Quantity>().is_err(), "{bad}");
        }
    }

    #[test]
    fn values_compare_and_round_up() {
        let parse = |t: &str| t.parse::<Quantity>().unwrap();
        assert_eq!(parse("1Ki"), parse("1024"));
        assert!(parse("1G") < parse("1Gi"));
        assert_eq!(
            (
                parse("0.1").value(),
                parse("100m").millis(),
                parse("1.0001").millis()
            ),
            (1, 100, 1001)
        );
        assert_eq!((parse("100m") + parse("0.9")).to_string(), "1");
        assert_eq!(parse("99999999999999999999E").value(), i64::MAX);
    }
}
