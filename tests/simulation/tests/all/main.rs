//! The whole cluster under a paused clock: store, API server, scheduler, controllers and kubelets, from a seed.

mod deployments;
mod determinism;
mod faults;
mod manifests;
mod nodes;
mod ownership;
mod restart;
