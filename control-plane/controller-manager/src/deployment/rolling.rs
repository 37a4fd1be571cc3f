//! Rolling updates and proportional scaling (upstream `rolling.go`, `sync.go`).

use super::sets::{self, DESIRED, MAX, Sets, fenceposts, size_annotations};
use crate::views::{Deployment, REPLICA_SETS, ReplicaSet, Seen};
use client::Patch;
use reconcile::{About, LastOutcome, Note, Plan};
use serde::Serialize;
use std::collections::BTreeMap;

/// One step of a rolling update: first up, then down.
pub(super) fn roll(plan: &mut Plan, deployment: &Seen<Deployment>, sets: &Sets<'_>, last: &LastOutcome) {
    let wished = deployment.view.spec.replicas;
    let (surge, unavailable) = fenceposts(&deployment.view);
    let Some(new) = sets.new else {
        let room = (wished + surge - sets.total()).max(0);
        let size = if sets.old.is_empty() {
            wished
        } else {
            room.min(wished)
        };
        sets::create_new(plan, deployment, sets, size, last);
        return;
    };
    sets::mark_revision(plan, deployment, new, sets);
    let size = new.view.spec.replicas;
    if size > wished {
        return scale_set(plan, deployment, new, wished);
    }
    let room = (wished + surge - sets.total()).max(0);
    if size < wished && room > 0 {
        return scale_set(plan, deployment, new, size + room.min(wished - size));
    }
    scale_down_old(plan, deployment, sets, new, wished - unavailable);
}

/// Old sets shrink as far as `least` available pods are left; pods that are not available go first.
fn scale_down_old(
    plan: &mut Plan,
    deployment: &Seen<Deployment>,
    sets: &Sets<'_>,
    new: &Seen<ReplicaSet>,
    least: i32,
) {
    let old_total: i32 = sets.old.iter().map(|s| s.view.spec.replicas).sum();
    if old_total == 0 {
        return;
    }
    let new_unavailable = new.view.spec.replicas - new.view.status.available_replicas;
    let mut budget = sets.total() - least - new_unavailable;
    if budget <= 0 {
        return;
    }
    let mut sizes: Vec<(&Seen<ReplicaSet>, i32)> =
        sets.old.iter().map(|s| (*s, s.view.spec.replicas)).collect();
    for (set, size) in &mut sizes {
        let unhealthy = (*size - set.view.status.available_replicas).max(0).min(budget);
        *size -= unhealthy;
        budget -= unhealthy;
    }
    let available: i32 = sets.all().map(|s| s.view.status.available_replicas).sum();
    let mut spare = (available - least).max(0);
    for (set, size) in &mut sizes {
        let healthy = (*size).min(spare).min(budget.max(0));
        *size -= healthy;
        spare -= healthy;
        budget -= healthy;
        if *size != set.view.spec.replicas {
            scale_set(plan, deployment, set, *size);
        }
    }
}

/// Brings the sizes of the sets to the wished total, in proportion when several are active.
pub(super) fn scale(plan: &mut Plan, deployment: &Seen<Deployment>, sets: &Sets<'_>) {
    let wished = deployment.view.spec.replicas;
    let active = sets.active();
    let only = match active.as_slice() {
        [] => sets.new.or(sets.old.last().copied()),
        [one] => Some(*one),
        _ => None,
    };
    if let Some(set) = only {
        if set.view.spec.replicas != wished {
            scale_set(plan, deployment, set, wished);
        }
        return;
    }
    if sets.new.is_some_and(|new| saturated(&deployment.view, new)) {
        for set in sets.old.iter().filter(|s| s.view.spec.replicas > 0) {
            scale_set(plan, deployment, set, 0);
        }
        return;
    }
    if active.len() > 1 && deployment.view.spec.strategy.r#type != "Recreate" {
        proportional(plan, deployment, active);
    }
}

fn saturated(deployment: &Deployment, set: &Seen<ReplicaSet>) -> bool {
    let desired = set
        .view
        .metadata
        .annotations
        .get(DESIRED)
        .and_then(|d| d.parse::<i32>().ok());
    let wished = deployment.spec.replicas;
    set.view.spec.replicas == wished
        && desired == Some(wished)
        && set.view.status.available_replicas == wished
}

fn proportional(plan: &mut Plan, deployment: &Seen<Deployment>, mut active: Vec<&Seen<ReplicaSet>>) {
    let wished = deployment.view.spec.replicas;
    let (surge, _) = fenceposts(&deployment.view);
    let total: i32 = active.iter().map(|s| s.view.spec.replicas).sum();
    let allowed = if wished > 0 { wished + surge } else { 0 };
    let to_add = allowed - total;
    // Growing favours the newer of equals, shrinking the older.
    active.sort_by_key(|s| {
        (
            std::cmp::Reverse(s.view.spec.replicas),
            s.object.creation_timestamp(),
        )
    });
    if to_add > 0 {
        active.sort_by_key(|s| {
            (
                std::cmp::Reverse(s.view.spec.replicas),
                std::cmp::Reverse(s.object.creation_timestamp()),
            )
        });
    }
    let mut added = 0;
    let mut sizes = Vec::new();
    for set in &active {
        let share = if to_add == 0 {
            0
        } else {
            fraction(set, wished, surge, to_add - added)
        };
        sizes.push(set.view.spec.replicas + share);
        added += share;
    }
    for (index, set) in active.into_iter().enumerate() {
        let rest = if index == 0 { to_add - added } else { 0 };
        let size = (sizes[index] + rest).max(0);
        let told = size_annotations(&deployment.view);
        let same = told
            .iter()
            .all(|(k, v)| set.view.metadata.annotations.get(*k) == Some(v));
        if size != set.view.spec.replicas || !same {
            scale_set(plan, deployment, set, size);
        }
    }
}

/// The share of `rest` that falls to `set`, by its size against the maximum when it was last scaled.
fn fraction(set: &Seen<ReplicaSet>, wished: i32, surge: i32, rest: i32) -> i32 {
    if wished == 0 {
        return -set.view.spec.replicas;
    }
    let max = set
        .view
        .metadata
        .annotations
        .get(MAX)
        .and_then(|m| m.parse::<i32>().ok())
        .filter(|m| *m > 0);
    let max = f64::from(max.unwrap_or(wished + surge));
    let size = set.view.spec.replicas;
    let aimed = f64::from(size) * f64::from(wished + surge) / max;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a rounded number of replicas fits"
    )]
    let share = aimed.round() as i32 - size;
    if rest > 0 {
        share.min(rest).max(0)
    } else {
        share.max(rest).min(0)
    }
}

#[derive(Serialize)]
struct ScalePatch {
    metadata: ScaleMeta,
    spec: ScaleSpec,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ScaleMeta {
    uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    resource_version: String,
    annotations: BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct ScaleSpec {
    replicas: i32,
}

/// Sets the size of a set, on the condition that it is as it was seen.
pub(super) fn scale_set(plan: &mut Plan, deployment: &Seen<Deployment>, set: &Seen<ReplicaSet>, size: i32) {
    let old = set.view.spec.replicas;
    let metadata = ScaleMeta {
        uid: set.object.uid().to_owned(),
        // A set whose annotations were written earlier in this plan has moved on; its UID must do.
        resource_version: if plan.writes.iter().any(|w| w.target.name == set.object.name()) {
            String::new()
        } else {
            set.object.resource_version().to_string()
        },
        annotations: size_annotations(&deployment.view).into(),
    };
    let patch = ScalePatch {
        metadata,
        spec: ScaleSpec { replicas: size },
    };
    plan.patch(
        "scale-set",
        &REPLICA_SETS,
        &set.object.key(),
        "",
        Patch::Merge,
        &patch,
    );
    if size != old {
        let direction = if size > old { "up" } else { "down" };
        let message = format!(
            "Scaled {direction} replica set {} from {old} to {size}",
            set.object.name()
        );
        let about = About::object(&deployment.object);
        plan.noting(Some(Note::normal(about, "ScalingReplicaSet", message)), None);
    }
}
