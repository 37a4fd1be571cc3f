//! How long a client would wait for its answer.

use super::{query::Query, route::Route};
use crate::Server;
use api::Status;
use std::time::Duration;

/// Units of Go's durations, in nanoseconds.
const UNITS: &[(&str, f64)] = &[
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

/// The time that a request has: what its `timeout` says, and no more than `most`.
pub fn of(route: &Route, query: &Query, most: Duration) -> Result<Duration, Status> {
    match query.get("timeout") {
        "" => Ok(most),
        _ if route.is_long() => Ok(most),
        text => match duration(text) {
            Ok(wished) if wished.is_zero() => Ok(most),
            Ok(wished) => Ok(wished.min(most)),
            Err(why) => {
                let message = format!("invalid timeout specified in the request URL - {why}");
                Err(Status::bad_request(message))
            }
        },
    }
}

/// How long a watch lasts that does not say: once to twice the least, so that not all come again at once.
pub fn of_watch(server: &Server) -> Duration {
    let least = server.limits.min_request_timeout;
    let millis = u64::try_from(least.as_millis()).unwrap_or(u64::MAX);
    least + Duration::from_millis(server.handler.env.random.below(millis.max(1)))
}

/// A duration as Go writes it, `1m30.5s`, and what Go says of what is none. Less than nothing is nothing.
fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanoseconds = 0.0;
    while !rest.is_empty() {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let (number, after) = rest.split_at(rest.find(|c| !is_number(c)).unwrap_or(rest.len()));
        let number: f64 = number.parse().map_err(|_| invalid())?;
        if after.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let (unit, after) = after.split_at(after.find(is_number).unwrap_or(after.len()));
        let known = UNITS.iter().find(|(name, _)| *name == unit);
        let (_, scale) = known.ok_or_else(|| format!("time: unknown unit {unit:?} in duration {text:?}"))?;
        nanoseconds += number * scale;
        rest = after;
    }
    // Go's are 64 bits.
    if nanoseconds > 9.2e18 {
        return Err(invalid());
    }
    let duration = Duration::try_from_secs_f64(nanoseconds / 1e9).map_err(|_| invalid())?;
    Ok(if negative { Duration::ZERO } else { duration })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, expected) in [
            ("1m30s", Ok(90_000)),
            ("1.5s", Ok(1500)),
            (".5s", Ok(500)),
            ("0", Ok(0)),
            ("-3s", Ok(0)),
            ("2h1m", Ok(7_260_000)),
            ("5", Err("time: missing unit in duration \"5\"")),
            ("5x", Err("time: unknown unit \"x\" in duration \"5x\"")),
            ("s", Err("time: invalid duration \"s\"")),
            ("-", Err("time: invalid duration \"-\"")),
            ("99999999999h", Err("time: invalid duration \"99999999999h\"")),
        ] {
            let read = duration(text).map(|duration| duration.as_millis());
            assert_eq!(read, expected.map_err(str::to_owned), "{text}");
        }
    }
}
