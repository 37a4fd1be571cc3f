//! Parts of times and durations.

use super::Row;
use crate::{
    stop::Stop,
    value::{Value, time},
};
use jiff::civil::DateTime;

pub(super) const ROWS: &[Row] = &[
    Row(
        ".getFullYear",
        "timestamp_to_year",
        "timestamp->int",
        |args, _| part(args, year),
    ),
    Row(
        ".getFullYear",
        "timestamp_to_year_with_tz",
        "timestamp,string->int",
        |args, _| part(args, year),
    ),
    Row(".getMonth", "timestamp_to_month", "timestamp->int", |args, _| {
        part(args, month)
    }),
    Row(
        ".getMonth",
        "timestamp_to_month_with_tz",
        "timestamp,string->int",
        |args, _| part(args, month),
    ),
    Row(
        ".getDayOfYear",
        "timestamp_to_day_of_year",
        "timestamp->int",
        |args, _| part(args, day_of_year),
    ),
    Row(
        ".getDayOfYear",
        "timestamp_to_day_of_year_with_tz",
        "timestamp,string->int",
        |args, _| part(args, day_of_year),
    ),
    Row(
        ".getDayOfMonth",
        "timestamp_to_day_of_month",
        "timestamp->int",
        |args, _| part(args, |at| day(at) - 1),
    ),
    Row(
        ".getDayOfMonth",
        "timestamp_to_day_of_month_with_tz",
        "timestamp,string->int",
        |args, _| part(args, |at| day(at) - 1),
    ),
    Row(
        ".getDate",
        "timestamp_to_day_of_month_1_based",
        "timestamp->int",
        |args, _| part(args, day),
    ),
    Row(
        ".getDate",
        "timestamp_to_day_of_month_1_based_with_tz",
        "timestamp,string->int",
        |args, _| part(args, day),
    ),
    Row(
        ".getDayOfWeek",
        "timestamp_to_day_of_week",
        "timestamp->int",
        |args, _| part(args, weekday),
    ),
    Row(
        ".getDayOfWeek",
        "timestamp_to_day_of_week_with_tz",
        "timestamp,string->int",
        |args, _| part(args, weekday),
    ),
    Row(".getHours", "timestamp_to_hours", "timestamp->int", |args, _| {
        part(args, |at| at.hour().into())
    }),
    Row(
        ".getHours",
        "timestamp_to_hours_with_tz",
        "timestamp,string->int",
        |args, _| part(args, |at| at.hour().into()),
    ),
    Row(".getHours", "duration_to_hours", "duration->int", |args, _| {
        units(args, 3_600_000_000_000)
    }),
    Row(
        ".getMinutes",
        "timestamp_to_minutes",
        "timestamp->int",
        |args, _| part(args, |at| at.minute().into()),
    ),
    Row(
        ".getMinutes",
        "timestamp_to_minutes_with_tz",
        "timestamp,string->int",
        |args, _| part(args, |at| at.minute().into()),
    ),
    Row(
        ".getMinutes",
        "duration_to_minutes",
        "duration->int",
        |args, _| units(args, 60_000_000_000),
    ),
    Row(
        ".getSeconds",
        "timestamp_to_seconds",
        "timestamp->int",
        |args, _| part(args, |at| at.second().into()),
    ),
    Row(
        ".getSeconds",
        "timestamp_to_seconds_tz",
        "timestamp,string->int",
        |args, _| part(args, |at| at.second().into()),
    ),
    Row(
        ".getSeconds",
        "duration_to_seconds",
        "duration->int",
        |args, _| units(args, 1_000_000_000),
    ),
    Row(
        ".getMilliseconds",
        "timestamp_to_milliseconds",
        "timestamp->int",
        |args, _| part(args, |at| at.millisecond().into()),
    ),
    Row(
        ".getMilliseconds",
        "timestamp_to_milliseconds_with_tz",
        "timestamp,string->int",
        |args, _| part(args, |at| at.millisecond().into()),
    ),
    Row(
        ".getMilliseconds",
        "duration_to_milliseconds",
        "duration->int",
        |args, _| units(args, 1_000_000),
    ),
];

fn part<'a>(args: &[Value<'a>], of: fn(DateTime) -> i64) -> Result<Value<'a>, Stop> {
    let at = match args {
        [Value::Timestamp(at)] => time::local(*at, None)?,
        [Value::Timestamp(at), Value::String(zone)] => time::local(*at, Some(zone))?,
        _ => return Err(Stop::OVERLOAD),
    };
    Ok(Value::Int(of(at)))
}

fn units<'a>(args: &[Value<'a>], unit: i64) -> Result<Value<'a>, Stop> {
    match args {
        [Value::Duration(nanos)] => Ok(Value::Int(nanos / unit)),
        _ => Err(Stop::OVERLOAD),
    }
}

fn year(at: DateTime) -> i64 {
    at.year().into()
}

fn month(at: DateTime) -> i64 {
    i64::from(at.month()) - 1
}

fn day(at: DateTime) -> i64 {
    at.day().into()
}

fn day_of_year(at: DateTime) -> i64 {
    i64::from(at.day_of_year()) - 1
}

fn weekday(at: DateTime) -> i64 {
    at.weekday().to_sunday_zero_offset().into()
}
