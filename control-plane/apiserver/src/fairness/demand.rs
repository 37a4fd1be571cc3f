//! How many seats a level could have used, over time.

use std::time::Duration;

/// How much of the older figure is kept at each adjustment: its half-life is five minutes.
const KEPT: f64 = 0.977;

/// The average, deviation and highest value of a number that changes.
#[derive(Debug, Default)]
pub struct Integrator {
    since: Duration,
    changed: Duration,
    value: f64,
    sum: f64,
    squares: f64,
    highest: f64,
}

/// What a period was like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Period {
    /// How long it was.
    pub length: Duration,
    /// The average over time.
    pub average: f64,
    /// The standard deviation.
    pub deviation: f64,
    /// The highest.
    pub highest: f64,
}

impl Integrator {
    /// The number changes.
    pub fn set(&mut self, now: Duration, value: f64) {
        self.pass(now);
        self.value = value;
        self.highest = self.highest.max(value);
    }

    fn pass(&mut self, now: Duration) {
        let seconds = now.saturating_sub(self.changed).as_secs_f64();
        self.changed = now;
        self.sum += seconds * self.value;
        self.squares += seconds * self.value * self.value;
    }

    /// The period since the last reset.
    pub fn reset(&mut self, now: Duration) -> Period {
        self.pass(now);
        let length = now.saturating_sub(self.since);
        let seconds = length.as_secs_f64();
        let over = |sum: f64| if seconds > 0.0 { sum / seconds } else { 0.0 };
        let average = over(self.sum);
        let variance = over(self.squares) - average * average;
        let period = Period {
            length,
            average,
            deviation: variance.max(0.0).sqrt(),
            highest: self.highest,
        };
        *self = Self {
            since: now,
            changed: now,
            value: self.value,
            highest: self.value,
            ..Self::default()
        };
        period
    }
}

/// What is known of a level's demand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demand {
    /// Of the last period.
    pub last: Period,
    /// What it is taken to be: it rises at once and falls slowly.
    pub smoothed: f64,
}

impl Demand {
    /// Takes another period into account.
    pub fn update(&mut self, period: Period) {
        if period.length.is_zero() {
            self.last.highest = period.highest;
            return;
        }
        let envelope = period.average + period.deviation;
        self.smoothed = envelope.max(KEPT * self.smoothed + (1.0 - KEPT) * envelope);
        self.last = period;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demand_rises_at_once_and_falls_slowly() {
        let (second, mut integrator, mut demand) =
            (Duration::from_secs(1), Integrator::default(), Demand::default());
        integrator.set(second, 10.0);
        integrator.set(second * 2, 0.0);
        demand.update(integrator.reset(second * 4));
        assert_eq!((demand.last.average, demand.last.highest), (2.5, 10.0));
        assert!((demand.last.deviation - 18.75_f64.sqrt()).abs() < 1e-9);
        let before = demand.smoothed;
        demand.update(integrator.reset(second * 14));
        assert!((demand.smoothed - 0.977 * before).abs() < 1e-9);
        assert_eq!(demand.last.highest, 0.0);
    }
}
