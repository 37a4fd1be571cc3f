//! What a member tells about itself.

use std::collections::BTreeMap;

use crate::{Members, Role};

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
