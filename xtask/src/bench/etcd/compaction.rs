//! How long writes take while 1 GB is compacted and given back, beside how long they take else.

use anyhow::{Context as _, Result};

use super::load::Load;
use super::{Bench, Case, Value};
use crate::bench::percentiles;

/// Keys of 1 KiB, and how often all are written again before they are compacted.
const LIVE: usize = 100_000;
const TIMES: usize = 10;
/// Writes that are timed.
const TIMED: usize = 60_000;

/// Runs its cases.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let cases: [Case; 2] = [
        ("compaction-p99", Value::Seconds),
        ("compaction-growth", Value::Seconds),
    ];
    bench.rounds(1, &cases, |side, _| {
        let load = Load::open(side, 16)?;
        for _ in 0..TIMES {
            load.fill(0..LIVE, 1024)?;
        }
        let p99 = |mut took: Vec<f64>| percentiles(&mut took).map(|(_, p99)| p99).context("no writes");
        let without = p99(load.write(side, 0..TIMED)?)?;
        load.compact()?;
        let with = p99(load.write(side, 0..TIMED)?)?;
        // A ratio needs a number that is not 0.
        Ok(vec![with, (with - without).max(1e-6)])
    })
}
