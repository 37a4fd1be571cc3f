//! Short words for what the tests do to a store.

use bytes::Bytes;
use component::Env;
use etcd::*;
use futures::{StreamExt, stream::BoxStream};
use std::{sync::Arc, time::Duration};

pub type Watch = BoxStream<'static, Result<WatchItem, Error>>;

/// Segments so small that a few writes fill one.
pub fn small() -> Options {
    Options {
        segment_bytes: 4096,
        checkpoint_bytes: 16 << 10,
        spare_bytes: 0,
        ..Options::default()
    }
}

pub fn open(files: &MemoryFiles) -> Arc<Engine> {
    try_open(files).unwrap()
}

pub fn try_open(files: &MemoryFiles) -> Result<Arc<Engine>, OpenError> {
    Engine::open_in(Arc::new(files.clone()), small(), Env::simulated(1))
}

pub fn request(key: &str, expect: Option<u64>, op: Op) -> TxnRequest {
    TxnRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        expect,
        op,
        durability: Durability::Durable,
    }
}

pub fn value(value: &str) -> Op {
    Op::Put {
        value: Bytes::copy_from_slice(value.as_bytes()),
        lease: 0,
    }
}

pub async fn put(store: &Engine, key: &str, text: &str) -> u64 {
    done(store.txn(request(key, None, value(text))).await)
}

pub async fn put_volatile(store: &Engine, key: &str, text: &str) -> u64 {
    let request = request(key, None, value(text));
    done(
        store
            .txn(TxnRequest {
                durability: Durability::Volatile,
                ..request
            })
            .await,
    )
}

pub async fn delete(store: &Engine, key: &str) -> u64 {
    done(store.txn(request(key, None, Op::Delete)).await)
}

pub fn done(outcome: Result<TxnOutcome, Error>) -> u64 {
    match outcome.unwrap() {
        TxnOutcome::Done(revision) => revision,
        mismatch => panic!("{mismatch:?}"),
    }
}

/// The range of the prefix as `key=value@revision`, as of `revision` (0: now).
pub async fn list(store: &Engine, prefix: &str, revision: u64) -> Result<String, Error> {
    let end = format!("{}\u{7f}", prefix);
    let request = RangeRequest {
        start: prefix.to_owned().into(),
        end: end.into(),
        revision,
        ..Default::default()
    };
    let response = store.range(request).await?;
    let texts: Vec<_> = response.kvs.iter().map(text).collect();
    Ok(texts.join(" "))
}

pub fn text(kv: &KeyValue) -> String {
    let (key, value) = (
        String::from_utf8_lossy(&kv.key),
        String::from_utf8_lossy(&kv.value),
    );
    format!("{key}={value}@{}", kv.mod_revision)
}

pub fn event_text(event: &Event) -> String {
    match event {
        Event::Put { kv, prev } => {
            format!(
                "+{}{}",
                text(kv),
                prev.as_ref()
                    .map(|kv| format!("<{}", text(kv)))
                    .unwrap_or_default()
            )
        }
        Event::Delete { key, revision, prev } => {
            let prev = prev
                .as_ref()
                .map(|kv| format!("<{}", text(kv)))
                .unwrap_or_default();
            format!("-{}@{revision}{prev}", String::from_utf8_lossy(key))
        }
    }
}

pub fn watch_all(store: &Engine, after: u64) -> Watch {
    store.watch(WatchRequest {
        start: "/".into(),
        end: vec![0].into(),
        after,
        ..Default::default()
    })
}

/// The next item of a watch, which must come.
pub async fn next(watch: &mut Watch) -> Result<WatchItem, Error> {
    let item = Env::system()
        .clock
        .timeout(Duration::from_secs(600), watch.next())
        .await;
    item.expect("the watch has a next item")
        .expect("the watch goes on")
}

pub async fn next_events(watch: &mut Watch) -> String {
    match next(watch).await.unwrap() {
        WatchItem::Events(events) => events.iter().map(event_text).collect::<Vec<_>>().join(" "),
        WatchItem::Progress(revision) => format!("progress@{revision}"),
    }
}
