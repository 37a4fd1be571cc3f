//! Stories of the cache: who is told, what is shared, what is bounded, and a store in another process.

use super::{Include, Item, Kind, Selection, Shape, Text, Watcher};
use crate::fixture;
use api::{Gvr, Key};
use bytes::Bytes;
use client::{Client, Patch, Target, Write};
use etcd::{
    Engine, Error, Observer, RangeRequest, RangeResponse, Revision, Store, TxnOutcome, TxnRequest, WatchItem,
    WatchRequest,
};
use futures::{FutureExt, future::BoxFuture, stream::BoxStream};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

const WIDGETS: Gvr = Gvr::new("test.io", "v1", "widgets");

async fn create(client: &Client, name: &str, node: &str) -> Result<Arc<api::Object>, api::Status> {
    let body = format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{{"nodeName":"{node}"}}}}"#);
    client
        .write(
            Target::collection(&WIDGETS, "default"),
            Write::Create(body.into()),
        )
        .await
}

fn watch(server: &crate::Server, fields: &str) -> Watcher {
    let cache = server.handler.cache("test.io", "widgets").unwrap();
    let selection = Selection::parse(cache.row, "", "", fields).unwrap();
    cache.watch(selection, 0, Some(server.revision())).unwrap()
}

#[tokio::test(start_paused = true)]
async fn watchers_share_frames() {
    let (server, _env) = fixture::server().await;
    let client = fixture::client(&server);
    let (mut one, mut two) = (watch(&server, ""), watch(&server, "spec.nodeName=n1"));
    create(&client, "a", "n1").await.unwrap();
    let frame = |item| match item {
        Some(Item::Event(kind, event)) => {
            event.frame(kind, 0, (Shape::Object, Text::Json), |held| held.hub().to_json())
        }
        other => panic!("{other:?}"),
    };
    let (first, second) = (frame(one.next().await), frame(two.next().await));
    assert!(
        std::ptr::eq(first.as_ptr(), second.as_ptr()),
        "the frame was encoded once"
    );
    let Some(Item::Event(kind, event)) = watch_all(&server).try_next() else {
        panic!("the state comes first")
    };
    assert_eq!(kind, Kind::Added);
    let other = event.frame(kind, 0, (Shape::Table(Include::None), Text::Json), |_| {
        Bytes::from_static(b"t")
    });
    assert_eq!(other, "t", "another shape is another frame");
}

fn watch_all(server: &crate::Server) -> Watcher {
    server
        .handler
        .cache("test.io", "widgets")
        .unwrap()
        .watch(Selection::default(), 0, None)
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_watcher_that_does_not_read_is_cut_and_the_others_are_not() {
    let (server, _env) = fixture::server().await;
    let client = fixture::client(&server);
    create(&client, "a", "n1").await.unwrap();
    let (mut slow, mut idle) = (watch(&server, ""), watch(&server, "spec.nodeName=n2"));
    for n in 0..5000 {
        let patch = format!(r#"{{"spec":{{"n":{n}}}}}"#);
        let target = Target::object(&WIDGETS, &Key::new("default", "a"));
        client
            .write(target, Write::Patch(Patch::Merge, patch.into()))
            .await
            .unwrap();
    }
    let mut told = 0;
    while slow.next().await.is_some() {
        told += 1;
    }
    assert_eq!(told, 4096, "it got what waited for it, then its stream ended");
    create(&client, "b", "n2").await.unwrap();
    assert!(matches!(idle.next().await, Some(Item::Event(Kind::Added, _))));
}

/// A store as one in another process is: it cannot be observed, and it may lose an answer.
pub struct Remote {
    pub engine: Arc<Engine>,
    pub lose: AtomicBool,
}

impl Store for Remote {
    fn range(&self, request: RangeRequest) -> BoxFuture<'_, Result<RangeResponse, Error>> {
        self.engine.range(request)
    }

    fn txn(&self, request: TxnRequest) -> BoxFuture<'_, Result<TxnOutcome, Error>> {
        async {
            let done = self.engine.txn(request).await;
            let lost = self.lose.swap(false, Ordering::Relaxed);
            if lost {
                Err(Error::Unknown("connection reset".to_owned()))
            } else {
                done
            }
        }
        .boxed()
    }

    fn watch(&self, request: WatchRequest) -> BoxStream<'static, Result<WatchItem, Error>> {
        self.engine.watch(request)
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), Error>> {
        self.engine.compact(revision)
    }

    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<i64, Error>> {
        self.engine.grant(ttl)
    }

    fn keep_alive(&self, lease: i64) -> BoxFuture<'_, Result<(), Error>> {
        self.engine.keep_alive(lease)
    }

    fn revoke(&self, lease: i64) -> BoxFuture<'_, Result<(), Error>> {
        self.engine.revoke(lease)
    }

    fn observe(&self, _: Arc<dyn Observer>) -> bool {
        false
    }

    fn revision(&self) -> BoxFuture<'_, Result<Revision, Error>> {
        self.engine.revision()
    }
}

#[tokio::test(start_paused = true)]
async fn two_servers_over_one_remote_store_read_their_own_and_the_others_writes() {
    let env = component::Env::simulated(9);
    let engine = Engine::in_memory(env.clone()).unwrap();
    let remote = Arc::new(Remote {
        engine,
        lose: AtomicBool::new(false),
    });
    let first = fixture::small(remote.clone(), &env).await;
    let second = fixture::small(remote.clone(), &env).await;
    let (one, two) = (fixture::client(&first), fixture::client(&second));
    for n in 0..20 {
        let name = format!("w{n}");
        create(&one, &name, "").await.unwrap();
        let read = two.get(&WIDGETS, &Key::new("default", &name)).await;
        assert!(read.is_ok(), "a read is never behind an acknowledged write");
        assert!(create(&two, &name, "").await.unwrap_err().is_already_exists());
    }
    remote.lose.store(true, Ordering::Relaxed);
    let made = create(&one, "lost", "")
        .await
        .expect("the answer was lost, but the write is there");
    assert_eq!(
        two.get(&WIDGETS, &Key::new("default", "lost"))
            .await
            .unwrap()
            .uid(),
        made.uid()
    );
}
