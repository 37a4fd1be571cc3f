//! NodeUnschedulable: cordoned nodes.

use super::{Rejection, taints::tolerates};
use crate::{
    snapshot::{Node, Snapshot},
    views::{Pod, Taint},
};
use api::decision::Reason;

pub(super) fn filter(pod: &Pod, node: &Node, _: &Snapshot, out: &mut Vec<Rejection>) {
    if !node.view.spec.unschedulable {
        return;
    }
    let taint = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        value: String::new(),
        effect: "NoSchedule".to_owned(),
    };
    if !pod.spec.tolerations.iter().any(|t| tolerates(t, &taint)) {
        out.push(Rejection::new(
            "node(s) were unschedulable",
            Reason::new("NodeUnschedulable"),
            false,
        ));
    }
}
