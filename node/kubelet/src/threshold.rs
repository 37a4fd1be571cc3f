//! Thresholds of eviction: what is too little of what (upstream: `pkg/kubelet/eviction`, `ParseThresholdConfig`).

use api::Quantity;
use std::collections::BTreeMap;

/// Signals that upstream knows and that are not watched here.
const UNWATCHED: &[&str] = &[
    "nodefs.inodesFree",
    "imagefs.inodesFree",
    "containerfs.available",
    "containerfs.inodesFree",
    "allocatableMemory.available",
    "pid.available",
];

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// `memory.available`.
    Memory,
    /// `nodefs.available`.
    Node,
    /// `imagefs.available`.
    Images,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Limit {
    Bytes(u64),
    Percent(f64),
}

/// Hard thresholds, memory first.
#[derive(Clone, Debug, PartialEq)]
pub struct Thresholds(BTreeMap<Signal, Limit>);

impl Default for Thresholds {
    fn default() -> Self {
        let limits = [
            (Signal::Memory, Limit::Bytes(100 << 20)),
            (Signal::Node, Limit::Percent(1.0)),
            (Signal::Images, Limit::Percent(1.0)),
        ];
        Self(limits.into())
    }
}

impl Thresholds {
    /// Reads signals and their limits, quantities or percents.
    ///
    /// # Errors
    /// Upstream's words.
    pub fn parse(limits: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut read = BTreeMap::new();
        for (name, text) in limits {
            let signal = match name.as_str() {
                "memory.available" => Signal::Memory,
                "nodefs.available" => Signal::Node,
                "imagefs.available" => Signal::Images,
                other if UNWATCHED.contains(&other) => return Err(format!("{other} is not watched yet")),
                other => return Err(format!("unsupported eviction signal {other}")),
            };
            let limit = limit(name, text)?;
            // No percent, as all of them, is no threshold.
            if !matches!(limit, Limit::Percent(percent) if percent <= 0.0 || percent >= 100.0) {
                read.insert(signal, limit);
            }
        }
        Ok(Self(read))
    }

    /// The bytes below which there is too little of each, memory first, where there are `capacity` in all.
    pub(crate) fn signals(&self) -> impl Iterator<Item = (Signal, impl Fn(u64) -> u64)> {
        self.0.iter().map(|(signal, limit)| {
            let least = |capacity: u64| match *limit {
                Limit::Bytes(bytes) => bytes,
                Limit::Percent(percent) => (capacity as f64 * percent / 100.0) as u64,
            };
            (*signal, least)
        })
    }
}

fn limit(name: &str, text: &str) -> Result<Limit, String> {
    if let Some(number) = text.strip_suffix('%') {
        let percent: f64 = number
            .parse()
            .map_err(|_| format!("eviction percentage threshold {name} must be a percentage: {text}"))?;
        return match percent {
            p if p < 0.0 => Err(format!(
                "eviction percentage threshold {name} must be >= 0%: {text}"
            )),
            p if p <= 100.0 => Ok(Limit::Percent(p)),
            _ => Err(format!(
                "eviction percentage threshold {name} must be <= 100%: {text}"
            )),
        };
    }
    let quantity: Quantity = text
        .parse()
        .map_err(|error| format!("eviction threshold {name}: {text}: {error}"))?;
    match u64::try_from(quantity.value()) {
        Ok(bytes) if bytes > 0 => Ok(Limit::Bytes(bytes)),
        _ => Err(format!("eviction threshold {name} must be positive: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Vec<(Signal, u64)>, String> {
        let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let read = Thresholds::parse(&pairs.collect())?;
        Ok(read
            .signals()
            .map(|(signal, least)| (signal, least(1000)))
            .collect())
    }

    #[test]
    fn thresholds_are_read_as_upstream_reads_them() {
        assert_eq!(
            read(&[
                ("nodefs.available", "15%"),
                ("memory.available", "1Ki"),
                ("imagefs.available", "0%")
            ]),
            Ok(vec![(Signal::Memory, 1024), (Signal::Node, 150)])
        );
        for (signal, limit, words) in [
            ("cpu.available", "1", "unsupported eviction signal cpu.available"),
            ("pid.available", "10%", "pid.available is not watched yet"),
            (
                "nodefs.available",
                "-1%",
                "eviction percentage threshold nodefs.available must be >= 0%: -1%",
            ),
            (
                "nodefs.available",
                "101%",
                "eviction percentage threshold nodefs.available must be <= 100%: 101%",
            ),
            (
                "nodefs.available",
                "NaN%",
                "eviction percentage threshold nodefs.available must be <= 100%: NaN%",
            ),
            (
                "memory.available",
                "-1",
                "eviction threshold memory.available must be positive: -1",
            ),
            (
                "memory.available",
                "0",
                "eviction threshold memory.available must be positive: 0",
            ),
        ] {
            assert_eq!(read(&[(signal, limit)]).unwrap_err(), words);
        }
        assert!(read(&[("memory.available", "lots")]).is_err());
        assert!(read(&[("nodefs.available", "a%")]).is_err());
    }
}
