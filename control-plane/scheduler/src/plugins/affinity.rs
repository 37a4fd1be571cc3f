//! NodeAffinity: node selector, required and preferred node affinity.

use super::Rejection;
use crate::{
    snapshot::{Node, Snapshot},
    views::{NodeSelectorTerm, Pod},
};
use api::{MatchExpression, decision::Reason};

fn holds(expression: &MatchExpression, value: Option<&str>) -> bool {
    let listed = |v: &str| expression.values.iter().any(|w| w == v);
    let number = |text: Option<&str>| text.and_then(|t| t.parse::<i64>().ok());
    let bound = || number(expression.values.first().map(String::as_str));
    match expression.operator.as_str() {
        "In" => value.is_some_and(listed),
        "NotIn" => value.is_none_or(|v| !listed(v)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => matches!((number(value), bound()), (Some(v), Some(b)) if v > b),
        "Lt" => matches!((number(value), bound()), (Some(v), Some(b)) if v < b),
        _ => false,
    }
}

/// An empty term matches nothing, as upstream.
fn term_matches(term: &NodeSelectorTerm, node: &Node) -> bool {
    if term.match_expressions.is_empty() && term.match_fields.is_empty() {
        return false;
    }
    let name = node.object.as_ref().map(|o| o.name());
    term.match_expressions
        .iter()
        .all(|e| holds(e, node.label(&e.key)))
        && term
            .match_fields
            .iter()
            .all(|e| e.key == "metadata.name" && holds(e, name))
}

/// Whether the pod may stand on the node by its node selector and required affinity.
pub(super) fn allows(pod: &Pod, node: &Node) -> bool {
    let required = pod.spec.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
    let required = required.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    pod.spec
        .node_selector
        .iter()
        .all(|(k, v)| node.label(k) == Some(v))
        && required.is_none_or(|r| r.node_selector_terms.iter().any(|term| term_matches(term, node)))
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
        .filter(|t| term_matches(&t.preference, node))
        .map(|t| t.weight)
        .sum();
    met * 100 / total
}
