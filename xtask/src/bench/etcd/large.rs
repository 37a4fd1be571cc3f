//! Whether the store stays as fast as it was when it was empty: ours, beside itself, in turn. `BENCH_GB` says how much it
//! holds then; with `BENCH_VALUE` all but the first gigabyte is in values of so many bytes, else in values of 1 KiB. What is
//! written while it is measured is of 1 KiB, to those keys; what is read are all keys.

use std::time::Instant;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use super::drive::{Requests, Wires, Work, drive};
use super::killed;
use super::load::{KEYS, Load, VALUE};
use super::side::Side;
use super::{Bench, Case, ROUNDS, TIME, Value};
use crate::bench::{median, percentiles};

/// Gigabytes, unless told otherwise.
const USUAL: usize = 4;
const GIGABYTE: usize = 1_000_000_000;
/// Keys of 1 KiB in one.
const SMALL: usize = GIGABYTE / 1000;
const CLIENTS: usize = 64;
const CONNECTIONS: usize = 16;

const CASES: [Case; 11] = [
    ("large-put-64", Value::PerSecond),
    ("large-put-64-time", Value::Seconds),
    ("large-put-64-p99", Value::Seconds),
    ("large-put-64-written", Value::Times),
    ("large-get-64", Value::PerSecond),
    ("large-get-64-time", Value::Seconds),
    ("large-get-64-p99", Value::Seconds),
    ("large-memory", Value::Bytes),
    ("large-file", Value::Bytes),
    ("large-start", Value::Seconds),
    ("large-start-killed", Value::Seconds),
];

/// Runs its cases.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    if !bench.wants(&CASES.map(|(case, _)| case)) {
        return Ok(());
    }
    let gigabytes = number("BENCH_GB", USUAL)?;
    let value = number("BENCH_VALUE", VALUE)?;
    let full = bench.sides.first_mut().context("ours is one of the sides")?;
    let mut empty = full.another()?;
    let small = if value == VALUE { gigabytes * SMALL } else { SMALL };
    let all = small + (gigabytes * GIGABYTE).saturating_sub(small * 1000) / value;
    empty.start()?;
    Load::open(&empty, CONNECTIONS)?.fill(0..KEYS, VALUE)?;
    full.start()?;
    let load = Load::open(full, CONNECTIONS)?;
    load.fill(0..small, VALUE)?;
    load.fill(small..all, value)?;
    let [full_found, empty_found] = measure([(full, small, all), (&mut empty, KEYS, KEYS)])?;
    for side in [full, &mut empty] {
        side.stop()?;
        side.clear()?;
    }
    for ((case, value), (full, empty)) in CASES.into_iter().zip(full_found.into_iter().zip(empty_found)) {
        bench
            .report
            .case(case, value(full), Some(("almost empty", value(empty))));
    }
    Ok(())
}

fn number(variable: &str, usual: usize) -> Result<usize> {
    match std::env::var(variable) {
        Ok(text) => text.parse().with_context(|| format!("{variable} is a number")),
        Err(_) => Ok(usual),
    }
}

/// What the cases say of two, in turn, while the other is stopped: of each the keys from the first on are written up to one,
/// and read up to another.
fn measure(mut sides: [(&mut Side, usize, usize); 2]) -> Result<[Vec<f64>; 2]> {
    let mut found = [Vec::new(), Vec::new()];
    for (side, ..) in &sides {
        side.signal(Signal::STOP)?;
    }
    for work in [Work::Put, Work::Get] {
        let mut rounds = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for ((side, written, read), rounds) in sides.iter().zip(&mut rounds) {
                let keys = if work == Work::Put { *written } else { *read };
                side.signal(Signal::CONT)?;
                rounds.push(round(side, work, keys)?);
                side.signal(Signal::STOP)?;
            }
        }
        for (found, rounds) in found.iter_mut().zip(&rounds) {
            for at in 0..rounds[0].len() {
                let mut of: Vec<f64> = rounds.iter().map(|round| round[at]).collect();
                found.push(median(&mut of).context("no rounds")?);
            }
        }
    }
    for ((side, written, _), found) in sides.iter_mut().zip(&mut found) {
        side.signal(Signal::CONT)?;
        found.extend([side.memory()?, side.files()?]);
        side.stop()?;
        found.push(side.start()?.as_secs_f64());
        found.push(killed::start(side, *written)?);
        side.signal(Signal::STOP)?;
    }
    Ok(found)
}

/// How many are done in a second, the processor time of each, how long 99 of 100 take at most; and, of writes, how many bytes
/// are written to files and sockets for each of a key's value.
fn round(side: &Side, work: Work, keys: usize) -> Result<Vec<f64>> {
    let mut wires = Wires::open(side, work.path(), CONNECTIONS)?;
    let (mut number, mut took) = (0, Vec::new());
    let (busy, written, begun) = (side.processor_time()?, side.written()?, Instant::now());
    let next = || {
        number += 1;
        // Neighbours in time are no neighbours in the store.
        (begun.elapsed() < TIME).then_some(number * 7919 % keys)
    };
    let told = |sent: Instant| took.push(sent.elapsed().as_secs_f64());
    drive(&mut wires, CLIENTS, &mut Requests::new(work)?, next, told)?;
    let (count, time) = (took.len() as f64, begun.elapsed().as_secs_f64());
    let (busy, written) = (side.processor_time()? - busy, side.written()? - written);
    let (_, p99) = percentiles(&mut took).context("nothing was answered")?;
    let mut found = vec![count / time, busy / count, p99];
    if work == Work::Put {
        found.push(written / count / VALUE as f64);
    }
    Ok(found)
}
