//! Power that is lost at any moment of a busy life: in a commit, a rotation, a checkpoint, a reclaim, a stop.

use crate::lab::*;
use etcd::*;
use std::{collections::BTreeMap, sync::Arc};

const PLENTY: u64 = 1 << 40;

/// What was acknowledged for each key, and the write whose fate is not known.
#[derive(Default)]
struct Told {
    newest: BTreeMap<String, (u64, String)>,
    volatile: u64,
    revision: u64,
    open: Option<(String, String)>,
}

/// A life that ends at its end, or at its first error.
async fn live(files: &MemoryFiles, told: &mut Told) {
    let Ok(store) = try_open(files) else { return };
    for n in 0..150u64 {
        // Some keys are written once, and so must be copied out of segments that die.
        let key = if n % 11 == 5 {
            format!("/once/{n}")
        } else {
            format!("/{}", n % 10)
        };
        let text = format!("{n}-{}", "x".repeat(400));
        told.open = Some((key.clone(), text.clone()));
        match store.txn(request(&key, None, value(&text))).await {
            Ok(TxnOutcome::Done(revision)) => told.newest.insert(key, (revision, text)),
            _ => return,
        };
        told.open = None;
        told.revision = store.revision().await.unwrap();
        if n % 20 == 19 && store.compact(told.revision).await.is_err() {
            return;
        }
        // Right behind a compaction, so that it is not logged when the checkpoint begins.
        if n % 20 == 19 || n % 10 == 3 {
            let lease = TxnRequest {
                durability: Durability::Volatile,
                ..request("/v", None, value("beat"))
            };
            let Ok(TxnOutcome::Done(revision)) = store.txn(lease).await else {
                return;
            };
            told.volatile = revision;
        }
        // Sometimes the checkpoint is done before the next write, sometimes they meet.
        if n % 40 == 39 {
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
    store.close().await;
}

async fn check(files: &MemoryFiles, told: &Told, context: &str) -> Arc<Engine> {
    let store = try_open(files).unwrap_or_else(|error| panic!("{context}: {error}"));
    for (key, (revision, text)) in &told.newest {
        let range = RangeRequest {
            start: key.clone().into(),
            ..Default::default()
        };
        let kvs = store.range(range).await.unwrap().kvs;
        let kv = kvs.first().unwrap_or_else(|| panic!("{context}: {key} is lost"));
        let unknown = told
            .open
            .as_ref()
            .is_some_and(|(k, t)| k == key && t.as_bytes() == kv.value);
        assert!(
            unknown || kv.mod_revision == *revision && kv.value == text.as_bytes(),
            "{context}: {key}"
        );
    }
    list(&store, "/", 0)
        .await
        .unwrap_or_else(|error| panic!("{context}: {error}"));
    let newest = told.revision.max(told.volatile);
    let revision = store.revision().await.unwrap();
    assert!(
        revision >= newest,
        "{context}: revision {revision} would come again after {newest}"
    );
    store
}

#[tokio::test(start_paused = true)]
async fn power_lost_after_any_operation_costs_no_acknowledged_write() {
    let files = MemoryFiles::new();
    files.set_operations(PLENTY);
    live(&files, &mut Told::default()).await;
    let operations = PLENTY - files.operations();
    assert!(
        files.list().unwrap().iter().any(|name| name.starts_with("live-")),
        "nothing was reclaimed"
    );
    for at in 0..operations {
        let (files, mut told) = (MemoryFiles::new(), Told::default());
        files.set_operations(at);
        live(&files, &mut told).await;
        let context = format!("power lost after operation {at} of {operations}");
        for files in [files.after_crash(), files.after_kill()] {
            let store = check(&files, &told, &context).await;
            put(&store, "/new", "x").await;
            store.close().await;
            let store = check(&files, &told, &context).await;
            assert!(list(&store, "/new", 0).await.unwrap().contains("x"), "{context}");
        }
    }
}
