//! TaintNodesByCondition: a new node is not ready before it says so (upstream `plugin/pkg/admission/nodetaint`).

use crate::WriteRequest;
use k8s_openapi::api::core::v1::{Node, Taint};

const NOT_READY: &str = "node.kubernetes.io/not-ready";

/// Admits a new node.
pub(crate) fn admit(node: &mut Node, request: &WriteRequest<'_>) {
    if !request.cluster.admits("TaintNodesByCondition") {
        return;
    }
    let taints = node.spec.get_or_insert_default().taints.get_or_insert_default();
    let there = |taint: &Taint| taint.key == NOT_READY && taint.effect == "NoSchedule";
    if !taints.iter().any(there) {
        taints.push(Taint {
            key: NOT_READY.to_owned(),
            effect: "NoSchedule".to_owned(),
            ..Taint::default()
        });
    }
}
