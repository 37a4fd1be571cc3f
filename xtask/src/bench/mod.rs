//! `cargo xtask bench NAME`: measured claims. A benchmark prints a line a case, ours beside a named peer where there is one,
//! measured in turn on the same machine. It claims nothing: the reader compares.

mod up;

use std::fmt;

use anyhow::{Context as _, Result, ensure};

use crate::{images, test, tools};

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// The benchmark; without a name, all are listed.
    name: Option<String>,
}

/// A benchmark.
struct Bench {
    name: &'static str,
    cases: &'static [&'static str],
    run: fn(&mut Report) -> Result<()>,
}

const BENCHES: &[Bench] = &[Bench {
    name: "up",
    cases: up::CASES,
    run: up::run,
}];

/// Runs a benchmark, with the release build.
pub fn run(options: &Options) -> Result<bool> {
    let Some(name) = &options.name else {
        BENCHES.iter().flat_map(names).for_each(|name| println!("{name}"));
        return Ok(true);
    };
    let bench = BENCHES.iter().find(|bench| bench.name == name);
    let bench =
        bench.with_context(|| format!("there is no benchmark {name}; `cargo xtask bench` lists them"))?;
    tools::ensure()?;
    images::ensure()?;
    let mut report = Report {
        bench,
        binary: test::build_release()?,
        seen: Vec::new(),
    };
    (bench.run)(&mut report)?;
    let missing: Vec<_> = bench
        .cases
        .iter()
        .filter(|case| !report.seen.contains(case))
        .collect();
    ensure!(missing.is_empty(), "cases without a result: {missing:?}");
    Ok(true)
}

/// True for the name of a benchmark, with or without one of its cases.
pub fn exists(name: &str) -> bool {
    BENCHES
        .iter()
        .any(|bench| bench.name == name || names(bench).any(|known| known == name))
}

fn names(bench: &Bench) -> impl Iterator<Item = String> {
    bench.cases.iter().map(|case| format!("{}/{case}", bench.name))
}

/// Takes the results of a benchmark and prints them as they come.
pub struct Report {
    bench: &'static Bench,
    /// The binary to measure.
    pub binary: std::path::PathBuf,
    seen: Vec<&'static str>,
}

impl Report {
    /// A result of ours that no peer has.
    pub fn ours(&mut self, case: &'static str, ours: Value) {
        println!("{}", line(self.bench.name, case, ours, None));
        self.seen.push(case);
    }
}

/// The line of a case: ours, and where there is a peer, what it is, its value, and how many times ours that is.
fn line(bench: &str, case: &str, ours: Value, peer: Option<(&str, Value)>) -> String {
    match peer {
        Some((which, peer)) => {
            let ratio = peer.number() / ours.number();
            format!("{bench}/{case} ours={ours} peer={peer} ({which}) ratio={ratio:.2}")
        }
        None => format!("{bench}/{case} ours={ours} peer=none"),
    }
}

/// A measured value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    Seconds(f64),
    Bytes(f64),
    /// Of one processor.
    Percent(f64),
}

impl Value {
    fn number(self) -> f64 {
        match self {
            Value::Seconds(value) | Value::Bytes(value) | Value::Percent(value) => value,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Seconds(value) if *value < 1.0 => write!(out, "{:.1}ms", value * 1e3),
            Value::Seconds(value) => write!(out, "{value:.2}s"),
            Value::Bytes(value) if *value < 1e6 => write!(out, "{:.1}kB", value / 1e3),
            Value::Bytes(value) => write!(out, "{:.1}MB", value / 1e6),
            Value::Percent(value) => write!(out, "{value:.2}%"),
        }
    }
}

/// The value that half of the samples do not exceed, and the one that 99 of 100 do not exceed.
pub fn percentiles(samples: &mut [f64]) -> Option<(f64, f64)> {
    samples.sort_by(f64::total_cmp);
    let at = |share: usize| {
        samples
            .get((samples.len() * share).div_ceil(100).checked_sub(1)?)
            .copied()
    };
    Some((at(50)?, at(99)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_short() {
        let shown = [
            Value::Seconds(0.0123),
            Value::Seconds(1.5),
            Value::Bytes(81.2e6),
            Value::Percent(0.5),
        ];
        assert_eq!(
            shown.map(|value| value.to_string()),
            ["12.3ms", "1.50s", "81.2MB", "0.50%"]
        );
    }

    #[test]
    fn a_line_names_the_peer() {
        let (ours, peer) = (Value::Seconds(0.5), Value::Seconds(1.25));
        assert_eq!(
            line("up", "restart", ours, Some(("k3s", peer))),
            "up/restart ours=500.0ms peer=1.25s (k3s) ratio=2.50"
        );
        assert_eq!(
            line("up", "restart", ours, None),
            "up/restart ours=500.0ms peer=none"
        );
    }

    #[test]
    fn percentiles_are_samples() {
        let mut samples: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentiles(&mut samples), Some((50.0, 99.0)));
        assert_eq!(percentiles(&mut [3.0]), Some((3.0, 3.0)));
        assert_eq!(percentiles(&mut []), None);
    }

    #[test]
    fn names_have_cases() {
        assert!(exists("up") && exists("up/first-start"));
        assert!(!exists("up/nosuch") && !exists("nosuch"));
    }
}
