//! Directories that older releases wrote.

use crate::lab::*;
use bytes::Bytes;
use component::Env;
use etcd::{
    txn::{Txn, TxnOp},
    *,
};
use std::{fs, path::PathBuf, sync::Arc, time::Duration};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/store/fixtures")
        .join(name)
}

/// A life with everything in it that a log can say.
async fn live(store: &Engine) {
    for n in 0..24 {
        put(
            store,
            &format!("/churn/{}", n % 3),
            &format!("{n}-{}", "x".repeat(500)),
        )
        .await;
    }
    put(store, "/once", "1").await;
    let lease = store.grant_as(7, Duration::from_secs(1000)).await.unwrap();
    store.grant_as(8, Duration::from_secs(500)).await.unwrap();
    for key in ["/lease/a", "/lease/b"] {
        let op = Op::Put {
            value: "held".into(),
            lease,
        };
        done(store.txn(request(key, None, op)).await);
    }
    store.grant_as(9, Duration::from_secs(500)).await.unwrap();
    let op = Op::Put {
        value: "gone".into(),
        lease: 9,
    };
    done(store.txn(request("/lease/c", None, op)).await);
    store.revoke(9).await.unwrap();
    let both = |key: &'static str, value: &'static str| TxnOp::Put {
        key: Bytes::from_static(key.as_bytes()),
        value: Some(Bytes::from_static(value.as_bytes())),
        lease: Some(0),
        prev: false,
    };
    let txn = Txn {
        success: vec![
            both("/both/1", "x"),
            both("/both/2", "y"),
            TxnOp::Delete {
                start: "/once".into(),
                end: Bytes::new(),
                prev: false,
            },
        ],
        ..Txn::default()
    };
    store.transact(txn).await.unwrap();
    store.compact(20).await.unwrap();
    // What is mostly dead is copied out of its segments.
    tokio::time::sleep(Duration::from_secs(1)).await;
    put(store, "/last", "1").await;
    put(store, "/last", "2").await;
    put_volatile(store, "/beat", "1").await;
    put(store, "/last", "3").await;
}

fn save(files: &MemoryFiles, name: &str) {
    let dir = fixture(name);
    fs::create_dir_all(&dir).unwrap();
    for file in files.list().unwrap() {
        fs::write(dir.join(&file), files.get(&file).unwrap()).unwrap();
    }
}

/// With `WRITE_FIXTURES` set, makes the fixtures of the format that is written now: to be done before it changes.
#[tokio::test(start_paused = true)]
async fn fixtures_are_written_when_told_to() {
    if std::env::var_os("WRITE_FIXTURES").is_none() {
        return;
    }
    let format = etcd::record::FORMAT;
    let files = MemoryFiles::new();
    let store = open(&files);
    live(&store).await;
    save(&files.after_crash(), &format!("{format}-killed"));
    store.close().await;
    save(&files, &format!("{format}-closed"));
    let files = MemoryFiles::new();
    let options = Options {
        segment_bytes: 1 << 20,
        ..Options::default()
    };
    let store = Engine::open_in(Arc::new(files.clone()), options, Env::simulated(1)).unwrap();
    live(&store).await;
    save(&files.after_crash(), &format!("{format}-log"));
}

fn load(name: &str) -> MemoryFiles {
    let files = MemoryFiles::new();
    for entry in fs::read_dir(fixture(name)).unwrap() {
        let entry = entry.unwrap();
        files.put(
            &entry.file_name().to_string_lossy(),
            fs::read(entry.path()).unwrap(),
        );
    }
    files
}

/// What can be read of a store: all keys now and as of the oldest revision, all changes, all leases.
async fn told(store: &Engine) -> String {
    let oldest = store.compacted();
    let newest = list(store, "/", 0).await.unwrap();
    let old = list(store, "/", oldest).await.unwrap();
    let mut watch = watch_all(store, oldest - 1);
    let mut events = String::new();
    while !events.contains("+/last=3") {
        events.push_str(&next_events(&mut watch).await);
    }
    let leases = store.leases().into_iter().map(|id| {
        let lease = store.lease(id).unwrap();
        format!("{id} {:?} {:?}", lease.ttl, lease.keys)
    });
    let versions = store.range(RangeRequest {
        start: "/".into(),
        end: vec![0].into(),
        ..RangeRequest::default()
    });
    let versions: Vec<u64> = versions.await.unwrap().kvs.iter().map(|kv| kv.version).collect();
    let leases: Vec<_> = leases.collect();
    format!("{oldest}\n{newest}\n{old}\n{events}\n{leases:?}\n{versions:?}")
}

#[tokio::test(start_paused = true)]
async fn what_older_releases_wrote_is_read_and_written_on() {
    let store = open(&MemoryFiles::new());
    live(&store).await;
    let expected = told(&store).await;
    let without_counts = |told: &str| told.rsplit_once('\n').unwrap().0.to_owned();
    for name in ["1-uncounted", "1-log", "1-killed", "1-closed"] {
        let files = load(name);
        let store = open(&files);
        let found = told(&store).await;
        if name == "1-uncounted" {
            // How often a key was written before what is retained, nobody knows.
            assert_eq!(without_counts(&found), without_counts(&expected), "{name}");
        } else {
            assert_eq!(found, expected, "{name}");
        }
        assert_eq!(files.get("version").unwrap(), b"2\n", "{name}");
        store.set_meta("alarm".into(), Some("1".into())).await.unwrap();
        put(&store, "/last", "4").await;
        for files in [files.after_crash(), {
            store.close().await;
            files
        }] {
            let store = open(&files);
            assert_eq!(store.meta(b"alarm"), Some("1".into()), "{name}");
            assert!(
                list(&store, "/last", 0).await.unwrap().starts_with("/last=4@"),
                "{name}"
            );
            assert!(told(&store).await.contains("+/last=3"), "{name}");
        }
    }
}
