//! Frames that cost work and bring nothing: a client may send some at once, and some a second.

use component::Clock;
use tokio::time::Instant;

/// So many at once.
const AT_ONCE: u32 = 10_000;
/// So many a second.
const A_SECOND: f64 = 1000.0;

/// What a client has left.
pub struct Patience {
    left: u32,
    full: Instant,
    clock: Clock,
}

impl Patience {
    /// All of it.
    pub fn new(clock: Clock) -> Self {
        Self {
            left: AT_ONCE,
            full: clock.now(),
            clock,
        }
    }

    /// Takes some. False: none is left.
    pub fn spend(&mut self) -> bool {
        if self.left == 0 {
            let now = self.clock.now();
            let more = (now - self.full).as_secs_f64() * A_SECOND;
            self.left = more.min(f64::from(AT_ONCE)) as u32;
            self.full = now;
        }
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }
}
