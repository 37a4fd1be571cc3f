//! `bench etcd`: our etcd beside upstream's, one member each, under the same load, in turn: while one is measured the other
//! is stopped. Both are on loopback in a network namespace, keep their data on the same disk and sync what they acknowledge.

mod compaction;
mod drive;
mod inside;
mod killed;
mod large;
mod load;
mod side;
mod space;
mod watch;
mod wire;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::process;
use rustix::process::Signal;

use super::room::Room;
use super::{Report, Value, median};
use drive::Work;
use load::Load;
use side::{Side, Which};

/// The cases.
pub const CASES: &[&str] = &[
    "put-1",
    "put-1-time",
    "put-64",
    "put-64-time",
    "put-1000",
    "put-1000-time",
    "in-process-64",
    "get-64",
    "get-64-time",
    "watch",
    "compaction-p99",
    "compaction-growth",
    "memory",
    "file",
    "start",
    "start-killed",
    "large-put-64",
    "large-put-64-time",
    "large-put-64-p99",
    "large-put-64-written",
    "large-get-64",
    "large-get-64-time",
    "large-get-64-p99",
    "large-memory",
    "large-file",
    "large-start",
    "large-start-killed",
];

/// Whose etcd is measured beside ours.
const PEER: &str = "/usr/bin/etcd";
/// How often a case is measured, and how long.
const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_secs(3);

/// Runs the cases that are asked for.
pub fn run(report: &mut Report) -> Result<()> {
    let room = Room::new("bench-etcd")?;
    let peer = report.peer.clone().unwrap_or_else(|| PEER.into());
    let version = process::output(Command::new(&peer).arg("--version"))?;
    let version = version
        .lines()
        .find_map(|line| line.strip_prefix("etcd Version: "))
        .with_context(|| format!("{} says no version", peer.display()))?;
    let sides = vec![
        Side::new(Which::Ours(report.binary.clone()), &room.folder().join("ours"))?,
        Side::new(Which::Peer(peer), &room.folder().join("peer"))?,
    ];
    let mut bench = Bench {
        name: format!("etcd {version}"),
        folder: room.folder().to_owned(),
        sides,
        report,
    };
    rates(&mut bench)?;
    for cases in [
        inside::run,
        watch::run,
        compaction::run,
        space::run,
        killed::run,
        large::run,
    ] {
        cases(&mut bench)?;
    }
    Ok(())
}

/// How many requests of a kind are done in a second, and the processor time that the server takes for each.
fn rates(bench: &mut Bench<'_>) -> Result<()> {
    let cases = [
        (["put-1", "put-1-time"], 1, 1, Work::Put),
        (["put-64", "put-64-time"], 64, 8, Work::Put),
        (["put-1000", "put-1000-time"], 1000, 100, Work::Put),
        (["get-64", "get-64-time"], 64, 8, Work::Get),
    ];
    for ([rate, time], clients, connections, work) in cases {
        let cases: [Case; 2] = [(rate, Value::PerSecond), (time, Value::Seconds)];
        bench.rounds(ROUNDS, &cases, |side, _| {
            let load = Load::open(side, connections)?;
            if work == Work::Get {
                load.fill(0..load::KEYS, 1024)?;
            }
            Ok(load.rate(side, clients, work, TIME)?.to_vec())
        })?;
    }
    Ok(())
}

/// The sides, ours first, and who takes the results.
struct Bench<'a> {
    /// What the peer is called in a line.
    name: String,
    folder: PathBuf,
    sides: Vec<Side>,
    report: &'a mut Report,
}

/// A case and what its numbers are.
type Case = (&'static str, fn(f64) -> Value);

impl Bench<'_> {
    fn wants(&self, cases: &[&str]) -> bool {
        cases.iter().any(|case| self.report.wants(case))
    }

    /// Measures in turn, so many rounds, and reports the medians. Each case gets a side that has run no other.
    fn rounds(
        &mut self,
        rounds: usize,
        cases: &[Case],
        mut measure: impl FnMut(&mut Side, usize) -> Result<Vec<f64>>,
    ) -> Result<()> {
        let names: Vec<&str> = cases.iter().map(|(name, _)| *name).collect();
        if !self.wants(&names) {
            return Ok(());
        }
        for side in &mut self.sides {
            side.start()?;
            side.signal(Signal::STOP)?;
        }
        let mut samples = vec![Vec::new(); self.sides.len()];
        for round in 0..rounds {
            for (side, samples) in self.sides.iter_mut().zip(&mut samples) {
                side.signal(Signal::CONT)?;
                samples.push(measure(side, round)?);
                side.signal(Signal::STOP)?;
            }
        }
        for side in &mut self.sides {
            side.stop()?;
            side.clear()?;
        }
        self.tell(cases, &samples)
    }

    /// Reports the medians of samples, by side.
    fn tell(&mut self, cases: &[Case], samples: &[Vec<Vec<f64>>]) -> Result<()> {
        for (at, (name, value)) in cases.iter().enumerate() {
            let mut halves = samples.iter().map(|side| {
                let mut of = side.iter().map(|sample| sample[at]).collect::<Vec<f64>>();
                median(&mut of).map(value).context("no rounds")
            });
            let ours = halves.next().context("nothing was measured")??;
            let peer = halves.next().transpose()?;
            ensure!(
                self.report.wants(name) || cases.len() > 1,
                "{name} is not asked for"
            );
            self.report
                .case(name, ours, peer.map(|peer| (self.name.as_str(), peer)));
        }
        Ok(())
    }
}
