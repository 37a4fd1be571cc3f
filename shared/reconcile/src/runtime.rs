//! The runtime: runs any number of controllers over the caches of a process.

use crate::{
    LastOutcome, Plan, Queue,
    executor::{self, Carried},
    hold,
};
use api::{
    Gvr, Key,
    decision::{Record, Ring},
};
use client::{Cache, Caches, Change, Client, Recorder, Selector};
use component::Env;
use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Objects that a controller watches, and which of its keys a change of one concerns.
pub struct Watch {
    /// The resource.
    pub gvr: Gvr,
    /// Which of them.
    pub selector: Selector,
    /// The keys that the change concerns.
    pub keys: fn(&Change, &Caches) -> Vec<Key>,
}

impl Watch {
    /// All objects of a resource.
    pub fn all(gvr: Gvr, keys: fn(&Change, &Caches) -> Vec<Key>) -> Self {
        Self {
            gvr,
            selector: Selector::all(),
            keys,
        }
    }
}

/// The key of the changed object itself.
pub fn own_key(change: &Change, _: &Caches) -> Vec<Key> {
    vec![change.object().key()]
}

/// The keys of the controlling owners of kind `kind`, before and after the change.
pub fn owner_key(change: &Change, kind: &str) -> Vec<Key> {
    let owner = |object: &api::Object| {
        let owner = object.controller().filter(|owner| owner.kind == kind)?;
        Some(Key::new(object.namespace(), &owner.name))
    };
    let mut keys: Vec<Key> = match change {
        Change::Applied { old, new } => old
            .as_deref()
            .and_then(owner)
            .into_iter()
            .chain(owner(new))
            .collect(),
        Change::Deleted { old } => owner(old).into_iter().collect(),
    };
    keys.dedup();
    keys
}

/// A controller: watches and two pure functions.
pub trait Controller: Send + Sync + 'static {
    /// What `reconcile` looks at: everything it needs, cut out of the caches.
    type Observed: Send;

    /// Its name, such as `deployment-controller`; the actor of its records and the source of its events.
    fn name(&self) -> &'static str;

    /// What metrics call its queue, where upstream does not call it by the name.
    fn queue(&self) -> &'static str {
        self.name().trim_end_matches("-controller")
    }

    /// The resource of its keys.
    fn primary(&self) -> Gvr;

    /// What it watches, its primary resource included.
    fn watches(&self) -> Vec<Watch>;

    /// How many keys may be at work at once.
    fn workers(&self) -> usize {
        5
    }

    /// Cuts what concerns `key` out of the caches; `None` when there is nothing to do for it.
    fn observe(&self, caches: &Caches, key: &Key) -> Option<Self::Observed>;

    /// What is to be done.
    fn reconcile(&self, observed: &Self::Observed, last: &LastOutcome, now: Timestamp) -> Plan;
}

/// Runs controllers. Clones are the same runtime.
#[derive(Clone, Debug)]
pub struct Runtime {
    client: Client,
    caches: Caches,
    records: Ring,
    env: Env,
    late: Arc<AtomicU64>,
}

impl Runtime {
    /// Over `client`; decision records go to `records`.
    pub fn new(client: Client, records: Ring, env: Env) -> Self {
        let caches = Caches::new(client.clone(), env.clone());
        Self {
            client,
            caches,
            records,
            env,
            late: Arc::default(),
        }
    }

    /// The caches that the controllers share.
    pub fn caches(&self) -> &Caches {
        &self.caches
    }

    /// How often a key was released before the caches showed its writes.
    pub fn late_holds(&self) -> u64 {
        self.late.load(Ordering::Relaxed)
    }

    /// Starts a controller.
    pub fn start<C: Controller>(&self, controller: C) {
        let controller = Arc::new(controller);
        let watches = controller.watches();
        let caches: Vec<Cache> = watches
            .iter()
            .map(|w| self.caches.select(&w.gvr, w.selector.clone()))
            .collect();
        let queue = Queue::new(controller.queue(), &self.env);
        let recorder = Recorder::start(&self.client, controller.name(), "", &self.env);
        for (watch, cache) in watches.into_iter().zip(&caches) {
            let (mut changes, queue, all) = (cache.subscribe(), queue.clone(), self.caches.clone());
            self.env.tasks.spawn("watch", async move {
                while let Some(change) = changes.recv().await {
                    (watch.keys)(&change, &all)
                        .into_iter()
                        .for_each(|key| queue.add(key));
                }
            });
        }
        let worker = Worker {
            controller,
            caches,
            queue,
            recorder,
            runtime: self.clone(),
            outcomes: Arc::default(),
        };
        for _ in 0..worker.controller.workers() {
            self.env.tasks.spawn("worker", worker.clone().run());
        }
    }
}

struct Worker<C> {
    controller: Arc<C>,
    caches: Vec<Cache>,
    queue: Queue<Key>,
    recorder: Recorder,
    runtime: Runtime,
    outcomes: Arc<Mutex<BTreeMap<Key, LastOutcome>>>,
}

impl<C> Clone for Worker<C> {
    fn clone(&self) -> Self {
        Self {
            controller: self.controller.clone(),
            caches: self.caches.clone(),
            queue: self.queue.clone(),
            recorder: self.recorder.clone(),
            runtime: self.runtime.clone(),
            outcomes: self.outcomes.clone(),
        }
    }
}

impl<C: Controller> Worker<C> {
    async fn run(self) {
        for cache in &self.caches {
            cache.synced().await;
        }
        loop {
            let key = self.queue.next().await;
            self.work(&key).await;
            self.queue.done(&key);
        }
    }

    async fn work(&self, key: &Key) {
        let last = self.outcome(|all| all.remove(key)).unwrap_or_default();
        let Some(observed) = self.controller.observe(&self.runtime.caches, key) else {
            self.queue.forget(key);
            return;
        };
        let now = self.runtime.env.clock.wall();
        let plan = self.controller.reconcile(&observed, &last, now);
        drop(observed);
        self.keep_record(key, &plan, now);
        let carried = executor::execute(&self.runtime.client, plan.writes, &self.recorder).await;
        let Carried {
            mut outcome,
            done,
            unsure,
        } = carried;
        for note in plan.events {
            self.recorder
                .record(note.about, note.severity, note.reason, note.message);
        }
        if let Some(delay) = plan.requeue_after {
            self.queue.add_after(key.clone(), delay);
        }
        if !hold::hold(&self.caches, &done, &self.runtime.env.clock).await {
            self.runtime.late.fetch_add(1, Ordering::Relaxed);
            self.refresh(&done).await;
        }
        for (gvr, key) in &unsure {
            if !self.look(gvr, key).await {
                outcome.doubt();
            }
        }
        if outcome.is_done() {
            self.queue.forget(key);
        } else {
            tracing::debug!(controller = self.controller.name(), %key, ?outcome, "plan was not carried out whole");
            self.queue.add_after_failure(key.clone());
        }
        if !outcome.0.is_empty() {
            self.outcome(|all| all.insert(key.clone(), outcome));
        }
    }

    fn outcome<T>(&self, f: impl FnOnce(&mut BTreeMap<Key, LastOutcome>) -> T) -> T {
        f(&mut self.outcomes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn keep_record(&self, key: &Key, plan: &Plan, now: Timestamp) {
        let Some(verdict) = plan.verdict else { return };
        let mut record = Record::new(
            now,
            self.controller.name(),
            &self.controller.primary(),
            key,
            verdict,
        );
        record.reasons.clone_from(&plan.reasons);
        let primary = self.caches.iter().find(|c| *c.gvr() == self.controller.primary());
        record.resource_version = primary
            .and_then(|c| c.get(key))
            .map_or(0, |o| o.resource_version());
        self.runtime.records.push(record);
    }

    /// Brings an object up to date in the caches; false if it could not be read.
    async fn look(&self, gvr: &Gvr, key: &Key) -> bool {
        let Some(cache) = self.caches.iter().find(|c| c.gvr() == gvr) else {
            return true;
        };
        match self.runtime.client.find(gvr, key).await {
            // A cache that is past this version and does not hold the object has seen it go.
            Ok(Some(live)) if cache.version().is_none_or(|v| v < live.resource_version()) => {
                cache.apply(live)
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "live read failed");
                return false;
            }
        }
        true
    }

    /// Live reads, for caches that did not follow in time.
    async fn refresh(&self, done: &[executor::Done]) {
        for (write, object) in done {
            for cache in self.caches.iter().filter(|c| *c.gvr() == write.target.gvr) {
                match self.runtime.client.find(cache.gvr(), &object.key()).await {
                    // A cache that is past this version and does not hold the object has seen it go.
                    Ok(Some(live)) if cache.version().is_none_or(|v| v < live.resource_version()) => {
                        cache.apply(live)
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => cache.remove(object),
                    Err(error) => tracing::debug!(%error, "live read failed"),
                }
            }
        }
    }
}
