//! What a box is given.

use crate::{Clock, Random, Readiness, Tasks, metrics::Registry};

/// Time, randomness, tasks, readiness and metrics: the outside of a box. Clones share all of them.
#[derive(Clone, Debug)]
pub struct Env {
    /// Time.
    pub clock: Clock,
    /// Randomness.
    pub random: Random,
    /// Where the box spawns.
    pub tasks: Tasks,
    /// Where the box says whether it is ready.
    pub ready: Readiness,
    /// Where the box counts what it does.
    pub metrics: Registry,
}

impl Env {
    /// The machine's own clock and randomness, a new task tree.
    pub fn system() -> Self {
        Self {
            clock: Clock::system(),
            random: Random::system(),
            tasks: Tasks::new(),
            ready: Readiness::new(),
            metrics: Registry::default(),
        }
    }

    /// For simulation: everything from `seed`; wall time starts at 2030-01-01. Must be called inside a runtime.
    pub fn simulated(seed: u64) -> Self {
        let origin = jiff::Timestamp::constant(1_893_456_000, 0);
        Self {
            clock: Clock::from_origin(origin),
            random: Random::seeded(seed),
            tasks: Tasks::new(),
            ready: Readiness::new(),
            metrics: Registry::default(),
        }
    }

    /// The same outside with a branch of the task tree of its own, for one box.
    pub fn child(&self) -> Self {
        Self {
            tasks: self.tasks.child(),
            ..self.clone()
        }
    }

    /// The same with metrics of its own, for a box that tells them at a place of its own.
    pub fn counted(&self) -> Self {
        Self {
            metrics: Registry::default(),
            ..self.clone()
        }
    }
}
