//! The status of a DaemonSet.

use super::Look;
use crate::workloads::{
    status,
    views::{DAEMON_SETS, DaemonSetStatus},
};
use jiff::Timestamp;
use reconcile::Plan;
use std::time::Duration;

/// Writes it if it changed.
pub(super) fn write(plan: &mut Plan, look: &Look<'_>, collisions: i32, now: Timestamp) {
    let old = &look.set.view.status;
    let mut new = DaemonSetStatus {
        observed_generation: look.set.object.generation(),
        desired_number_scheduled: look.desired(),
        collision_count: (collisions > 0).then_some(collisions),
        conditions: old.conditions.clone(),
        ..DaemonSetStatus::default()
    };
    for on in look.nodes.values() {
        let oldest = on.pods.iter().min_by_key(|pod| {
            let unassigned = pod.view.spec.node_name.is_empty();
            (unassigned, pod.object.creation_timestamp(), pod.object.name())
        });
        let Some(pod) = oldest else { continue };
        if !on.fit.run {
            new.number_misscheduled += 1;
            continue;
        }
        new.current_number_scheduled += 1;
        new.number_ready += i32::from(pod.is_ready());
        new.number_available += i32::from(look.is_available(pod, now));
        new.updated_number_scheduled += i32::from(look.is_updated(pod));
    }
    new.number_unavailable = new.desired_number_scheduled - new.number_available;
    let min_ready = look.set.view.spec.min_ready_seconds;
    let waiting =
        |pod: &&crate::views::Seen<crate::views::Pod>| pod.is_ready() && !look.is_available(pod, now);
    if min_ready > 0 && look.own.iter().any(waiting) {
        plan.again_after(Duration::from_secs(min_ready.unsigned_abs()));
    }
    status::write(plan, &DAEMON_SETS, &look.set.object, old, &new);
}
