//! Views: what the controllers read of objects.

use api::{Gvr, MatchSelector, NodeSelector, Object, Owner, Toleration};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, sync::Arc};

pub(crate) const PODS: Gvr = Gvr::new("", "v1", "pods");
pub(crate) const NODES: Gvr = Gvr::new("", "v1", "nodes");
pub(crate) const SERVICES: Gvr = Gvr::new("", "v1", "services");
pub(crate) const ENDPOINTS: Gvr = Gvr::new("", "v1", "endpoints");
pub(crate) const NAMESPACES: Gvr = Gvr::new("", "v1", "namespaces");
pub(crate) const CONFIG_MAPS: Gvr = Gvr::new("", "v1", "configmaps");
pub(crate) const SECRETS: Gvr = Gvr::new("", "v1", "secrets");
pub(crate) const SERVICE_ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");
pub(crate) const REPLICA_SETS: Gvr = Gvr::new("apps", "v1", "replicasets");
pub(crate) const DEPLOYMENTS: Gvr = Gvr::new("apps", "v1", "deployments");
pub(crate) const ENDPOINT_SLICES: Gvr = Gvr::new("discovery.k8s.io", "v1", "endpointslices");
pub(crate) const LEASES: Gvr = Gvr::new("coordination.k8s.io", "v1", "leases");

/// An object with a view of it; objects that do not decode are left out by [`see`].
#[derive(Clone, Debug)]
pub(crate) struct Seen<T> {
    pub object: Arc<Object>,
    pub view: T,
}

impl<T> AsRef<Seen<T>> for Seen<T> {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// Decodes a view.
pub(crate) fn see<T: for<'a> Deserialize<'a>>(object: Arc<Object>) -> Option<Seen<T>> {
    match object.view() {
        Ok(view) => Some(Seen { object, view }),
        Err(error) => {
            tracing::warn!(kind = object.kind(), key = %object.key(), %error, "object does not decode; left alone");
            None
        }
    }
}

/// A reference that makes `object` the managing owner.
pub(crate) fn controller_ref(object: &Object) -> Owner {
    Owner {
        api_version: object.api_version().to_owned(),
        kind: object.kind().to_owned(),
        name: object.name().to_owned(),
        uid: object.uid().to_owned(),
        controller: true,
        block_owner_deletion: true,
    }
}

/// Metadata as it is written.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Meta {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub generate_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resource_version: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owner_references: Vec<Owner>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<String>,
}

/// A pod template: its labels and annotations, its spec as text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Template {
    #[serde(default)]
    pub metadata: Meta,
    pub spec: Box<RawValue>,
}

impl Template {
    /// Whether both make the same pods, `pod-template-hash` aside.
    pub fn same(&self, other: &Self) -> bool {
        let plain = |t: &Self| {
            let mut meta = t.metadata.clone();
            meta.labels.remove("pod-template-hash");
            meta
        };
        self.spec.get() == other.spec.get() && plain(self) == plain(other)
    }
}

/// A condition of a status.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Condition {
    pub r#type: String,
    pub status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_update_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heartbeat_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_probe_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// Wall time cut to whole seconds, as the API stores it.
pub(crate) fn seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Pod {
    pub metadata: Meta,
    pub spec: PodSpec,
    pub status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodSpec {
    pub node_name: String,
    pub hostname: String,
    pub subdomain: String,
    pub tolerations: Vec<Toleration>,
    pub affinity: Option<Affinity>,
    pub containers: Vec<Container>,
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
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Container {
    pub ports: Vec<ContainerPort>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerPort {
    pub name: String,
    pub container_port: u16,
    pub protocol: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PodStatus {
    pub phase: String,
    #[serde(rename = "podIP")]
    pub pod_ip: String,
    pub conditions: Vec<Condition>,
    pub container_statuses: Vec<ContainerStatus>,
    pub init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerStatus {
    pub name: String,
    pub restart_count: i32,
    pub state: ContainerState,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ContainerState {
    pub terminated: Option<Terminated>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Terminated {
    pub exit_code: i32,
    pub finished_at: Option<Timestamp>,
}

impl Seen<Pod> {
    /// Neither finished nor being deleted.
    pub fn is_active(&self) -> bool {
        !self.is_finished() && self.object.deletion_timestamp().is_none()
    }

    /// Succeeded or failed.
    pub fn is_finished(&self) -> bool {
        matches!(self.view.status.phase.as_str(), "Succeeded" | "Failed")
    }

    fn ready_condition(&self) -> Option<&Condition> {
        self.view.status.conditions.iter().find(|c| c.r#type == "Ready")
    }

    /// Its Ready condition holds.
    pub fn is_ready(&self) -> bool {
        self.ready_condition().is_some_and(|c| c.status == "True")
    }

    /// Since when it is ready.
    pub fn ready_since(&self) -> Option<Timestamp> {
        self.ready_condition()
            .filter(|c| c.status == "True")
            .and_then(|c| c.last_transition_time)
    }

    /// Ready for at least `min_ready` seconds.
    pub fn is_available(&self, min_ready: i64, now: Timestamp) -> bool {
        self.is_ready()
            && (min_ready == 0
                || self
                    .ready_since()
                    .is_some_and(|t| t.as_second() + min_ready <= now.as_second()))
    }
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ReplicaSet {
    #[serde(default)]
    pub metadata: Meta,
    pub spec: ReplicaSetSpec,
    #[serde(default)]
    pub status: ReplicaSetStatus,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ReplicaSetSpec {
    #[serde(default)]
    pub replicas: i32,
    #[serde(default)]
    pub min_ready_seconds: i64,
    #[serde(deserialize_with = "selector_or_labels")]
    pub selector: MatchSelector,
    pub template: Template,
}

/// A ReplicationController selects by plain labels.
fn selector_or_labels<'de, D: serde::Deserializer<'de>>(from: D) -> Result<MatchSelector, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Labels(BTreeMap<String, String>),
        Selector(MatchSelector),
    }
    Ok(match Either::deserialize(from)? {
        Either::Labels(match_labels) => MatchSelector {
            match_labels,
            ..MatchSelector::default()
        },
        Either::Selector(selector) => selector,
    })
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ReplicaSetStatus {
    pub replicas: i32,
    pub fully_labeled_replicas: i32,
    pub ready_replicas: i32,
    pub available_replicas: i32,
    pub observed_generation: i64,
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Deployment {
    #[serde(default)]
    pub metadata: Meta,
    pub spec: DeploymentSpec,
    #[serde(default)]
    pub status: DeploymentStatus,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeploymentSpec {
    #[serde(default)]
    pub replicas: i32,
    #[serde(default)]
    pub min_ready_seconds: i64,
    pub selector: MatchSelector,
    pub template: Template,
    #[serde(default)]
    pub strategy: Strategy,
    #[serde(default)]
    pub revision_history_limit: Option<i32>,
    #[serde(default)]
    pub progress_deadline_seconds: Option<i64>,
    #[serde(default)]
    pub paused: bool,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Strategy {
    pub r#type: String,
    pub rolling_update: Option<RollingUpdate>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RollingUpdate {
    pub max_surge: IntOrPercent,
    pub max_unavailable: IntOrPercent,
}

/// A number, or a share of another.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum IntOrPercent {
    Int(i32),
    Text(String),
}

impl Default for IntOrPercent {
    fn default() -> Self {
        Self::Text("25%".to_owned())
    }
}

impl IntOrPercent {
    /// The number for a total of `total`.
    pub fn of(&self, total: i32, round_up: bool) -> i32 {
        match self {
            Self::Int(n) => *n,
            Self::Text(text) => {
                let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
                let product = percent * i64::from(total);
                let share = if round_up {
                    product.div_euclid(100) + i64::from(product % 100 != 0)
                } else {
                    product / 100
                };
                i32::try_from(share).unwrap_or(i32::MAX)
            }
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DeploymentStatus {
    pub observed_generation: i64,
    pub replicas: i32,
    pub updated_replicas: i32,
    pub ready_replicas: i32,
    pub available_replicas: i32,
    pub unavailable_replicas: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collision_count: Option<i32>,
    pub conditions: Vec<Condition>,
}
