//! The clock: monotonic and wall time that a test can turn.

use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tokio::time::Instant;

/// A source of time. Clones share the same origin.
///
/// Monotonic time is the Tokio runtime's (so a paused runtime pauses it); wall time is an origin plus what
/// has passed, and follows the system's clock in production.
#[derive(Clone, Debug)]
pub struct Clock {
    origin: Option<(Timestamp, Instant)>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self { origin: None }
    }

    /// A clock whose wall time starts at `origin` and advances only with the runtime's own time.
    /// Must be called inside a Tokio runtime.
    pub fn from_origin(origin: Timestamp) -> Self {
        Self {
            origin: Some((origin, monotonic())),
        }
    }

    /// Monotonic time.
    pub fn now(&self) -> Instant {
        monotonic()
    }

    /// Wall time, UTC.
    pub fn wall(&self) -> Timestamp {
        match self.origin {
            Some((wall, start)) => {
                let passed = SignedDuration::try_from(monotonic() - start).unwrap_or(SignedDuration::MAX);
                wall.saturating_add(passed).unwrap_or(Timestamp::MAX)
            }
            None => system_wall(),
        }
    }

    /// Sleeps for `duration` of this clock.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Sleeps until `deadline`.
    pub async fn sleep_until(&self, deadline: Instant) {
        tokio::time::sleep_until(deadline).await;
    }

    /// Runs `future` for at most `duration`; `None` when the time ran out.
    pub async fn timeout<F: Future>(&self, duration: Duration, future: F) -> Option<F::Output> {
        tokio::time::timeout(duration, future).await.ok()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads monotonic time"
)]
fn monotonic() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the system's wall clock"
)]
fn system_wall() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn wall_time_follows_the_paused_runtime() {
        let clock = Clock::from_origin(Timestamp::UNIX_EPOCH);
        clock.sleep(Duration::from_secs(3600)).await;
        assert_eq!(clock.wall().as_second(), 3600);
    }
}
