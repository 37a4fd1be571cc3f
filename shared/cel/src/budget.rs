//! What evaluation may cost.

use crate::stop::Stop;

/// Most that one evaluation may cost.
pub const PER_CALL_LIMIT: u64 = 1_000_000;
/// Most that all evaluations for one object may cost.
pub const RUNTIME_BUDGET: u64 = 10_000_000;
/// Most that the match conditions of one webhook or policy may cost.
pub const MATCH_CONDITIONS_BUDGET: u64 = 2_500_000;
/// Largest text that a message expression may make, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 5 * 1024;

pub(crate) const TRAVERSAL: f64 = 0.1;
pub(crate) const REGEX: f64 = 0.25;
pub(crate) const LIST: u64 = 10;
pub(crate) const MAP: u64 = 30;
pub(crate) const STRUCT: u64 = 40;

/// What is left to spend, over all evaluations and in the one that runs.
#[derive(Clone, Debug)]
pub struct Budget {
    left: u64,
    per_call: u64,
    spent: u64,
}

impl Budget {
    /// A budget of `total`; one evaluation may cost [`PER_CALL_LIMIT`].
    pub fn new(total: u64) -> Self {
        Self {
            left: total,
            per_call: PER_CALL_LIMIT,
            spent: 0,
        }
    }

    /// The same with another limit for one evaluation.
    #[must_use]
    pub fn per_call(mut self, limit: u64) -> Self {
        self.per_call = limit;
        self
    }

    /// What is left.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// What the last evaluation cost.
    pub fn spent(&self) -> u64 {
        self.spent
    }

    pub(crate) fn start(&mut self) {
        self.spent = 0;
    }

    pub(crate) fn finish(&mut self) {
        self.left = self.left.saturating_sub(self.spent);
    }

    pub(crate) fn refund(&mut self, cost: u64) {
        self.spent = self.spent.saturating_sub(cost);
    }

    pub(crate) fn charge(&mut self, cost: u64) -> Result<(), Stop> {
        self.spent = self.spent.saturating_add(cost);
        if self.spent > self.per_call {
            return Err(Stop::Cost);
        }
        if self.spent > self.left {
            return Err(Stop::Budget);
        }
        Ok(())
    }

    /// Steps that no rule of cost counts: free as long as they are few.
    pub(crate) fn work(&mut self, steps: u64) -> Result<(), Stop> {
        if steps < 1_000 {
            return Ok(());
        }
        self.charge(steps / 100)
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(RUNTIME_BUDGET)
    }
}
