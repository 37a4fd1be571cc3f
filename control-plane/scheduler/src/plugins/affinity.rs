//! NodeAffinity: node selector, required and preferred node affinity.

use super::Rejection;
use crate::{
    snapshot::{Node, Snapshot},
    views::Pod,
};
use api::decision::Reason;

/// Whether the pod may stand on the node by its node selector and required affinity.
pub(super) fn allows(pod: &Pod, node: &Node) -> bool {
    let required = pod.spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
    let required = required.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    pod.spec
        .node_selector
        .iter()
        .all(|(k, v)| node.label(k) == Some(v))
        && required.is_none_or(|r| node.object.as_ref().is_some_and(|node| r.matches(node)))
}

pub(super) fn filter(pod: &Pod, node: &Node, _: &Snapshot, out: &mut Vec<Rejection>) {
    if !allows(pod, node) {
        let message = "node(s) didn't match Pod's node affinity/selector";
        out.push(Rejection::new(
            message,
            Reason::new("NodeAffinityMismatch"),
            false,
        ));
    }
}

pub(super) fn score(pod: &Pod, node: &Node, _: &Snapshot) -> i64 {
    let affinity = pod.spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
    let preferred = affinity.map_or(&[][..], |a| {
        &a.preferred_during_scheduling_ignored_during_execution
    });
    let total: i64 = preferred.iter().map(|t| t.weight).sum();
    if total == 0 {
        return 0;
    }
    let met: i64 = preferred
        .iter()
        .filter(|t| {
            node.object
                .as_ref()
                .is_some_and(|node| t.preference.matches(node))
        })
        .map(|t| t.weight)
        .sum();
    met * 100 / total
}
