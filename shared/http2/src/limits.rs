//! What a client may do on a connection, and how it is noticed that it has gone.

use crate::reason::{Fault, Reason};
use std::time::Duration;
use tokio::time::Instant;

/// Requests under way at most, whatever is set.
const STREAMS: u32 = 100_000;
/// Pings that come too soon, one after the other, before the client has to go.
const STRIKES: u32 = 2;
/// How seldom a client may ping that has no request under way.
const IDLE: Duration = Duration::from_secs(2 * 3600);

/// As gRPC's servers have them. A duration of zero sets no limit.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Requests under way.
    pub streams: u32,
    /// How long a client waits between two pings, unless it was sent something since.
    pub ping_after: Duration,
    /// After how long without a word the client is asked whether it is there.
    pub quiet: Duration,
    /// How long it has to say so.
    pub patience: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            streams: u32::MAX,
            ping_after: Duration::ZERO,
            quiet: Duration::ZERO,
            patience: Duration::ZERO,
        }
    }
}

impl Limits {
    /// How many requests may be under way.
    pub(crate) fn streams(&self) -> u32 {
        self.streams.min(STREAMS)
    }
}

/// The pings of a client.
#[derive(Default)]
pub(crate) struct Pings {
    last: Option<Instant>,
    strikes: u32,
    /// The client was sent something since.
    pub sent: bool,
}

impl Pings {
    /// Judges one.
    pub fn judge(&mut self, limits: &Limits, now: Instant, is_idle: bool) -> Result<(), Fault> {
        if limits.ping_after.is_zero() {
            return Ok(());
        }
        let before = self.last.replace(now);
        if std::mem::take(&mut self.sent) {
            self.strikes = 0;
            return Ok(());
        }
        let least = if is_idle { IDLE } else { limits.ping_after };
        if before.is_some_and(|before| now < before + least) {
            self.strikes += 1;
        }
        match self.strikes > STRIKES {
            true => Err(Fault::Connection(Reason::EnhanceYourCalm, "too_many_pings")),
            false => Ok(()),
        }
    }
}
