//! The promises of the trait.

use crate::lab::*;
use component::Env;
use etcd::*;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

#[tokio::test(start_paused = true)]
async fn any_retained_revision_can_be_read() {
    let store = Engine::in_memory(Env::simulated(1)).unwrap();
    put(&store, "/a/1", "x").await;
    put(&store, "/a/2", "y").await;
    put(&store, "/a/1", "z").await;
    delete(&store, "/a/2").await;
    put(&store, "/b", "other").await;
    assert_eq!(list(&store, "/a/", 0).await.unwrap(), "/a/1=z@3");
    assert_eq!(list(&store, "/a/", 2).await.unwrap(), "/a/1=x@1 /a/2=y@2");
    assert_eq!(list(&store, "/a/", 3).await.unwrap(), "/a/1=z@3 /a/2=y@2");
    assert!(matches!(list(&store, "/a/", 6).await, Err(Error::Future(6))));
    store.compact(3).await.unwrap();
    assert!(matches!(list(&store, "/a/", 2).await, Err(Error::Compacted(3))));
    assert_eq!(list(&store, "/a/", 3).await.unwrap(), "/a/1=z@3 /a/2=y@2");
    assert_eq!(list(&store, "/a/", 4).await.unwrap(), "/a/1=z@3");
}

#[tokio::test(start_paused = true)]
async fn a_limit_counts_what_it_leaves_out_and_keys_can_come_alone() {
    let store = Engine::in_memory(Env::simulated(1)).unwrap();
    for key in ["/a", "/b", "/c"] {
        put(&store, key, "value").await;
    }
    let all = RangeRequest {
        start: "/".into(),
        end: vec![0].into(),
        ..Default::default()
    };
    let two = store
        .range(RangeRequest {
            limit: 2,
            keys_only: true,
            ..all.clone()
        })
        .await
        .unwrap();
    assert_eq!((two.kvs.len(), two.count, two.revision), (2, 3, 3));
    assert!(two.kvs.iter().all(|kv| kv.value.is_empty()));
    let empty = store
        .range(RangeRequest {
            end: "/".into(),
            start: "/b".into(),
            ..all
        })
        .await
        .unwrap();
    assert_eq!(empty.count, 0);
}

#[tokio::test(start_paused = true)]
async fn a_condition_that_fails_says_what_is_there() {
    let store = Engine::in_memory(Env::simulated(1)).unwrap();
    put(&store, "/a", "x").await;
    let outcome = store.txn(request("/a", Some(0), value("y"))).await.unwrap();
    let TxnOutcome::Mismatch(Some(kv), 1) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(text(&kv), "/a=x@1");
    let outcome = store.txn(request("/b", Some(4), Op::Delete)).await.unwrap();
    assert_eq!(outcome, TxnOutcome::Mismatch(None, 1));
    let large = store
        .txn(request(
            "/a",
            None,
            Op::Put {
                value: vec![0; 2 << 20].into(),
                lease: 0,
            },
        ))
        .await;
    assert!(matches!(large, Err(Error::TooLarge(_))));
}

#[tokio::test(start_paused = true)]
async fn a_watch_starts_anywhere_and_misses_nothing() {
    let store = Engine::in_memory(Env::simulated(1)).unwrap();
    put(&store, "/a", "1").await;
    put(&store, "/b", "2").await;
    let all = WatchRequest {
        start: "/".into(),
        end: vec![0].into(),
        ..Default::default()
    };
    let mut past = store.watch(WatchRequest {
        after: 1,
        prev: true,
        progress: true,
        ..all.clone()
    });
    let mut now = store.watch(all.clone());
    let mut one = store.watch(WatchRequest {
        start: "/b".into(),
        end: "".into(),
        after: 1,
        progress: true,
        ..all
    });
    assert_eq!(next_events(&mut past).await, "+/b=2@2");
    assert_eq!(next_events(&mut one).await, "+/b=2@2");
    put(&store, "/a", "3").await;
    delete(&store, "/b").await;
    assert_eq!(next_events(&mut past).await, "+/a=3@3</a=1@1 -/b@4</b=2@2");
    assert_eq!(next_events(&mut now).await, "+/a=3@3 -/b@4");
    assert_eq!(next_events(&mut one).await, "-/b@4");
    put(&store, "/c", "4").await;
    assert_eq!(next_events(&mut one).await, "progress@5");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_fell_behind_is_told() {
    let store = Engine::in_memory(Env::simulated(1)).unwrap();
    let mut slow = watch_all(&store, 0);
    for n in 0..10 {
        put(&store, "/a", &n.to_string()).await;
    }
    store.compact(8).await.unwrap();
    assert!(matches!(next(&mut slow).await, Err(Error::Compacted(8))));
    assert!(futures::StreamExt::next(&mut slow).await.is_none());
    assert_eq!(
        next_events(&mut watch_all(&store, 7)).await,
        "+/a=7@8 +/a=8@9 +/a=9@10"
    );
}

#[tokio::test(start_paused = true)]
async fn a_long_history_comes_in_items_of_whole_revisions() {
    let store = Engine::in_memory(Env::simulated(1)).unwrap();
    for n in 0..3000 {
        put(&store, &format!("/{n}"), "x").await;
    }
    let mut watch = watch_all(&store, 1);
    let (mut revision, mut items) = (1, 0);
    while revision < 3000 {
        let WatchItem::Events(events) = next(&mut watch).await.unwrap() else {
            panic!("no events")
        };
        items += 1;
        for event in events {
            assert_eq!(event.revision(), revision + 1);
            revision += 1;
        }
    }
    assert!(items > 3, "{items}");
}

#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl Observer for Recorder {
    fn committed(&self, revision: Revision, events: &[Event]) {
        assert!(events.iter().all(|event| event.revision() == revision));
        self.0.lock().unwrap().extend(events.iter().map(event_text));
    }
}

#[tokio::test(start_paused = true)]
async fn the_observer_sees_each_revision_before_the_writer_is_answered() {
    let files = MemoryFiles::new();
    let store = open(&files);
    put(&store, "/a", "0").await;
    let seen = Arc::new(Recorder::default());
    assert!(store.observe(seen.clone()));
    put(&store, "/a", "1").await;
    assert_eq!(*seen.0.lock().unwrap(), ["+/a=1@2</a=0@1"]);
    put_volatile(&store, "/b", "2").await;
    delete(&store, "/a").await;
    let _ = store.txn(request("/a", Some(9), value("no"))).await.unwrap();
    assert_eq!(
        *seen.0.lock().unwrap(),
        ["+/a=1@2</a=0@1", "+/b=2@3", "-/a@4</a=1@2"]
    );
}

#[tokio::test(start_paused = true)]
async fn several_observers_see_the_same() {
    let store = open(&MemoryFiles::new());
    let (first, second) = (Arc::new(Recorder::default()), Arc::new(Recorder::default()));
    assert!(store.observe(first.clone()));
    put(&store, "/a", "1").await;
    assert!(store.observe(second.clone()));
    put(&store, "/b", "2").await;
    assert_eq!(*first.0.lock().unwrap(), ["+/a=1@1", "+/b=2@2"]);
    assert_eq!(*second.0.lock().unwrap(), ["+/b=2@2"]);
}

#[tokio::test(start_paused = true)]
async fn a_lease_takes_its_keys_when_its_time_is_over() {
    let env = Env::simulated(1);
    let store = Engine::in_memory(env.clone()).unwrap();
    let lease = store.grant(Duration::from_secs(10)).await.unwrap();
    let other = store.grant(Duration::from_secs(3600)).await.unwrap();
    for (key, lease) in [("/a", lease), ("/b", lease), ("/c", other)] {
        store
            .txn(request(
                key,
                None,
                Op::Put {
                    value: "x".into(),
                    lease,
                },
            ))
            .await
            .unwrap();
    }
    let mut watch = watch_all(&store, 0);
    env.clock.sleep(Duration::from_secs(9)).await;
    store.keep_alive(lease).await.unwrap();
    env.clock.sleep(Duration::from_secs(9)).await;
    assert_eq!(list(&store, "/", 0).await.unwrap(), "/a=x@1 /b=x@2 /c=x@3");
    let start = env.clock.now();
    assert_eq!(next_events(&mut watch).await, "-/a@4 -/b@4");
    assert_eq!((env.clock.now() - start).as_secs(), 1);
    assert!(matches!(store.keep_alive(lease).await, Err(Error::LeaseNotFound)));
    store.revoke(other).await.unwrap();
    assert_eq!(list(&store, "/", 0).await.unwrap(), "");
    assert!(matches!(store.revoke(other).await, Err(Error::LeaseNotFound)));
}

#[tokio::test(start_paused = true)]
async fn a_lease_lives_on_through_a_restart() {
    let files = MemoryFiles::new();
    let store = open(&files);
    let lease = store.grant(Duration::from_secs(10)).await.unwrap();
    store
        .txn(request(
            "/a",
            None,
            Op::Put {
                value: "x".into(),
                lease,
            },
        ))
        .await
        .unwrap();
    for files in [files.after_crash(), {
        store.close().await;
        files
    }] {
        let store = open(&files);
        store.keep_alive(lease).await.unwrap();
        assert_eq!(next_events(&mut watch_all(&store, 1)).await, "-/a@2");
        store.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_writes_changes_nothing_and_recovers() {
    let files = MemoryFiles::new();
    let store = open(&files);
    put(&store, "/a", "1").await;
    put_volatile(&store, "/v", "1").await;
    files.set_room(100);
    for _ in 0..3 {
        let error = store
            .txn(request("/a", None, value(&"x".repeat(500))))
            .await
            .unwrap_err();
        assert!(
            matches!(&error, Error::Unavailable(why) if why.contains("no storage space")),
            "{error}"
        );
        assert_eq!(list(&store, "/", 0).await.unwrap(), "/a=1@1 /v=1@2");
        files.set_room(100);
    }
    // One of two whole records fits: none of them may be there after a restart.
    files.set_room(300);
    let (one, two) = (
        request("/a", None, value("one")),
        request("/a", None, value(&"x".repeat(500))),
    );
    let both = futures::future::join(store.txn(one), store.txn(two)).await;
    assert!(
        matches!(both, (Err(Error::Unavailable(_)), Err(Error::Unavailable(_)))),
        "{both:?}"
    );
    assert_eq!(
        list(&open(&files.after_kill()), "/", 0).await.unwrap(),
        "/a=1@1 /v=1@2"
    );
    files.set_room(u64::MAX);
    assert!(store.grant(Duration::from_secs(5)).await.is_ok());
    assert_eq!(put(&store, "/a", "2").await, 3);
    let again = open(&files.after_crash());
    assert_eq!(list(&again, "/", 0).await.unwrap(), "/a=2@3 /v=1@2");
}

#[tokio::test(start_paused = true)]
async fn after_a_failed_sync_the_store_is_read_only_until_it_is_opened_again() {
    let files = MemoryFiles::new();
    let store = open(&files);
    put(&store, "/a", "1").await;
    files.set_sync_fails(true);
    assert!(matches!(
        store.txn(request("/a", None, value("2"))).await,
        Err(Error::Unknown(_))
    ));
    files.set_sync_fails(false);
    let error = store.txn(request("/a", None, value("3"))).await.unwrap_err();
    assert!(
        matches!(&error, Error::Unavailable(why) if why.contains("read-only")),
        "{error}"
    );
    assert_eq!(list(&store, "/", 0).await.unwrap(), "/a=1@1");
    store.close().await;
    let store = open(&files);
    assert!(put(&store, "/a", "4").await >= 2);
}

#[tokio::test]
async fn a_directory_has_one_user_and_its_format_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let env = Env::system();
    let store = Engine::open(&path, Options::default(), env.clone()).unwrap();
    put(&store, "/a", "1").await;
    let second = Engine::open(&path, Options::default(), env.clone())
        .err()
        .unwrap()
        .to_string();
    let holder = format!("in use by process {}", std::process::id());
    assert!(
        second.contains(&path.display().to_string()) && second.contains(&holder),
        "{second}"
    );
    store.close().await;
    assert!(matches!(
        store.txn(request("/a", None, value("2"))).await,
        Err(Error::Unavailable(_))
    ));
    let store = Engine::open(&path, Options::default(), env.clone()).unwrap();
    assert_eq!(list(&store, "/", 0).await.unwrap(), "/a=1@1");
    assert!(env.tasks.drain(Duration::from_secs(60)).await);
    std::fs::write(path.join("version"), "99\n").unwrap();
    let newer = Engine::open(&path, Options::default(), Env::system())
        .err()
        .unwrap()
        .to_string();
    assert!(newer.contains("has format 99"), "{newer}");
}

#[tokio::test(start_paused = true)]
async fn churn_is_reclaimed_while_the_store_runs() {
    let files = MemoryFiles::new();
    let mut store = open(&files);
    let text = "x".repeat(400);
    let mut revision = 0;
    for round in 0..100 {
        for key in 0..50 {
            revision = put(&store, &format!("/{key:02}"), &format!("{round} {text}")).await;
        }
        store.compact(revision).await.unwrap();
        if round % 30 == 29 {
            store.close().await;
            store = open(&files);
        }
    }
    store.close().await;
    // 50 live records of under 500 bytes; 100 times that was written.
    assert!(store.live_bytes() < 30_000, "{}", store.live_bytes());
    assert!(files.size() < 150_000, "{}", files.size());
    let store = open(&files);
    let all = list(&store, "/", revision).await.unwrap();
    assert_eq!(all.matches("=99 xxx").count(), 50, "{all}");
    assert!(matches!(
        list(&store, "/", revision - 1).await,
        Err(Error::Compacted(_))
    ));
}
