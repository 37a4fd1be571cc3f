//! Which nodes a DaemonSet's pods may be on.

use crate::views::{Affinity, Seen, Template};
use api::{Taint, Toleration};
use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Node {
    pub spec: NodeSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct NodeSpec {
    pub taints: Vec<Taint>,
}

/// Whether a node should get a pod, and whether one that is there may stay.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Fit {
    pub run: bool,
    pub stay: bool,
}

/// The taints that never keep a DaemonSet's pod off: key and effect.
pub(super) fn tolerated(host_network: bool) -> impl Iterator<Item = (&'static str, &'static str)> {
    let usual = [
        ("node.kubernetes.io/not-ready", "NoExecute"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
        ("node.kubernetes.io/disk-pressure", "NoSchedule"),
        ("node.kubernetes.io/memory-pressure", "NoSchedule"),
        ("node.kubernetes.io/pid-pressure", "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
    ];
    let network = [("node.kubernetes.io/network-unavailable", "NoSchedule")];
    usual
        .into_iter()
        .chain(network.into_iter().filter(move |_| host_network))
}

/// What a template asks of nodes.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Needs {
    node_name: String,
    node_selector: BTreeMap<String, String>,
    affinity: Option<Affinity>,
    tolerations: Vec<Toleration>,
    host_network: bool,
}

impl Needs {
    pub fn of(template: &Template) -> Self {
        let mut needs: Self = serde_json::from_str(template.spec.get()).unwrap_or_default();
        let tolerated = tolerated(needs.host_network).map(|(key, effect)| Toleration {
            key: key.to_owned(),
            operator: "Exists".to_owned(),
            effect: effect.to_owned(),
            ..Toleration::default()
        });
        needs.tolerations.extend(tolerated);
        needs
    }

    pub fn fit(&self, node: &Seen<Node>) -> Fit {
        if !self.node_name.is_empty() && self.node_name != node.object.name() || !self.selects(node) {
            return Fit::default();
        }
        let kept_off = |effect: &str| {
            let taints = node
                .view
                .spec
                .taints
                .iter()
                .filter(|taint| taint.effect == effect);
            taints
                .into_iter()
                .any(|taint| !self.tolerations.iter().any(|t| t.tolerates(taint)))
        };
        let stay = !kept_off("NoExecute");
        Fit {
            run: stay && !kept_off("NoSchedule"),
            stay,
        }
    }

    fn selects(&self, node: &Seen<Node>) -> bool {
        let labels = self.node_selector.iter();
        let affinity = self.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
        let required = affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        labels
            .into_iter()
            .all(|(key, value)| node.object.label(key) == Some(value))
            && required.is_none_or(|required| required.matches(&node.object))
    }
}
