//! The numbers of one name, by their labels.

use super::{Description, Number};
use std::{
    fmt::Write,
    sync::{Arc, OnceLock},
};

/// Where series begin: one chain a remainder of their hash.
const CHAINS: usize = 256;

struct Series<N> {
    labels: Box<[Box<str>]>,
    number: Arc<N>,
    next: Link<N>,
}

type Link<N> = OnceLock<Box<Series<N>>>;

/// A metric. Series come and never go, so that reading a chain needs no lock: labels must have few values.
pub struct Family<N> {
    description: Description,
    chains: Box<[Link<N>]>,
}

impl<N: Number> Family<N> {
    /// Without series.
    pub fn new(description: Description) -> Self {
        Self {
            description,
            chains: (0..CHAINS).map(|_| OnceLock::new()).collect(),
        }
    }

    /// What it is.
    pub(super) const fn description(&self) -> &Description {
        &self.description
    }

    /// The number with these values of the labels.
    pub fn of(&self, labels: &[&str]) -> &Arc<N> {
        let mut link = &self.chains[hash(labels) % CHAINS];
        loop {
            let series = link.get_or_init(|| self.series(labels));
            if series.labels.iter().map(AsRef::as_ref).eq(labels.iter().copied()) {
                return &series.number;
            }
            link = &series.next;
        }
    }

    fn series(&self, labels: &[&str]) -> Box<Series<N>> {
        Box::new(Series {
            labels: labels.iter().map(|label| Box::from(*label)).collect(),
            number: Arc::new(N::new(&self.description)),
            next: OnceLock::new(),
        })
    }

    /// Writes what is known, sorted by the labels.
    pub fn write(&self, out: &mut String) {
        let Description { name, help, .. } = self.description;
        // Writing to a string does not fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {}", N::KIND);
        let mut all: Vec<&Series<N>> = Vec::new();
        for chain in &self.chains {
            let mut link = chain;
            while let Some(series) = link.get() {
                all.push(series);
                link = &series.next;
            }
        }
        all.sort_by(|one, other| one.labels.cmp(&other.labels));
        for series in all {
            let labels: Vec<String> = self
                .description
                .labels
                .iter()
                .zip(&series.labels)
                .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
                .collect();
            series.number.write(&self.description, &labels.join(","), out);
        }
    }
}

/// FNV-1a: the same in every run.
fn hash(labels: &[&str]) -> usize {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in labels.iter().flat_map(|label| label.bytes().chain([0xff])) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    // Only the remainder counts.
    usize::try_from(hash >> 32).unwrap_or_default()
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', r#"\""#)
        .replace('\n', r"\n")
}
