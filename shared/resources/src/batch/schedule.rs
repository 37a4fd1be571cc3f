//! Schedules of CronJobs in cron's form, and time zones.

use std::str::FromStr;

/// A field of a schedule: its lowest and highest number, and the names of its numbers.
struct Range {
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const FIELDS: [Range; 5] = [
    Range {
        min: 0,
        max: 59,
        names: &[],
    },
    Range {
        min: 0,
        max: 23,
        names: &[],
    },
    Range {
        min: 1,
        max: 31,
        names: &[],
    },
    Range {
        min: 1,
        max: 12,
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Range {
        min: 0,
        max: 6,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

/// What is wrong with a schedule, in the words of the library that upstream uses.
pub(super) fn check(schedule: &str) -> Result<(), String> {
    let rest = match schedule
        .strip_prefix("TZ=")
        .or_else(|| schedule.strip_prefix("CRON_TZ="))
    {
        Some(zoned) => zoned.split_once(' ').map_or("", |(_, rest)| rest).trim(),
        None => schedule,
    };
    if let Some(name) = rest.strip_prefix('@') {
        return descriptor(rest, name);
    }
    let fields: Vec<&str> = rest.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        let list = fields.join(" ");
        return Err(format!(
            "expected exactly 5 fields, found {}: [{list}]",
            fields.len()
        ));
    }
    for (text, range) in fields.iter().zip(&FIELDS) {
        for part in text.split(',') {
            range.check(part)?;
        }
    }
    Ok(())
}

fn descriptor(text: &str, name: &str) -> Result<(), String> {
    const KNOWN: [&str; 7] = [
        "yearly", "annually", "monthly", "weekly", "daily", "midnight", "hourly",
    ];
    match name.strip_prefix("every ") {
        Some(every) if jiff::SignedDuration::from_str(every).is_ok() => Ok(()),
        Some(every) => Err(format!(
            "failed to parse duration {text}: time: invalid duration {every:?}"
        )),
        None if KNOWN.contains(&name) => Ok(()),
        None => Err(format!("unrecognized descriptor: {text}")),
    }
}

impl Range {
    /// `number | number-number [/number] | * [/number]`.
    fn check(&self, text: &str) -> Result<(), String> {
        let mut steps = text.split('/');
        let mut ends = steps.next().unwrap_or_default().split('-');
        let low = ends.next().unwrap_or_default();
        let any = ["*", "?"].contains(&low);
        let start = if any { self.min } else { self.number(low)? };
        let mut end = match ends.next() {
            _ if any => self.max,
            Some(high) => self.number(high)?,
            None => start,
        };
        if ends.next().is_some() {
            return Err(format!("too many hyphens: {text}"));
        }
        if let Some(step) = steps.next() {
            if plain(step)? == 0 {
                return Err(format!("step of range should be a positive number: {text}"));
            }
            if !text.contains('-') {
                end = self.max;
            }
        }
        if steps.next().is_some() {
            return Err(format!("too many slashes: {text}"));
        }
        let Self { min, max, .. } = *self;
        if start < min {
            return Err(format!(
                "beginning of range ({start}) below minimum ({min}): {text}"
            ));
        }
        if end > max {
            return Err(format!("end of range ({end}) above maximum ({max}): {text}"));
        }
        if start > end {
            return Err(format!(
                "beginning of range ({start}) beyond end of range ({end}): {text}"
            ));
        }
        Ok(())
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let name = text.to_lowercase();
        match (self.min..).zip(self.names).find(|(_, known)| **known == name) {
            Some((number, _)) => Ok(number),
            None => plain(text),
        }
    }
}

fn plain(text: &str) -> Result<u32, String> {
    let why = |why: &str| format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: {why}");
    match text.parse::<i64>() {
        Ok(number) if number < 0 => Err(format!("negative number ({number}) not allowed: {text}")),
        Ok(number) => u32::try_from(number).map_err(|_| why("value out of range")),
        Err(_) => Err(why("invalid syntax")),
    }
}

/// What is wrong with the name of a time zone.
pub(super) fn check_zone(zone: &str) -> Result<(), String> {
    let character = |c: char| c.is_ascii_alphanumeric() || ".-_+".contains(c);
    let good = |part: &str| {
        part != "."
            && part != ".."
            && !part.starts_with('-')
            && (1..=14).contains(&part.len())
            && part.chars().all(character)
    };
    if zone.is_empty() {
        return Err("timeZone must be nil or non-empty string".to_owned());
    }
    if zone.eq_ignore_ascii_case("Local") {
        let why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        return Err(why.to_owned());
    }
    let known = ["UTC", "Etc/UTC"].contains(&zone) || jiff::tz::db().get(zone).is_ok();
    if !zone.split('/').all(good) || !known {
        return Err(format!("unknown time zone {zone}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_read_as_cron_reads_them() {
        for good in [
            "*/5 * * * *",
            "0 3 1-7 jan,DEC MON-fri",
            "@hourly",
            "@every 1h30m",
            "5 4 ? * sun",
            "0/15 8-17/2 * * 1",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (wrong, words) in [
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            (
                "5-1 * * * *",
                "beginning of range (5) beyond end of range (1): 5-1",
            ),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            (
                "a * * * *",
                r#"failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax"#,
            ),
            ("@never", "unrecognized descriptor: @never"),
        ] {
            assert_eq!(check(wrong), Err(words.to_owned()));
        }
    }
}
