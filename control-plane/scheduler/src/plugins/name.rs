//! NodeName: the node that the pod names.

use super::Rejection;
use crate::{
    snapshot::{Node, Snapshot},
    views::Pod,
};
use api::decision::Reason;

pub(super) fn filter(pod: &Pod, node: &Node, _: &Snapshot, out: &mut Vec<Rejection>) {
    let wanted = &pod.spec.node_name;
    let name = node.object.as_ref().map_or("", |o| o.name());
    if !wanted.is_empty() && wanted != name {
        out.push(Rejection::new(
            "node(s) didn't match the requested node name",
            Reason::new("NodeNameMismatch").with("wanted", wanted),
            false,
        ));
    }
}
