//! What the tests start from.

use backup::{Error, Snapshot, Source, Taken};
use bytes::Bytes;
use component::Env;
use etcd::{Engine, KeyValue, Op, Options, RangeRequest, Store, TxnRequest};
use futures::{StreamExt, TryStreamExt, stream};
use std::{io::Read, os::unix::fs::FileExt, path::Path, sync::Arc, time::Duration};

pub const LIMIT: Duration = Duration::from_secs(60);

/// A file of `data`, as it was before it was made smaller.
pub fn data(name: &str) -> Bytes {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/backup/data")
        .join(name);
    let file = std::fs::File::open(path).unwrap();
    let mut bytes = Vec::new();
    zstd::Decoder::new(file).unwrap().read_to_end(&mut bytes).unwrap();
    bytes.into()
}

pub async fn put(store: &dyn Store, key: &str, value: &str, lease: i64) -> u64 {
    let txn = TxnRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        expect: None,
        op: Op::Put {
            value: Bytes::copy_from_slice(value.as_bytes()),
            lease,
        },
        durability: etcd::Durability::Durable,
    };
    match store.txn(txn).await.unwrap() {
        etcd::TxnOutcome::Done(revision) => revision,
        other => panic!("{other:?}"),
    }
}

pub async fn remove(store: &dyn Store, key: &str) {
    let txn = TxnRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        expect: None,
        op: Op::Delete,
        durability: etcd::Durability::Durable,
    };
    store.txn(txn).await.unwrap();
}

/// Everything, as of a revision (0: now), and the revision.
pub async fn all(store: &dyn Store, revision: u64) -> Result<(Vec<KeyValue>, u64), etcd::Error> {
    let request = RangeRequest {
        start: Bytes::from_static(b"\0"),
        end: Bytes::from_static(b"\0"),
        revision,
        ..RangeRequest::default()
    };
    let found = store.range(request).await?;
    Ok((found.kvs, found.revision))
}

/// Opens the store of a data directory.
pub fn open(dir: &Path) -> Arc<Engine> {
    Engine::open(dir.join("store"), Options::default(), Env::system()).unwrap()
}

/// A store with something in it: keys that were changed and removed, and one with a lease.
pub async fn filled() -> Arc<Engine> {
    let store = Engine::in_memory(Env::system()).unwrap();
    for n in 0..300 {
        put(
            store.as_ref(),
            &format!("/registry/things/{n:03}"),
            &"x".repeat(n * 7),
            0,
        )
        .await;
    }
    let lease = store.grant_as(77, Duration::from_secs(3600)).await.unwrap();
    put(store.as_ref(), "/registry/leased", "1", lease).await;
    put(store.as_ref(), "/registry/things/001", "changed", 0).await;
    remove(store.as_ref(), "/registry/things/002").await;
    store
}

/// Snapshots of a store.
pub fn source(store: &Arc<Engine>) -> Source {
    let store = store.clone();
    Arc::new(move || {
        let store = store.clone();
        Box::pin(async move { Ok(Taken::from(store.snapshot().await?)) })
    })
}

/// All of a snapshot.
pub async fn whole(taken: Taken) -> Result<Bytes, Error> {
    let chunks: Vec<Bytes> = taken.chunks.try_collect().await?;
    let file = chunks.concat();
    assert_eq!(file.len() as u64, taken.bytes);
    Ok(file.into())
}

/// A snapshot of a store, its bytes.
pub async fn taken(store: &Arc<Engine>) -> Bytes {
    whole(source(store)().await.unwrap()).await.unwrap()
}

/// Bytes on their way.
pub fn chunks(file: &Bytes) -> backup::Chunks {
    let parts = file.chunks(100_000).map(|part| Ok(Bytes::copy_from_slice(part)));
    stream::iter(parts.collect::<Vec<_>>()).boxed()
}

/// Reads bytes as a snapshot.
pub fn parse(file: &[u8], skip_hash_check: bool) -> Result<Snapshot, Error> {
    let written = tempfile::tempfile().unwrap();
    written.write_all_at(file, 0).unwrap();
    Snapshot::of(Arc::new(written), skip_hash_check)
}

/// Names of a folder's files.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
