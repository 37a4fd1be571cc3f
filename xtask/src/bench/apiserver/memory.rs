//! How soon it is ready with 10,000 objects, and what 100,000 take.

use anyhow::Result;
use rustix::process::Signal;

use super::objects::{PODS, PODS_PATH};
use super::{Bench, Case, Value, list};
use crate::bench::load;

const STARTS: usize = 3;
/// Pods that are stored for the measurement of memory.
const MANY: usize = 100_000;

/// Runs its cases.
pub fn run(bench: &mut Bench<'_, '_>) -> Result<()> {
    if !bench.wants(&["start", "memory", "memory-to-json"]) {
        return Ok(());
    }
    // Lists may have made them before.
    for side in &bench.sides {
        side.signal(Signal::CONT)?;
        let mut load = side.load(64)?;
        let first = load::get(&format!("{PODS_PATH}/pod-000000"), "");
        if load.ask(&first, std::time::Duration::from_secs(10))?.0 == 404 {
            list::fill(&mut load, 0..PODS)?;
        }
        side.signal(Signal::STOP)?;
    }
    bench.rounds(STARTS, &[("start", Value::Seconds)], |side, _| {
        side.stop()?;
        Ok(vec![side.start()?.as_secs_f64()])
    })?;
    let cases: [Case; 2] = [("memory", Value::Bytes), ("memory-to-json", Value::Times)];
    bench.rounds(1, &cases, |side, _| {
        list::fill(&mut side.load(64)?, PODS..MANY)?;
        let memory = side.memory()?;
        let request = load::get(
            &format!("{PODS_PATH}?resourceVersion=0"),
            "Accept: application/json\r\n",
        );
        let mut requests = std::iter::once(request);
        let json = side.load(1)?.drive(200, || requests.next())?.bytes as f64;
        println!("  {:.1} MB of JSON", json / 1e6);
        Ok(vec![memory, memory / json])
    })
}
