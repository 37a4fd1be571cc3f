//! TaintToleration.

use super::Rejection;
use crate::{
    snapshot::{Node, Snapshot},
    views::{Pod, Taint, Toleration},
};
use api::decision::Reason;

pub(super) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    (toleration.effect.is_empty() || toleration.effect == taint.effect)
        && (toleration.key.is_empty() || toleration.key == taint.key)
        && (toleration.operator == "Exists"
            || (!toleration.key.is_empty() && toleration.value == taint.value))
}

pub(super) fn filter(pod: &Pod, node: &Node, _: &Snapshot, out: &mut Vec<Rejection>) {
    let mut hard = node
        .view
        .spec
        .taints
        .iter()
        .filter(|t| t.effect != "PreferNoSchedule");
    let taint = hard.find(|taint| !pod.spec.tolerations.iter().any(|t| tolerates(t, taint)));
    if let Some(taint) = taint {
        out.push(Rejection::new(
            format!("node(s) had untolerated taint {{{}: {}}}", taint.key, taint.value),
            Reason::new("UntoleratedTaint")
                .with("taint", format!("{}={}:{}", taint.key, taint.value, taint.effect)),
            false,
        ));
    }
}

pub(super) fn score(pod: &Pod, node: &Node, _: &Snapshot) -> i64 {
    let soft = node
        .view
        .spec
        .taints
        .iter()
        .filter(|t| t.effect == "PreferNoSchedule");
    let against = soft
        .filter(|taint| !pod.spec.tolerations.iter().any(|t| tolerates(t, taint)))
        .count();
    100 / (1 + i64::try_from(against).unwrap_or(i64::MAX - 1))
}
