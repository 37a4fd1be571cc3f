//! Plugins: each filters nodes, or scores them, or both. The table below is the default profile, in upstream's order.

mod affinity;
mod fit;
mod name;
mod ports;
mod spread;
mod taints;
mod unschedulable;

use crate::{
    snapshot::{Node, Snapshot},
    views::Pod,
};
use api::decision::Reason;

/// Why a node does not do, and whether the eviction of other pods could change that.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rejection {
    /// Upstream's words, such as `Insufficient cpu`.
    pub message: String,
    /// For the decision record.
    pub reason: Reason,
    /// Other pods' going could help.
    pub preemptible: bool,
}

impl Rejection {
    fn new(message: impl Into<String>, reason: Reason, preemptible: bool) -> Self {
        Self {
            message: message.into(),
            reason,
            preemptible,
        }
    }
}

/// Says what speaks against a node.
type Filter = fn(&Pod, &Node, &Snapshot, &mut Vec<Rejection>);

/// A plugin. Filters and scores are pure.
pub(crate) struct Plugin {
    /// Upstream's name.
    pub name: &'static str,
    /// Adds what speaks against the node.
    pub filter: Option<Filter>,
    /// 0 to 100, the more the better.
    pub score: Option<fn(&Pod, &Node, &Snapshot) -> i64>,
    /// Weight of the score.
    pub weight: i64,
}

/// The default profile.
pub(crate) const PLUGINS: &[Plugin] = &[
    Plugin {
        name: "NodeUnschedulable",
        filter: Some(unschedulable::filter),
        score: None,
        weight: 0,
    },
    Plugin {
        name: "NodeName",
        filter: Some(name::filter),
        score: None,
        weight: 0,
    },
    Plugin {
        name: "TaintToleration",
        filter: Some(taints::filter),
        score: Some(taints::score),
        weight: 3,
    },
    Plugin {
        name: "NodeAffinity",
        filter: Some(affinity::filter),
        score: Some(affinity::score),
        weight: 2,
    },
    Plugin {
        name: "NodePorts",
        filter: Some(ports::filter),
        score: None,
        weight: 0,
    },
    Plugin {
        name: "NodeResourcesFit",
        filter: Some(fit::filter),
        score: Some(fit::least_allocated),
        weight: 1,
    },
    Plugin {
        name: "PodTopologySpread",
        filter: Some(spread::filter),
        score: Some(spread::score),
        weight: 2,
    },
    Plugin {
        name: "NodeResourcesBalancedAllocation",
        filter: None,
        score: Some(fit::balanced),
        weight: 1,
    },
];
