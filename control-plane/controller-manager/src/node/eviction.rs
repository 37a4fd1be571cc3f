//! Evicts pods that do not tolerate a NoExecute taint of their node, or no longer.

use super::Node;
use crate::views::{Condition, NODES, PODS, Pod, Seen, seconds, see};
use api::{
    Gvr, Key, Taint,
    decision::{Reason, Verdict},
};
use client::{Caches, Change, Patch};
use jiff::Timestamp;
use reconcile::{About, Controller, LastOutcome, Note, Plan, Watch, own_key};
use serde::Serialize;
use std::time::Duration;

/// The taint eviction controller.
#[derive(Debug)]
pub struct TaintEvictionController;

/// A bound pod and the NoExecute taints of its node.
#[derive(Debug)]
pub struct Observed {
    pod: Seen<Pod>,
    taints: Vec<Taint>,
}

impl Controller for TaintEvictionController {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }

    fn primary(&self) -> Gvr {
        PODS
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::all(PODS, own_key), Watch::all(NODES, node_keys)]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Observed> {
        let pod: Seen<Pod> = see(caches.all(&PODS).get(key)?)?;
        if pod.view.spec.node_name.is_empty() || !pod.is_active() {
            return None;
        }
        let node: Seen<Node> = see(caches.all(&NODES).get(&Key::cluster(&pod.view.spec.node_name))?)?;
        let taints: Vec<Taint> = node
            .view
            .spec
            .taints
            .into_iter()
            .filter(|t| t.effect == "NoExecute")
            .collect();
        (!taints.is_empty()).then_some(Observed { pod, taints })
    }

    fn reconcile(&self, observed: &Observed, _: &LastOutcome, now: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let pod = &observed.pod;
        // The pod may stay as long as the least patient of the tolerations it needs.
        let mut deadline: Option<Timestamp> = None;
        for taint in &observed.taints {
            let tolerations = pod.view.spec.tolerations.iter().filter(|t| t.tolerates(taint));
            let mut patience: Option<Option<i64>> = None;
            for toleration in tolerations {
                patience = Some(match (patience, toleration.toleration_seconds) {
                    (Some(Some(a)), Some(b)) => Some(a.min(b)),
                    (Some(Some(a)), None) => Some(a),
                    (_, b) => b,
                });
            }
            let until = match patience {
                None => now,
                Some(None) => continue,
                Some(Some(wait)) => {
                    // A pod that came later has its time from then on.
                    let came = pod.object.creation_timestamp().unwrap_or(Timestamp::MIN);
                    let added = taint.time_added.unwrap_or(now).max(came);
                    added
                        .saturating_add(jiff::SignedDuration::from_secs(wait.max(0)))
                        .unwrap_or(Timestamp::MAX)
                }
            };
            deadline = Some(deadline.map_or(until, |d| d.min(until)));
        }
        match deadline {
            Some(at) if at <= now => evict(&mut plan, pod, now),
            Some(at) => {
                plan.again_after(Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO))
            }
            None => {}
        }
        plan
    }
}

fn node_keys(change: &Change, caches: &Caches) -> Vec<Key> {
    let node = change.object().name();
    let taints = |o: &api::Object| o.view::<Node>().map(|n| n.spec.taints).unwrap_or_default();
    if let Change::Applied { old: Some(old), new } = change
        && taints(old) == taints(new)
    {
        return Vec::new();
    }
    let on_node = |p: &Seen<Pod>| p.view.spec.node_name == node;
    caches
        .all(&PODS)
        .all()
        .into_iter()
        .filter_map(see::<Pod>)
        .filter(on_node)
        .map(|p| p.object.key())
        .collect()
}

#[derive(Serialize)]
struct ConditionPatch<'a> {
    metadata: UidMeta<'a>,
    status: ConditionStatus,
}

#[derive(Serialize)]
struct UidMeta<'a> {
    uid: &'a str,
}

#[derive(Serialize)]
struct ConditionStatus {
    conditions: [Condition; 1],
}

fn evict(plan: &mut Plan, pod: &Seen<Pod>, now: Timestamp) {
    let condition = Condition {
        r#type: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
        last_transition_time: Some(seconds(now)),
        reason: "DeletionByTaintManager".to_owned(),
        message: "Taint manager: deleting due to NoExecute taint".to_owned(),
        ..Condition::default()
    };
    let metadata = UidMeta {
        uid: pod.object.uid(),
    };
    let patch = ConditionPatch {
        metadata,
        status: ConditionStatus {
            conditions: [condition],
        },
    };
    let key = pod.object.key();
    plan.patch("condition", &PODS, &key, "status", Patch::Strategic, &patch);
    plan.delete("evict", &PODS, &pod.object);
    let note = Note::normal(
        About::object(&pod.object),
        "TaintManagerEviction",
        format!("Marking for deletion Pod {key}"),
    );
    plan.noting(Some(note), None);
    plan.because(
        Verdict::Done,
        Reason::new("NoExecuteTaint").with("node", &pod.view.spec.node_name),
    );
}
