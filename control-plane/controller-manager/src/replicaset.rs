//! ReplicaSet: keeps the wished number of pods (upstream `pkg/controller/replicaset`).

use crate::{
    claim,
    memo::Memo,
    views::{
        Condition, Meta, PODS, Pod, REPLICA_SETS, ReplicaSet, ReplicaSetStatus, Seen, controller_ref,
        seconds, see,
    },
};
use api::{
    Gvr, Key,
    decision::{Reason, Verdict},
};
use client::{Caches, Change};
use jiff::Timestamp;
use reconcile::{About, Controller, LastOutcome, Note, Plan, Watch, own_key, owner_key};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{cmp::Reverse, sync::Arc, time::Duration};

/// At most so many pods are created or deleted by one plan.
const BURST: usize = 500;

/// The ReplicaSet controller.
#[derive(Debug, Default)]
pub struct ReplicaSetController {
    pods: Memo<Pod>,
}

/// A ReplicaSet and the pods that are or could be its own.
#[derive(Debug)]
pub struct Observed {
    set: Seen<ReplicaSet>,
    pods: Vec<Arc<Seen<Pod>>>,
}

impl Controller for ReplicaSetController {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        "replicaset-controller"
    }

    fn primary(&self) -> Gvr {
        REPLICA_SETS
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::all(REPLICA_SETS, own_key), Watch::all(PODS, pod_keys)]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Observed> {
        let set: Seen<ReplicaSet> = see(caches.all(&REPLICA_SETS).get(key)?)?;
        let selector = set.view.spec.selector.selector().ok()?;
        let concerns = |pod: &api::Object| claim::concerns(pod, &set.object, &selector);
        let pods = caches
            .all(&PODS)
            .in_namespace(&key.namespace)
            .into_iter()
            .filter(|pod| concerns(pod));
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
        let failure = last.refused("create-pod").or(last.refused("delete-pod"));
        let failure = failure.map(|status| (last.refused("create-pod").is_some(), status.message.clone()));
        // A refusal ends a plan: after one, the status is told first.
        if failure.is_some() {
            status(&mut plan, observed, &active, failure.clone(), now);
        }
        if observed.set.object.deletion_timestamp().is_none() {
            if active.len() < wished {
                create(&mut plan, observed, wished - active.len());
            } else if active.len() > wished {
                delete(&mut plan, observed, &active, active.len() - wished, now);
            }
        }
        if failure.is_none() {
            status(&mut plan, observed, &active, None, now);
        }
        plan
    }
}

fn pod_keys(change: &Change, caches: &Caches) -> Vec<Key> {
    let pod = change.object();
    if pod.controller().is_some() {
        return owner_key(change, "ReplicaSet");
    }
    // An orphan concerns each set that would adopt it; one just released concerns its former owner.
    let mut keys = owner_key(change, "ReplicaSet");
    for set in caches.all(&REPLICA_SETS).in_namespace(pod.namespace()) {
        let selector = see::<ReplicaSet>(set.clone()).and_then(|s| s.view.spec.selector.selector().ok());
        if selector.is_some_and(|s| s.matches(|key| pod.label(key))) {
            keys.push(set.key());
        }
    }
    keys
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewPod<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Meta,
    spec: &'a RawValue,
}

fn create(plan: &mut Plan, observed: &Observed, missing: usize) {
    let set = &observed.set;
    let template = &set.view.spec.template;
    // Room for the random suffix in 63 characters, as upstream's `getPodsPrefix`.
    let prefix = format!("{}-", set.object.name());
    let prefix = if prefix.len() <= 57 {
        prefix
    } else {
        set.object.name().to_owned()
    };
    let pod = NewPod {
        api_version: "v1",
        kind: "Pod",
        metadata: Meta {
            generate_name: prefix,
            namespace: set.object.namespace().to_owned(),
            labels: template.metadata.labels.clone(),
            annotations: template.metadata.annotations.clone(),
            finalizers: template.metadata.finalizers.clone(),
            owner_references: vec![controller_ref(&set.object)],
            ..Meta::default()
        },
        spec: &template.spec,
    };
    let about = About::object(&set.object);
    for _ in 0..missing.min(BURST) {
        plan.create("create-pod", &PODS, set.object.namespace(), &pod);
        plan.noting(
            Some(Note::normal(
                about.clone(),
                "SuccessfulCreate",
                "Created pod: {name}",
            )),
            Some(Note::warning(
                about.clone(),
                "FailedCreate",
                "Error creating: {error}",
            )),
        );
    }
    plan.because(Verdict::Done, Reason::new("TooFewPods").with("missing", missing));
}

fn delete(plan: &mut Plan, observed: &Observed, active: &[&Seen<Pod>], excess: usize, now: Timestamp) {
    let mut ranked: Vec<&Seen<Pod>> = active.to_vec();
    ranked.sort_by_cached_key(|pod| rank(pod, active, now));
    let about = About::object(&observed.set.object);
    for pod in ranked.into_iter().take(excess.min(BURST)) {
        plan.delete("delete-pod", &PODS, &pod.object);
        plan.noting(
            Some(Note::normal(
                about.clone(),
                "SuccessfulDelete",
                format!("Deleted pod: {}", pod.object.name()),
            )),
            Some(Note::warning(
                about.clone(),
                "FailedDelete",
                "Error deleting: {error}",
            )),
        );
    }
    plan.because(Verdict::Done, Reason::new("TooManyPods").with("excess", excess));
}

type Rank = (
    bool,
    u8,
    bool,
    i64,
    Reverse<usize>,
    i64,
    Reverse<i32>,
    i64,
    String,
);

/// The order in which pods go (upstream `ActivePodsWithRanks`): unassigned, pending, not ready, cheap to delete, on
/// crowded nodes, ready for less time (in powers of ten), restarted more, younger.
fn rank(pod: &Seen<Pod>, active: &[&Seen<Pod>], now: Timestamp) -> Rank {
    let phase = match pod.view.status.phase.as_str() {
        "Pending" | "" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let node = &pod.view.spec.node_name;
    let neighbours = active
        .iter()
        .filter(|p| !node.is_empty() && p.view.spec.node_name == *node)
        .count();
    let cost = pod
        .view
        .metadata
        .annotations
        .get("controller.kubernetes.io/pod-deletion-cost");
    let cost: i64 = cost.and_then(|c| c.parse().ok()).unwrap_or(0);
    let age = |t: Option<Timestamp>| t.map_or(0, |t| (now.as_second() - t.as_second()).max(0));
    let magnitude = |seconds: i64| i64::from(seconds.max(1).ilog10());
    let restarts = pod
        .view
        .status
        .container_statuses
        .iter()
        .map(|c| c.restart_count)
        .max()
        .unwrap_or(0);
    (
        !node.is_empty(),
        phase,
        pod.is_ready(),
        cost,
        Reverse(neighbours),
        magnitude(age(pod.ready_since())),
        Reverse(restarts),
        magnitude(age(pod.object.creation_timestamp())),
        pod.object.uid().to_owned(),
    )
}

#[derive(Serialize)]
struct UidMeta<'a> {
    uid: &'a str,
}

#[derive(Serialize)]
struct StatusPatch<'a> {
    metadata: UidMeta<'a>,
    status: &'a ReplicaSetStatus,
}

fn status(
    plan: &mut Plan,
    observed: &Observed,
    active: &[&Seen<Pod>],
    failure: Option<(bool, String)>,
    now: Timestamp,
) {
    let set = &observed.set;
    let min_ready = set.view.spec.min_ready_seconds;
    let template = &set.view.spec.template.metadata.labels;
    let count = |f: &dyn Fn(&Seen<Pod>) -> bool| {
        i32::try_from(active.iter().filter(|p| f(p)).count()).unwrap_or(i32::MAX)
    };
    let new = ReplicaSetStatus {
        replicas: count(&|_| true),
        fully_labeled_replicas: count(&|p| template.iter().all(|(k, v)| p.object.label(k) == Some(v))),
        ready_replicas: count(&|p| p.is_ready()),
        available_replicas: count(&|p| p.is_available(min_ready, now)),
        observed_generation: set.object.generation(),
        conditions: conditions(&set.view.status.conditions, failure, plan, now),
    };
    if new.available_replicas < new.ready_replicas {
        plan.again_after(Duration::from_secs(min_ready.unsigned_abs().max(1)));
    }
    if new != set.view.status {
        let patch = StatusPatch {
            metadata: UidMeta {
                uid: set.object.uid(),
            },
            status: &new,
        };
        plan.patch(
            "status",
            &REPLICA_SETS,
            &set.object.key(),
            "status",
            client::Patch::Merge,
            &patch,
        );
    }
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
        .any(|w| matches!(w.label, "create-pod" | "delete-pod"));
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
