//! What members say to one another.

use crate::{Entry, Payload, SnapshotMeta};

/// A message from one member to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who says it.
    pub from: u64,
    /// To whom.
    pub to: u64,
    /// The sender's term; for [`Body::PreVote`] and a granted [`Body::PreVoteReply`] the term that is stood for.
    pub term: u64,
    /// What is said.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// Would you vote for me? Binds nobody.
    PreVote {
        /// The last index of the candidate's log.
        last_index: u64,
        /// The term of the entry there.
        last_term: u64,
    },
    /// The answer to [`Body::PreVote`].
    PreVoteReply {
        /// Whether the vote would be given.
        granted: bool,
        /// Up to where the answering member knows the log to be committed. Whoever has the same entry there knows it then, too:
        /// so the last members that wait for the vote of one that left learn that they need it no more.
        commit: u64,
        /// The term of the entry there.
        commit_term: u64,
    },
    /// Vote for me.
    Vote {
        /// The last index of the candidate's log.
        last_index: u64,
        /// The term of the entry there.
        last_term: u64,
        /// The leader itself wants this election: vote although it lives.
        transfer: bool,
    },
    /// The answer to [`Body::Vote`].
    VoteReply {
        /// Whether the vote is given.
        granted: bool,
    },
    /// Entries from the leader.
    Append {
        /// The index before the first of them.
        prev_index: u64,
        /// The term of the leader's entry there.
        prev_term: u64,
        /// The entries; none to learn whether the logs agree, or to tell the commit index.
        entries: Vec<Entry>,
        /// The leader's commit index.
        commit: u64,
    },
    /// The answer to [`Body::Append`] and [`Body::InstallSnapshot`].
    AppendReply {
        /// Up to where the logs agree, durably; of a refused append its `prev_index`.
        index: u64,
        /// Set if the append was refused since the logs do not agree at `index`.
        refused: Option<Hint>,
    },
    /// The leader lives.
    Heartbeat {
        /// What is surely committed in the receiver's log.
        commit: u64,
        /// The newest read that waits for a majority to confirm the leader; 0 for none.
        read: u64,
    },
    /// The answer to [`Body::Heartbeat`].
    HeartbeatReply {
        /// `read` of the heartbeat.
        read: u64,
    },
    /// The receiver is behind what the leader's log still holds, and gets a snapshot. The data goes another way, and has to be
    /// there before the message is handed to [`crate::Raft::step`]. The sender may put in the place of this meta that of a
    /// newer snapshot.
    InstallSnapshot(SnapshotMeta),
    /// Stand for election at once: the leader hands over.
    TimeoutNow,
    /// A follower asks the leader for an index to read at.
    ReadIndex {
        /// What the follower knows its question by.
        context: u64,
    },
    /// The answer to [`Body::ReadIndex`].
    ReadIndexReply {
        /// That of the question.
        context: u64,
        /// A state that has applied this index is fit for the read.
        index: u64,
    },
    /// Proposals passed on to the leader.
    Propose {
        /// What is proposed.
        payloads: Vec<Payload>,
    },
}

/// Where a member's log may agree with the leader's, told when it refuses an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The last index up to `prev_index` whose term is not above `prev_term`.
    pub index: u64,
    /// The term there.
    pub term: u64,
}
