//! How late events come: 100 watchers of all of 1,000 writes a second.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use etcd_proto::etcdserverpb::{
    PutRequest, WatchCreateRequest, WatchRequest, WatchResponse, watch_request::RequestUnion,
};
use prost::Message as _;

use super::drive::Wires;
use super::wire::Came;
use super::{Bench, Side, Value, load};
use crate::bench::percentiles;

const ROUNDS: usize = 3;
const WATCHERS: usize = 100;
/// Connections of the watchers.
const CONNECTIONS: usize = 10;
const EVENTS: usize = 4000;
const EVERY: Duration = Duration::from_millis(1);
/// Bytes of a value; the first say when it was sent.
const BYTES: usize = 256;
const LIMIT: Duration = Duration::from_secs(60);

/// Runs its case.
pub fn run(bench: &mut Bench<'_>) -> Result<()> {
    bench.rounds(ROUNDS, &[("watch", Value::Seconds)], |side, _| {
        let mut late = measure(side)?;
        let (_, p99) = percentiles(&mut late).context("no events")?;
        Ok(vec![p99])
    })
}

/// How late every event came to every watcher, in seconds.
fn measure(side: &Side) -> Result<Vec<f64>> {
    let mut watching = Wires::open(side, "/etcdserverpb.Watch/Watch", CONNECTIONS)?;
    let create = create();
    for number in 0..WATCHERS {
        watching.all[number % CONNECTIONS].open_stream(&create);
    }
    let mut writing = Wires::open(side, "/etcdserverpb.KV/Put", CONNECTIONS)?;
    let mut late = Vec::with_capacity(WATCHERS * EVENTS);
    (0..CONNECTIONS).try_for_each(|index| watching.flush(index))?;
    let (mut created, begun) = (0, Instant::now());
    while created < WATCHERS {
        ensure!(begun.elapsed() < LIMIT, "watches are not created");
        receive(&mut watching, EVERY, |answer| {
            created += usize::from(answer.created);
            Ok(())
        })?;
    }
    let (begun, mut sent, mut answered) = (Instant::now(), 0, 0);
    while late.len() < WATCHERS * EVENTS || answered < EVENTS {
        ensure!(begun.elapsed() < LIMIT, "events are missing");
        while sent < EVENTS && begun.elapsed() >= EVERY * sent as u32 {
            let index = sent % CONNECTIONS;
            writing.all[index].call(&put(sent, begun));
            writing.flush(index)?;
            sent += 1;
        }
        let next = (EVERY * sent as u32).saturating_sub(begun.elapsed());
        let wait = if sent < EVENTS { next } else { EVERY };
        receive(&mut watching, wait, |answer| note(&answer, begun, &mut late))?;
        for index in writing.wait(Duration::ZERO)? {
            let count = |came: Came<'_>| {
                answered += usize::from(matches!(came, Came::Answered(_)));
                Ok(())
            };
            writing.all[index].receive(count)?;
            writing.flush(index)?;
        }
    }
    Ok(late)
}

/// Waits at most so long for answers.
fn receive(
    wires: &mut Wires,
    most: Duration,
    mut tell: impl FnMut(WatchResponse) -> Result<()>,
) -> Result<()> {
    for index in wires.wait(most)? {
        wires.all[index].receive(|came| match came {
            Came::Message(message) => tell(WatchResponse::decode(message)?),
            Came::Answered(_) => Ok(()),
        })?;
        wires.flush(index)?;
    }
    Ok(())
}

/// Asks for a watch.
fn create() -> Vec<u8> {
    let create = WatchCreateRequest {
        key: "/bench/".into(),
        range_end: "/bench0".into(),
        ..Default::default()
    };
    let request = WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(create)),
    };
    request.encode_to_vec()
}

/// A write that says when it was made.
fn put(number: usize, begun: Instant) -> Vec<u8> {
    let mut value = vec![b'x'; BYTES];
    value[..8].copy_from_slice(&(begun.elapsed().as_nanos() as u64).to_le_bytes());
    let request = PutRequest {
        key: load::key(number % 1000),
        value: value.into(),
        ..Default::default()
    };
    request.encode_to_vec()
}

fn note(answer: &WatchResponse, begun: Instant, late: &mut Vec<f64>) -> Result<()> {
    let now = begun.elapsed().as_nanos() as u64;
    for event in &answer.events {
        let kv = event.kv.as_ref().context("an event without a key")?;
        let (sent, _) = kv.value.split_first_chunk::<8>().context("a value of another")?;
        late.push((now - u64::from_le_bytes(*sent)) as f64 / 1e9);
    }
    Ok(())
}
