//! Why a member did not do what it was asked, in etcd's words.

use super::{auth::AuthError, log::LogError, members::MemberError, pack::Garbled};
use crate::{Error, OpenError};

/// What a request failed for.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// The store did not do it.
    #[error(transparent)]
    Store(#[from] Error),
    /// The members cannot be changed so.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// Who asks may not, or users and roles cannot be changed so.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// It may or may not have been done.
    #[error("request timed out")]
    TimedOut,
    /// The same; the leader changed meanwhile.
    #[error("request timed out, possibly due to previous leader failure")]
    LeaderFailed,
    /// The leader did not hand over in time.
    #[error("request timed out, leader transfer took too long")]
    TransferTimedOut,
    /// Nobody is known to lead.
    #[error("no leader")]
    NoLeader,
    /// Only the leader does that.
    #[error("not leader")]
    NotLeader,
    /// The leader cannot hand over to that one.
    #[error("bad leader transferee")]
    BadTransferee,
    /// More is on its way than can be.
    #[error("too many requests")]
    TooMany,
    /// The server ends, or this member was removed.
    #[error("server stopped")]
    Stopped,
    /// With the change too few members would have started.
    #[error("re-configuration failed due to not enough started members")]
    NotEnoughStarted,
    /// Too few members are reached.
    #[error("unhealthy cluster")]
    Unhealthy,
    /// The learner is behind.
    #[error("can only promote a learner member which is in sync with leader")]
    LearnerNotReady,
    /// A learner does not do that.
    #[error("rpc not supported for learner")]
    Learner,
    /// The members hold different data.
    #[error("corrupt cluster")]
    Corrupt,
}

/// Why a member does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The log of Raft.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The file system.
    #[error("{place}: {source}")]
    Io {
        /// What was to be used.
        place: String,
        /// What the file system said.
        source: std::io::Error,
    },
    /// A bootstrap entry was refused.
    #[error("the first entries: {0}")]
    Apply(#[from] Error),
    /// The table of members cannot be read.
    #[error("the table of members: {0}")]
    Table(#[from] Garbled),
    /// The members that are given do not fit.
    #[error("{0}")]
    Members(String),
}
