//! How late events come: 100 watchers of all of 1,000 writes a second.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use etcd_proto::etcdserverpb::{
    PutRequest, WatchCreateRequest, WatchRequest, WatchResponse, watch_request::RequestUnion,
};
use futures::{StreamExt as _, stream};
use tokio::task::LocalSet;
use tonic::Streaming;

use super::load::{self, Load};
use super::{Bench, Value};
use crate::bench::percentiles;

const ROUNDS: usize = 3;
const WATCHERS: usize = 100;
const EVENTS: usize = 4000;
const EVERY: Duration = Duration::from_millis(1);
/// Bytes of a value; the first say when it was sent.
const BYTES: usize = 256;
const LIMIT: Duration = Duration::from_secs(60);

/// Runs its case.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    bench.rounds(ROUNDS, &[("watch", Value::Seconds)], |side, _| {
        let load = Load::open(side, 10)?;
        let tasks = LocalSet::new();
        let mut late = tasks.block_on(&load.runtime, measure(&load))?;
        let (_, p99) = percentiles(&mut late).context("no events")?;
        Ok(vec![p99])
    })
}

/// How late every event came to every watcher, in seconds.
async fn measure(load: &Load) -> Result<Vec<f64>> {
    let begun = Instant::now();
    let late = Rc::new(RefCell::new(Vec::with_capacity(WATCHERS * EVENTS)));
    let mut watchers = Vec::new();
    for number in 0..WATCHERS {
        let events = watch(load, number).await?;
        watchers.push(tokio::task::spawn_local(note(events, begun, late.clone())));
    }
    let (mut ticks, failed) = (tokio::time::interval(EVERY), Rc::new(Cell::new(false)));
    for number in 0..EVENTS {
        ticks.tick().await;
        let (mut client, failed) = (load.client(number), failed.clone());
        tokio::task::spawn_local(async move {
            let mut value = vec![b'x'; BYTES];
            value[..8].copy_from_slice(&(begun.elapsed().as_nanos() as u64).to_le_bytes());
            let request = PutRequest {
                key: load::key(number % 1000),
                value: value.into(),
                ..Default::default()
            };
            failed.set(failed.get() | client.put(request).await.is_err());
        });
    }
    for watcher in watchers {
        tokio::time::timeout(LIMIT, watcher)
            .await
            .context("events are missing")???;
    }
    ensure!(!failed.get(), "a write failed");
    Ok(late.take())
}

/// A watch that was created.
async fn watch(load: &Load, number: usize) -> Result<Streaming<WatchResponse>> {
    let create = WatchCreateRequest {
        key: "/bench/".into(),
        range_end: "/bench0".into(),
        ..Default::default()
    };
    let request = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    };
    let requests = stream::iter([request]).chain(stream::pending());
    let mut events = load.watcher(number).watch(requests).await?.into_inner();
    let created = events.message().await?.context("the watch ended")?;
    ensure!(created.created, "{created:?}");
    Ok(events)
}

async fn note(
    mut events: Streaming<WatchResponse>,
    begun: Instant,
    late: Rc<RefCell<Vec<f64>>>,
) -> Result<()> {
    let mut seen = 0;
    while seen < EVENTS {
        let answer = events.message().await?.context("the watch ended")?;
        let now = begun.elapsed().as_nanos() as u64;
        for event in &answer.events {
            let kv = event.kv.as_ref().context("an event without a key")?;
            let (sent, _) = kv.value.split_first_chunk::<8>().context("a value of another")?;
            late.borrow_mut()
                .push((now - u64::from_le_bytes(*sent)) as f64 / 1e9);
        }
        seen += answer.events.len();
    }
    Ok(())
}
