//! Versions, by the rules of semver.org.

use super::Row;
use crate::{stop::Stop, value::Value};
use std::{cmp::Ordering, fmt, sync::Arc};

/// A version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    numbers: [u64; 3],
    pre: Vec<String>,
    build: String,
}

impl Version {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("Version string empty".into());
        }
        let (rest, build) = text.split_once('+').unwrap_or((text, ""));
        let (core, pre) = rest
            .split_once('-')
            .map_or((rest, None), |(core, pre)| (core, Some(pre)));
        let parts: Vec<&str> = core.split('.').collect();
        let [major, minor, patch] = parts.as_slice() else {
            return Err("No Major.Minor.Patch elements found".into());
        };
        let words = |text: &str, numbers: bool| {
            text.split('.').all(|word| {
                let fine = !word.is_empty()
                    && word
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
                fine && !(numbers && word.len() > 1 && word.starts_with('0') && is_number(word))
            })
        };
        if text.contains('+') && !words(build, false) {
            return Err("Invalid character(s) found in build meta data".into());
        }
        if pre.is_some_and(|pre| !words(pre, true)) {
            return Err(format!(
                "Invalid character(s) found in prerelease {:?}",
                pre.unwrap_or_default()
            ));
        }
        Ok(Self {
            numbers: [
                number(major, "major")?,
                number(minor, "minor")?,
                number(patch, "patch")?,
            ],
            pre: pre
                .map(|pre| pre.split('.').map(String::from).collect())
                .unwrap_or_default(),
            build: build.to_owned(),
        })
    }

    /// Without a leading `v`, with three numbers, and none of them with a leading zero.
    fn normalized(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let text = text.strip_prefix('v').unwrap_or(text);
        let end = text.find(['-', '+']).unwrap_or(text.len());
        let mut parts: Vec<&str> = text[..end].splitn(3, '.').collect();
        if parts.len() < 3 && end < text.len() {
            return Err("Short version cannot contain PreRelease/Build meta data".into());
        }
        for part in &mut parts {
            let bare = part.trim_start_matches('0');
            *part = if bare.is_empty() && !part.is_empty() {
                "0"
            } else {
                bare
            };
        }
        parts.resize(3, "0");
        Self::parse(&format!("{}{}", parts.join("."), &text[end..]))
    }
}

fn is_number(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit())
}

fn number(text: &str, what: &str) -> Result<u64, String> {
    if text.is_empty() || !is_number(text) {
        return Err(format!("Invalid character(s) found in {what} number {text:?}"));
    }
    if text.len() > 1 && text.starts_with('0') {
        let title = format!("{}{}", what[..1].to_ascii_uppercase(), &what[1..]);
        return Err(format!("{title} number must not contain leading zeroes {text:?}"));
    }
    text.parse()
        .map_err(|_| format!("strconv.ParseUint: parsing {text:?}: value out of range"))
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [major, minor, patch] = self.numbers;
        write!(f, "{major}.{minor}.{patch}")?;
        if !self.pre.is_empty() {
            write!(f, "-{}", self.pre.join("."))?;
        }
        if !self.build.is_empty() {
            write!(f, "+{}", self.build)?;
        }
        Ok(())
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let words = |a: &Self, b: &Self| {
            for (a, b) in a.pre.iter().zip(&b.pre) {
                let order = match (is_number(a), is_number(b)) {
                    (true, true) => a.len().cmp(&b.len()).then(a.cmp(b)),
                    (false, false) => a.cmp(b),
                    (number, _) => number.cmp(&false).reverse(),
                };
                if order.is_ne() {
                    return order;
                }
            }
            a.pre.len().cmp(&b.pre.len())
        };
        // A version is after its own pre-releases; what was built of it is no matter.
        let order = self.numbers.cmp(&other.numbers);
        order
            .then_with(|| self.pre.is_empty().cmp(&other.pre.is_empty()))
            .then_with(|| words(self, other))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

pub(super) const ROWS: &[Row] = &[
    Row(
        "semver",
        "string_to_semver",
        "string->kubernetes.Semver",
        |args, _| Ok(Value::Semver(Arc::new(read(args)??))),
    ),
    Row(
        "semver",
        "string_bool_to_semver",
        "string,bool->kubernetes.Semver",
        |args, _| Ok(Value::Semver(Arc::new(read(args)??))),
    ),
    Row("isSemver", "is_semver_string", "string->bool", |args, _| {
        Ok(Value::Bool(read(args)?.is_ok()))
    }),
    Row(
        "isSemver",
        "is_semver_string_bool",
        "string,bool->bool",
        |args, _| Ok(Value::Bool(read(args)?.is_ok())),
    ),
    Row(
        ".isGreaterThan",
        "semver_is_greater_than",
        "kubernetes.Semver,kubernetes.Semver->bool",
        |args, _| Ok(Value::Bool(order(args)?.is_gt())),
    ),
    Row(
        ".isLessThan",
        "semver_is_less_than",
        "kubernetes.Semver,kubernetes.Semver->bool",
        |args, _| Ok(Value::Bool(order(args)?.is_lt())),
    ),
    Row(
        ".compareTo",
        "semver_compare_to",
        "kubernetes.Semver,kubernetes.Semver->int",
        |args, _| Ok(Value::Int(order(args)? as i64)),
    ),
    Row(".major", "semver_major", "kubernetes.Semver->int", |args, _| {
        part(args, 0)
    }),
    Row(".minor", "semver_minor", "kubernetes.Semver->int", |args, _| {
        part(args, 1)
    }),
    Row(".patch", "semver_patch", "kubernetes.Semver->int", |args, _| {
        part(args, 2)
    }),
];

fn read(args: &[Value<'_>]) -> Result<Result<Version, String>, Stop> {
    match args {
        [Value::String(text)] | [Value::String(text), Value::Bool(false)] => Ok(Version::parse(text)),
        [Value::String(text), Value::Bool(true)] => Ok(Version::normalized(text)),
        _ => Err(Stop::OVERLOAD),
    }
}

fn order(args: &[Value<'_>]) -> Result<Ordering, Stop> {
    match args {
        [Value::Semver(a), Value::Semver(b)] => Ok(a.cmp(b)),
        _ => Err(Stop::OVERLOAD),
    }
}

fn part<'a>(args: &[Value<'a>], at: usize) -> Result<Value<'a>, Stop> {
    match args {
        [Value::Semver(version)] => Ok(Value::Int(i64::try_from(version.numbers[at]).unwrap_or(i64::MAX))),
        _ => Err(Stop::OVERLOAD),
    }
}
