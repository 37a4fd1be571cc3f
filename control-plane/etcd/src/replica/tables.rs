//! What the table beside the key space says of the cluster, as of the entry that is applied next.

use super::{
    Failure, Membership,
    auth::{Auth, Lookup},
    codec::Task,
    pack::Garbled,
};
use crate::state::Command;
use bytes::Bytes;
use std::collections::BTreeMap;

/// Who is a member, and who may do what.
#[derive(Clone)]
pub struct Tables {
    pub members: Membership,
    pub auth: Auth,
}

impl Tables {
    /// What a table says.
    pub fn of(table: &BTreeMap<Bytes, Bytes>) -> Result<Self, Garbled> {
        Ok(Self {
            members: Membership::of(table)?,
            auth: Auth::of(table)?,
        })
    }

    /// Whether a task is judged by the keys of a lease, so that all before it must be applied first.
    pub fn looks_at_leases(&self, task: &Task) -> bool {
        matches!(task, Task::DoAs(_, command) if self.auth.looks_at_leases(command))
    }

    /// The command of a task that is agreed on.
    pub fn task(&mut self, task: Task, keys: Lookup<'_>) -> Result<Command, Failure> {
        Ok(match task {
            Task::Do(command) => command,
            Task::DoAs(who, command) => {
                self.auth.may_do(&who, &command, keys)?;
                command
            }
            Task::Auth(who, change) => {
                self.auth.may_change(&who, &change)?;
                self.auth.change(&change)?
            }
            Task::Publish {
                id,
                name,
                client_urls,
            } => self.members.publish(id, name, client_urls)?,
            Task::Move { id, peer_urls } => self.members.relocate(id, peer_urls)?,
        })
    }
}
