//! What the log holds.

use bytes::Bytes;

/// What an entry counts as beside its content.
const ENTRY_BYTES: usize = 32;

/// One entry of the log. Two logs that hold an entry of the same term and index are the same up to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The term of the leader that made it.
    pub term: u64,
    /// Its place in the log, from 1.
    pub index: u64,
    /// What it says.
    pub payload: Payload,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Nothing: the first entry of a leader, by which it commits those of its forerunners.
    Empty,
    /// A command for the state machine.
    Data(Bytes),
    /// A change of the members, done once it is applied ([`crate::Raft::apply_change`]).
    Change(Change),
}

/// A change of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What changes.
    pub kind: ChangeKind,
    /// The member that it concerns.
    pub id: u64,
    /// What the proposer wants to find with it, such as addresses.
    pub context: Bytes,
}

/// What a [`Change`] does to its member. What has no effect (a member added again, the last voter removed) is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// A new voter; also makes a learner one.
    Add,
    /// A new member that gets the log and has no vote.
    AddLearner,
    /// A learner becomes a voter.
    Promote,
    /// A voter or learner leaves.
    Remove,
}

impl Entry {
    /// What it counts as in messages and limits.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.payload.bytes()
    }
}

impl Payload {
    pub(crate) fn bytes(&self) -> usize {
        let content = match self {
            Self::Empty => 0,
            Self::Data(data) => data.len(),
            Self::Change(change) => change.context.len(),
        };
        content + ENTRY_BYTES
    }
}
