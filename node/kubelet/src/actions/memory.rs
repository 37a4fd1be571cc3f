//! What a plan is made from, beside the spec.

use super::Backoff;
use runtime::{ContainerId, ContainerState, ContainerStatus, SandboxStatus};
use std::collections::{BTreeMap, BTreeSet};

/// The pod as the runtime has it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// Sandboxes, newest first.
    pub sandboxes: Vec<SandboxStatus>,
    /// Containers of all of them, newest first.
    pub containers: Vec<ContainerStatus>,
}

impl Observed {
    /// Sorted: newest first.
    pub fn new(mut sandboxes: Vec<SandboxStatus>, mut containers: Vec<ContainerStatus>) -> Self {
        sandboxes.sort_by_key(|s| std::cmp::Reverse((s.attempt, s.created_at)));
        containers
            .sort_by(|a, b| (b.attempt, b.created_at, &b.name).cmp(&(a.attempt, a.created_at, &a.name)));
        Self {
            sandboxes,
            containers,
        }
    }

    /// The sandbox that works.
    pub fn sandbox(&self) -> Option<&SandboxStatus> {
        self.sandboxes.first().filter(|s| s.ready)
    }

    /// Instances of a container, newest first.
    pub fn instances<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a ContainerStatus> {
        self.containers.iter().filter(move |c| c.name == name)
    }

    /// The newest instance of a container.
    pub fn latest<'a>(&'a self, name: &'a str) -> Option<&'a ContainerStatus> {
        self.instances(name).next()
    }

    /// The newest instance of a container in the sandbox that is newest.
    pub fn current<'a>(&'a self, name: &'a str) -> Option<&'a ContainerStatus> {
        let sandbox = self.sandboxes.first()?;
        self.instances(name).find(|c| c.sandbox == sandbox.id)
    }

    /// Containers that run.
    pub fn running(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.containers
            .iter()
            .filter(|c| c.state == ContainerState::Running)
    }
}

/// The pod as a whole failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// Such as `DeadlineExceeded`.
    pub reason: String,
    /// For a person.
    pub message: String,
}

/// What neither spec nor runtime knows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Memory {
    /// Crash back-offs by container name.
    pub backoff: BTreeMap<String, Backoff>,
    /// Running containers that must go, with the seconds they have and why.
    pub condemned: BTreeMap<ContainerId, (i64, String)>,
    /// Containers whose start-up probe has not succeeded yet.
    pub starting: BTreeSet<ContainerId>,
    /// Containers whose postStart hook is not over yet.
    pub hooked: BTreeSet<ContainerId>,
    /// Restart counts of containers that the runtime has forgotten.
    pub attempts: BTreeMap<String, u32>,
    /// The resources that the pod asks for now cannot be had: reason and message.
    pub unfit: Option<Failure>,
    /// Why the last change of resources failed.
    pub resize_error: Option<String>,
    /// The object is gone from the API.
    pub gone: bool,
    /// The pod failed as a whole.
    pub failure: Option<Failure>,
    /// The pod was told to be over: it never runs again, whatever the runtime remembers of it.
    pub finished: bool,
}
