//! Views of CronJobs.

use crate::views::Meta;
use api::Gvr;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub(super) const CRON_JOBS: Gvr = Gvr::new("batch", "v1", "cronjobs");

#[derive(Clone, Debug, Deserialize)]
pub(super) struct CronJob {
    pub spec: CronJobSpec,
    #[serde(default)]
    pub status: CronJobStatus,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CronJobSpec {
    pub schedule: String,
    #[serde(default)]
    pub time_zone: Option<String>,
    #[serde(default)]
    pub starting_deadline_seconds: Option<i64>,
    #[serde(default)]
    pub concurrency_policy: String,
    #[serde(default)]
    pub suspend: bool,
    pub job_template: JobTemplate,
    #[serde(default)]
    pub successful_jobs_history_limit: Option<i32>,
    #[serde(default)]
    pub failed_jobs_history_limit: Option<i32>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct JobTemplate {
    #[serde(default)]
    pub metadata: Meta,
    pub spec: Box<RawValue>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct CronJobStatus {
    pub active: Vec<Reference>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_schedule_time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_successful_time: Option<Timestamp>,
}

/// A Job that runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Reference {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub namespace: String,
    pub resource_version: String,
    pub uid: String,
}
