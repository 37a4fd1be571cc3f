//! What a member tells about itself.

use std::collections::BTreeMap;

use crate::leader::Leading;
use crate::raft::State;
use crate::{Members, Raft, Role};

/// How a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Who it is.
    pub id: u64,
    /// Its term.
    pub term: u64,
    /// Whom it voted for in that term; 0 for nobody.
    pub vote: u64,
    /// The leader that it knows; 0 for none.
    pub leader: u64,
    /// What it is.
    pub role: Role,
    /// Up to where its log is committed.
    pub commit: u64,
    /// Up to where its log is applied.
    pub applied: u64,
    /// The first index that its memory holds.
    pub first_index: u64,
    /// The last index of its log.
    pub last_index: u64,
    /// The members as it knows them.
    pub members: Members,
    /// On a leader: how far each member is, itself included.
    pub progress: BTreeMap<u64, ProgressStatus>,
    /// On a leader: to whom it hands over.
    pub transferring: Option<u64>,
}

/// How far a member is, as the leader knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgressStatus {
    /// Up to here its log agrees with the leader's, durably.
    pub matched: u64,
    /// What is sent next.
    pub next: u64,
    /// How it is sent.
    pub state: ProgressState,
    /// Whether it was heard of lately (within an election time-out).
    pub active: bool,
    /// Whether it is a learner.
    pub learner: bool,
}

/// How entries are sent to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProgressState {
    /// One message at a time, until it is known where the logs agree.
    Probe,
    /// As fast as they come, with a window.
    Replicate,
    /// None, until the snapshot up to this index has arrived.
    Snapshot(u64),
}

impl Raft {
    /// How the member is.
    #[must_use]
    pub fn status(&self) -> Status {
        let leading = match &self.state {
            State::Leader(leading) => Some(leading),
            _ => None,
        };
        Status {
            id: self.config.id,
            term: self.term,
            vote: self.vote,
            leader: self.leader,
            role: self.role(),
            commit: self.log.commit(),
            applied: self.log.applied(),
            first_index: self.log.first_index(),
            last_index: self.log.last_index(),
            members: self.members.clone(),
            progress: leading.map(|leading| self.progress(leading)).unwrap_or_default(),
            transferring: leading
                .and_then(|leading| leading.transfer)
                .map(|transfer| transfer.to),
        }
    }

    fn progress(&self, leading: &Leading) -> BTreeMap<u64, ProgressStatus> {
        let own = ProgressStatus {
            matched: self.log.stable(),
            next: self.log.last_index() + 1,
            state: ProgressState::Replicate,
            active: true,
            learner: false,
        };
        let others = leading.progress.iter().map(|(id, progress)| {
            let status = ProgressStatus {
                matched: progress.matched,
                next: progress.next,
                state: progress.state,
                active: progress.active,
                learner: self.members.learners.contains(id),
            };
            (*id, status)
        });
        others.chain([(self.config.id, own)]).collect()
    }
}
