//! How long a ratio had which value: histograms whose counts are nanoseconds.

use component::metrics::Description;
use std::{fmt::Write, time::Duration};

/// A ratio that changes.
#[derive(Debug)]
pub struct Timed {
    bounds: &'static [f64],
    nanoseconds: Box<[u64]>,
    sum: f64,
    changed: Duration,
    numerator: f64,
    denominator: f64,
}

impl Timed {
    /// Zero of one, from `now` on.
    pub fn new(of: &Description, now: Duration) -> Self {
        Self {
            bounds: of.bounds,
            nanoseconds: vec![0; of.bounds.len() + 1].into(),
            sum: 0.0,
            changed: now,
            numerator: 0.0,
            denominator: 1.0,
        }
    }

    fn pass(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.changed);
        self.changed = now;
        if passed.is_zero() {
            return;
        }
        let ratio = self.numerator / self.denominator;
        let bucket = self.bounds.iter().take_while(|bound| **bound < ratio).count();
        // 584 years are the most.
        self.nanoseconds[bucket] += u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX);
        self.sum += ratio * passed.as_secs_f64() * 1e9;
    }

    /// The number above changes.
    pub fn set(&mut self, now: Duration, numerator: f64) {
        self.pass(now);
        self.numerator = numerator;
    }

    /// The number below changes.
    pub fn set_denominator(&mut self, now: Duration, denominator: f64) {
        self.pass(now);
        self.denominator = denominator.max(1.0);
    }

    /// Its lines, up to `now`.
    pub fn write(&mut self, now: Duration, of: &Description, labels: &str, out: &mut String) {
        self.pass(now);
        let mut count = 0;
        let bounds = self.bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (bound, own) in bounds.zip(&self.nanoseconds) {
            count += own;
            // Writing to a string does not fail.
            let _ = writeln!(out, "{}_bucket{{{labels},le=\"{bound}\"}} {count}", of.name);
        }
        let _ = writeln!(out, "{}_sum{{{labels}}} {}", of.name, self.sum);
        let _ = writeln!(out, "{}_count{{{labels}}} {count}", of.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_counted_where_the_ratio_is() {
        let of = Description::new("busy", "", &["level"]).with(&[0.0, 0.5, 1.0]);
        let mut timed = Timed::new(&of, Duration::ZERO);
        timed.set_denominator(Duration::ZERO, 4.0);
        timed.set(Duration::from_nanos(10), 2.0);
        let mut out = String::new();
        timed.write(Duration::from_nanos(30), &of, "level=\"a\"", &mut out);
        let expected = "busy_bucket{level=\"a\",le=\"0\"} 10\nbusy_bucket{level=\"a\",le=\"0.5\"} 30\n\
                        busy_bucket{level=\"a\",le=\"1\"} 30\nbusy_bucket{level=\"a\",le=\"+Inf\"} 30\n\
                        busy_sum{level=\"a\"} 10\nbusy_count{level=\"a\"} 30\n";
        assert_eq!(out, expected);
    }
}
