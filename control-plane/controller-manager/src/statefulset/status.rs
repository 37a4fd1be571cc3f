//! The status of a StatefulSet.

use super::{Look, is_going, is_running};
use crate::workloads::{
    pods,
    revisions::REVISION_LABEL,
    status,
    views::{STATEFUL_SETS, StatefulSetStatus},
};
use reconcile::Plan;
use std::time::Duration;

/// Writes it if it changed.
pub(super) fn write(plan: &mut Plan, look: &Look<'_>, collisions: i32) {
    let spec = &look.set.view.spec;
    let old = &look.set.view.status;
    let of = |revision: &str| {
        pods::count(&look.own, |pod| {
            let created = !pod.view.status.phase.is_empty() && !is_going(pod);
            created && pod.object.label(REVISION_LABEL) == Some(revision)
        })
    };
    let available = |pod: &crate::views::Seen<crate::views::Pod>| {
        is_running(pod) && pod.is_available(spec.min_ready_seconds, look.now)
    };
    let mut new = StatefulSetStatus {
        observed_generation: look.set.object.generation(),
        replicas: pods::count(&look.own, |pod| !pod.view.status.phase.is_empty()),
        ready_replicas: pods::count(&look.own, is_running),
        current_replicas: of(look.current.name),
        updated_replicas: of(look.update.name),
        available_replicas: pods::count(&look.own, available),
        current_revision: look.current.name.to_owned(),
        update_revision: look.update.name.to_owned(),
        collision_count: Some(collisions),
        conditions: old.conditions.clone(),
    };
    let is_complete = [new.updated_replicas, new.ready_replicas, new.replicas] == [spec.replicas; 3];
    if spec.update_strategy.r#type == "RollingUpdate" && is_complete {
        new.current_replicas = new.updated_replicas;
        new.current_revision.clone_from(&new.update_revision);
    }
    if spec.min_ready_seconds > 0 && new.available_replicas != new.ready_replicas {
        plan.again_after(Duration::from_secs(spec.min_ready_seconds.unsigned_abs()));
    }
    status::write(plan, &STATEFUL_SETS, &look.set.object, old, &new);
}
