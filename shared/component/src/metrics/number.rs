//! Numbers that many change at once.

use super::Description;
use std::{
    fmt::Write,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
};

/// What a metric counts.
pub trait Number: Send + Sync + 'static {
    /// Its name in the text form.
    const KIND: &'static str;

    /// Nothing counted yet.
    fn new(of: &Description) -> Self;

    /// Its lines; `labels` are as in the text form, without braces.
    fn write(&self, of: &Description, labels: &str, out: &mut String);
}

/// What only grows.
#[derive(Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Counts `many`.
    pub fn add(&self, many: u64) {
        self.0.fetch_add(many, Relaxed);
    }
}

impl Number for Counter {
    const KIND: &'static str = "counter";

    fn new(_: &Description) -> Self {
        Self(AtomicU64::new(0))
    }

    fn write(&self, of: &Description, labels: &str, out: &mut String) {
        line(out, of.name, "", labels, &self.0.load(Relaxed));
    }
}

/// What grows and shrinks.
#[derive(Debug)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds, or takes away.
    pub fn add(&self, many: i64) {
        self.0.fetch_add(many, Relaxed);
    }

    /// Sets.
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }
}

impl Number for Gauge {
    const KIND: &'static str = "gauge";

    fn new(_: &Description) -> Self {
        Self(AtomicI64::new(0))
    }

    fn write(&self, of: &Description, labels: &str, out: &mut String) {
        line(out, of.name, "", labels, &self.0.load(Relaxed));
    }
}

/// What has a measure now, in parts too.
#[derive(Debug)]
pub struct Level(AtomicU64);

impl Level {
    /// Sets.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }
}

impl Number for Level {
    const KIND: &'static str = "gauge";

    fn new(_: &Description) -> Self {
        Self(AtomicU64::new(0))
    }

    fn write(&self, of: &Description, labels: &str, out: &mut String) {
        line(out, of.name, "", labels, &f64::from_bits(self.0.load(Relaxed)));
    }
}

/// How often something was how large.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// How many are in each bucket and no lower one; the last is for what is larger than all bounds.
    counts: Box<[AtomicU64]>,
    /// The bits of their sum.
    sum: AtomicU64,
}

impl Histogram {
    /// Counts one of this size.
    pub fn observe(&self, size: f64) {
        let bucket = self.bounds.partition_point(|bound| *bound < size);
        self.counts[bucket].fetch_add(1, Relaxed);
        let add = |sum| Some((f64::from_bits(sum) + size).to_bits());
        // It is never refused: there is always a sum.
        let _ = self.sum.fetch_update(Relaxed, Relaxed, add);
    }
}

impl Number for Histogram {
    const KIND: &'static str = "histogram";

    fn new(of: &Description) -> Self {
        Self {
            bounds: of.bounds,
            counts: (0..=of.bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    fn write(&self, of: &Description, labels: &str, out: &mut String) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut count = 0;
        let bounds = self.bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (bound, own) in bounds.zip(&self.counts) {
            count += own.load(Relaxed);
            line(
                out,
                of.name,
                "_bucket",
                &format!("{labels}{comma}le=\"{bound}\""),
                &count,
            );
        }
        line(
            out,
            of.name,
            "_sum",
            labels,
            &f64::from_bits(self.sum.load(Relaxed)),
        );
        line(out, of.name, "_count", labels, &count);
    }
}

fn line(out: &mut String, name: &str, part: &str, labels: &str, value: &dyn std::fmt::Display) {
    // Writing to a string does not fail.
    let _ = if labels.is_empty() {
        writeln!(out, "{name}{part} {value}")
    } else {
        writeln!(out, "{name}{part}{{{labels}}} {value}")
    };
}
