//! Metrics, told in Prometheus' text form.
//!
//! A [`Family`] is what has one name; each combination of its labels has numbers of its own. To find them takes no lock,
//! and neither does counting.

mod family;
mod number;
mod process;

pub use family::Family;
pub use number::{Counter, Gauge, Histogram, Number};
pub use process::process;

use std::sync::{Arc, Mutex, PoisonError};

/// What is told of a metric beside its numbers.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// Its name.
    pub name: &'static str,
    /// What it is, in words.
    pub help: &'static str,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// For histograms, the upper bounds of the buckets.
    pub bounds: &'static [f64],
}

impl Description {
    /// Of a metric that is no histogram.
    pub const fn new(name: &'static str, help: &'static str, labels: &'static [&'static str]) -> Self {
        Self {
            name,
            help,
            labels,
            bounds: &[],
        }
    }

    /// The same with buckets.
    pub const fn with(self, bounds: &'static [f64]) -> Self {
        Self { bounds, ..self }
    }
}

trait Write: Send + Sync {
    fn write(&self, out: &mut String);
}

impl<N: Number> Write for Family<N> {
    fn write(&self, out: &mut String) {
        Family::write(self, out);
    }
}

/// The metrics of a server. Clones are the same.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Vec<Arc<dyn Write>>>>);

impl Registry {
    /// A new family, told from now on.
    pub fn family<N: Number>(&self, description: Description) -> Arc<Family<N>> {
        let family = Arc::new(Family::new(description));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(family.clone());
        family
    }

    /// All, in the order in which they were made.
    pub fn write(&self, out: &mut String) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for family in all {
            family.write(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_told_as_prometheus_reads_them() {
        let registry = Registry::default();
        let asked = Description::new("asked_total", "What was asked.", &["verb", "path"]);
        let asked = registry.family::<Counter>(asked);
        asked.of(&["GET", "/b\"\\\n"]).add(2);
        asked.of(&["GET", "/a"]).add(1);
        asked.of(&["GET", "/a"]).add(1);
        let open = registry.family::<Gauge>(Description::new("open", "What is open.", &[]));
        open.of(&[]).add(3);
        open.of(&[]).add(-4);
        let took = Description::new("took_seconds", "How long.", &["verb"]).with(&[0.5, 1.0]);
        let took = registry.family::<Histogram>(took);
        for seconds in [0.25, 0.5, 0.75, 7.0] {
            took.of(&["GET"]).observe(seconds);
        }
        let mut told = String::new();
        registry.write(&mut told);
        let expected = r#"# HELP asked_total What was asked.
# TYPE asked_total counter
asked_total{verb="GET",path="/a"} 2
asked_total{verb="GET",path="/b\"\\\n"} 2
# HELP open What is open.
# TYPE open gauge
open -1
# HELP took_seconds How long.
# TYPE took_seconds histogram
took_seconds_bucket{verb="GET",le="0.5"} 2
took_seconds_bucket{verb="GET",le="1"} 3
took_seconds_bucket{verb="GET",le="+Inf"} 4
took_seconds_sum{verb="GET"} 8.5
took_seconds_count{verb="GET"} 4
"#;
        assert_eq!(told, expected);
    }

    #[test]
    fn what_many_count_at_once_is_counted_once_each() {
        let family = Family::<Counter>::new(Description::new("n", "", &["n"]));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for n in 0..2000 {
                        family.of(&[&(n % 500).to_string()]).add(1);
                    }
                });
            }
        });
        let mut told = String::new();
        family.write(&mut told);
        assert_eq!(
            told.lines().filter(|line| line.ends_with(" 16")).count(),
            500,
            "{told}"
        );
    }
}
