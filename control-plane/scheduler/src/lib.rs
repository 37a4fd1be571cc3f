//! kube-scheduler: queue, snapshot, plugins, binding.
//!
//! The decision is a pure function of the pod and a snapshot; it never waits for the API server. A pod that was just
//! assigned counts on its node at once, and its binding is written in the background.

mod bind;
mod metrics;
mod plugins;
mod prebind;
mod queue;
mod schedule;
mod snapshot;
mod views;
mod volumes;

use crate::{
    bind::{Binder, Bound},
    metrics::{Metrics, plugins},
    queue::Queue,
    schedule::schedule,
    snapshot::Snapshot,
    views::{NODES, NodeView, PODS, Pod},
    volumes::{CLAIMS, CLASSES, VOLUMES, Volumes},
};
use api::{Object, decision::Ring};
use client::{Cache, Change, Client, Selector};
use component::{Env, State};
use std::sync::Arc;
use tokio::sync::mpsc;

/// The name of the box on the readiness board.
pub const NAME: &str = "kube-scheduler";

/// Settings of the box.
#[derive(Clone, Debug)]
pub struct Config {
    /// Pods that name this scheduler are its own.
    pub scheduler_name: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            scheduler_name: "default-scheduler".to_owned(),
        }
    }
}

/// Starts the scheduler in the task tree of `env`.
pub fn start(client: &Client, config: Config, records: Ring, env: &Env) {
    // Finished pods hold nothing; they are filtered at the server.
    let unfinished = Selector::fields("status.phase!=Succeeded,status.phase!=Failed");
    let pods = Cache::start(client, PODS, unfinished, env);
    let nodes = Cache::start(client, NODES, Selector::all(), env);
    let storage = Storage {
        claims: Cache::start(client, CLAIMS, Selector::all(), env),
        volumes: Cache::start(client, VOLUMES, Selector::all(), env),
        classes: Cache::start(client, CLASSES, Selector::all(), env),
    };
    let claims = storage.claims.clone();
    let binder = Binder::new(client, &config.scheduler_name, records, claims, env);
    let metrics = Metrics::new(&config.scheduler_name, &env.metrics);
    let scheduler = Scheduler {
        config,
        env: env.clone(),
        binder,
        queue: Queue::new(metrics.clone()),
        metrics,
        assumed: 0,
        snapshot: Snapshot::default(),
        turn: 0,
    };
    env.tasks.spawn("scheduler", scheduler.run(pods, nodes, storage));
}

/// What pods can be given.
struct Storage {
    claims: Cache,
    volumes: Cache,
    classes: Cache,
}

struct Scheduler {
    config: Config,
    env: Env,
    binder: Binder,
    queue: Queue,
    metrics: Metrics,
    /// Pods whose binding is being written.
    assumed: usize,
    snapshot: Snapshot,
    turn: u64,
}

impl Scheduler {
    async fn run(mut self, pods: Cache, nodes: Cache, storage: Storage) {
        let Storage {
            claims,
            volumes,
            classes,
        } = storage;
        for cache in [&nodes, &pods, &claims, &volumes, &classes] {
            cache.synced().await;
        }
        let mut claim_changes = claims.subscribe();
        let (mut volume_changes, mut class_changes) = (volumes.subscribe(), classes.subscribe());
        let (mut pod_changes, mut node_changes) = (pods.subscribe(), nodes.subscribe());
        let (bound_sender, mut bound) = mpsc::unbounded_channel();
        self.env.ready.set(NAME, State::Ready);
        loop {
            // Everything that is known comes before the next decision.
            while let Ok(change) = node_changes.try_recv() {
                self.node(&change);
            }
            while let Ok(change) = class_changes.try_recv() {
                self.storage(&change, Volumes::class);
            }
            while let Ok(change) = volume_changes.try_recv() {
                self.storage(&change, Volumes::volume);
            }
            while let Ok(change) = claim_changes.try_recv() {
                self.storage(&change, Volumes::claim);
            }
            while let Ok(change) = pod_changes.try_recv() {
                self.pod(&change);
            }
            if let Some(pod) = self.queue.pop(self.env.clock.now()) {
                self.place(&pod, &bound_sender);
                tokio::task::yield_now().await;
                continue;
            }
            self.count();
            let wake = self.queue.next_wake();
            let timer = async {
                match wake {
                    Some(at) => self.env.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                Some(change) = node_changes.recv() => self.node(&change),
                Some(change) = class_changes.recv() => self.storage(&change, Volumes::class),
                Some(change) = volume_changes.recv() => self.storage(&change, Volumes::volume),
                Some(change) = claim_changes.recv() => self.storage(&change, Volumes::claim),
                Some(change) = pod_changes.recv() => self.pod(&change),
                Some(outcome) = bound.recv() => self.bound(outcome),
                () = timer => {}
            }
        }
    }

    fn node(&mut self, change: &Change) {
        match change {
            Change::Applied { old, new } => {
                self.snapshot.set_node(new.clone());
                if let Some(event) = event(old.as_deref(), new) {
                    self.queue.wake_all(self.env.clock.now(), event);
                }
            }
            Change::Deleted { old } => self.snapshot.remove_node(old.name()),
        }
    }

    /// A class, volume or claim: pods that use claims may go now.
    fn storage(&mut self, change: &Change, take: fn(&mut Volumes, &Change)) {
        take(&mut self.snapshot.volumes, change);
        let now = self.env.clock.now();
        let event = match (change.object().kind(), change) {
            ("StorageClass", _) => "StorageClassAdd",
            ("PersistentVolume", Change::Applied { old: None, .. }) => "PersistentVolumeAdd",
            ("PersistentVolume", _) => "PersistentVolumeUpdate",
            (_, Change::Applied { old: None, .. }) => "PersistentVolumeClaimAdd",
            _ => "PersistentVolumeClaimUpdate",
        };
        self.queue
            .wake_those(now, event, |pod| pod.claims().next().is_some());
    }

    fn pod(&mut self, change: &Change) {
        let now = self.env.clock.now();
        let gone = |scheduler: &mut Self, uid: &str| {
            scheduler.queue.remove(uid);
            if scheduler.snapshot.node_of(uid).is_some() {
                scheduler.snapshot.remove_pod(uid);
                scheduler.queue.wake_all(now, "AssignedPodDelete");
            }
        };
        let object = change.object();
        if let Change::Deleted { .. } = change {
            return gone(self, object.uid());
        }
        let pod = match Pod::new(object.clone()) {
            Ok(pod) => Arc::new(pod),
            Err(error) => {
                tracing::warn!(pod = %object.key(), %error, "pod does not decode; left alone");
                return;
            }
        };
        if pod.is_finished() {
            gone(self, object.uid());
        } else if !pod.spec.node_name.is_empty() {
            self.queue.remove(object.uid());
            let node = pod.spec.node_name.clone();
            self.snapshot.set_pod(&node, pod);
        } else if pod.spec.scheduler_name == self.config.scheduler_name
            && object.deletion_timestamp().is_none()
            && pod.spec.scheduling_gates.is_empty()
            && self.snapshot.node_of(object.uid()).is_none()
        {
            self.queue.add(pod, now);
        } else if object.deletion_timestamp().is_some() {
            self.queue.remove(object.uid());
        } else if !pod.spec.scheduling_gates.is_empty() {
            self.queue.gate(object.uid());
        }
    }

    fn count(&self) {
        let nodes = self.snapshot.nodes();
        let (nodes, pods) = nodes.fold((0, 0), |(nodes, pods), (_, node)| {
            (nodes + 1, pods + node.pods.len())
        });
        self.metrics
            .sizes(self.queue.sizes(), (nodes, pods, self.assumed));
    }

    fn place(&mut self, pod: &Arc<Pod>, bound: &mpsc::UnboundedSender<Bound>) {
        self.turn += 1;
        let uid = pod.object.uid();
        let (attempt, start) = (self.queue.attempt(uid), self.env.clock.now());
        let decision = schedule(pod, &self.snapshot, self.turn);
        let now = self.env.clock.now();
        self.metrics.decided(start, now);
        match decision {
            Ok(node) => {
                let object = self.snapshot.node(&node);
                let volumes = object.and_then(|object| self.snapshot.volumes.assign(pod, object).ok());
                let volumes = volumes.unwrap_or_default();
                self.snapshot.volumes.assume(&volumes, &node);
                self.snapshot.set_pod(&node, pod.clone());
                self.assumed += 1;
                let wanted = Bound {
                    pod: pod.clone(),
                    node,
                    volumes,
                    attempt,
                    done: false,
                };
                self.binder.bind(wanted, bound.clone());
            }
            Err(diagnosis) => {
                if let Some(attempt) = attempt {
                    self.metrics.attempted(attempt, "unschedulable", now);
                }
                self.queue.refuse(uid, plugins(&diagnosis));
                self.binder.refuse(pod.clone(), &diagnosis);
            }
        }
    }

    fn bound(&mut self, outcome: Bound) {
        let uid = outcome.pod.object.uid();
        self.assumed -= 1;
        if let Some(attempt) = outcome.attempt {
            let result = if outcome.done { "scheduled" } else { "error" };
            self.metrics.attempted(attempt, result, self.env.clock.now());
        }
        self.snapshot.volumes.forget(&outcome.volumes);
        if outcome.done {
            self.queue.remove(uid);
        } else if self.snapshot.node_of(uid) == Some(&outcome.node) {
            self.snapshot.remove_pod(uid);
            self.queue
                .wake(uid, self.env.clock.now(), "ScheduleAttemptFailure");
        }
    }
}

/// What of a node changed that could let a pod on it, as upstream calls it: a heartbeat does not.
fn event(old: Option<&Object>, new: &Object) -> Option<&'static str> {
    let Some(old) = old else {
        return Some("NodeAdd");
    };
    let view = |o: &Object| o.view::<NodeView>().unwrap_or_default();
    let (was, is) = (view(old), view(new));
    if was.spec != is.spec {
        Some("NodeUpdateNodeTaint")
    } else if was.status != is.status {
        Some("NodeUpdateNodeAllocatable")
    } else {
        (!old.labels().eq(new.labels())).then_some("NodeUpdateNodeLabel")
    }
}
