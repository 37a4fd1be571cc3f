//! What to do next for a pod: a pure function of what is wanted, what is there, and what is remembered.

mod backoff;
mod memory;
mod plan;
#[cfg(test)]
mod stories;

pub use backoff::{Backoff, go_duration};
pub use memory::{Failure, Memory, Observed};
pub use plan::pod_actions;

use jiff::Timestamp;
use runtime::{ContainerId, SandboxId};
use std::fmt;

/// One step. The steps of a plan are done in order, except that stops run side by side.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Stop a sandbox: its network goes back, what runs in it is killed.
    StopSandbox(SandboxId),
    /// Remove a sandbox with its containers.
    RemoveSandbox(SandboxId),
    /// Make the sandbox.
    CreateSandbox {
        /// How many there were before.
        attempt: u32,
    },
    /// Make and start a container.
    Start {
        /// Its name.
        container: String,
        /// Restart count.
        attempt: u32,
    },
    /// Leave a container in its crash back-off.
    Wait {
        /// Its name.
        container: String,
        /// Until then.
        until: Timestamp,
    },
    /// Stop a container.
    Kill(Kill),
    /// Give a running container the resources that it is to have now.
    Resize {
        /// Its name.
        container: String,
        /// Its id.
        id: ContainerId,
    },
    /// Remove a dead container.
    RemoveContainer(ContainerId),
    /// Nothing stands any more: let go of the object.
    Finalize,
}

/// A container to stop.
#[derive(Clone, Debug, PartialEq)]
pub struct Kill {
    /// Its name.
    pub container: String,
    /// Its id.
    pub id: ContainerId,
    /// Seconds it has.
    pub grace: i64,
    /// Why, for the event; empty when the pod goes.
    pub why: String,
    /// Containers that must have ended first, within the same seconds.
    pub after: Vec<ContainerId>,
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kill {} {} grace {}", self.container, self.id.0, self.grace)?;
        self.after
            .iter()
            .try_for_each(|id| write!(f, " after {}", id.0))?;
        if self.why.is_empty() {
            Ok(())
        } else {
            write!(f, ": {}", self.why)
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StopSandbox(id) => write!(f, "stop sandbox {}", id.0),
            Self::RemoveSandbox(id) => write!(f, "remove sandbox {}", id.0),
            Self::CreateSandbox { attempt } => write!(f, "create sandbox attempt {attempt}"),
            Self::Start { container, attempt } => write!(f, "start {container} attempt {attempt}"),
            Self::Wait { container, until } => write!(f, "wait {container} until {}", until.as_second()),
            Self::Kill(kill) => kill.fmt(f),
            Self::Resize { container, id } => write!(f, "resize {container} {}", id.0),
            Self::RemoveContainer(id) => write!(f, "remove container {}", id.0),
            Self::Finalize => f.write_str("finalize"),
        }
    }
}
