//! Health of nodes: a node whose kubelet no longer renews its lease is Unknown; what is not Ready is tainted.

use super::{NOT_READY, Node, UNREACHABLE};
use crate::views::{Condition, LEASES, NODES, PODS, Pod, Seen, seconds, see};
use api::{
    Gvr, Key, Object, Taint,
    decision::{Reason, Verdict},
};
use client::{Caches, Change, Patch};
use jiff::{SignedDuration, Timestamp};
use reconcile::{About, Controller, LastOutcome, Note, Plan, Watch, own_key};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

/// Upstream's `--node-monitor-grace-period`.
const GRACE: SignedDuration = SignedDuration::from_secs(50);
const LEASE_NAMESPACE: &str = "kube-node-lease";

/// The conditions a kubelet reports, which nobody vouches for once it is silent.
const REPORTED: [&str; 4] = ["Ready", "MemoryPressure", "DiskPressure", "PIDPressure"];

/// The node lifecycle controller.
#[derive(Debug)]
pub struct NodeLifecycleController {
    /// When this process started: silence before counts from here, for the cluster may have been off.
    pub since: Timestamp,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Lease {
    spec: LeaseSpec,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LeaseSpec {
    renew_time: Option<Timestamp>,
}

/// A node, when it was last heard of, and all pods, to be looked at when it is not ready.
#[derive(Debug)]
pub struct Observed {
    node: Seen<Node>,
    renewed: Option<Timestamp>,
    pods: Vec<Arc<Object>>,
}

impl Controller for NodeLifecycleController {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        "node-controller"
    }

    fn primary(&self) -> Gvr {
        NODES
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::all(NODES, own_key),
            Watch::all(LEASES, lease_keys),
            Watch::all(PODS, |_, _| Vec::new()),
        ]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Observed> {
        let node: Seen<Node> = see(caches.all(&NODES).get(key)?)?;
        let lease = caches
            .all(&LEASES)
            .get(&Key::new(LEASE_NAMESPACE, &key.name))
            .and_then(see::<Lease>);
        let pods = caches.all(&PODS).all();
        Some(Observed {
            node,
            renewed: lease.and_then(|l| l.view.spec.renew_time),
            pods,
        })
    }

    fn reconcile(&self, observed: &Observed, _: &LastOutcome, now: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let node = &observed.node;
        let created = node.object.creation_timestamp().unwrap_or(now);
        // A status is a sign of life too: it may be seen before the lease that was renewed with it.
        let ready = node.view.status.conditions.iter().find(|c| c.r#type == "Ready");
        let reported = ready
            .filter(|c| c.status != "Unknown")
            .and_then(|c| c.last_heartbeat_time);
        let signs = [observed.renewed, reported, Some(created), Some(self.since)];
        let heard = signs.into_iter().flatten().max().unwrap_or(now);
        let silent = now.duration_since(heard);
        let lost = silent > GRACE;
        if lost {
            mark_unknown(&mut plan, observed, now);
        } else {
            let left = Duration::try_from(GRACE - silent).unwrap_or(Duration::ZERO);
            plan.again_after(left + Duration::from_millis(100));
        }
        let ready = ready.map(|c| c.status.as_str());
        let ready = if lost { Some("Unknown") } else { ready };
        taint(&mut plan, node, ready, now);
        if ready != Some("True") {
            let on_node = |p: &Seen<Pod>| p.view.spec.node_name == node.object.name() && p.is_ready();
            for pod in observed
                .pods
                .iter()
                .cloned()
                .filter_map(see::<Pod>)
                .filter(on_node)
            {
                mark_not_ready(&mut plan, &pod, now);
            }
        }
        plan
    }
}

fn lease_keys(change: &Change, caches: &Caches) -> Vec<Key> {
    let lease = change.object();
    if lease.namespace() != LEASE_NAMESPACE {
        return Vec::new();
    }
    // A renewal is no news while the node is healthy: the deadline is looked at when it comes.
    let key = Key::cluster(lease.name());
    let fresh = matches!(change, Change::Applied { old: None, .. } | Change::Deleted { .. });
    let node = || caches.all(&NODES).get(&key).and_then(see::<Node>);
    let healthy = |n: Seen<Node>| {
        n.view
            .status
            .conditions
            .iter()
            .any(|c| c.r#type == "Ready" && c.status == "True")
    };
    if fresh || !node().is_some_and(healthy) {
        vec![key]
    } else {
        Vec::new()
    }
}

#[derive(Serialize)]
struct ConditionsPatch {
    metadata: UidMeta,
    status: ConditionsStatus,
}

#[derive(Serialize)]
struct UidMeta {
    uid: String,
}

#[derive(Serialize)]
struct ConditionsStatus {
    conditions: Vec<Condition>,
}

fn patch(plan: &mut Plan, gvr: &Gvr, object: &api::Object, conditions: Vec<Condition>) {
    let metadata = UidMeta {
        uid: object.uid().to_owned(),
    };
    let patch = ConditionsPatch {
        metadata,
        status: ConditionsStatus { conditions },
    };
    plan.patch(
        "conditions",
        gvr,
        &object.key(),
        "status",
        Patch::Strategic,
        &patch,
    );
}

fn mark_unknown(plan: &mut Plan, observed: &Observed, now: Timestamp) {
    let node = &observed.node;
    let (reason, message) = if observed.renewed.is_some() {
        ("NodeStatusUnknown", "Kubelet stopped posting node status.")
    } else {
        ("NodeStatusNeverUpdated", "Kubelet never posted node status.")
    };
    let told = |kind: &str| {
        let current = node.view.status.conditions.iter().find(|c| c.r#type == kind);
        current.is_none_or(|c| c.status != "Unknown")
    };
    let conditions: Vec<Condition> = REPORTED
        .iter()
        .filter(|kind| told(kind))
        .map(|kind| Condition {
            r#type: (*kind).to_owned(),
            status: "Unknown".to_owned(),
            last_transition_time: Some(seconds(now)),
            reason: reason.to_owned(),
            message: message.to_owned(),
            ..Condition::default()
        })
        .collect();
    if conditions.is_empty() {
        return;
    }
    patch(plan, &NODES, &node.object, conditions);
    let message = format!("Node {} status is now: NodeNotReady", node.object.name());
    plan.event(Note::normal(About::object(&node.object), "NodeNotReady", message));
    plan.because(Verdict::Done, Reason::new("LeaseExpired"));
}

fn mark_not_ready(plan: &mut Plan, pod: &Seen<Pod>, now: Timestamp) {
    let condition = Condition {
        r#type: "Ready".to_owned(),
        status: "False".to_owned(),
        last_transition_time: Some(seconds(now)),
        ..Condition::default()
    };
    patch(plan, &PODS, &pod.object, vec![condition]);
}

#[derive(Serialize)]
struct TaintPatch<'a> {
    metadata: TaintMeta,
    spec: TaintSpec<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TaintMeta {
    uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    resource_version: String,
}

#[derive(Serialize)]
struct TaintSpec<'a> {
    taints: &'a [Taint],
}

/// Taints as upstream: both effects follow the Ready condition, NoSchedule ones the pressures and `unschedulable` too.
fn wished_taints(node: &Node, ready: Option<&str>) -> Vec<(&'static str, &'static str)> {
    let mut taints = match ready {
        Some("True") => Vec::new(),
        Some("Unknown") => vec![(UNREACHABLE, "NoSchedule"), (UNREACHABLE, "NoExecute")],
        _ => vec![(NOT_READY, "NoSchedule"), (NOT_READY, "NoExecute")],
    };
    for (condition, key) in [
        ("MemoryPressure", "node.kubernetes.io/memory-pressure"),
        ("DiskPressure", "node.kubernetes.io/disk-pressure"),
        ("PIDPressure", "node.kubernetes.io/pid-pressure"),
        ("NetworkUnavailable", "node.kubernetes.io/network-unavailable"),
    ] {
        if node
            .status
            .conditions
            .iter()
            .any(|c| c.r#type == condition && c.status == "True")
        {
            taints.push((key, "NoSchedule"));
        }
    }
    if node.spec.unschedulable {
        taints.push(("node.kubernetes.io/unschedulable", "NoSchedule"));
    }
    taints
}

/// The keys of taints that follow from conditions.
const OWN: [&str; 7] = [
    NOT_READY,
    UNREACHABLE,
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/network-unavailable",
    "node.kubernetes.io/unschedulable",
];

fn taint(plan: &mut Plan, node: &Seen<Node>, ready: Option<&str>, now: Timestamp) {
    let wished = wished_taints(&node.view, ready);
    let is_wished = |t: &Taint| {
        wished
            .iter()
            .any(|(key, effect)| t.key == *key && t.effect == *effect)
    };
    let old = &node.view.spec.taints;
    let mut new: Vec<Taint> = old
        .iter()
        .filter(|t| !OWN.contains(&t.key.as_str()) || is_wished(t))
        .cloned()
        .collect();
    for (key, effect) in &wished {
        if !new.iter().any(|t| t.key == *key && t.effect == *effect) {
            // Upstream dates the taints that evict and those of conditions.
            let taint = Taint {
                key: (*key).to_owned(),
                effect: (*effect).to_owned(),
                time_added: Some(seconds(now)),
                ..Taint::default()
            };
            new.push(taint);
        }
    }
    if new != *old {
        let metadata = TaintMeta {
            uid: node.object.uid().to_owned(),
            resource_version: if plan.writes.is_empty() {
                node.object.resource_version().to_string()
            } else {
                String::new()
            },
        };
        let patch = TaintPatch {
            metadata,
            spec: TaintSpec { taints: &new },
        };
        plan.patch("taints", &NODES, &node.object.key(), "", Patch::Merge, &patch);
    }
}
