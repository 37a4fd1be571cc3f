//! What comes and goes, and in which order.

use super::{Look, claims, is_going, is_running, replicas, update};
use crate::views::{Pod, Seen};
use reconcile::Plan;
use std::{ops::ControlFlow, time::Duration};

/// Brings the set a step nearer to what it should be: first the pods that should be, then those that should not, then
/// those of an old revision. An ordered set waits at each pod that is not available.
pub(super) fn act(plan: &mut Plan, look: &Look<'_>) {
    for (ordinal, pod) in &look.replicas {
        if replica(plan, look, *ordinal, *pod).is_break() && look.is_ordered() {
            return;
        }
    }
    for (ordinal, pod) in &look.condemned {
        claims::match_retention(plan, look, *ordinal, pod);
    }
    let first_unavailable = first_unavailable(look);
    for (_, pod) in &look.condemned {
        if condemned(plan, look, pod, first_unavailable).is_break() && look.is_ordered() {
            return;
        }
    }
    update::roll(plan, look);
}

/// One pod that should be. Breaks when an ordered set must not go on.
fn replica(plan: &mut Plan, look: &Look<'_>, ordinal: i64, pod: Option<&Seen<Pod>>) -> ControlFlow<()> {
    let Some(pod) = pod else {
        if claims::is_stale(look, ordinal) {
            plan.again_after(Duration::from_secs(10));
        } else {
            replicas::create(plan, look, ordinal);
        }
        return ControlFlow::Break(());
    };
    if pod.is_finished() {
        if !is_going(pod) {
            replicas::delete(plan, look, pod);
        }
        return ControlFlow::Break(());
    }
    if pod.view.status.phase == "Pending" {
        claims::create_missing(plan, look, ordinal);
    }
    if look.is_ordered() && !look.is_available(pod) {
        return ControlFlow::Break(());
    }
    replicas::mend(plan, look, ordinal, pod);
    ControlFlow::Continue(())
}

/// Of the pods that are not available, the one with the lowest ordinal; those that should be count first.
fn first_unavailable<'a>(look: &Look<'a>) -> Option<&'a str> {
    let replicas = look.replicas.iter().filter_map(|(_, pod)| *pod);
    let condemned = look.condemned.iter().rev().map(|(_, pod)| *pod);
    let mut unavailable = replicas.chain(condemned).filter(|pod| !look.is_available(pod));
    unavailable.next().map(|pod| pod.object.uid())
}

/// One pod that should not be.
fn condemned(plan: &mut Plan, look: &Look<'_>, pod: &Seen<Pod>, first: Option<&str>) -> ControlFlow<()> {
    if is_going(pod) {
        return ControlFlow::Break(());
    }
    let healthy = is_running(pod) && look.is_available(pod);
    if !healthy && look.is_ordered() && first != Some(pod.object.uid()) {
        return ControlFlow::Break(());
    }
    replicas::delete(plan, look, pod);
    ControlFlow::Break(())
}
