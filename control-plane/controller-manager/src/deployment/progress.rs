//! Status and conditions of a Deployment (upstream `progress.go`).

use super::sets::{self, Sets};
use crate::views::{Condition, DEPLOYMENTS, Deployment, DeploymentStatus, Seen, seconds};
use client::Patch;
use jiff::Timestamp;
use reconcile::{LastOutcome, Plan};
use serde::Serialize;
use std::time::Duration;

#[derive(Serialize)]
struct StatusPatch<'a> {
    metadata: UidMeta<'a>,
    status: &'a DeploymentStatus,
}

#[derive(Serialize)]
struct UidMeta<'a> {
    uid: &'a str,
}

/// Writes the status if it changed.
pub(super) fn status(
    plan: &mut Plan,
    deployment: &Seen<Deployment>,
    sets: &Sets<'_>,
    last: &LastOutcome,
    now: Timestamp,
) {
    let old = &deployment.view.status;
    let sum = |f: &dyn Fn(&crate::views::ReplicaSetStatus) -> i32| {
        sets.all().map(|s| f(&s.view.status)).sum::<i32>()
    };
    let available = sum(&|s| s.available_replicas);
    let collisions = sets::collisions(&deployment.view, sets, last);
    let mut new = DeploymentStatus {
        observed_generation: deployment.object.generation(),
        replicas: sum(&|s| s.replicas),
        updated_replicas: sets.new.map_or(0, |s| s.view.status.replicas),
        ready_replicas: sum(&|s| s.ready_replicas),
        available_replicas: available,
        unavailable_replicas: (sets.total() - available).max(0),
        collision_count: (collisions > 0).then_some(collisions),
        conditions: old.conditions.clone(),
    };
    available_condition(&deployment.view, &mut new, now);
    if !deployment.view.spec.paused {
        progressing_condition(plan, deployment, sets, &mut new, last, now);
    } else {
        pause_condition(&deployment.view, &mut new, now);
    }
    if new != *old {
        let patch = StatusPatch {
            metadata: UidMeta {
                uid: deployment.object.uid(),
            },
            status: &new,
        };
        plan.patch(
            "status",
            &DEPLOYMENTS,
            &deployment.object.key(),
            "status",
            Patch::Merge,
            &patch,
        );
    }
}

/// Sets a condition; the transition time moves with the status only, the update time with any change.
fn set(
    conditions: &mut Vec<Condition>,
    kind: &str,
    status: &str,
    reason: &str,
    message: String,
    now: Timestamp,
) {
    let old = conditions.iter().position(|c| c.r#type == kind);
    let transition = match old.map(|i| &conditions[i]) {
        Some(c) if c.status == status && c.reason == reason && c.message == message => return,
        Some(c) if c.status == status => c.last_transition_time,
        _ => Some(seconds(now)),
    };
    let new = Condition {
        r#type: kind.to_owned(),
        status: status.to_owned(),
        last_update_time: Some(seconds(now)),
        last_transition_time: transition,
        reason: reason.to_owned(),
        message,
        ..Condition::default()
    };
    match old {
        Some(index) => conditions[index] = new,
        None => conditions.push(new),
    }
}

fn available_condition(deployment: &Deployment, status: &mut DeploymentStatus, now: Timestamp) {
    let (_, unavailable) = sets::fenceposts(deployment);
    let (value, reason, message) = if status.available_replicas >= deployment.spec.replicas - unavailable {
        (
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    } else {
        (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    };
    set(
        &mut status.conditions,
        "Available",
        value,
        reason,
        message.to_owned(),
        now,
    );
}

fn pause_condition(deployment: &Deployment, status: &mut DeploymentStatus, now: Timestamp) {
    let has_deadline = deployment
        .spec
        .progress_deadline_seconds
        .is_some_and(|d| d < i64::from(i32::MAX));
    if has_deadline {
        let message = "Deployment is paused".to_owned();
        set(
            &mut status.conditions,
            "Progressing",
            "Unknown",
            "DeploymentPaused",
            message,
            now,
        );
    }
}

fn progressing_condition(
    plan: &mut Plan,
    deployment: &Seen<Deployment>,
    sets: &Sets<'_>,
    status: &mut DeploymentStatus,
    last: &LastOutcome,
    now: Timestamp,
) {
    replica_failure(sets, status);
    // i32::MAX stands for no deadline, as upstream.
    let deadline = deployment
        .view
        .spec
        .progress_deadline_seconds
        .filter(|d| *d < i64::from(i32::MAX));
    let Some(deadline) = deadline else {
        status.conditions.retain(|c| c.r#type != "Progressing");
        return;
    };
    if let Some(message) = sets::creation_failure(last) {
        set(
            &mut status.conditions,
            "Progressing",
            "False",
            "ReplicaSetCreateError",
            message,
            now,
        );
        return;
    }
    let resumed = |c: &Condition| c.r#type == "Progressing" && c.reason == "DeploymentPaused";
    if status.conditions.iter().any(resumed) {
        // The time of the pause does not count against the deadline.
        let message = "Deployment is resumed".to_owned();
        set(
            &mut status.conditions,
            "Progressing",
            "Unknown",
            "DeploymentResumed",
            message,
            now,
        );
    }
    let current = status
        .conditions
        .iter()
        .find(|c| c.r#type == "Progressing")
        .cloned();
    let complete_before = current
        .as_ref()
        .is_some_and(|c| c.reason == "NewReplicaSetAvailable");
    let name = sets.new.map_or(deployment.object.name(), |s| s.object.name());
    let what = if sets.new.is_some() {
        "ReplicaSet"
    } else {
        "Deployment"
    };
    let old = &deployment.view.status;
    let spec = &deployment.view.spec;
    let complete = status.updated_replicas == spec.replicas
        && status.replicas == spec.replicas
        && status.available_replicas == spec.replicas
        && sets.new.is_some();
    let progressing = status.updated_replicas > old.updated_replicas
        || (status.replicas - status.updated_replicas) < (old.replicas - old.updated_replicas)
        || status.ready_replicas > old.ready_replicas
        || status.available_replicas > old.available_replicas;
    if complete {
        let message = format!("{what} {name:?} has successfully progressed.");
        set(
            &mut status.conditions,
            "Progressing",
            "True",
            "NewReplicaSetAvailable",
            message,
            now,
        );
    } else if plan.writes.iter().any(|w| w.label == "create-set") {
        let hash = sets::template_hash(&spec.template, sets::collisions(&deployment.view, sets, last));
        let message = format!("Created new replica set \"{}-{hash}\"", deployment.object.name());
        set(
            &mut status.conditions,
            "Progressing",
            "True",
            "NewReplicaSetCreated",
            message,
            now,
        );
    } else if progressing
        || current.is_none()
        || (complete_before && sets.new.is_some_and(|s| s.view.status.replicas == 0))
    {
        let message = format!("{what} {name:?} is progressing.");
        set(
            &mut status.conditions,
            "Progressing",
            "True",
            "ReplicaSetUpdated",
            message,
            now,
        );
        touch(&mut status.conditions, now);
    } else if !complete_before {
        let since = current.as_ref().and_then(|c| c.last_update_time).unwrap_or(now);
        let left = since.as_second() + deadline - now.as_second();
        if left <= 0 {
            let message = format!("{what} {name:?} has timed out progressing.");
            set(
                &mut status.conditions,
                "Progressing",
                "False",
                "ProgressDeadlineExceeded",
                message,
                now,
            );
        } else {
            plan.again_after(Duration::from_secs(left.unsigned_abs()));
        }
    }
}

/// Progress moves the update time, from which the deadline counts.
fn touch(conditions: &mut [Condition], now: Timestamp) {
    if let Some(condition) = conditions.iter_mut().find(|c| c.r#type == "Progressing") {
        condition.last_update_time = Some(seconds(now));
    }
}

/// ReplicaFailure is that of the sets, the new one's first.
fn replica_failure(sets: &Sets<'_>, status: &mut DeploymentStatus) {
    let failure = sets
        .new
        .into_iter()
        .chain(sets.old.iter().copied())
        .find_map(|set| {
            set.view
                .status
                .conditions
                .iter()
                .find(|c| c.r#type == "ReplicaFailure")
        });
    let current = status
        .conditions
        .iter()
        .position(|c| c.r#type == "ReplicaFailure");
    match (failure, current) {
        (None, Some(index)) => {
            status.conditions.remove(index);
        }
        (Some(failure), None) => {
            let update = failure.last_transition_time;
            status.conditions.push(Condition {
                last_update_time: update,
                ..failure.clone()
            });
        }
        _ => {}
    }
}
