//! ReplicaSet and ReplicationController: keep the wished number of pods (upstream `pkg/controller/replicaset`).

use crate::{
    claim,
    memo::Memo,
    views::{Condition, PODS, Pod, REPLICA_SETS, ReplicaSet, ReplicaSetStatus, Seen, seconds, see},
    workloads::{
        pods::{self, BURST, NewPod},
        status,
    },
};
use api::{
    Gvr, Key,
    decision::{Reason, Verdict},
};
use client::{Caches, Change};
use jiff::Timestamp;
use reconcile::{Controller, LastOutcome, Plan, Watch, own_key, owner_key};
use std::{collections::BTreeMap, marker::PhantomData, sync::Arc, time::Duration};

const REPLICATION_CONTROLLERS: Gvr = Gvr::new("", "v1", "replicationcontrollers");

/// A kind that keeps a number of pods.
pub trait Replicated: std::fmt::Debug + Send + Sync + 'static {
    /// The name of its controller.
    const CONTROLLER: &'static str;
    /// The kind.
    const KIND: &'static str;
    /// Its resource.
    const RESOURCE: Gvr;
}

/// ReplicaSets.
#[derive(Debug)]
pub struct ReplicaSets;

impl Replicated for ReplicaSets {
    const CONTROLLER: &'static str = "replicaset-controller";
    const KIND: &'static str = "ReplicaSet";
    const RESOURCE: Gvr = REPLICA_SETS;
}

/// ReplicationControllers.
#[derive(Debug)]
pub struct ReplicationControllers;

impl Replicated for ReplicationControllers {
    const CONTROLLER: &'static str = "replication-controller";
    const KIND: &'static str = "ReplicationController";
    const RESOURCE: Gvr = REPLICATION_CONTROLLERS;
}

/// The controller of one of these kinds.
#[derive(Debug)]
pub struct Replicas<K> {
    pods: Memo<Pod>,
    kind: PhantomData<K>,
}

impl<K> Default for Replicas<K> {
    fn default() -> Self {
        Self {
            pods: Memo::default(),
            kind: PhantomData,
        }
    }
}

/// The ReplicaSet controller.
pub type ReplicaSetController = Replicas<ReplicaSets>;

/// The ReplicationController controller.
pub type ReplicationController = Replicas<ReplicationControllers>;

/// A ReplicaSet and the pods that are or could be its own.
#[derive(Debug)]
pub struct Observed {
    set: Seen<ReplicaSet>,
    pods: Vec<Arc<Seen<Pod>>>,
}

impl<K: Replicated> Controller for Replicas<K> {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        K::CONTROLLER
    }

    fn primary(&self) -> Gvr {
        K::RESOURCE
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::all(K::RESOURCE, own_key), Watch::all(PODS, pod_keys::<K>)]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Observed> {
        let set: Seen<ReplicaSet> = see(caches.all(&K::RESOURCE).get(key)?)?;
        let selector = set.view.spec.selector.selector().ok()?;
        let pods = claim::children(&caches.all(&PODS), &set.object, &selector).into_iter();
        let pods = pods.filter_map(|pod| self.pods.see(pod)).collect();
        Some(Observed { set, pods })
    }

    fn reconcile(&self, observed: &Observed, last: &LastOutcome, now: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let Ok(selector) = observed.set.view.spec.selector.selector() else {
            return plan;
        };
        let own = claim::claim(&mut plan, &observed.set.object, &selector, &observed.pods);
        let active: Vec<&Seen<Pod>> = own.into_iter().filter(|pod| pod.is_active()).collect();
        let wished = usize::try_from(observed.set.view.spec.replicas).unwrap_or(0);
        let failure = last.refused(pods::CREATE).or(last.refused(pods::DELETE));
        let failure = failure.map(|status| (last.refused(pods::CREATE).is_some(), status.message.clone()));
        // A refusal ends a plan: after one, the status is told first.
        if failure.is_some() {
            status::<K>(&mut plan, observed, &active, failure.clone(), now);
        }
        if observed.set.object.deletion_timestamp().is_none() {
            if active.len() < wished {
                create(&mut plan, observed, wished - active.len());
            } else if active.len() > wished {
                delete(&mut plan, observed, &active, active.len() - wished, now);
            }
        }
        if failure.is_none() {
            status::<K>(&mut plan, observed, &active, None, now);
        }
        plan
    }
}

fn pod_keys<K: Replicated>(change: &Change, caches: &Caches) -> Vec<Key> {
    let pod = change.object();
    if pod.controller().is_some() {
        return owner_key(change, K::KIND);
    }
    // An orphan concerns each set that would adopt it; one just released concerns its former owner.
    let mut keys = owner_key(change, K::KIND);
    for set in caches.all(&K::RESOURCE).in_namespace(pod.namespace()) {
        let selector = see::<ReplicaSet>(set.clone()).and_then(|s| s.view.spec.selector.selector().ok());
        if selector.is_some_and(|s| s.matches(|key| pod.label(key))) {
            keys.push(set.key());
        }
    }
    keys
}

fn create(plan: &mut Plan, observed: &Observed, missing: usize) {
    let set = &observed.set;
    let pod = NewPod::of(&set.object, &set.view.spec.template);
    for _ in 0..missing.min(BURST) {
        pod.create(plan, &set.object);
    }
    plan.because(Verdict::Done, Reason::new("TooFewPods").with("missing", missing));
}

fn delete(plan: &mut Plan, observed: &Observed, active: &[&Seen<Pod>], excess: usize, now: Timestamp) {
    let mut crowds: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in active.iter().filter(|pod| !pod.view.spec.node_name.is_empty()) {
        *crowds.entry(&pod.view.spec.node_name).or_default() += 1;
    }
    let crowd = |pod: &Seen<Pod>| crowds.get(pod.view.spec.node_name.as_str()).copied();
    let mut ranked: Vec<&Seen<Pod>> = active.to_vec();
    ranked.sort_by_cached_key(|pod| pods::rank(pod, crowd(pod).unwrap_or(0), now));
    for pod in ranked.into_iter().take(excess.min(BURST)) {
        pods::delete(plan, &observed.set.object, &pod.object);
    }
    plan.because(Verdict::Done, Reason::new("TooManyPods").with("excess", excess));
}

fn status<K: Replicated>(
    plan: &mut Plan,
    observed: &Observed,
    active: &[&Seen<Pod>],
    failure: Option<(bool, String)>,
    now: Timestamp,
) {
    let set = &observed.set;
    let min_ready = set.view.spec.min_ready_seconds;
    let template = &set.view.spec.template.metadata.labels;
    let new = ReplicaSetStatus {
        replicas: pods::count(active, |_| true),
        fully_labeled_replicas: pods::count(active, |p| {
            template.iter().all(|(k, v)| p.object.label(k) == Some(v))
        }),
        ready_replicas: pods::count(active, |p| p.is_ready()),
        available_replicas: pods::count(active, |p| p.is_available(min_ready, now)),
        observed_generation: set.object.generation(),
        conditions: conditions(&set.view.status.conditions, failure, plan, now),
    };
    if new.available_replicas < new.ready_replicas {
        plan.again_after(Duration::from_secs(min_ready.unsigned_abs().max(1)));
    }
    status::write(plan, &K::RESOURCE, &set.object, &set.view.status, &new);
}

/// ReplicaFailure is set by a refusal and goes when there is nothing left to make or a plan went through.
fn conditions(
    old: &[Condition],
    failure: Option<(bool, String)>,
    plan: &Plan,
    now: Timestamp,
) -> Vec<Condition> {
    let mut conditions: Vec<Condition> = old.to_vec();
    let pending = plan
        .writes
        .iter()
        .any(|w| matches!(w.label, pods::CREATE | pods::DELETE));
    match failure {
        Some((create, message)) => {
            let reason = if create { "FailedCreate" } else { "FailedDelete" };
            let known = conditions
                .iter()
                .any(|c| c.r#type == "ReplicaFailure" && c.reason == reason);
            if !known {
                conditions.retain(|c| c.r#type != "ReplicaFailure");
                conditions.push(Condition {
                    r#type: "ReplicaFailure".to_owned(),
                    status: "True".to_owned(),
                    last_transition_time: Some(seconds(now)),
                    reason: reason.to_owned(),
                    message,
                    ..Condition::default()
                });
            }
        }
        None if !pending => conditions.retain(|c| c.r#type != "ReplicaFailure"),
        None => {}
    }
    conditions
}
