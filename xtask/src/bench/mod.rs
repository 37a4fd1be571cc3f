//! `cargo xtask bench NAME`: measured claims. A benchmark prints a line a case, ours beside a named peer where there is one,
//! measured in turn on the same machine. It claims nothing: the reader compares.

mod apiserver;
mod etcd;
mod load;
mod room;
mod up;

use std::fmt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::{images, test, tools};

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// The benchmark; without a name, all are listed.
    name: Option<String>,
    /// Only the case of this name; if there is none, those whose names contain it.
    #[arg(long, value_name = "TEXT", default_value = "")]
    case: String,
    /// The folder with the peer's programs; the peer's program, if it is one.
    #[arg(long, value_name = "PATH")]
    peer: Option<PathBuf>,
    /// The binary to measure, instead of one that is built now.
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// This is the release build, inside its namespaces.
    #[arg(long, hide = true)]
    inside: bool,
}

/// A benchmark.
struct Bench {
    name: &'static str,
    cases: &'static [&'static str],
    run: fn(&mut Report) -> Result<()>,
    place: Place,
}

/// Where a benchmark runs.
#[derive(PartialEq, Eq)]
enum Place {
    /// In labs that it makes.
    Lab,
    /// In a release build of this command, since it makes load itself, and inside a network of its own.
    Inside,
}

const BENCHES: &[Bench] = &[
    Bench {
        name: "up",
        cases: up::CASES,
        run: up::run,
        place: Place::Lab,
    },
    Bench {
        name: "apiserver",
        cases: apiserver::CASES,
        run: apiserver::run,
        place: Place::Inside,
    },
    Bench {
        name: "etcd",
        cases: etcd::CASES,
        run: etcd::run,
        place: Place::Inside,
    },
    Bench {
        name: "admission",
        cases: apiserver::admission::CASES,
        run: apiserver::admission::run,
        place: Place::Inside,
    },
];

/// Runs a benchmark, with the release build.
pub fn run(options: &Options) -> Result<bool> {
    let Some(name) = &options.name else {
        BENCHES.iter().flat_map(names).for_each(|name| println!("{name}"));
        return Ok(true);
    };
    let bench = BENCHES.iter().find(|bench| bench.name == name);
    let bench =
        bench.with_context(|| format!("there is no benchmark {name}; `cargo xtask bench` lists them"))?;
    let binary = match &options.binary {
        Some(binary) => binary.clone(),
        None => test::build_release("ferrokube")?,
    };
    if bench.place == Place::Inside && !options.inside {
        return inside(options, &binary);
    }
    if bench.place == Place::Lab {
        tools::ensure()?;
        images::ensure()?;
    }
    let mut report = Report {
        bench,
        binary,
        peer: options.peer.clone(),
        filter: options.case.clone(),
        seen: Vec::new(),
    };
    (bench.run)(&mut report)?;
    let wanted = bench.cases.iter().filter(|case| report.wants(case));
    let missing: Vec<_> = wanted.filter(|case| !report.seen.contains(case)).collect();
    ensure!(missing.is_empty(), "cases without a result: {missing:?}");
    Ok(true)
}

/// Runs a benchmark in a release build of this command, in namespaces whose processes end with it.
fn inside(options: &Options, binary: &std::path::Path) -> Result<bool> {
    let own = test::build_release("xtask")?;
    let mut command = Command::new("unshare");
    command.args(["--net", "--mount-proc", "--pid", "--fork", "--kill-child"]);
    command
        .arg(own)
        .args(["bench", "--inside", "--case", &options.case]);
    command.arg("--binary").arg(binary).args(&options.name);
    if let Some(peer) = &options.peer {
        command.arg("--peer").arg(peer);
    }
    Ok(command.status().context("start unshare")?.success())
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
    pub binary: PathBuf,
    /// The folder with the peer's programs, or its program.
    pub peer: Option<PathBuf>,
    filter: String,
    seen: Vec<&'static str>,
}

impl Report {
    /// Whether a case is asked for: by its whole name, or, if there is none of that name, by a part of it.
    pub fn wants(&self, case: &str) -> bool {
        match self.bench.cases.contains(&self.filter.as_str()) {
            true => case == self.filter,
            false => case.contains(&self.filter),
        }
    }

    /// A result of ours that no peer has.
    pub fn ours(&mut self, case: &'static str, ours: Value) {
        self.case(case, ours, None);
    }

    /// A result, with that of a peer if there is one.
    pub fn case(&mut self, case: &'static str, ours: Value, peer: Option<(&str, Value)>) {
        println!("{}", line(self.bench.name, case, ours, peer));
        self.seen.push(case);
    }
}

/// The line of a case: ours, and where there is a peer, what it is, its value, and how many times better ours is.
fn line(bench: &str, case: &str, ours: Value, peer: Option<(&str, Value)>) -> String {
    match peer {
        Some((which, peer)) => {
            let ratio = match ours {
                Value::PerSecond(_) => ours.number() / peer.number(),
                _ => peer.number() / ours.number(),
            };
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
    /// So many in a second; the more the better.
    PerSecond(f64),
    /// So many times another size.
    Times(f64),
}

impl Value {
    fn number(self) -> f64 {
        match self {
            Value::Seconds(value)
            | Value::Bytes(value)
            | Value::Percent(value)
            | Value::PerSecond(value)
            | Value::Times(value) => value,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Seconds(value) if *value < 1e-3 => write!(out, "{:.1}us", value * 1e6),
            Value::Seconds(value) if *value < 1.0 => write!(out, "{:.1}ms", value * 1e3),
            Value::Seconds(value) => write!(out, "{value:.2}s"),
            Value::Bytes(value) if *value < 1e6 => write!(out, "{:.1}kB", value / 1e3),
            Value::Bytes(value) => write!(out, "{:.1}MB", value / 1e6),
            Value::Percent(value) => write!(out, "{value:.2}%"),
            Value::PerSecond(value) => write!(out, "{value:.0}/s"),
            Value::Times(value) => write!(out, "{value:.2}x"),
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

/// The value that half of the samples do not exceed.
pub fn median(samples: &mut [f64]) -> Option<f64> {
    percentiles(samples).map(|(half, _)| half)
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
            Value::Seconds(12.5e-6),
            Value::PerSecond(1234.5),
            Value::Times(2.5),
        ];
        assert_eq!(
            shown.map(|value| value.to_string()),
            ["12.3ms", "1.50s", "81.2MB", "0.50%", "12.5us", "1234/s", "2.50x"]
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
        let (ours, peer) = (Value::PerSecond(500.0), Value::PerSecond(100.0));
        assert_eq!(
            line("apiserver", "get-64", ours, Some(("upstream", peer))),
            "apiserver/get-64 ours=500/s peer=100/s (upstream) ratio=5.00"
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
