//! Clients that write, read and watch, and what they saw.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use component::{Env, Random};
use etcd::{
    Durability, Endpoints, Event, Op, RangeRequest, Remote, Store, TxnOutcome, TxnRequest, WatchItem,
    WatchRequest,
};
use futures::StreamExt as _;

use crate::leases::Leases;
use crate::linear::{Action, Operation, is_linearizable};
use crate::member::url;

const KEYS: u64 = 4;
/// Answers without which there is nothing to judge.
const ENOUGH: usize = 20;
const CLIENTS: u64 = 6;
/// Until a cluster that nothing happens to any more has to answer.
pub const LIMIT: Duration = Duration::from_secs(30);
/// What a client waits for an answer.
pub const PATIENCE: Duration = Duration::from_millis(1500);

/// What all clients saw.
#[derive(Default)]
struct Seen {
    /// Ticks with every beginning and end, so that it orders them.
    clock: AtomicU64,
    values: AtomicU64,
    over: AtomicBool,
    operations: Mutex<Vec<(u64, Operation)>>,
    /// Acknowledged writes: revision and value.
    written: Mutex<Vec<(u64, u64)>>,
    watched: Mutex<Vec<(u64, u64)>>,
}

/// The clients of a run.
pub struct Traffic {
    seen: Arc<Seen>,
    leases: Arc<Leases>,
    seed: u64,
}

pub fn remote(places: &[u64], env: &Env) -> Arc<Remote> {
    let endpoints = Endpoints {
        servers: places.iter().map(|place| url(*place)).collect(),
        ..Endpoints::default()
    };
    Remote::new(&endpoints, env.clone()).unwrap()
}

fn key(number: u64) -> Bytes {
    Bytes::from(format!("k{number}"))
}

fn number(value: &[u8]) -> u64 {
    std::str::from_utf8(value).unwrap().parse().unwrap()
}

async fn read(store: &Remote, register: u64) -> Option<Option<u64>> {
    let range = RangeRequest {
        start: key(register),
        ..RangeRequest::default()
    };
    let answer = tokio::time::timeout(PATIENCE, store.range(range)).await;
    let found = answer.ok()?.ok()?;
    Some(found.kvs.first().map(|kv| number(&kv.value)))
}

impl Seen {
    fn now(&self) -> u64 {
        self.clock.fetch_add(1, SeqCst)
    }

    async fn write(&self, store: &Remote, register: u64) {
        let value = self.values.fetch_add(1, SeqCst) + 1;
        let put = TxnRequest {
            key: key(register),
            expect: None,
            op: Op::Put {
                value: Bytes::from(value.to_string()),
                lease: 0,
            },
            durability: Durability::Durable,
        };
        let began = self.now();
        let answer = tokio::time::timeout(PATIENCE, store.txn(put)).await;
        let mut ended = None;
        if let Ok(Ok(TxnOutcome::Done(revision))) = answer {
            ended = Some(self.now());
            self.written.lock().unwrap().push((revision, value));
        }
        let action = Action::Write(value);
        self.operations
            .lock()
            .unwrap()
            .push((register, Operation { began, ended, action }));
    }

    async fn read(&self, store: &Remote, register: u64) -> bool {
        let began = self.now();
        let Some(value) = read(store, register).await else {
            return false;
        };
        let ended = Some(self.now());
        let action = Action::Read(value);
        self.operations
            .lock()
            .unwrap()
            .push((register, Operation { began, ended, action }));
        true
    }

    /// Waits until a store answers, and keeps what it answers for every key.
    async fn answered(&self, store: &Remote, seed: u64) {
        let waiting = async {
            for register in 0..KEYS {
                while !self.read(store, register).await {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        };
        let waited = tokio::time::timeout(LIMIT, waiting).await;
        assert!(waited.is_ok(), "seed {seed}: no answer");
    }

    async fn client(self: Arc<Self>, store: Arc<Remote>, random: Random) {
        while !self.over.load(SeqCst) {
            let register = random.below(KEYS);
            if random.below(2) == 0 {
                self.write(&store, register).await;
            } else {
                self.read(&store, register).await;
            }
            tokio::time::sleep(Duration::from_millis(5 + random.below(20))).await;
        }
    }

    async fn watch(self: Arc<Self>, store: Arc<Remote>, after: u64) {
        let all = WatchRequest {
            start: Bytes::from_static(b"k"),
            end: Bytes::from_static(b"l"),
            after,
            ..WatchRequest::default()
        };
        let mut items = store.watch(all);
        while let Some(item) = items.next().await {
            let WatchItem::Events(events) = item.expect("the watch goes on") else {
                continue;
            };
            for event in events {
                let Event::Put { kv, .. } = event else {
                    panic!("nobody removes: {event:?}");
                };
                let seen = (kv.mod_revision, number(&kv.value));
                self.watched.lock().unwrap().push(seen);
            }
        }
    }
}

impl Traffic {
    pub async fn start(env: &Env, seed: u64) -> Self {
        let seen = Arc::new(Seen::default());
        let all = remote(&[0, 1, 2], env);
        seen.answered(&all, seed).await;
        let leases = Leases::start(env, seed, all.clone()).await;
        let this = Self { seen, leases, seed };
        let revision = all.revision().await.unwrap();
        env.tasks.spawn("watch", this.seen.clone().watch(all, revision));
        for client in 0..CLIENTS {
            let store = remote(&[client % 3], env);
            let random = Random::seeded(seed * 100 + client);
            env.tasks.spawn("client", this.seen.clone().client(store, random));
        }
        this
    }

    /// Ends the clients and looks at what they saw; gives how much that was.
    pub async fn end_and_judge(self) -> Vec<(String, u64)> {
        let env = Env::system();
        // A busy machine takes longer until there is something to judge.
        let enough = async {
            while self.known() <= ENOUGH {
                env.clock.sleep(Duration::from_millis(10)).await;
            }
        };
        let enough = env.clock.timeout(Duration::from_secs(60), enough).await;
        assert!(enough.is_some(), "too little came through");
        self.seen.over.store(true, SeqCst);
        for place in 0..3 {
            self.seen.answered(&remote(&[place], &env), self.seed).await;
        }
        let first = remote(&[0], &env);
        let leases = self.leases.end_and_judge(&first, &env, self.seed).await;
        let (operations, answered) = self.judge_registers();
        let events = self.judge_watch().await;
        env.tasks.stop();
        let counts = [
            ("operations", operations),
            ("answered", answered),
            ("events", events),
            ("leases", leases),
        ];
        counts.map(|(name, count)| (name.to_owned(), count)).into()
    }

    /// Operations that were answered.
    fn known(&self) -> usize {
        let operations = self.seen.operations.lock().unwrap();
        let known = operations
            .iter()
            .filter(|(_, operation)| operation.ended.is_some());
        known.count()
    }

    fn judge_registers(&self) -> (u64, u64) {
        let operations = self.seen.operations.lock().unwrap().clone();
        for register in 0..KEYS {
            let of_this = operations.iter().filter(|(of, _)| *of == register);
            let history: Vec<Operation> = of_this.map(|(_, operation)| *operation).collect();
            assert!(
                is_linearizable(&history),
                "seed {}: register {register} is not linearizable: {history:?}",
                self.seed
            );
        }
        (operations.len() as u64, self.known() as u64)
    }

    async fn judge_watch(&self) -> u64 {
        let written = self.seen.written.lock().unwrap().clone();
        let last = written.iter().map(|(revision, _)| *revision).max().unwrap_or(0);
        let waiting = async {
            loop {
                let newest = self.seen.watched.lock().unwrap().last().copied();
                if newest.is_some_and(|(revision, _)| revision >= last) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let waited = tokio::time::timeout(LIMIT, waiting).await;
        assert!(
            waited.is_ok(),
            "seed {}: the watch did not get to {last}",
            self.seed
        );
        let watched = self.seen.watched.lock().unwrap().clone();
        assert!(
            watched.is_sorted_by(|before, after| before.0 < after.0),
            "seed {}: the watch is out of order",
            self.seed
        );
        for write in &written {
            assert!(
                watched.binary_search(write).is_ok(),
                "seed {}: the watch missed {write:?}",
                self.seed
            );
        }
        watched.len() as u64
    }
}
