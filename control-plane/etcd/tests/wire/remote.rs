//! Our client: the same stories at our server and at Debian's etcd.

use crate::lab::*;
use bytes::Bytes;
use etcd::{
    Durability, Endpoints, Error, Event, Op, RangeRequest, Remote, Store, TxnOutcome, TxnRequest, WatchItem,
    WatchRequest,
};
use std::{collections::BTreeSet, time::Duration};

/// Tells a story at both.
macro_rules! at_both {
    ($($name:ident => $story:path),* $(,)?) => {
        mod at_ours {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let etcd = Ours::start(|_| {}).await;
                $story(&etcd.url).await;
            })*
        }
        mod at_debians {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let etcd = Theirs::start().await;
                $story(&etcd.url).await;
            })*
        }
    };
}

at_both! {
    a_write_is_done_on_its_condition_or_told_what_is_there => conditions,
    a_range_comes_whole_and_as_of_one_revision => ranges,
    a_watch_tells_every_change_and_how_far_it_is => watches,
    a_lease_takes_its_keys_along => leases,
    what_is_compacted_is_told => compaction,
    another_prefix_keeps_clusters_apart => prefixes,
    many_writers_through_two_clients_agree_on_one_order => two_clients,
}

async fn conditions(url: &str) {
    let store = remote(&[url]);
    let Ok(TxnOutcome::Done(first)) = write(&*store, "/registry/a", Some(0), "1").await else {
        panic!("the key is not there")
    };
    let mismatch = write(&*store, "/registry/a", Some(0), "2").await.unwrap();
    let TxnOutcome::Mismatch(Some(kv), revision) = mismatch else {
        panic!("{mismatch:?}")
    };
    assert_eq!(
        (kv.value.as_ref(), kv.mod_revision, revision),
        (&b"1"[..], first, first)
    );
    let Ok(TxnOutcome::Done(second)) = write(&*store, "/registry/a", Some(first), "2").await else {
        panic!("it is at {first}")
    };
    let kv = get(&*store, "/registry/a").await.unwrap();
    assert_eq!(
        (kv.create_revision, kv.mod_revision, kv.version),
        (first, second, 2)
    );
    let delete = |expect| {
        store.txn(TxnRequest {
            key: Bytes::from_static(b"/registry/a"),
            expect: Some(expect),
            op: Op::Delete,
            durability: Durability::Durable,
        })
    };
    assert!(matches!(
        delete(first).await,
        Ok(TxnOutcome::Mismatch(Some(_), _))
    ));
    let Ok(TxnOutcome::Done(gone)) = delete(second).await else {
        panic!("it is at {second}")
    };
    assert!(gone > second);
    assert!(matches!(delete(second).await, Ok(TxnOutcome::Mismatch(None, _))));
    assert_eq!(store.revision().await.unwrap(), gone);
}

async fn ranges(url: &str) {
    let store = remote(&[url]);
    // More than one page.
    let names: Vec<String> = (0..6000).map(|n| format!("/registry/pods/{n:05}")).collect();
    for part in names.chunks(500) {
        futures::future::join_all(part.iter().map(|name| put(&*store, name, "x"))).await;
    }
    let all = RangeRequest {
        start: Bytes::from_static(b"/registry/pods/"),
        end: Bytes::from_static(b"/registry/pods0"),
        ..RangeRequest::default()
    };
    let found = store.range(all.clone()).await.unwrap();
    assert_eq!((found.kvs.len(), found.count), (6000, 6000));
    assert!(found.kvs.windows(2).all(|pair| pair[0].key < pair[1].key));
    let few = store
        .range(RangeRequest {
            limit: 3,
            ..all.clone()
        })
        .await
        .unwrap();
    assert_eq!((few.kvs.len(), few.count), (3, 6000));
    put(&*store, "/registry/pods/00000", "new").await;
    let before = RangeRequest {
        revision: found.revision,
        limit: 1,
        ..all.clone()
    };
    let before = store.range(before).await.unwrap();
    assert_eq!(
        (before.kvs[0].value.as_ref(), before.revision),
        (&b"x"[..], found.revision)
    );
    let future = RangeRequest {
        revision: found.revision + 1000,
        ..all
    };
    let told = store.range(future).await;
    assert!(matches!(told, Err(Error::Future(_))), "{told:?}");
}

async fn watches(url: &str) {
    let store = remote(&[url]);
    let before = put(&*store, "/registry/a", "1").await;
    let mut watch = store.watch(WatchRequest {
        start: Bytes::from_static(b"/registry/"),
        end: Bytes::from_static(b"/registry0"),
        after: before,
        prev: true,
        progress: true,
    });
    let second = put(&*store, "/registry/a", "2").await;
    let elsewhere = put(&*store, "other", "1").await;
    let (mut events, mut reached) = (Vec::new(), 0);
    while reached < elsewhere {
        match next(&mut watch).await.unwrap() {
            WatchItem::Events(some) => {
                reached = some.last().unwrap().revision();
                events.extend(some);
            }
            WatchItem::Progress(revision) => reached = revision,
        }
    }
    let [Event::Put { kv, prev: Some(prev) }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!((kv.value.as_ref(), kv.mod_revision), (&b"2"[..], second));
    assert_eq!((prev.value.as_ref(), prev.mod_revision), (&b"1"[..], before));
    store
        .txn(TxnRequest {
            key: Bytes::from_static(b"/registry/a"),
            expect: None,
            op: Op::Delete,
            durability: Durability::Durable,
        })
        .await
        .unwrap();
    let WatchItem::Events(events) = next(&mut watch).await.unwrap() else {
        panic!("it was removed")
    };
    let [Event::Delete { prev: Some(prev), .. }] = events.as_slice() else {
        panic!("{events:?}")
    };
    assert_eq!(prev.mod_revision, second);
}

async fn leases(url: &str) {
    let store = remote(&[url]);
    let lease = store.grant(Duration::from_secs(3600)).await.unwrap();
    store.keep_alive(lease).await.unwrap();
    let by_lease = |key: &'static str, lease| {
        store.txn(TxnRequest {
            key: Bytes::from_static(key.as_bytes()),
            expect: Some(0),
            op: Op::Put {
                value: Bytes::from_static(b"x"),
                lease,
            },
            durability: Durability::Durable,
        })
    };
    by_lease("/registry/events/a", lease).await.unwrap();
    assert_eq!(get(&*store, "/registry/events/a").await.unwrap().lease, lease);
    store.revoke(lease).await.unwrap();
    assert!(get(&*store, "/registry/events/a").await.is_none());
    assert!(matches!(store.keep_alive(lease).await, Err(Error::LeaseNotFound)));
    assert!(matches!(store.revoke(lease).await, Err(Error::LeaseNotFound)));
    let told = by_lease("/registry/events/b", 12345).await;
    assert!(matches!(told, Err(Error::LeaseNotFound)), "{told:?}");
}

async fn compaction(url: &str) {
    let store = remote(&[url]);
    let first = put(&*store, "/registry/a", "1").await;
    let second = put(&*store, "/registry/a", "2").await;
    let third = put(&*store, "/registry/a", "3").await;
    store.compact(second).await.unwrap();
    let at = |revision| {
        store.range(RangeRequest {
            start: Bytes::from_static(b"/registry/a"),
            revision,
            ..RangeRequest::default()
        })
    };
    assert!(matches!(at(first).await, Err(Error::Compacted(_))));
    assert_eq!(at(second).await.unwrap().kvs[0].value, "2");
    assert!(matches!(store.compact(second).await, Err(Error::Compacted(_))));
    assert!(matches!(store.compact(third + 100).await, Err(Error::Future(_))));
    let mut watch = store.watch(WatchRequest {
        start: Bytes::from_static(b"/registry/a"),
        after: first - 1,
        ..WatchRequest::default()
    });
    let told = next(&mut watch).await;
    assert!(
        matches!(told, Err(Error::Compacted(oldest)) if oldest == second),
        "{told:?}"
    );
}

async fn prefixes(url: &str) {
    let plain = remote(&[url]);
    let endpoints = Endpoints {
        servers: vec![url.to_owned()],
        prefix: "/clusters/one".to_owned(),
        ..Endpoints::default()
    };
    let one = Remote::new(&endpoints, component::Env::system()).unwrap();
    let revision = put(&*one, "/registry/pods/a", "x").await;
    assert_eq!(
        get(&*one, "/registry/pods/a").await.unwrap().key,
        "/registry/pods/a"
    );
    assert!(get(&*plain, "/registry/pods/a").await.is_none());
    assert!(get(&*plain, "/clusters/one/pods/a").await.is_some());
    put(&*plain, "/registry/pods/b", "x").await;
    let mut watch = one.watch(WatchRequest {
        start: Bytes::from_static(b"/registry/"),
        end: Bytes::from_static(b"/registry0"),
        after: revision - 1,
        prev: false,
        progress: true,
    });
    let WatchItem::Events(events) = next(&mut watch).await.unwrap() else {
        panic!("it was written")
    };
    let keys: Vec<_> = events
        .iter()
        .map(|event| match event {
            Event::Put { kv, .. } => kv.key.clone(),
            Event::Delete { key, .. } => key.clone(),
        })
        .collect();
    assert_eq!(keys, ["/registry/pods/a"]);
}

async fn two_clients(url: &str) {
    let clients = [remote(&[url]), remote(&[url])];
    let watch = |client: usize| {
        clients[client].watch(WatchRequest {
            start: Bytes::from_static(b"/registry/"),
            end: Bytes::from_static(b"/registry0"),
            after: 1,
            prev: false,
            progress: true,
        })
    };
    let mut watches = [watch(0), watch(1)];
    let writers = (0..200).map(|n| {
        let (client, other) = (&clients[n % 2], &clients[(n + 1) % 2]);
        async move {
            let wrote = write(&**client, &format!("/registry/{}", n % 7), Some(0), "x")
                .await
                .unwrap();
            // What was acknowledged is read through the other.
            if let TxnOutcome::Done(revision) = wrote {
                assert!(other.revision().await.unwrap() >= revision);
                Some(revision)
            } else {
                None
            }
        }
    });
    let done: BTreeSet<u64> = futures::future::join_all(writers)
        .await
        .into_iter()
        .flatten()
        .collect();
    assert_eq!(done.len(), 7, "each key is created once");
    let last = *done.last().unwrap();
    let mut seen = [Vec::new(), Vec::new()];
    for (watch, seen) in watches.iter_mut().zip(&mut seen) {
        while seen.last() != Some(&last) {
            if let WatchItem::Events(events) = next(watch).await.unwrap() {
                seen.extend(events.iter().map(Event::revision));
            }
        }
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], done.into_iter().collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_goes_on_after_etcd_was_killed_and_misses_nothing() {
    let mut etcd = Theirs::start().await;
    let store = remote(&[&etcd.url]);
    let first = put(&*store, "/registry/a", "1").await;
    let mut watch = store.watch(WatchRequest {
        start: Bytes::from_static(b"/registry/"),
        end: Bytes::from_static(b"/registry0"),
        after: first - 1,
        prev: false,
        progress: true,
    });
    let events = next(&mut watch).await.unwrap();
    assert!(matches!(events, WatchItem::Events(events) if events.len() == 1));
    etcd.kill();
    let told = store.revision().await;
    assert!(matches!(told, Err(Error::Unavailable(_))), "{told:?}");
    let told = write(&*store, "/registry/a", None, "lost").await;
    assert!(
        matches!(told, Err(Error::Unavailable(_))),
        "nobody got it: {told:?}"
    );
    etcd.restart().await;
    let second = put(&*store, "/registry/a", "2").await;
    loop {
        if let WatchItem::Events(events) = next(&mut watch).await.unwrap() {
            let revisions: Vec<u64> = events.iter().map(Event::revision).collect();
            assert_eq!(revisions, [second]);
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_endpoint_is_asked_when_one_does_not_answer() {
    let etcd = Ours::start(|_| {}).await;
    let store = remote(&["http://127.0.0.1:1", &etcd.url]);
    let revision = put(&*store, "/registry/a", "1").await;
    assert_eq!(store.revision().await.unwrap(), revision);
}
