//! NodeUnschedulable: cordoned nodes.

use super::Rejection;
use crate::{
    snapshot::{Node, Snapshot},
    views::Pod,
};
use api::{Taint, decision::Reason};

pub(super) fn filter(pod: &Pod, node: &Node, _: &Snapshot, out: &mut Vec<Rejection>) {
    if !node.view.spec.unschedulable {
        return;
    }
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    if !pod.spec.tolerations.iter().any(|t| t.tolerates(&taint)) {
        out.push(Rejection::new(
            "node(s) were unschedulable",
            Reason::new("NodeUnschedulable"),
            false,
        ));
    }
}
