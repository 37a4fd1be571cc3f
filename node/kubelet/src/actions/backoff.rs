//! Back-off of restarts and pulls: 10 s, doubling to 300 s, forgotten after 600 s (upstream: `flowcontrol.Backoff`).

use jiff::{SignedDuration, Timestamp};

/// Where a back-off stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    delay: SignedDuration,
    updated: Option<Timestamp>,
}

const INITIAL: SignedDuration = SignedDuration::from_secs(10);
const MAX: SignedDuration = SignedDuration::from_secs(300);

impl Backoff {
    fn expired(&self, at: Timestamp) -> bool {
        self.updated
            .is_none_or(|updated| at.duration_since(updated) > MAX * 2)
    }

    /// One more attempt, at `now`, after a failure at `failed`.
    pub fn next(&mut self, failed: Timestamp, now: Timestamp) {
        self.delay = if self.expired(failed) {
            INITIAL
        } else {
            (self.delay * 2).min(MAX)
        };
        self.updated = Some(now);
    }

    /// How long to wait now.
    pub fn delay(&self) -> SignedDuration {
        self.delay
    }

    /// Until when to wait after a failure at `failed`; `None` when the next attempt may be made.
    pub fn until(&self, failed: Timestamp, now: Timestamp) -> Option<Timestamp> {
        if self.expired(failed) {
            return None;
        }
        let until = failed.saturating_add(self.delay).unwrap_or(Timestamp::MAX);
        (until > now).then_some(until)
    }

    /// Until when to wait after the last attempt.
    pub fn until_since_update(&self, now: Timestamp) -> Option<Timestamp> {
        self.updated.and_then(|updated| self.until(updated, now))
    }
}

/// A duration as Go prints it: `10s`, `1m20s`, `1.234s`, `350ms`.
pub fn go_duration(duration: SignedDuration) -> String {
    let millis = duration.as_millis();
    if millis < 1000 {
        return if millis == 0 {
            "0s".to_owned()
        } else {
            format!("{millis}ms")
        };
    }
    let (minutes, rest) = (millis / 60_000, millis % 60_000);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let mut seconds = format!("{}.{:03}", rest / 1000, rest % 1000);
    seconds.truncate(seconds.trim_end_matches('0').trim_end_matches('.').len());
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn doubles_to_the_limit_and_forgets() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.until(at(0), at(0)), None);
        let mut now = 0;
        let mut delays = Vec::new();
        for _ in 0..7 {
            backoff.next(at(now), at(now));
            delays.push(go_duration(backoff.delay()));
            now += backoff.delay().as_secs();
        }
        assert_eq!(delays, ["10s", "20s", "40s", "1m20s", "2m40s", "5m0s", "5m0s"]);
        backoff.next(at(now + 301), at(now + 301));
        assert_eq!(backoff.delay().as_secs(), 10);
    }

    #[test]
    fn durations_read_as_in_go() {
        for (millis, text) in [
            (0, "0s"),
            (350, "350ms"),
            (1200, "1.2s"),
            (60_000, "1m0s"),
            (3_661_001, "1h1m1.001s"),
        ] {
            assert_eq!(go_duration(SignedDuration::from_millis(millis)), text);
        }
    }
}
