//! Gives each node a range of pod addresses.

use super::Node;
use crate::views::{NODES, Seen, see};
use api::{
    Gvr, Key,
    decision::{Reason, Verdict},
};
use client::{Caches, Patch};
use jiff::Timestamp;
use reconcile::{About, Controller, LastOutcome, Note, Plan, Watch, own_key};
use serde::Serialize;
use std::{collections::BTreeSet, net::Ipv4Addr};

/// The node IPAM controller.
#[derive(Debug)]
pub struct NodeIpamController {
    /// First address of the cluster's pod range.
    pub base: Ipv4Addr,
    /// Its prefix length.
    pub prefix: u8,
    /// The prefix length of a node's range.
    pub node_prefix: u8,
}

/// A node without a range, and the ranges that are taken.
#[derive(Debug)]
pub struct Observed {
    node: Seen<Node>,
    taken: BTreeSet<String>,
}

impl Controller for NodeIpamController {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        "node-ipam-controller"
    }

    fn primary(&self) -> Gvr {
        NODES
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::all(NODES, own_key)]
    }

    /// One at a time: two nodes must not get the same range.
    fn workers(&self) -> usize {
        1
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Observed> {
        let nodes = caches.all(&NODES);
        let node: Seen<Node> = see(nodes.get(key)?)?;
        if !node.view.spec.pod_cidr.is_empty() || node.object.deletion_timestamp().is_some() {
            return None;
        }
        let taken = nodes
            .all()
            .into_iter()
            .filter_map(see::<Node>)
            .map(|n| n.view.spec.pod_cidr)
            .collect();
        Some(Observed { node, taken })
    }

    fn reconcile(&self, observed: &Observed, _: &LastOutcome, _: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let node = &observed.node.object;
        match self.ranges().find(|range| !observed.taken.contains(range)) {
            Some(range) => {
                let spec = RangeSpec {
                    pod_cidr: range.clone(),
                    pod_cidrs: [range],
                };
                let patch = RangePatch {
                    metadata: RangeMeta {
                        uid: node.uid().to_owned(),
                    },
                    spec,
                };
                plan.patch("range", &NODES, &node.key(), "", Patch::Merge, &patch);
            }
            None => {
                let about = About::object(node);
                plan.event(Note::warning(
                    about,
                    "CIDRNotAvailable",
                    format!("Node {} status is now: CIDRNotAvailable", node.name()),
                ));
                plan.because(Verdict::Blocked, Reason::new("CIDRNotAvailable"));
            }
        }
        plan
    }
}

impl NodeIpamController {
    fn ranges(&self) -> impl Iterator<Item = String> + '_ {
        let bits = u32::from(self.node_prefix.saturating_sub(self.prefix)).min(31);
        let step = 1u32.checked_shl(32 - u32::from(self.node_prefix)).unwrap_or(0);
        let base = u32::from(self.base);
        (0..1u32 << bits).map(move |i| {
            format!(
                "{}/{}",
                Ipv4Addr::from(base.wrapping_add(i.wrapping_mul(step))),
                self.node_prefix
            )
        })
    }
}

#[derive(Serialize)]
struct RangePatch {
    metadata: RangeMeta,
    spec: RangeSpec,
}

#[derive(Serialize)]
struct RangeMeta {
    uid: String,
}

#[derive(Serialize)]
struct RangeSpec {
    #[serde(rename = "podCIDR")]
    pod_cidr: String,
    #[serde(rename = "podCIDRs")]
    pod_cidrs: [String; 1],
}
