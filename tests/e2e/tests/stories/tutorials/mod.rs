//! The tasks and tutorials of the Kubernetes documentation, with its manifests and its commands; what kubectl prints is
//! compared with what the pages show. They are told side by side, so none changes the node.

mod applications;
mod batch;
mod configuration;
mod debugging;
mod networking;
mod pods;
mod resources;
mod security;
mod state;
mod storage;

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::cluster::Cluster;
use e2e::wait;

use crate::Story;
use crate::expect::has;
use crate::pod::{inside, inside_until, until_phase, until_ready};

pub const STORIES: &[&[Story]] = &[
    // The slow ones first.
    pods::STORIES,
    batch::STORIES,
    applications::STORIES,
    state::STORIES,
    storage::STORIES,
    networking::STORIES,
    resources::STORIES,
    security::STORIES,
    configuration::STORIES,
    debugging::STORIES,
];

/// Waits until `kubectl describe` of a pod has these parts.
fn until_described(c: &Cluster, pod: &str, parts: &[&str]) -> Result<()> {
    wait::until(
        &format!("the description of {pod} to have {parts:?}"),
        Duration::from_secs(120),
        || has(&c.kubectl(&format!("describe pod {pod}"))?, parts).map(Some),
    )
}

/// Waits until what `kubectl logs` shows of a pod has this.
fn until_logged(c: &Cluster, pod: &str, part: &str) -> Result<()> {
    wait::until(
        &format!("the logs of {pod} to have {part:?}"),
        Duration::from_secs(120),
        || has(&c.kubectl(&format!("logs {pod}"))?, &[part]).map(Some),
    )
}

/// Waits until the row of a pod in `kubectl get pods` says this in the column STATUS.
fn until_status(c: &Cluster, pod: &str, expected: &str) -> Result<()> {
    wait::until(
        &format!("{pod} to be {expected}"),
        Duration::from_secs(120),
        || {
            let (_, rows) = c.table(&format!("get pod {pod}"))?;
            ensure!(rows[0][2] == expected, "{rows:?}");
            Ok(Some(()))
        },
    )
}
