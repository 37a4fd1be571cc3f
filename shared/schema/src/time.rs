//! Times as upstream reads them, with the words of Go's `time.Parse`.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::syntax::quote;

const SECONDS: &str = "2006-01-02T15:04:05Z07:00";
const MICROS: &str = "2006-01-02T15:04:05.000000Z07:00";
/// The length of a time with nanoseconds, without its zone.
const NANOS: usize = "2006-01-02T15:04:05.000000000".len();

/// Go's complaint about `text` as an RFC 3339 time, with six digits of a second if `micro`; None if it is one.
pub(crate) fn complaint(text: &str, micro: bool) -> Option<String> {
    let layout = if micro { MICROS } else { SECONDS };
    let reason = Reader { rest: text, micro }.read().err()?;
    let start = format!("parsing time {}", quote(text));
    Some(match reason {
        Wrong::Element(rest, element) => {
            format!(
                "{start} as {}: cannot parse {} as {}",
                quote(layout),
                quote(rest),
                quote(element)
            )
        }
        Wrong::Range(what) => format!("{start}: {what} out of range"),
        Wrong::Extra(rest) => format!("{start}: extra text: {}", quote(rest)),
    })
}

/// The time that `text` says. As Go has it, there may be any number of digits behind the second, of which what is less than a
/// nanosecond is cut off, and zones of up to 24 hours and 60 minutes.
pub(crate) fn read(text: &str) -> Result<Timestamp, String> {
    let mut reader = Reader {
        rest: text,
        micro: false,
    };
    let Ok((local, ahead)) = reader.read() else {
        return Err(complaint(text, false).unwrap_or_default());
    };
    let outside = |error: jiff::Error| error.to_string();
    let shown = local
        .parse::<DateTime>()
        .and_then(|local| TimeZone::UTC.to_timestamp(local));
    shown.and_then(|shown| shown.checked_sub(ahead)).map_err(outside)
}

enum Wrong<'a> {
    /// The rest does not start with this element of the layout.
    Element(&'a str, &'static str),
    Range(&'static str),
    Extra(&'a str),
}

struct Reader<'a> {
    rest: &'a str,
    micro: bool,
}

impl<'a> Reader<'a> {
    /// What a clock there showed, to nanoseconds, and how far it is ahead.
    fn read(&mut self) -> Result<(&'a str, SignedDuration), Wrong<'a>> {
        let text = self.rest;
        let year = self.number(4, "2006")?;
        self.text("-")?;
        let month = self.number(2, "01")?;
        in_range(month, 1, 12, "month")?;
        self.text("-")?;
        let day = self.number(2, "02")?;
        self.text("T")?;
        in_range(self.number(2, "15")?, 0, 23, "hour")?;
        self.text(":")?;
        in_range(self.number(2, "04")?, 0, 59, "minute")?;
        self.text(":")?;
        in_range(self.number(2, "05")?, 0, 59, "second")?;
        self.fraction()?;
        let shown = text.len() - self.rest.len();
        let ahead = self.zone()?;
        if !self.rest.is_empty() {
            return Err(Wrong::Extra(self.rest));
        }
        in_range(day, 1, days(year, month), "day")?;
        Ok((&text[..shown.min(NANOS)], ahead))
    }

    fn text(&mut self, text: &'static str) -> Result<(), Wrong<'a>> {
        self.rest = self
            .rest
            .strip_prefix(text)
            .ok_or(Wrong::Element(self.rest, text))?;
        Ok(())
    }

    fn number(&mut self, digits: usize, element: &'static str) -> Result<u32, Wrong<'a>> {
        let wrong = Wrong::Element(self.rest, element);
        let Some((head, rest)) = self.rest.split_at_checked(digits) else {
            return Err(wrong);
        };
        if !head.bytes().all(|b| b.is_ascii_digit()) {
            return Err(wrong);
        }
        self.rest = rest;
        head.parse().map_err(|_| wrong)
    }

    /// Six digits where the layout has them, else any number of digits or none.
    fn fraction(&mut self) -> Result<(), Wrong<'a>> {
        let digits = self.rest.bytes().skip(1).take_while(u8::is_ascii_digit).count();
        let dot = self.rest.starts_with(['.', ',']);
        if self.micro {
            if !dot || digits < 6 {
                return Err(Wrong::Element(self.rest, ".000000"));
            }
            self.rest = &self.rest[7..];
        } else if dot && digits > 0 {
            self.rest = &self.rest[digits + 1..];
        }
        Ok(())
    }

    fn zone(&mut self) -> Result<SignedDuration, Wrong<'a>> {
        if let Some(rest) = self.rest.strip_prefix('Z') {
            self.rest = rest;
            return Ok(SignedDuration::ZERO);
        }
        let wrong = || Wrong::Element(self.rest, "Z07:00");
        let (zone, rest) = self.rest.split_at_checked(6).ok_or_else(wrong)?;
        let bytes = zone.as_bytes();
        let digits = [1, 2, 4, 5].iter().all(|i| bytes[*i].is_ascii_digit());
        if !matches!(bytes[0], b'+' | b'-') || bytes[3] != b':' || !digits {
            return Err(wrong());
        }
        let two = |at: usize| i64::from(bytes[at] - b'0') * 10 + i64::from(bytes[at + 1] - b'0');
        let (hours, minutes) = (two(1), two(4));
        if hours > 24 {
            return Err(Wrong::Range("time zone offset hour"));
        }
        if minutes > 60 {
            return Err(Wrong::Range("time zone offset minute"));
        }
        self.rest = rest;
        let ahead = SignedDuration::from_mins(hours * 60 + minutes);
        Ok(if bytes[0] == b'-' { -ahead } else { ahead })
    }
}

fn in_range(value: u32, low: u32, high: u32, what: &'static str) -> Result<(), Wrong<'static>> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        Err(Wrong::Range(what))
    }
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::{complaint, read};

    #[test]
    fn a_second_may_have_any_number_of_digits() {
        let long = "2026-01-02T03:04:05.6751111111691+01:00";
        assert_eq!(complaint(long, false), None);
        let time = read(long).unwrap();
        assert_eq!(time, "2026-01-02T02:04:05.675111111Z".parse().unwrap());
        assert_eq!(read("2026-01-02T03:04:05Z").unwrap().subsec_nanosecond(), 0);
        assert!(read("2026-01-02T03:04:05.Z").is_err() && read("now").is_err());
    }

    #[test]
    fn zones_may_be_as_far_away_as_by_go() {
        for (text, utc) in [
            (
                "2026-01-02T03:04:02.1232865203+01:60",
                "2026-01-02T01:04:02.12328652Z",
            ),
            ("2026-01-02T03:04:02-24:60", "2026-01-03T04:04:02Z"),
            ("2026-01-02T03:04:02,5Z", "2026-01-02T03:04:02.5Z"),
        ] {
            assert_eq!(complaint(text, false), None, "{text}");
            assert_eq!(read(text), Ok(utc.parse().unwrap()), "{text}");
        }
        assert!(read("9999-12-31T23:59:59-24:60").is_err());
    }

    #[test]
    fn times_are_read_as_by_go() {
        for good in [
            "2024-02-29T23:59:59Z",
            "2024-01-01T00:00:00.123456789+02:00",
            "0001-01-01T00:00:00-07:30",
        ] {
            assert_eq!(complaint(good, false), None, "{good}");
        }
        assert_eq!(complaint("2024-01-01T00:00:00.123456Z", true), None);
        let wrong = |text, micro| complaint(text, micro).unwrap();
        let layout = r#"as "2006-01-02T15:04:05Z07:00": cannot parse"#;
        assert_eq!(
            wrong("now", false),
            format!(r#"parsing time "now" {layout} "now" as "2006""#)
        );
        assert_eq!(
            wrong("2024-01-01", false),
            format!(r#"parsing time "2024-01-01" {layout} "" as "T""#)
        );
        assert_eq!(
            wrong("2023-02-29T00:00:00Z", false),
            r#"parsing time "2023-02-29T00:00:00Z": day out of range"#
        );
        assert_eq!(
            wrong("2024-01-01T00:00:00Zé", false),
            r#"parsing time "2024-01-01T00:00:00Zé": extra text: "é""#
        );
        assert!(wrong("2024-01-01T00:00:00Z", true).ends_with(r#"cannot parse "Z" as ".000000""#));
        assert!(wrong("2024-01-01T00:00:00", false).ends_with(r#"cannot parse "" as "Z07:00""#));
    }
}
