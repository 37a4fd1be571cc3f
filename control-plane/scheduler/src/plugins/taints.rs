//! TaintToleration.

use super::Rejection;
use crate::{
    snapshot::{Node, Snapshot},
    views::Pod,
};
use api::decision::Reason;

pub(super) fn filter(pod: &Pod, node: &Node, _: &Snapshot, out: &mut Vec<Rejection>) {
    let mut hard = node
        .view
        .spec
        .taints
        .iter()
        .filter(|t| t.effect != "PreferNoSchedule");
    let taint = hard.find(|taint| !pod.spec.tolerations.iter().any(|t| t.tolerates(taint)));
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
        .filter(|taint| !pod.spec.tolerations.iter().any(|t| t.tolerates(taint)))
        .count();
    100 / (1 + i64::try_from(against).unwrap_or(i64::MAX - 1))
}
