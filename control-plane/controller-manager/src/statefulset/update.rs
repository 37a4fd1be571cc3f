//! Rolling updates: from the highest ordinal down to the partition, so many at a time as may be unavailable.

use super::{Look, is_going, replicas};
use crate::{
    views::{Pod, Seen},
    workloads::revisions::REVISION_LABEL,
};
use reconcile::Plan;

/// How many may be unavailable: one unless the set says more.
fn limit(look: &Look<'_>) -> i32 {
    let rolling = look.set.view.spec.update_strategy.rolling_update.as_ref();
    let unavailable = rolling.and_then(|rolling| rolling.max_unavailable.as_ref());
    unavailable.map_or(1, |n| n.of(look.set.view.spec.replicas, false).max(1))
}

/// Deletes pods of an old revision. Those that are not available anyway cost nothing.
pub(super) fn roll(plan: &mut Plan, look: &Look<'_>) {
    let strategy = &look.set.view.spec.update_strategy;
    if strategy.r#type == "OnDelete" {
        return;
    }
    let is_available = |pod: Option<&Seen<Pod>>| pod.is_some_and(|pod| look.is_available(pod));
    let unavailable = look
        .replicas
        .iter()
        .filter(|(_, pod)| !is_available(*pod))
        .count();
    let mut left = limit(look) - i32::try_from(unavailable).unwrap_or(i32::MAX);
    let partition = strategy
        .rolling_update
        .as_ref()
        .map_or(0, |rolling| rolling.partition);
    let partition = usize::try_from(partition).unwrap_or(0);
    for (_, pod) in look.replicas.iter().skip(partition).rev() {
        let Some(pod) = pod.filter(|pod| !pod.is_finished() && !is_going(pod)) else {
            continue;
        };
        if pod.object.label(REVISION_LABEL) == Some(look.update.name) {
            continue;
        }
        if look.is_available(pod) {
            if left <= 0 {
                return;
            }
            left -= 1;
        }
        replicas::delete(plan, look, pod);
    }
}
