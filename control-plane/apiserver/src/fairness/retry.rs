//! When one who was refused should come again: later, the more are refused.

use std::collections::VecDeque;

const LONGEST: u64 = 32;

/// How many were refused in each second of late.
#[derive(Debug)]
pub struct Refusals {
    history: VecDeque<(u64, u64)>,
    second: u64,
    count: u64,
    retry_after: u64,
    raised: u64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self {
            history: VecDeque::new(),
            second: 0,
            count: 0,
            retry_after: 1,
            raised: 0,
        }
    }
}

impl Refusals {
    /// One more is refused. `second` is of wall time.
    pub fn note(&mut self, second: u64) {
        if self.second == second {
            self.count += 1;
            return;
        }
        self.history.push_back((self.second, self.count));
        let kept = (2 * self.retry_after).min(LONGEST);
        while self
            .history
            .front()
            .is_some_and(|(old, _)| self.second.saturating_sub(*old) > kept)
        {
            self.history.pop_front();
        }
        (self.second, self.count) = (second, 1);
        self.adjust();
    }

    /// Doubles when many were refused, and falls by one when few were.
    fn adjust(&mut self) {
        let recent = |(old, _): &&(u64, u64)| self.second.saturating_sub(*old) <= self.retry_after;
        let refused: u64 = self.history.iter().filter(recent).map(|(_, count)| count).sum();
        let rested = self.second.saturating_sub(self.raised) >= self.retry_after;
        if rested && refused >= 3 * self.retry_after {
            self.retry_after = (2 * self.retry_after).min(LONGEST);
            self.raised = self.second;
        } else if refused < self.retry_after && self.retry_after > 1 {
            self.retry_after -= 1;
        }
    }

    /// Seconds to wait.
    pub fn retry_after(&self) -> u64 {
        self.retry_after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_refused_often_comes_later() {
        let mut refusals = Refusals::default();
        let mut told = Vec::new();
        for second in 100..110 {
            for _ in 0..20 {
                refusals.note(second);
            }
            told.push(refusals.retry_after());
        }
        assert_eq!(told, [1, 2, 2, 4, 4, 4, 4, 8, 8, 8]);
        for second in [200, 300, 400] {
            refusals.note(second);
        }
        assert_eq!(refusals.retry_after(), 5);
    }
}
