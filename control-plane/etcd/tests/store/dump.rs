//! The whole state as a stream, and back.

use crate::{
    lab::*,
    members::{agreed, entries, member},
};
use bytes::Bytes;
use component::{Env, Random};
use etcd::{state::Command, *};
use futures::{StreamExt, TryStreamExt, stream};
use std::sync::Arc;

async fn bytes_of(store: &Engine) -> Vec<u8> {
    let chunks: Vec<Bytes> = store.dump().await.unwrap().chunks.try_collect().await.unwrap();
    chunks.concat()
}

/// Loads bytes in pieces of that length.
async fn load(files: &MemoryFiles, bytes: &[u8], piece: usize) -> Result<(u64, u64), LoadError> {
    let pieces = bytes.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece)));
    let pieces: Vec<_> = pieces.collect();
    Engine::load_in(Arc::new(files.clone()), stream::iter(pieces), &Env::simulated(1)).await
}

async fn changes(store: &Engine) -> String {
    let (after, newest) = (
        store.compacted().saturating_sub(1),
        store.revision().await.unwrap(),
    );
    let (mut watch, mut told) = (watch_all(store, after), Vec::new());
    loop {
        let WatchItem::Events(events) = next(&mut watch).await.unwrap() else {
            panic!("progress was not asked for");
        };
        told.extend(events.iter().map(event_text));
        if events.last().unwrap().revision() == newest {
            return told.join(" ");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_made_from_a_dump_is_as_the_one_that_made_it() {
    for seed in 0..10 {
        let all = entries(&Random::seeded(seed), 400);
        let first = member(&MemoryFiles::new());
        first.apply_committed(all[..300].to_vec()).await.unwrap();
        let files = MemoryFiles::new();
        let loaded = load(&files, &bytes_of(&first).await, 1000).await.unwrap();
        assert_eq!(loaded, first.applied());
        for _ in 0..2 {
            let second = member(&files.after_crash());
            assert_eq!(agreed(&second).await, agreed(&first).await, "seed {seed}");
            assert_eq!(second.hash(0).await.unwrap(), first.hash(0).await.unwrap());
            let oldest = first.compacted();
            assert_eq!(
                second.hash(oldest).await.unwrap(),
                first.hash(oldest).await.unwrap()
            );
            assert_eq!(changes(&second).await, changes(&first).await, "seed {seed}");
            if first.applied().1 == 300 {
                let rest = all[300..].to_vec();
                let second = member(&files);
                let answers = second.apply_committed(rest.clone()).await.unwrap();
                assert_eq!(
                    answers_text(&answers),
                    answers_text(&first.apply_committed(rest).await.unwrap())
                );
                second.flush().await.unwrap();
            }
        }
    }
}

fn answers_text(answers: &Answers) -> String {
    format!("{answers:?}")
}

#[tokio::test(start_paused = true)]
async fn a_dump_holds_one_state_whatever_happens_meanwhile() {
    let store = open(&MemoryFiles::new());
    let big = |n: u32| format!("{n}-{}", "x".repeat(200_000));
    for n in 0..40 {
        put(&store, &format!("/{:02}", n % 20), &big(n)).await;
    }
    store.compact(2).await.unwrap();
    let (hash, before) = (store.hash(0).await.unwrap(), changes(&store).await);
    let mut dump = store.dump().await.unwrap();
    let mut chunks = vec![dump.chunks.next().await.unwrap().unwrap()];
    for n in 0..20 {
        delete(&store, &format!("/{n:02}")).await;
    }
    put(&store, "/new", "1").await;
    store.compact(store.revision().await.unwrap()).await.unwrap();
    for _ in 0..100 {
        store.tidy();
        tokio::task::yield_now().await;
    }
    while let Some(chunk) = dump.chunks.next().await {
        chunks.push(chunk.unwrap());
    }
    assert!(chunks.len() > 4, "{}", chunks.len());
    let files = MemoryFiles::new();
    load(&files, &chunks.concat(), usize::MAX).await.unwrap();
    let loaded = open(&files);
    assert_eq!(loaded.hash(0).await.unwrap(), hash);
    assert_eq!(changes(&loaded).await, before);
    assert!(list(&loaded, "/new", 0).await.unwrap().is_empty());
    // What was kept for the dump is forgotten after it.
    drop(dump);
    for _ in 0..100 {
        store.tidy();
        tokio::task::yield_now().await;
    }
    assert!(store.live_bytes() < 1000, "{}", store.live_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_dump_that_was_cut_or_changed_anywhere_is_refused() {
    let store = member(&MemoryFiles::new());
    let some = entries(&Random::seeded(3), 60);
    store.apply_committed(some).await.unwrap();
    let whole = bytes_of(&store).await;
    let files = MemoryFiles::new();
    for length in 0..whole.len() {
        let refused = load(&files, &whole[..length], usize::MAX).await;
        assert!(matches!(refused, Err(LoadError::Damaged(_))), "cut at {length}");
    }
    for at in 0..whole.len() {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        let refused = load(&files, &changed, usize::MAX).await;
        assert!(
            matches!(refused, Err(LoadError::Damaged(_) | LoadError::Newer(_))),
            "byte {at} was changed"
        );
    }
    let refused = try_open(&files).err().unwrap();
    assert!(matches!(refused, OpenError::Unfinished { .. }), "{refused}");
    load(&files, &whole, 7).await.unwrap();
    let again = load(&files, &whole, 7).await;
    assert!(matches!(again, Err(LoadError::Occupied(_))), "{again:?}");
    assert_eq!(agreed(&member(&files)).await, agreed(&store).await);
}

#[tokio::test(start_paused = true)]
async fn a_load_that_loses_its_power_anywhere_does_not_open_or_is_whole() {
    let store = member(&MemoryFiles::new());
    let some = entries(&Random::seeded(5), 60);
    store.apply_committed(some).await.unwrap();
    let (whole, expected) = (bytes_of(&store).await, agreed(&store).await);
    for operations in 0.. {
        let files = MemoryFiles::new();
        files.set_operations(operations);
        let loaded = load(&files, &whole, 500).await;
        let done = loaded.is_ok();
        for found in [files.after_crash(), files.after_kill()] {
            match Engine::open_in(Arc::new(found.clone()), small(), Env::simulated(1)) {
                Ok(store) if operations > 0 => assert_eq!(agreed(&store).await, expected),
                Ok(_) | Err(OpenError::Unfinished { .. }) => assert!(!done),
                Err(other) => panic!("{other}"),
            }
        }
        if done {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dump_of_nothing_is_a_store_of_nothing() {
    let (store, files) = (member(&MemoryFiles::new()), MemoryFiles::new());
    assert_eq!(load(&files, &bytes_of(&store).await, 10).await.unwrap(), (1, 0));
    let loaded = member(&files);
    loaded
        .apply_committed(vec![(1, 1, Command::Nothing)])
        .await
        .unwrap();
    assert_eq!(loaded.flush().await.unwrap(), (1, 1));
    assert_eq!(member(&files.after_crash()).applied(), (1, 1));
}
