//! Our store inside a process, as the API server has it, beside an etcd on loopback.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Result;
use component::Env;
use etcd::{Durability, Engine, Op, Options, Store as _, TxnRequest};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

use super::drive::Work;
use super::load::{self, Load};
use super::{Bench, ROUNDS, TIME, Value};

const WRITERS: u64 = 64;

/// Runs its case.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    let folder = bench.folder.join("inside");
    bench.rounds(ROUNDS, &[("in-process-64", Value::PerSecond)], |side, _| {
        let rate = match side.is_ours() {
            true => inside(&folder)?,
            false => Load::open(side, 8)?.rate(side, 64, Work::Put, TIME)?[0],
        };
        Ok(vec![rate])
    })
}

/// How many writes of 1 KiB are durable in a second.
fn inside(folder: &Path) -> Result<f64> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let store = Engine::open(folder, Options::default(), Env::system())?;
        let (begun, counted) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(write(store.clone(), counted.clone(), writer, begun));
        }
        while let Some(done) = writers.join_next().await {
            done??;
        }
        let rate = counted.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
        store.close().await;
        Ok(rate)
    })
}

async fn write(store: Arc<Engine>, counted: Arc<AtomicU64>, writer: u64, begun: Instant) -> Result<()> {
    let value = load::value(1024);
    let mut number = writer as usize;
    while begun.elapsed() < TIME {
        number += WRITERS as usize;
        let op = Op::Put {
            value: value.clone(),
            lease: 0,
        };
        let request = TxnRequest {
            key: load::key(number % load::KEYS),
            expect: None,
            op,
            durability: Durability::Durable,
        };
        store.txn(request).await?;
        counted.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
