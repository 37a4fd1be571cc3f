//! A pod's status. Times are kept as text, as they were written.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `status`. What is absent is written as null, so that a patch takes it away.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// Generation of the spec this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Phase.
    pub phase: String,
    /// Why, for a failed pod.
    pub reason: Option<String>,
    /// For a person.
    pub message: Option<String>,
    /// Conditions.
    pub conditions: Vec<Condition>,
    /// Node's address.
    #[serde(rename = "hostIP")]
    pub host_ip: Option<String>,
    /// Node's addresses.
    #[serde(rename = "hostIPs", serialize_with = "null_when_empty")]
    pub host_ips: Vec<Ip>,
    /// Pod's address.
    #[serde(rename = "podIP")]
    pub pod_ip: Option<String>,
    /// Pod's addresses.
    #[serde(rename = "podIPs", serialize_with = "null_when_empty")]
    pub pod_ips: Vec<Ip>,
    /// When the kubelet saw it.
    pub start_time: Option<String>,
    /// Init containers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub init_container_statuses: Vec<ContainerStatus>,
    /// Containers.
    pub container_statuses: Vec<ContainerStatus>,
    /// Containers that were added to look at the others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ephemeral_container_statuses: Vec<ContainerStatus>,
    /// `Guaranteed`, `Burstable`, `BestEffort`.
    pub qos_class: String,
}

/// An empty list in a strategic merge patch changes nothing; null takes the list away.
fn null_when_empty<S: serde::Serializer>(list: &[Ip], serializer: S) -> Result<S::Ok, S::Error> {
    if list.is_empty() {
        serializer.serialize_none()
    } else {
        list.serialize(serializer)
    }
}

/// An address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ip {
    /// Address.
    pub ip: String,
}

impl PodStatus {
    /// The status of the condition Ready.
    pub fn ready(&self) -> Option<&str> {
        let ready = self.conditions.iter().find(|c| c.kind == "Ready");
        ready.map(|c| c.status.as_str())
    }

    /// Whether the pod is over for good.
    pub fn is_over(&self) -> bool {
        is_last(&self.phase)
    }
}

/// Whether no other phase comes after `phase`.
pub fn is_last(phase: &str) -> bool {
    matches!(phase, "Succeeded" | "Failed")
}

/// A condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Type.
    #[serde(rename = "type")]
    pub kind: String,
    /// `True`, `False`, `Unknown`.
    pub status: String,
    /// Generation of the spec this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When it changed.
    pub last_transition_time: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// For a person.
    pub message: Option<String>,
    /// What a patch does to it, beside setting it.
    #[serde(rename = "$patch", skip_serializing_if = "Option::is_none")]
    pub patch: Option<Delete>,
}

/// Takes an element away in a strategic merge patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Delete {
    /// `delete`
    Delete,
}

/// What a condition is when it is not there.
pub const NO_CONDITION: &Condition = &Condition {
    kind: String::new(),
    status: String::new(),
    observed_generation: None,
    last_transition_time: None,
    reason: None,
    message: None,
    patch: None,
};

/// A container's status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Name.
    pub name: String,
    /// Now.
    pub state: ContainerState,
    /// Before.
    pub last_state: ContainerState,
    /// Ready.
    pub ready: bool,
    /// Started, its start-up probe included.
    pub started: Option<bool>,
    /// Restarts.
    pub restart_count: u32,
    /// Image.
    pub image: String,
    /// Image with digest.
    #[serde(rename = "imageID")]
    pub image_id: String,
    /// Id with its runtime.
    #[serde(rename = "containerID", skip_serializing_if = "String::is_empty")]
    pub container_id: String,
    /// Requests that the node granted.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub allocated_resources: BTreeMap<String, api::Quantity>,
    /// Requests and limits that hold now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<super::Requirements>,
}

/// One of three.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// Not yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
    /// Ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminated: Option<Terminated>,
}

/// Not yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// Why.
    pub reason: String,
    /// For a person.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Running {
    /// Since.
    pub started_at: Option<String>,
}

/// Ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    /// Exit code.
    pub exit_code: i32,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For a person.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Start.
    pub started_at: Option<String>,
    /// End.
    pub finished_at: Option<String>,
    /// Id with its runtime.
    #[serde(rename = "containerID", skip_serializing_if = "String::is_empty")]
    pub container_id: String,
}

impl PodStatus {
    /// The condition of that type.
    pub fn condition(&self, kind: &str) -> &Condition {
        self.conditions
            .iter()
            .find(|c| c.kind == kind)
            .unwrap_or(NO_CONDITION)
    }

    /// The status of that container or init container.
    pub fn container(&self, name: &str) -> Option<&ContainerStatus> {
        self.init_container_statuses
            .iter()
            .chain(&self.container_statuses)
            .chain(&self.ephemeral_container_statuses)
            .find(|c| c.name == name)
    }

    /// All lists of containers.
    pub fn lists_mut(&mut self) -> [&mut Vec<ContainerStatus>; 3] {
        [
            &mut self.init_container_statuses,
            &mut self.container_statuses,
            &mut self.ephemeral_container_statuses,
        ]
    }
}
