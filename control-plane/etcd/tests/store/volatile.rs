//! Writes that are acknowledged from memory.

use crate::lab::*;
use component::Env;
use etcd::*;
use std::{sync::Arc, time::Duration};

#[tokio::test(start_paused = true)]
async fn revisions_of_lost_volatile_writes_never_come_again() {
    let files = MemoryFiles::new();
    let store = open(&files);
    put(&store, "/a", "1").await;
    let first = put_volatile(&store, "/lease", "1").await;
    let lost = put_volatile(&store, "/lease", "2").await;
    assert_eq!(
        list(&store, "/lease", 0).await.unwrap(),
        format!("/lease=2@{lost}")
    );
    let crashed = files.after_crash();
    let again = open(&crashed);
    // The first came with the reservation, the second only lived in memory.
    assert_eq!(
        list(&again, "/", 0).await.unwrap(),
        format!("/a=1@1 /lease=1@{first}")
    );
    assert!(again.revision().await.unwrap() > lost);
    assert!(matches!(
        next(&mut watch_all(&again, lost)).await,
        Err(Error::Compacted(_))
    ));
    assert!(matches!(list(&again, "/", lost).await, Err(Error::Compacted(_))));
    let next_revision = put(&again, "/a", "2").await;
    assert!(next_revision > lost);
    // Who saw nothing of what was lost goes on.
    assert_eq!(
        next_events(&mut watch_all(&again, first)).await,
        format!("+/a=2@{next_revision}")
    );
    again.close().await;
    let third = open(&crashed);
    assert!(matches!(
        next(&mut watch_all(&third, lost)).await,
        Err(Error::Compacted(_))
    ));
    assert_eq!(third.revision().await.unwrap(), next_revision);
}

#[tokio::test(start_paused = true)]
async fn volatile_writes_are_logged_with_the_next_commit_or_after_a_minute() {
    let (files, env) = (MemoryFiles::new(), Env::simulated(1));
    let store = Engine::open_in(Arc::new(files.clone()), small(), env.clone()).unwrap();
    put_volatile(&store, "/v", "1").await;
    put_volatile(&store, "/v", "2").await;
    put(&store, "/a", "1").await;
    let with_commit = open(&files.after_crash());
    assert_eq!(list(&with_commit, "/", 0).await.unwrap(), "/a=1@3 /v=2@2");
    put_volatile(&store, "/v", "3").await;
    env.clock.sleep(Duration::from_secs(59)).await;
    assert_eq!(
        list(&open(&files.after_crash()), "/v", 0).await.unwrap(),
        "/v=2@2"
    );
    env.clock.sleep(Duration::from_secs(2)).await;
    assert_eq!(
        list(&open(&files.after_crash()), "/v", 0).await.unwrap(),
        "/v=3@4"
    );
}

#[tokio::test(start_paused = true)]
async fn a_clean_stop_loses_and_skips_nothing() {
    let files = MemoryFiles::new();
    let store = open(&files);
    put_volatile(&store, "/v", "1").await;
    put_volatile(&store, "/v", "2").await;
    store.close().await;
    let store = open(&files);
    assert_eq!(list(&store, "/", 0).await.unwrap(), "/v=2@2");
    assert_eq!(put(&store, "/v", "3").await, 3);
}

#[tokio::test(start_paused = true)]
async fn durable_leases_make_every_write_durable() {
    let files = MemoryFiles::new();
    let options = Options {
        durable_leases: true,
        ..small()
    };
    let store = Engine::open_in(Arc::new(files.clone()), options, Env::simulated(1)).unwrap();
    put_volatile(&store, "/v", "1").await;
    put_volatile(&store, "/v", "2").await;
    assert_eq!(list(&open(&files.after_crash()), "/", 0).await.unwrap(), "/v=2@2");
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_leaves_out_what_is_not_logged() {
    let (files, env) = (MemoryFiles::new(), Env::simulated(1));
    let store = Engine::open_in(Arc::new(files.clone()), small(), env.clone()).unwrap();
    put_volatile(&store, "/v", "0").await;
    let mut revision = 0;
    for n in 0..1500 {
        revision = put(&store, "/a", &n.to_string()).await;
    }
    // So much to free that the volatile writes come before the checkpoint begins.
    store.compact(revision).await.unwrap();
    put_volatile(&store, "/v", "1").await;
    put_volatile(&store, "/w", "2").await;
    env.clock.sleep(Duration::from_secs(1)).await;
    assert!(files.get("checkpoint").is_some(), "there is no checkpoint");
    let again = open(&files.after_crash());
    assert_eq!(
        list(&again, "/", 0).await.unwrap(),
        format!("/a=1499@{revision} /v=0@1")
    );
}
