//! Pods as controllers make and delete them.

use crate::views::{Meta, PODS, Pod, Seen, Template, controller_ref};
use api::Object;
use jiff::Timestamp;
use reconcile::{About, Note, Plan};
use serde::Serialize;
use serde_json::value::RawValue;
use std::cmp::Reverse;

/// At most so many pods are created or deleted by one plan.
pub(crate) const BURST: usize = 500;

/// The names of writes, by which refusals are found again.
pub(crate) const CREATE: &str = "create-pod";
pub(crate) const DELETE: &str = "delete-pod";

/// A pod that is to be.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewPod {
    api_version: &'static str,
    kind: &'static str,
    pub metadata: Meta,
    pub spec: Box<RawValue>,
}

impl NewPod {
    /// From the template of `owner`, with a name that the server makes up.
    pub fn of(owner: &Object, template: &Template) -> Self {
        // Room for the random suffix in 63 characters, as upstream's `getPodsPrefix`.
        let prefix = format!("{}-", owner.name());
        let prefix = if prefix.len() <= 57 {
            prefix
        } else {
            owner.name().to_owned()
        };
        Self {
            api_version: "v1",
            kind: "Pod",
            metadata: Meta {
                generate_name: prefix,
                namespace: owner.namespace().to_owned(),
                labels: template.metadata.labels.clone(),
                annotations: template.metadata.annotations.clone(),
                finalizers: template.metadata.finalizers.clone(),
                owner_references: vec![controller_ref(owner)],
                ..Meta::default()
            },
            spec: template.spec.clone(),
        }
    }

    /// Creates it.
    pub fn create(&self, plan: &mut Plan, owner: &Object) {
        let about = About::object(owner);
        plan.create(CREATE, &PODS, owner.namespace(), self);
        plan.noting(
            Some(Note::normal(
                about.clone(),
                "SuccessfulCreate",
                "Created pod: {name}",
            )),
            Some(Note::warning(about, "FailedCreate", "Error creating: {error}")),
        );
    }
}

/// Deletes a pod of `owner`.
pub(crate) fn delete(plan: &mut Plan, owner: &Object, pod: &Object) {
    let about = About::object(owner);
    plan.delete(DELETE, &PODS, pod);
    let done = format!("Deleted pod: {}", pod.name());
    plan.noting(
        Some(Note::normal(about.clone(), "SuccessfulDelete", done)),
        Some(Note::warning(about, "FailedDelete", "Error deleting: {error}")),
    );
}

/// How many.
pub(crate) fn count(pods: &[&Seen<Pod>], what: impl Fn(&Seen<Pod>) -> bool) -> i32 {
    i32::try_from(pods.iter().filter(|pod| what(pod)).count()).unwrap_or(i32::MAX)
}

pub(crate) type Rank = (
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
pub(crate) fn rank(pod: &Seen<Pod>, neighbours: usize, now: Timestamp) -> Rank {
    let phase = match pod.view.status.phase.as_str() {
        "Pending" | "" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    let annotations = &pod.view.metadata.annotations;
    let cost = annotations.get("controller.kubernetes.io/pod-deletion-cost");
    let cost: i64 = cost.and_then(|c| c.parse().ok()).unwrap_or(0);
    let age = |t: Option<Timestamp>| t.map_or(0, |t| (now.as_second() - t.as_second()).max(0));
    let magnitude = |seconds: i64| i64::from(seconds.max(1).ilog10());
    let statuses = pod.view.status.container_statuses.iter();
    let restarts = statuses.map(|c| c.restart_count).max().unwrap_or(0);
    (
        !pod.view.spec.node_name.is_empty(),
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
