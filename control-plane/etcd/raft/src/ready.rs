//! What a member wants done.

use crate::{Entry, Message, SnapshotMeta};

/// What must survive a crash, beside the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HardState {
    /// The newest term that the member knows of.
    pub term: u64,
    /// For whom it voted in that term; 0 for nobody.
    pub vote: u64,
    /// Up to where the log is known to be committed.
    pub commit: u64,
}

/// What a member is at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Follows a leader, or waits for one. Learners are followers always.
    #[default]
    Follower,
    /// Asks whether it would be elected.
    PreCandidate,
    /// Stands for election.
    Candidate,
    /// Leads.
    Leader,
}

/// What is lost with the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Soft {
    /// The leader of the term; 0 if none is known.
    pub leader: u64,
    /// What this member is.
    pub role: Role,
    /// The term.
    pub term: u64,
}

/// What is to be done, in this order: write `snapshot`, `append` and `hard_state` down as one (a crash leaves all of an earlier
/// Ready before anything of a later one), sync if `must_sync`, tell it by [`crate::Raft::persisted`], and then send
/// `after_sync`. `messages` may be sent meanwhile, `committed` be applied, `reads` be answered. The next Ready may be taken
/// before this one is durable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// Counts up by one each time.
    pub number: u64,
    /// To be written down if it is there.
    pub hard_state: Option<HardState>,
    /// Whether what is to be written down must be synced before it is told as persisted. If not, it may be told at once, as soon
    /// as everything before it is durable.
    pub must_sync: bool,
    /// To be installed as the state, in place of the whole log; `append` then follows it.
    pub snapshot: Option<SnapshotMeta>,
    /// To be written to the log; what the log has from the index of the first on is cut off before.
    pub append: Vec<Entry>,
    /// To be sent at once.
    pub messages: Vec<Message>,
    /// To be sent once this Ready and all before it are durable.
    pub after_sync: Vec<Message>,
    /// To be applied in order; all of it is durable in this member's log. Afterwards [`crate::Raft::applied`] is told.
    pub committed: Vec<Entry>,
    /// Reads that may be answered: the context, and the index that has to be applied before.
    pub reads: Vec<(u64, u64)>,
    /// What the member is now, if that changed.
    pub soft: Option<Soft>,
}
