//! What the parts of a cluster count, as Prometheus reads it.

use anyhow::Result;
use e2e::cluster::Cluster;

use crate::expect::has;
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![the_scheduler_and_the_controllers_tell_what_they_count];

fn the_scheduler_and_the_controllers_tell_what_they_count(c: &mut Cluster) -> Result<()> {
    c.kubectl("create deployment counted --image=nginx")?;
    c.kubectl("rollout status deployment/counted --timeout=60s")?;
    let told = c.kubectl("get --raw /metrics --server=https://127.0.0.1:10259")?;
    has(
        &told,
        &[
            "scheduler_schedule_attempts_total{profile=\"default-scheduler\",result=\"scheduled\"} ",
            "scheduler_pending_pods{queue=\"active\"} ",
            "scheduler_pod_scheduling_sli_duration_seconds_bucket{attempts=\"1\",",
            "scheduler_queue_incoming_pods_total{event=\"UnschedulablePodAdd\",queue=\"active\"} ",
            "rest_client_requests_total{code=\"201\",host=\"in-process\",method=\"POST\"} ",
            "kubernetes_feature_enabled{",
            "process_resident_memory_bytes ",
        ],
    )?;
    let told = c.kubectl("get --raw /metrics --server=https://127.0.0.1:10257")?;
    has(
        &told,
        &[
            "workqueue_depth{name=\"deployment\"} ",
            "workqueue_adds_total{name=\"replicaset\"} ",
            "workqueue_work_duration_seconds_bucket{name=\"deployment\",",
            "rest_client_request_duration_seconds_bucket{host=\"in-process\",",
        ],
    )
}
