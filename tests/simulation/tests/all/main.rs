//! The whole cluster under a paused clock: store, API server, scheduler, controllers and kubelets, from a seed.
#![expect(
    clippy::unwrap_used,
    reason = "the functions that stories share fail as stories do"
)]

mod deployments;
mod determinism;
mod disruption;
mod faults;
mod jobs;
mod manifests;
mod nodes;
mod ownership;
mod restart;
mod volumes;
mod workloads;
