//! What data takes: of memory, of the disk, and of time to start.

use anyhow::Result;
use rustix::process::Signal;

use super::load::Load;
use super::{Bench, Value};

/// Keys of 256 B for the memory.
const MANY: usize = 1_000_000;
/// Keys of 1 KiB that are written again and again.
const LIVE: usize = 65_536;
const TIMES: usize = 10;
/// Keys of 1 KiB for the start: 1 GB.
const LARGE: usize = 1_000_000;
const STARTS: usize = 3;

/// Runs its cases.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    bench.rounds(1, &[("memory", Value::Bytes)], |side, _| {
        Load::open(side, 16)?.fill(0..MANY, 256)?;
        Ok(vec![side.memory()?])
    })?;
    bench.rounds(1, &[("file", Value::Bytes)], |side, _| {
        let load = Load::open(side, 16)?;
        for _ in 0..=TIMES {
            load.fill(0..LIVE, 1024)?;
            load.compact()?;
        }
        // Compaction goes on behind the answer, and is done when this was written.
        load.write(side, 0..1000)?;
        std::thread::sleep(std::time::Duration::from_secs(5));
        Ok(vec![side.files()?])
    })?;
    bench.rounds(STARTS, &[("start", Value::Seconds)], |side, round| {
        if round == 0 {
            Load::open(side, 16)?.fill(0..LARGE, 1024)?;
        }
        side.stop()?;
        let took = side.start()?;
        side.signal(Signal::CONT)?;
        Ok(vec![took.as_secs_f64()])
    })
}
