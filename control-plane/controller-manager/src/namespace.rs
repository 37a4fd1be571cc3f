//! Namespace: empties a namespace that is being deleted, then lets it go (upstream `pkg/controller/namespace`).

use crate::{
    gc::{Collections, Resources},
    views::{Condition, NAMESPACES, PODS, Seen, seconds, see},
};
use api::{
    Gvr, Key,
    decision::{Reason, Verdict},
};
use client::{Caches, Change, DeleteOptions, Target, Write};
use jiff::Timestamp;
use reconcile::{Controller, LastOutcome, Plan, PlannedWrite, Watch, own_key};
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};

/// The Namespace controller.
pub struct NamespaceController {
    /// What is served at the start: the changes of what stays served are watched, the rest is looked at again.
    pub served: Arc<Resources>,
    /// What there is of every resource of the moment.
    pub collections: Collections,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Namespace {
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Spec {
    finalizers: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
struct Status {
    phase: String,
    conditions: Vec<Condition>,
}

/// A namespace that is being deleted, and how many objects of each resource are left in it.
#[derive(Debug)]
pub struct Observed {
    namespace: Seen<Namespace>,
    left: Vec<(Gvr, usize, usize)>,
    /// That nobody says what is left of some groups.
    unknown: Option<String>,
}

impl Controller for NamespaceController {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        "namespace-controller"
    }

    fn primary(&self) -> Gvr {
        NAMESPACES
    }

    fn watches(&self) -> Vec<Watch> {
        let mut watches = vec![Watch::all(NAMESPACES, own_key)];
        let lasting = self.served.0.iter().filter(|r| r.built_in && r.namespaced);
        watches.extend(lasting.map(|r| Watch::all(r.gvr.clone(), namespace_keys)));
        watches
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Observed> {
        let object = caches.all(&NAMESPACES).get(key)?;
        object.deletion_timestamp()?;
        let left = self.collections.namespaced().into_iter().map(|cache| {
            let objects = cache.in_namespace(&key.name);
            let finalizing = objects.iter().filter(|o| o.finalizers().next().is_some()).count();
            (cache.gvr().clone(), objects.len(), finalizing)
        });
        let left = left.collect();
        Some(Observed {
            namespace: see(object)?,
            left,
            unknown: self.collections.unknown(),
        })
    }

    fn reconcile(&self, observed: &Observed, last: &LastOutcome, now: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let namespace = &observed.namespace;
        if namespace.view.spec.finalizers.is_empty() {
            return plan;
        }
        let total: usize = observed.left.iter().map(|(_, n, _)| n).sum();
        let pods_left = observed.left.iter().any(|(gvr, n, _)| *gvr == PODS && *n > 0);
        // Caches may be late: only the collections' own answers say that nothing is left, and all of them must have.
        let answered = last.0.iter().filter(|(label, _)| *label == "empty").count();
        let emptied = answered == observed.left.len() && last.is_done();
        if total == 0 && emptied && observed.unknown.is_none() {
            finalize(&mut plan, namespace);
            return plan;
        }
        // Pods go before what they may still need.
        for (gvr, left, _) in &observed.left {
            if (pods_left && *gvr != PODS) || (emptied && *left == 0) {
                continue;
            }
            let target = Target::collection(gvr, namespace.object.name());
            let options = DeleteOptions {
                propagation_policy: Some("Background"),
                ..DeleteOptions::default()
            };
            let write = Write::Delete(options);
            plan.writes.push(PlannedWrite {
                target,
                write,
                label: "empty",
                done: None,
                refused: None,
            });
        }
        if plan
            .writes
            .iter()
            .all(|w| observed.left.iter().any(|(g, n, f)| *g == w.target.gvr && n == f))
            && emptied
        {
            // Only finalizers of others are in the way: their removal is an event.
            plan.writes.clear();
        }
        status(&mut plan, observed, last, now);
        let soon = total == 0 && observed.unknown.is_none();
        plan.again_after(Duration::from_millis(if soon { 1 } else { 1000 }));
        plan
    }
}

fn namespace_keys(change: &Change, caches: &Caches) -> Vec<Key> {
    let Change::Deleted { old } = change else {
        return Vec::new();
    };
    let key = Key::cluster(old.namespace());
    let going = caches
        .all(&NAMESPACES)
        .get(&key)
        .is_some_and(|n| n.deletion_timestamp().is_some());
    if going { vec![key] } else { Vec::new() }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Finalize<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: FinalizeMeta<'a>,
    spec: Spec,
}

#[derive(Serialize)]
struct FinalizeMeta<'a> {
    name: &'a str,
    uid: &'a str,
}

fn finalize(plan: &mut Plan, namespace: &Seen<Namespace>) {
    let others = namespace
        .view
        .spec
        .finalizers
        .iter()
        .filter(|f| *f != "kubernetes")
        .cloned()
        .collect();
    let body = Finalize {
        api_version: "v1",
        kind: "Namespace",
        metadata: FinalizeMeta {
            name: namespace.object.name(),
            uid: namespace.object.uid(),
        },
        spec: Spec { finalizers: others },
    };
    plan.update(
        "finalize",
        &NAMESPACES,
        &namespace.object.key(),
        "finalize",
        &body,
    );
    plan.because(Verdict::Done, Reason::new("NamespaceEmpty"));
}

#[derive(Serialize)]
struct StatusPatch {
    status: Status,
}

fn status(plan: &mut Plan, observed: &Observed, last: &LastOutcome, now: Timestamp) {
    let left: Vec<String> = observed
        .left
        .iter()
        .filter(|(_, n, _)| *n > 0)
        .map(|(gvr, n, _)| format!("{}.{} has {n} resource instances", gvr.resource, gvr.group))
        .collect();
    let finalizing: usize = observed.left.iter().map(|(_, _, f)| f).sum();
    let old = &observed.namespace.view.status;
    let mut new = Status {
        phase: "Terminating".to_owned(),
        conditions: old.conditions.clone(),
    };
    let remaining = if left.is_empty() {
        (
            "False",
            "ContentRemoved",
            "All content successfully removed".to_owned(),
        )
    } else {
        (
            "True",
            "SomeResourcesRemain",
            format!("Some resources are remaining: {}", left.join(", ")),
        )
    };
    let discovery = match &observed.unknown {
        Some(why) => ("True", "DiscoveryFailed", why.clone()),
        None => (
            "False",
            "ResourcesDiscovered",
            "All resources successfully discovered".to_owned(),
        ),
    };
    set(
        &mut new.conditions,
        "NamespaceDeletionDiscoveryFailure",
        discovery,
        now,
    );
    let parsing = (
        "False",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed".to_owned(),
    );
    set(
        &mut new.conditions,
        "NamespaceDeletionGroupVersionParsingFailure",
        parsing,
        now,
    );
    let deletion = match last.refused("empty") {
        Some(why) => (
            "True",
            "ContentDeletionFailed",
            format!(
                "Failed to delete all resource types, 1 remaining: {}",
                why.message
            ),
        ),
        None => (
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization".to_owned(),
        ),
    };
    set(
        &mut new.conditions,
        "NamespaceDeletionContentFailure",
        deletion,
        now,
    );
    set(&mut new.conditions, "NamespaceContentRemaining", remaining, now);
    let finalizers = if finalizing == 0 {
        (
            "False",
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished".to_owned(),
        )
    } else {
        (
            "True",
            "SomeFinalizersRemain",
            format!("Some content in the namespace has finalizers remaining: {finalizing}"),
        )
    };
    set(
        &mut new.conditions,
        "NamespaceFinalizersRemaining",
        finalizers,
        now,
    );
    if new != *old {
        let patch = StatusPatch { status: new };
        plan.patch(
            "status",
            &NAMESPACES,
            &observed.namespace.object.key(),
            "status",
            client::Patch::Merge,
            &patch,
        );
    }
    if !left.is_empty() {
        plan.because(
            Verdict::Blocked,
            Reason::new("ContentRemaining").with("resources", left.join(", ")),
        );
    }
}

fn set(
    conditions: &mut Vec<Condition>,
    kind: &str,
    (status, reason, message): (&str, &str, String),
    now: Timestamp,
) {
    let old = conditions.iter().find(|c| c.r#type == kind);
    let since = old
        .filter(|c| c.status == status)
        .and_then(|c| c.last_transition_time);
    let new = Condition {
        r#type: kind.to_owned(),
        status: status.to_owned(),
        last_transition_time: Some(since.unwrap_or(seconds(now))),
        reason: reason.to_owned(),
        message,
        ..Condition::default()
    };
    conditions.retain(|c| c.r#type != kind);
    conditions.push(new);
}
