//! Whether the store stays as fast as it was when it was empty: ours, beside itself. `BENCH_GB` says how much it holds then.

use anyhow::{Context as _, Result};

use super::drive::Work;
use super::load::{KEYS, Load};
use super::{Bench, ROUNDS, TIME, Value};
use crate::bench::median;

/// Gigabytes, unless told otherwise.
const USUAL: usize = 4;
/// Keys of 1 KiB in one.
const GIGABYTE: usize = 1_000_000;
const CLIENTS: usize = 64;

/// Runs its cases.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    const CASES: [(&str, Work); 2] = [("large-put-64", Work::Put), ("large-get-64", Work::Get)];
    if !bench.wants(&CASES.map(|(case, _)| case)) {
        return Ok(());
    }
    let gigabytes = match std::env::var("BENCH_GB") {
        Ok(text) => text.parse().context("BENCH_GB is a number")?,
        Err(_) => USUAL,
    };
    let keys = gigabytes * GIGABYTE;
    let side = bench.sides.first_mut().context("ours is one of the sides")?;
    side.start()?;
    let load = Load::open(side, 16)?;
    load.fill(0..KEYS, 1024)?;
    let rates = |keys: usize| -> Result<Vec<f64>> {
        let rate = |(_, work): &(&str, Work)| {
            let one = |_| Ok(load.rate_of(side, keys, CLIENTS, *work, TIME)?[0]);
            let rounds = (0..ROUNDS).map(one);
            let mut rounds = rounds.collect::<Result<Vec<f64>>>()?;
            median(&mut rounds).context("no rounds")
        };
        CASES.iter().map(rate).collect()
    };
    let empty = rates(KEYS)?;
    load.fill(KEYS..keys, 1024)?;
    let full = rates(keys)?;
    let size = side.files()?;
    side.stop()?;
    side.clear()?;
    let name = format!("almost empty, not {}", Value::Bytes(size));
    for ((case, _), (full, empty)) in CASES.into_iter().zip(full.into_iter().zip(empty)) {
        let (full, empty) = (Value::PerSecond(full), Value::PerSecond(empty));
        bench.report.case(case, full, Some((&name, empty)));
    }
    Ok(())
}
