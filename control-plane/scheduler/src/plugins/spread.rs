//! PodTopologySpread.

use super::{Rejection, affinity};
use crate::{
    snapshot::{Node, Snapshot},
    views::{Pod, SpreadConstraint},
};
use api::{LabelSelector, decision::Reason};
use std::collections::BTreeMap;

/// Without constraints of its own a pod is spread with what carries its labels, softly, over nodes (and zones, which
/// upstream's default has too, counted the same).
const HOSTNAME: &str = "kubernetes.io/hostname";

fn selector(constraint: &SpreadConstraint) -> LabelSelector {
    let selector = constraint
        .label_selector
        .as_ref()
        .map(api::MatchSelector::selector);
    selector
        .and_then(Result::ok)
        .unwrap_or_else(LabelSelector::nothing)
}

/// Matching pods of the pod's namespace on a node; pods that are going do not count.
fn matching(pod: &Pod, node: &Node, selector: &LabelSelector) -> i64 {
    let counts = |other: &&std::sync::Arc<Pod>| {
        other.object.namespace() == pod.object.namespace()
            && other.object.deletion_timestamp().is_none()
            && selector.matches(|k| other.object.label(k))
    };
    i64::try_from(node.pods.values().filter(counts).count()).unwrap_or(i64::MAX)
}

/// Matching pods a domain, over the nodes the pod may stand on.
fn domains<'a>(
    pod: &Pod,
    snapshot: &'a Snapshot,
    constraint: &SpreadConstraint,
    selector: &LabelSelector,
) -> BTreeMap<&'a str, i64> {
    let mut domains = BTreeMap::new();
    for (_, node) in snapshot.nodes().filter(|(_, node)| affinity::allows(pod, node)) {
        if let Some(domain) = node.label(&constraint.topology_key) {
            *domains.entry(domain).or_default() += matching(pod, node, selector);
        }
    }
    domains
}

pub(super) fn filter(pod: &Pod, node: &Node, snapshot: &Snapshot, out: &mut Vec<Rejection>) {
    for constraint in &pod.spec.topology_spread_constraints {
        if constraint.when_unsatisfiable == "ScheduleAnyway" {
            continue;
        }
        let reason = Reason::new("TopologySpread").with("topologyKey", &constraint.topology_key);
        let Some(domain) = node.label(&constraint.topology_key) else {
            let message = "node(s) didn't match pod topology spread constraints (missing required label)";
            out.push(Rejection::new(message, reason, false));
            return;
        };
        let selector = selector(constraint);
        let domains = domains(pod, snapshot, constraint, &selector);
        let enough = constraint
            .min_domains
            .is_none_or(|min| i64::try_from(domains.len()).unwrap_or(i64::MAX) >= min);
        let least = if enough {
            domains.values().copied().min().unwrap_or(0)
        } else {
            0
        };
        let own = i64::from(selector.matches(|k| pod.object.label(k)));
        let skew = domains.get(domain).copied().unwrap_or(0) + own - least;
        if skew > constraint.max_skew {
            let message = "node(s) didn't match pod topology spread constraints";
            out.push(Rejection::new(message, reason.with("skew", skew), true));
            return;
        }
    }
}

pub(super) fn score(pod: &Pod, node: &Node, snapshot: &Snapshot) -> i64 {
    let soft = |c: &&SpreadConstraint| c.when_unsatisfiable == "ScheduleAnyway";
    let constraints: Vec<&SpreadConstraint> =
        pod.spec.topology_spread_constraints.iter().filter(soft).collect();
    if constraints.is_empty() && pod.spec.topology_spread_constraints.is_empty() {
        return by_owner(pod, node);
    }
    let mut score = 0;
    for constraint in &constraints {
        let Some(domain) = node.label(&constraint.topology_key) else {
            continue;
        };
        let domains = domains(pod, snapshot, constraint, &selector(constraint));
        score += 100 / (1 + domains.get(domain).copied().unwrap_or(0));
    }
    score / i64::try_from(constraints.len().max(1)).unwrap_or(1)
}

/// The default: away from nodes that run pods of the same owner.
fn by_owner(pod: &Pod, node: &Node) -> i64 {
    let Some(owner) = pod.object.controller() else {
        return 0;
    };
    if node.label(HOSTNAME).is_none() {
        return 0;
    }
    let same = |p: &&std::sync::Arc<Pod>| p.object.controller().is_some_and(|o| o.uid == owner.uid);
    100 / (1 + i64::try_from(node.pods.values().filter(same).count()).unwrap_or(i64::MAX - 1))
}
