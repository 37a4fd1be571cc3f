//! Views of Jobs.

use crate::views::{Condition, Template};
use api::{Gvr, MatchSelector};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) const JOBS: Gvr = Gvr::new("batch", "v1", "jobs");

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Job {
    pub spec: JobSpec,
    #[serde(default)]
    pub status: JobStatus,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobSpec {
    #[serde(default)]
    pub parallelism: Option<i32>,
    #[serde(default)]
    pub completions: Option<i32>,
    #[serde(default)]
    pub active_deadline_seconds: Option<i64>,
    #[serde(default)]
    pub backoff_limit: Option<i32>,
    #[serde(default)]
    pub backoff_limit_per_index: Option<i32>,
    #[serde(default)]
    pub max_failed_indexes: Option<i32>,
    #[serde(default)]
    pub pod_failure_policy: Option<FailurePolicy>,
    #[serde(default)]
    pub success_policy: Option<SuccessPolicy>,
    #[serde(default)]
    pub pod_replacement_policy: String,
    #[serde(default)]
    pub completion_mode: String,
    #[serde(default)]
    pub suspend: bool,
    #[serde(default)]
    pub managed_by: Option<String>,
    #[serde(default)]
    pub ttl_seconds_after_finished: Option<i64>,
    #[serde(default)]
    pub selector: Option<MatchSelector>,
    pub template: Template,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FailurePolicy {
    pub rules: Vec<FailureRule>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct FailureRule {
    pub action: String,
    pub on_exit_codes: Option<ExitCodes>,
    pub on_pod_conditions: Vec<PodConditionPattern>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ExitCodes {
    pub container_name: Option<String>,
    pub operator: String,
    pub values: Vec<i32>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PodConditionPattern {
    pub r#type: String,
    pub status: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SuccessPolicy {
    pub rules: Vec<SuccessRule>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SuccessRule {
    pub succeeded_indexes: Option<String>,
    pub succeeded_count: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct JobStatus {
    pub conditions: Vec<Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Timestamp>,
    pub active: i32,
    pub succeeded: i32,
    pub failed: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminating: Option<i32>,
    pub completed_indexes: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_indexes: Option<String>,
    pub uncounted_terminated_pods: Uncounted,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<i32>,
}

/// UIDs of finished pods whose finalizer is to go before they are counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Uncounted {
    pub succeeded: Vec<String>,
    pub failed: Vec<String>,
}

impl Condition {
    /// One that holds since `now`, as Jobs have them.
    pub fn holds(kind: &str, reason: &str, message: &str, now: Timestamp) -> Self {
        let now = Some(crate::views::seconds(now));
        Self {
            r#type: kind.to_owned(),
            status: "True".to_owned(),
            last_probe_time: now,
            last_transition_time: now,
            reason: reason.to_owned(),
            message: message.to_owned(),
            ..Self::default()
        }
    }
}

impl JobStatus {
    /// A condition that holds.
    pub fn holds(&self, kind: &str) -> Option<&Condition> {
        let mut conditions = self.conditions.iter();
        conditions.find(|c| c.r#type == kind && c.status == "True")
    }

    /// The condition by which the Job is finished.
    pub fn finished(&self) -> Option<&Condition> {
        self.holds("Complete").or_else(|| self.holds("Failed"))
    }
}

impl JobSpec {
    /// Whether each pod has an index.
    pub fn is_indexed(&self) -> bool {
        self.completion_mode == "Indexed"
    }

    /// Whether a pod is replaced only once it has ended, not already when it is being deleted.
    pub fn replaces_only_failed(&self) -> bool {
        self.pod_replacement_policy == "Failed" || self.pod_failure_policy.is_some()
    }
}
