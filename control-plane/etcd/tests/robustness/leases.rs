//! Clients that keep leases alive, and what became of these.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use component::{Env, Random};
use etcd::{
    Durability, Error, Event, Op, RangeRequest, Remote, Store, TxnOutcome, TxnRequest, WatchItem,
    WatchRequest,
};
use futures::StreamExt as _;
use tokio::time::Instant;

use crate::traffic::{LIMIT, PATIENCE, remote};

const CLIENTS: u64 = 3;
const TTL: Duration = Duration::from_secs(2);
/// How often a lease is kept, at most, before it is left alone.
const KEPT: u64 = 12;

/// What was promised of leases, and when they ended.
#[derive(Default)]
pub struct Leases {
    over: AtomicBool,
    promised: Mutex<BTreeMap<i64, Instant>>,
    ended: Mutex<Vec<(i64, Instant)>>,
}

fn key(lease: i64) -> Bytes {
    format!("lease/{lease}").into()
}

impl Leases {
    /// Starts the clients, and a watch of the keys that live by the leases.
    pub async fn start(env: &Env, seed: u64, watcher: Arc<Remote>) -> Arc<Self> {
        let this = Arc::new(Self::default());
        let after = watcher.revision().await.unwrap();
        env.tasks
            .spawn("leases-watch", this.clone().watch(watcher, after, env.clone()));
        for client in 0..CLIENTS {
            let store = remote(&[client], env);
            let random = Random::seeded(seed * 1000 + client);
            env.tasks
                .spawn("leases", this.clone().client(store, random, env.clone()));
        }
        this
    }

    async fn client(self: Arc<Self>, store: Arc<Remote>, random: Random, env: Env) {
        while !self.over.load(SeqCst) {
            self.one(&store, &random, &env).await;
            env.clock.sleep(Duration::from_millis(100)).await;
        }
    }

    /// The life of one lease.
    async fn one(&self, store: &Remote, random: &Random, env: &Env) {
        let clock = &env.clock;
        let begun = clock.now();
        let Some(Ok(lease)) = clock.timeout(PATIENCE, store.grant(TTL)).await else {
            return;
        };
        self.promised.lock().unwrap().insert(lease, begun + TTL);
        let put = TxnRequest {
            key: key(lease),
            expect: None,
            op: Op::Put {
                value: Bytes::new(),
                lease,
            },
            durability: Durability::Durable,
        };
        let answer = clock.timeout(PATIENCE, store.txn(put)).await;
        if !matches!(answer, Some(Ok(TxnOutcome::Done(_)))) {
            return;
        }
        for _ in 0..random.below(KEPT) {
            clock.sleep(Duration::from_millis(100 + random.below(700))).await;
            let begun = clock.now();
            match clock.timeout(PATIENCE, store.keep_alive(lease)).await {
                Some(Ok(())) => {
                    self.promised.lock().unwrap().insert(lease, begun + TTL);
                }
                Some(Err(Error::LeaseNotFound)) => return,
                // It may have been kept or not.
                _ => {}
            }
        }
    }

    async fn watch(self: Arc<Self>, store: Arc<Remote>, after: u64, env: Env) {
        let all = WatchRequest {
            start: Bytes::from_static(b"lease/"),
            end: Bytes::from_static(b"lease0"),
            after,
            ..WatchRequest::default()
        };
        let mut items = store.watch(all);
        while let Some(item) = items.next().await {
            let WatchItem::Events(events) = item.expect("the watch goes on") else {
                continue;
            };
            let now = env.clock.now();
            for event in events {
                if let Event::Delete { key, .. } = event {
                    let lease = std::str::from_utf8(&key[6..]).unwrap().parse().unwrap();
                    self.ended.lock().unwrap().push((lease, now));
                }
            }
        }
    }

    /// Ends the clients, waits until all leases have ended, and looks whether one ended before its time. Gives how many there
    /// were.
    pub async fn end_and_judge(&self, store: &Remote, env: &Env, seed: u64) -> u64 {
        self.over.store(true, SeqCst);
        let left = RangeRequest {
            start: Bytes::from_static(b"lease/"),
            end: Bytes::from_static(b"lease0"),
            count_only: true,
            ..RangeRequest::default()
        };
        let waited = env.clock.timeout(LIMIT, async {
            while !store
                .range(left.clone())
                .await
                .is_ok_and(|found| found.count == 0)
            {
                env.clock.sleep(Duration::from_millis(50)).await;
            }
        });
        assert!(waited.await.is_some(), "seed {seed}: leases do not end");
        let promised = self.promised.lock().unwrap();
        for (lease, at) in self.ended.lock().unwrap().iter() {
            let early = promised
                .get(lease)
                .and_then(|until| until.checked_duration_since(*at));
            assert!(
                early.is_none_or(|early| early.is_zero()),
                "seed {seed}: lease {lease} ended {early:?} before its time"
            );
        }
        promised.len() as u64
    }
}
