//! Nodes: their pod CIDRs, their health, and what happens to pods of unhealthy ones
//! (upstream `pkg/controller/nodeipam`, `nodelifecycle`, `tainteviction`).

mod eviction;
mod ipam;
mod lifecycle;

pub use eviction::TaintEvictionController;
pub use ipam::NodeIpamController;
pub use lifecycle::NodeLifecycleController;

use crate::views::Condition;
use api::Taint;
use serde::Deserialize;

pub(super) const NOT_READY: &str = "node.kubernetes.io/not-ready";
pub(super) const UNREACHABLE: &str = "node.kubernetes.io/unreachable";

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Node {
    pub spec: NodeSpec,
    pub status: NodeStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct NodeSpec {
    #[serde(rename = "podCIDR")]
    pub pod_cidr: String,
    pub taints: Vec<Taint>,
    pub unschedulable: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct NodeStatus {
    pub conditions: Vec<Condition>,
}
