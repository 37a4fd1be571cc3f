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
    Kill {
        /// Its name.
        container: String,
        /// Its id.
        id: ContainerId,
        /// Seconds it has.
        grace: i64,
        /// Why, for the event; empty when the pod goes.
        why: String,
    },
    /// Remove a dead container.
    RemoveContainer(ContainerId),
    /// Nothing stands any more: let go of the object.
    Finalize,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StopSandbox(id) => write!(f, "stop sandbox {}", id.0),
            Self::RemoveSandbox(id) => write!(f, "remove sandbox {}", id.0),
            Self::CreateSandbox { attempt } => write!(f, "create sandbox attempt {attempt}"),
            Self::Start { container, attempt } => write!(f, "start {container} attempt {attempt}"),
            Self::Wait { container, until } => write!(f, "wait {container} until {}", until.as_second()),
            Self::Kill {
                container,
                id,
                grace,
                why,
            } => {
                write!(f, "kill {container} {} grace {grace}", id.0)?;
                if why.is_empty() {
                    Ok(())
                } else {
                    write!(f, ": {why}")
                }
            }
            Self::RemoveContainer(id) => write!(f, "remove container {}", id.0),
            Self::Finalize => f.write_str("finalize"),
        }
    }
}
