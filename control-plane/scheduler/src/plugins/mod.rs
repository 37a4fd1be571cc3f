//! Plugins: each filters nodes, or scores them, or both. The table below is the default profile, in upstream's order.

mod affinity;
mod fit;
mod name;
mod ports;
mod spread;
mod taints;
mod unschedulable;
mod volumes;

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
    /// What speaks against every node.
    pub check: Option<fn(&Pod, &Snapshot) -> Option<String>>,
    /// Adds what speaks against the node.
    pub filter: Option<Filter>,
    /// 0 to 100, the more the better.
    pub score: Option<fn(&Pod, &Node, &Snapshot) -> i64>,
    /// Weight of the score.
    pub weight: i64,
}

const fn filter(name: &'static str, filter: Filter) -> Plugin {
    Plugin {
        name,
        check: None,
        filter: Some(filter),
        score: None,
        weight: 0,
    }
}

/// The default profile.
pub(crate) const PLUGINS: &[Plugin] = &[
    filter("NodeUnschedulable", unschedulable::filter),
    filter("NodeName", name::filter),
    Plugin {
        score: Some(taints::score),
        weight: 3,
        ..filter("TaintToleration", taints::filter)
    },
    Plugin {
        score: Some(affinity::score),
        weight: 2,
        ..filter("NodeAffinity", affinity::filter)
    },
    filter("NodePorts", ports::filter),
    Plugin {
        score: Some(fit::least_allocated),
        weight: 1,
        ..filter("NodeResourcesFit", fit::filter)
    },
    filter("VolumeRestrictions", volumes::restrictions),
    Plugin {
        check: Some(volumes::check),
        ..filter("VolumeBinding", volumes::binding)
    },
    filter("VolumeZone", volumes::zone),
    Plugin {
        score: Some(spread::score),
        weight: 2,
        ..filter("PodTopologySpread", spread::filter)
    },
    Plugin {
        name: "NodeResourcesBalancedAllocation",
        check: None,
        filter: None,
        score: Some(fit::balanced),
        weight: 1,
    },
];
