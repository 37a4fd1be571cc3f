//! `bench apiserver`: our API server with its store beside upstream's with etcd, under the same load, in turn: while one is
//! measured the other is stopped. Both are on loopback in a network namespace, speak HTTP/1.1 inside TLS, authorize by RBAC and
//! sync what they acknowledge.

pub mod admission;
mod floor;
mod list;
mod memory;
mod objects;
mod point;
mod reviewer;
mod side;
mod watch;

use anyhow::{Context as _, Result, ensure};
use e2e::kernel;
use rustix::process::Signal;

use super::room::Room;
use super::{Report, Value, median};
use side::{Papers, Side, Which};

/// The cases.
pub const CASES: &[&str] = &[
    "list-plain-latency",
    "list-plain-cpu",
    "list-cached-latency",
    "list-cached-cpu",
    "list-gzip-latency",
    "list-gzip-cpu",
    "list-protobuf-latency",
    "list-protobuf-cpu",
    "list-metadata-latency",
    "list-metadata-cpu",
    "get-64",
    "get-64-cpu",
    "create-64",
    "create-64-cpu",
    "watch-p99",
    "watch-after-answer-p99",
    "watch-cpu",
    "watch-floor-cpu",
    "start",
    "memory",
    "memory-to-json",
];

/// What upstream's is called in a line.
const PEER: &str = "kube-apiserver+etcd";

/// Runs the cases that are asked for.
pub fn run(report: &mut Report) -> Result<()> {
    let room = Room::new("bench")?;
    let papers = Papers::new(room.folder().join("pki"))?;
    let ours = Side::new(
        Which::Ours(report.binary.clone()),
        &papers,
        &room.folder().join("ours"),
    )?;
    let mut sides = vec![ours];
    match &report.peer {
        Some(peer) => sides.push(Side::new(
            Which::Peer(peer.clone()),
            &papers,
            &room.folder().join("peer"),
        )?),
        None => println!("without --peer DIR (kube-apiserver and etcd are in it) ours is measured alone"),
    }
    let mut bench = Bench { sides, report };
    for side in &mut bench.sides {
        side.start()?;
        side.prepare()?;
        side.signal(Signal::STOP)?;
    }
    for cases in [list::run, point::run, watch::run, floor::run, memory::run] {
        cases(&mut bench)?;
    }
    Ok(())
}

/// The sides, ours first, and who takes the results.
struct Bench<'a, 'b> {
    sides: Vec<Side<'b>>,
    report: &'a mut Report,
}

/// A case and what its numbers are.
type Case = (&'static str, fn(f64) -> Value);

/// What one round measured of a side, in the order of the cases it is for.
type Sample = Vec<f64>;

impl<'b> Bench<'_, 'b> {
    fn wants(&self, cases: &[&str]) -> bool {
        cases.iter().any(|case| self.report.wants(case))
    }

    /// Measures in turn, so many rounds, and reports the medians.
    fn rounds(
        &mut self,
        rounds: usize,
        cases: &[Case],
        mut measure: impl FnMut(&mut Side<'b>, usize) -> Result<Sample>,
    ) -> Result<()> {
        let names: Vec<&str> = cases.iter().map(|(name, _)| *name).collect();
        if !self.wants(&names) {
            return Ok(());
        }
        let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); self.sides.len()];
        for round in 0..rounds {
            for (side, samples) in self.sides.iter_mut().zip(&mut samples) {
                side.signal(Signal::CONT)?;
                samples.push(measure(side, round)?);
                side.signal(Signal::STOP)?;
            }
        }
        for (at, (name, value)) in cases.iter().enumerate() {
            let mut halves = samples.iter().map(|side| {
                let mut of = side.iter().map(|sample| sample[at]).collect::<Vec<f64>>();
                median(&mut of).map(value).context("no rounds")
            });
            let ours = halves.next().context("nothing was measured")??;
            let peer = halves.next().transpose()?;
            self.report.case(name, ours, peer.map(|peer| (PEER, peer)));
        }
        Ok(())
    }
}

/// What a load cost a side, and what it cost to make the load, in seconds of a processor.
struct Cost {
    server: f64,
    load: f64,
}

/// Does `work` and says what it cost.
fn cost<T>(side: &Side<'_>, work: impl FnOnce() -> Result<T>) -> Result<(T, Cost)> {
    let own = || kernel::cpu_ticks(std::process::id()).map(|ticks| ticks as f64 / 100.0);
    let (server, load) = (side.cpu()?, own()?);
    let done = work()?;
    let cost = Cost {
        server: side.cpu()? - server,
        load: own()? - load,
    };
    ensure!(cost.server > 0.0, "too little to measure");
    Ok((done, cost))
}
