//! Logs that end anywhere, and logs that rot.

use crate::lab::*;
use component::Env;
use etcd::*;
use std::sync::Arc;

const LOG: &str = "log-00000001.seg";

/// A short log, and after how many of its bytes each revision was acknowledged.
async fn short_log() -> (MemoryFiles, Vec<(usize, u64)>) {
    let files = MemoryFiles::new();
    let options = Options {
        segment_bytes: 1 << 20,
        ..Options::default()
    };
    let store = Engine::open_in(Arc::new(files.clone()), options, Env::simulated(1)).unwrap();
    let mut acknowledged = Vec::new();
    let mut note = |revision| acknowledged.push((files.get(LOG).unwrap().len(), revision));
    note(put(&store, "/a", "1").await);
    note(put(&store, "/b", "2").await);
    let lease = store.grant(std::time::Duration::from_secs(1000)).await.unwrap();
    for key in ["/l1", "/l2"] {
        let outcome = store
            .txn(request(
                key,
                None,
                Op::Put {
                    value: "x".into(),
                    lease,
                },
            ))
            .await;
        note(done(outcome));
    }
    store.revoke(lease).await.unwrap();
    note(5);
    store.compact(2).await.unwrap();
    note(delete(&store, "/a").await);
    note(put(&store, "/b", "3").await);
    (files.after_crash(), acknowledged)
}

/// What each revision left.
const STATES: [&str; 8] = [
    "",
    "/a=1@1",
    "/a=1@1 /b=2@2",
    "/a=1@1 /b=2@2 /l1=x@3",
    "/a=1@1 /b=2@2 /l1=x@3 /l2=x@4",
    "/a=1@1 /b=2@2",
    "/b=2@2",
    "/b=3@7",
];

#[tokio::test(start_paused = true)]
async fn a_log_cut_at_any_byte_opens_with_all_that_was_acknowledged_by_then() {
    let (files, acknowledged) = short_log().await;
    let whole = files.get(LOG).unwrap();
    for length in 0..=whole.len() {
        let cut = files.after_crash();
        cut.put(LOG, whole[..length].to_vec());
        let store = open(&cut);
        let revision = store.revision().await.unwrap();
        let least = acknowledged
            .iter()
            .filter(|(end, _)| *end <= length)
            .map(|(_, r)| *r)
            .max()
            .unwrap_or(0);
        assert_eq!(revision, least, "cut at {length}");
        assert_eq!(
            list(&store, "/", 0).await.unwrap(),
            STATES[revision as usize],
            "cut at {length}"
        );
        let next = put(&store, "/z", "new").await;
        assert_eq!(next, revision + 1);
        store.close().await;
        assert!(
            list(&open(&cut), "/z", 0).await.unwrap().contains("new"),
            "cut at {length}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_flipped_byte_is_refused_or_costs_only_the_unproven_end() {
    let (files, acknowledged) = short_log().await;
    let whole = files.get(LOG).unwrap();
    let last_entry = acknowledged[acknowledged.len() - 2].0;
    let mut refused = 0;
    for at in 0..whole.len() {
        let rotten = files.after_crash();
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        rotten.put(LOG, bytes);
        match try_open(&rotten) {
            Err(OpenError::Corrupt { file, .. }) => {
                assert_eq!(file, LOG);
                refused += 1;
            }
            Err(OpenError::Newer { .. }) => {}
            Err(other) => panic!("byte {at}: {other}"),
            Ok(store) => {
                assert!(
                    at >= last_entry,
                    "byte {at} was durable before a later write, and its loss went unseen"
                );
                let revision = store.revision().await.unwrap();
                assert_eq!(
                    list(&store, "/", 0).await.unwrap(),
                    STATES[revision as usize],
                    "byte {at}"
                );
            }
        }
    }
    assert!(refused > 0);
}

#[tokio::test(start_paused = true)]
async fn zeros_at_the_end_of_the_log_are_no_damage_but_between_records_they_are() {
    let (files, acknowledged) = short_log().await;
    let whole = files.get(LOG).unwrap();
    for (length, revision) in &acknowledged {
        let longer = files.after_crash();
        longer.put(LOG, [&whole[..*length], &[0; 5000]].concat());
        let store = open(&longer);
        assert_eq!(list(&store, "/", 0).await.unwrap(), STATES[*revision as usize]);
        assert_eq!(longer.get(LOG).unwrap().len(), *length);
    }
    let damaged = files.after_crash();
    let mut bytes = whole.clone();
    bytes[acknowledged[1].0..acknowledged[2].0].fill(0);
    damaged.put(LOG, bytes);
    assert!(matches!(try_open(&damaged), Err(OpenError::Corrupt { .. })));
}

#[tokio::test(start_paused = true)]
async fn damage_in_an_older_segment_or_a_missing_one_is_refused_by_name() {
    let files = MemoryFiles::new();
    let options = Options {
        segment_bytes: 4096,
        ..Options::default()
    };
    let store = Engine::open_in(Arc::new(files.clone()), options, Env::simulated(1)).unwrap();
    for n in 0..40 {
        put(&store, &format!("/{n}"), &"x".repeat(400)).await;
    }
    let files = files.after_crash();
    let damaged = files.after_crash();
    let mut bytes = damaged.get("log-00000002.seg").unwrap();
    let end = bytes.len() - 1;
    bytes[end] ^= 1;
    damaged.put("log-00000002.seg", bytes);
    let error = try_open(&damaged).err().unwrap().to_string();
    assert!(
        error.contains("log-00000002.seg") && error.contains("checksum"),
        "{error}"
    );
    let missing = files.after_crash();
    Files::remove(&missing, "log-00000002.seg").unwrap();
    let error = try_open(&missing).err().unwrap().to_string();
    assert!(
        error.contains("log-00000003.seg at offset 0: it starts at index"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn damage_behind_the_checkpoint_is_seen_when_it_is_read() {
    let files = MemoryFiles::new();
    let store = open(&files);
    put(&store, "/a", "1").await;
    put(&store, "/b", "2").await;
    store.close().await;
    let mut bytes = files.get(LOG).unwrap();
    bytes[40] ^= 1;
    files.put(LOG, bytes);
    let store = open(&files);
    let error = list(&store, "/a", 0).await.unwrap_err().to_string();
    assert!(error.contains(LOG), "{error}");
    assert_eq!(list(&store, "/b", 0).await.unwrap(), "/b=2@2");
    let mut bytes = files.get("checkpoint").unwrap();
    bytes[60] ^= 1;
    let rotten = files.after_crash();
    rotten.put("checkpoint", bytes);
    let error = try_open(&rotten).err().unwrap().to_string();
    assert!(error.contains("checkpoint"), "{error}");
}
