//! Views: what the scheduler reads of pods and nodes.

use api::{
    Gvr, MatchSelector, NodeSelector, NodeSelectorTerm, Object, Quantity, Taint, Toleration,
    requests::{Amounts, Asking},
};
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc};

pub(crate) const PODS: Gvr = Gvr::new("", "v1", "pods");
pub(crate) const NODES: Gvr = Gvr::new("", "v1", "nodes");

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PodView {
    pub spec: PodSpec,
    pub status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodSpec {
    pub node_name: String,
    pub scheduler_name: String,
    pub priority: i32,
    pub node_selector: BTreeMap<String, String>,
    pub affinity: Option<Affinity>,
    pub tolerations: Vec<Toleration>,
    pub topology_spread_constraints: Vec<SpreadConstraint>,
    pub containers: Vec<Container>,
    pub init_containers: Vec<Container>,
    pub resources: Requirements,
    pub overhead: BTreeMap<String, Quantity>,
    pub host_network: bool,
    pub scheduling_gates: Vec<serde::de::IgnoredAny>,
    pub volumes: Vec<Volume>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Volume {
    pub name: String,
    pub persistent_volume_claim: Option<ClaimSource>,
    pub ephemeral: Option<serde::de::IgnoredAny>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ClaimSource {
    pub claim_name: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PodStatus {
    pub phase: String,
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Condition {
    pub r#type: String,
    pub status: String,
    pub reason: String,
    pub message: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Container {
    pub resources: Requirements,
    pub ports: Vec<Port>,
    pub restart_policy: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Requirements {
    pub requests: BTreeMap<String, Quantity>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Port {
    pub host_port: u16,
    pub protocol: String,
    #[serde(rename = "hostIP")]
    pub host_ip: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Affinity {
    pub node_affinity: Option<NodeAffinity>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct NodeAffinity {
    pub required_during_scheduling_ignored_during_execution: Option<NodeSelector>,
    pub preferred_during_scheduling_ignored_during_execution: Vec<PreferredTerm>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PreferredTerm {
    pub weight: i64,
    pub preference: NodeSelectorTerm,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SpreadConstraint {
    pub max_skew: i64,
    pub topology_key: String,
    pub when_unsatisfiable: String,
    pub label_selector: Option<MatchSelector>,
    pub min_domains: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeView {
    pub spec: NodeSpec,
    pub status: NodeStatus,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct NodeSpec {
    pub taints: Vec<Taint>,
    pub unschedulable: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct NodeStatus {
    pub allocatable: BTreeMap<String, Quantity>,
}

/// A pod as the scheduler holds it.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub object: Arc<Object>,
    pub spec: PodSpec,
    pub status: PodStatus,
    /// What it asks for, by resource, in thousandths for cpu and units for the rest.
    pub requests: BTreeMap<String, i64>,
}

impl Pod {
    /// Decodes it.
    pub fn new(object: Arc<Object>) -> Result<Self, serde_json::Error> {
        let view: PodView = object.view()?;
        let requests = requests(&view.spec);
        Ok(Self {
            object,
            spec: view.spec,
            status: view.status,
            requests,
        })
    }

    /// Whether it uses its node no more.
    pub fn is_finished(&self) -> bool {
        matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }

    /// The names of its claims, and whether each is its own.
    pub fn claims(&self) -> impl Iterator<Item = (String, bool)> {
        self.spec.volumes.iter().filter_map(|volume| {
            let named = volume.persistent_volume_claim.as_ref();
            let own = || format!("{}-{}", self.object.name(), volume.name);
            let named = named.map(|c| (c.claim_name.clone(), false));
            named.or_else(|| volume.ephemeral.as_ref().map(|_| (own(), true)))
        })
    }

    /// The host ports it takes: address, protocol, port.
    pub fn host_ports(&self) -> impl Iterator<Item = (&str, &str, u16)> {
        // An init container that stays is a sidecar and holds its ports.
        let stays = |c: &&Container| c.restart_policy.as_deref() == Some("Always");
        let containers = self
            .spec
            .containers
            .iter()
            .chain(self.spec.init_containers.iter().filter(stays));
        containers
            .flat_map(|c| &c.ports)
            .filter(|p| p.host_port > 0)
            .map(|p| {
                let ip = if p.host_ip.is_empty() {
                    "0.0.0.0"
                } else {
                    p.host_ip.as_str()
                };
                let protocol = if p.protocol.is_empty() {
                    "TCP"
                } else {
                    p.protocol.as_str()
                };
                (ip, protocol, p.host_port)
            })
    }
}

/// What the pod asks of a node.
fn requests(spec: &PodSpec) -> Amounts {
    let stays = |container: &Container| container.restart_policy.as_deref() == Some("Always");
    let asking = Asking {
        containers: spec.containers.iter().map(|c| &c.resources.requests).collect(),
        init_containers: (spec
            .init_containers
            .iter()
            .map(|c| (&c.resources.requests, stays(c))))
        .collect(),
        whole: Some(&spec.resources.requests),
        overhead: &spec.overhead,
    };
    asking.amounts()
}
