//! Reads and writes of single objects over 64 connections.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::objects::{MAPS_PATH, config_map};
use super::{Bench, Case, Sample, Side, Value, cost};
use crate::bench::load;

const CONNECTIONS: usize = 64;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(3);

/// Runs its cases.
pub fn run(bench: &mut Bench<'_, '_>) -> Result<()> {
    if bench.wants(&["get-64", "get-64-cpu"]) {
        for side in &bench.sides {
            side.signal(Signal::CONT)?;
            let request = load::post(MAPS_PATH, &config_map("one"));
            let (status, _) = side.load(1)?.ask(&request, Duration::from_secs(10))?;
            ensure!(status == 201, "the object was not made: {status}");
            side.signal(Signal::STOP)?;
        }
    }
    let gets: [Case; 2] = [("get-64", Value::PerSecond), ("get-64-cpu", Value::Seconds)];
    bench.rounds(ROUNDS, &gets, |side, _| {
        let request = load::get(&format!("{MAPS_PATH}/one"), "Accept: application/json\r\n");
        drive(side, 200, move |_| request.clone())
    })?;
    let creates: [Case; 2] = [("create-64", Value::PerSecond), ("create-64-cpu", Value::Seconds)];
    bench.rounds(ROUNDS, &creates, |side, round| {
        drive(side, 201, move |number| {
            load::post(MAPS_PATH, &config_map(&format!("made-{round}-{number}")))
        })
    })
}

/// The rate of requests, and the processor time that each cost.
fn drive(side: &mut Side<'_>, expected: u16, request: impl Fn(usize) -> Vec<u8>) -> Result<Sample> {
    let mut load = side.load(CONNECTIONS)?;
    let (begun, mut number) = (Instant::now(), 0);
    let next = || {
        number += 1;
        (begun.elapsed() < ROUND).then(|| request(number))
    };
    let (driven, cost) = cost(side, || load.drive(expected, next))?;
    let count = driven.latencies.len() as f64;
    println!(
        "  {:.0}/s, the load took {:.1} us each",
        driven.rate(),
        cost.load / count * 1e6
    );
    Ok(vec![driven.rate(), cost.server / count])
}
