//! How long a start takes after a kill in the middle of writes, when the log after the last checkpoint must be read.

use anyhow::{Result, ensure};

use super::Bench;
use super::drive::{Requests, Wires, Work, drive};
use super::load::Load;
use super::side::Side;
use super::{Case, Value};

/// Keys of 1 KiB: 1 GB.
const KEYS: usize = 1_000_000;
const ROUNDS: usize = 3;
const CLIENTS: usize = 64;
const CONNECTIONS: usize = 8;
/// Writes before the kill.
const WRITES: usize = 150_000;

/// Runs its case.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let cases: [Case; 1] = [("start-killed", Value::Seconds)];
    bench.rounds(ROUNDS, &cases, |side, round| {
        if round == 0 {
            Load::open(side, 16)?.fill(0..KEYS, 1024)?;
        }
        Ok(vec![start(side, KEYS)?])
    })
}

/// Kills it while so many keys are written, and starts it again; the seconds that the start took.
pub fn start(side: &mut Side, keys: usize) -> Result<f64> {
    let mut wires = Wires::open(side, Work::Put.path(), CONNECTIONS)?;
    let (mut number, mut answered, mut killed) = (0, 0, Ok(()));
    let next = || {
        number += 1;
        Some(number * 7919 % keys)
    };
    let told = |_| {
        answered += 1;
        if answered == WRITES {
            killed = side.kill();
        }
    };
    let ended = drive(&mut wires, CLIENTS, &mut Requests::new(Work::Put)?, next, told);
    killed?;
    ensure!(answered >= WRITES, "it was not killed: {ended:?}");
    Ok(side.start()?.as_secs_f64())
}
