//! Views that only the controllers of workloads need.

use crate::views::{Condition, IntOrPercent, Meta};
use api::{Gvr, MatchSelector};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub(crate) const CONTROLLER_REVISIONS: Gvr = Gvr::new("apps", "v1", "controllerrevisions");
pub(crate) const DAEMON_SETS: Gvr = Gvr::new("apps", "v1", "daemonsets");
pub(crate) const STATEFUL_SETS: Gvr = Gvr::new("apps", "v1", "statefulsets");
pub(crate) const CLAIMS: Gvr = Gvr::new("", "v1", "persistentvolumeclaims");

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ControllerRevision {
    #[serde(default)]
    pub revision: i64,
    pub data: Box<RawValue>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct DaemonSet {
    #[serde(default)]
    pub metadata: Meta,
    pub spec: DaemonSetSpec,
    #[serde(default)]
    pub status: DaemonSetStatus,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DaemonSetSpec {
    pub selector: MatchSelector,
    pub template: Box<RawValue>,
    #[serde(default)]
    pub min_ready_seconds: i64,
    #[serde(default)]
    pub update_strategy: UpdateStrategy,
    #[serde(default)]
    pub revision_history_limit: Option<i32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct UpdateStrategy {
    pub r#type: String,
    pub rolling_update: Option<RollingUpdate>,
}

/// Of DaemonSets and StatefulSets.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RollingUpdate {
    pub max_surge: Option<IntOrPercent>,
    pub max_unavailable: Option<IntOrPercent>,
    pub partition: i32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct DaemonSetStatus {
    pub current_number_scheduled: i32,
    pub number_misscheduled: i32,
    pub desired_number_scheduled: i32,
    pub number_ready: i32,
    pub observed_generation: i64,
    pub updated_number_scheduled: i32,
    pub number_available: i32,
    pub number_unavailable: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collision_count: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct StatefulSet {
    pub spec: StatefulSetSpec,
    #[serde(default)]
    pub status: StatefulSetStatus,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StatefulSetSpec {
    #[serde(default)]
    pub replicas: i32,
    pub selector: MatchSelector,
    pub template: Box<RawValue>,
    #[serde(default)]
    pub service_name: String,
    #[serde(default)]
    pub volume_claim_templates: Vec<ClaimTemplate>,
    #[serde(default)]
    pub pod_management_policy: String,
    #[serde(default)]
    pub update_strategy: UpdateStrategy,
    #[serde(default)]
    pub revision_history_limit: Option<i32>,
    #[serde(default)]
    pub min_ready_seconds: i64,
    #[serde(default)]
    pub persistent_volume_claim_retention_policy: RetentionPolicy,
    #[serde(default)]
    pub ordinals: Ordinals,
}

/// A template of claims: its metadata, its spec as text.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ClaimTemplate {
    #[serde(default)]
    pub metadata: Meta,
    pub spec: Box<RawValue>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RetentionPolicy {
    pub when_deleted: String,
    pub when_scaled: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Ordinals {
    pub start: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct StatefulSetStatus {
    pub observed_generation: i64,
    pub replicas: i32,
    pub ready_replicas: i32,
    pub current_replicas: i32,
    pub updated_replicas: i32,
    pub available_replicas: i32,
    pub current_revision: String,
    pub update_revision: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collision_count: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}
