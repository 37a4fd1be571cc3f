//! Metrics, told in Prometheus' text form.
//!
//! A [`Family`] is what has one name; each combination of its labels has numbers of its own. To find them takes no lock,
//! and neither does counting.

mod family;
mod number;
mod process;

pub use family::Family;
pub use number::{Counter, Gauge, Histogram, Level, Number};
pub use process::process;

use std::{
    any::Any,
    sync::{Arc, Mutex, PoisonError},
};

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

trait Told: Any + Send + Sync {
    fn name(&self) -> &'static str;
    fn write(&self, out: &mut String);
}

impl<N: Number> Told for Family<N> {
    fn name(&self) -> &'static str {
        self.description().name
    }

    fn write(&self, out: &mut String) {
        Family::write(self, out);
    }
}

type Measure = Arc<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct Kept {
    families: Vec<Arc<dyn Told>>,
    measures: Vec<Measure>,
}

/// The metrics of a server. Clones are the same.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<Kept>>);

impl Registry {
    /// The family of this name, told from now on. Who asks for it again gets the same.
    pub fn family<N: Number>(&self, description: Description) -> Arc<Family<N>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept
            .families
            .iter()
            .find(|known| known.name() == description.name);
        if let Some(known) = known.cloned()
            && let Ok(known) = (known as Arc<dyn Any + Send + Sync>).downcast()
        {
            return known;
        }
        let family = Arc::new(Family::new(description));
        kept.families.push(family.clone());
        family
    }

    /// Calls `measure` each time before the metrics are told: for numbers that change with time alone.
    pub fn measure(&self, measure: impl Fn() + Send + Sync + 'static) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.measures.push(Arc::new(measure));
    }

    /// All, in the order in which they were made.
    pub fn write(&self, out: &mut String) {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (families, measures) = (kept.families.clone(), kept.measures.clone());
        drop(kept);
        measures.iter().for_each(|measure| measure());
        for family in families {
            family.write(out);
        }
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registry")
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
        let heat = Description::new("heat", "How warm.", &["of"]);
        let told_again = registry.clone();
        registry.measure(move || told_again.family::<Level>(heat).of(&["me"]).set(36.5));
        registry.family::<Level>(heat);
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
# HELP heat How warm.
# TYPE heat gauge
heat{of="me"} 36.5
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
