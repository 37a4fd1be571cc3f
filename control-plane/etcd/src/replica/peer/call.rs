//! Questions that one member asks another.

use super::CALL;
use crate::{
    Revision,
    replica::{
        Failure, MemberError, Replica,
        pack::{Garbled, Pack, Unpack},
    },
};
use bytes::Bytes;
use std::time::Duration;

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Prolong a lease, as only the leader does.
    KeepAlive(i64),
    /// How long a lease lives yet, as only the leader knows.
    TimeToLive(i64),
    /// What hash all keys have as of a revision (0: now).
    Hash(Revision),
    /// Make a learner a voter, as only the leader knows whether it can be one.
    Promote(u64),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// There is no such lease.
    NoLease,
    /// What the lease was granted for, and how long it lives yet, in milliseconds.
    Lease(u64, u64),
    /// The hash, the revision it is of, and the oldest revision that can be read.
    Hash(u32, Revision, Revision),
    /// It is done.
    Done,
    /// It is not done.
    Failed(u8),
}

/// The failures that one member tells another, by their place.
const FAILURES: &[Failure] = &[
    Failure::TimedOut,
    Failure::NotLeader,
    Failure::LearnerNotReady,
    Failure::NotEnoughStarted,
    Failure::Unhealthy,
    Failure::Member(MemberError::NotFound),
    Failure::Member(MemberError::NotLearner),
    Failure::Member(MemberError::Removed),
];

impl Call {
    fn encode(self) -> Bytes {
        let mut out = Pack::default();
        let (tag, number) = match self {
            Self::KeepAlive(id) => (1, id as u64),
            Self::TimeToLive(id) => (2, id as u64),
            Self::Hash(revision) => (3, revision),
            Self::Promote(id) => (4, id),
        };
        out.tag(tag);
        out.fixed(number);
        out.0.into()
    }

    pub(super) fn decode(bytes: Bytes) -> Result<Self, Garbled> {
        let mut from = Unpack(bytes);
        let (tag, number) = (from.tag()?, from.fixed()?);
        from.end()?;
        Ok(match tag {
            1 => Self::KeepAlive(number as i64),
            2 => Self::TimeToLive(number as i64),
            3 => Self::Hash(number),
            4 => Self::Promote(number),
            _ => return Err(Garbled),
        })
    }
}

impl Reply {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Pack::default();
        match self {
            Self::NoLease => out.tag(1),
            Self::Lease(ttl, left) => {
                out.tag(2);
                out.fixed(*ttl);
                out.fixed(*left);
            }
            Self::Hash(hash, revision, compacted) => {
                out.tag(3);
                out.fixed(u64::from(*hash));
                out.fixed(*revision);
                out.fixed(*compacted);
            }
            Self::Done => out.tag(4),
            Self::Failed(code) => {
                out.tag(5);
                out.tag(*code);
            }
        }
        out.0.into()
    }

    fn decode(bytes: Bytes) -> Result<Self, Garbled> {
        let mut from = Unpack(bytes);
        let reply = match from.tag()? {
            1 => Self::NoLease,
            2 => Self::Lease(from.fixed()?, from.fixed()?),
            3 => Self::Hash(from.fixed()? as u32, from.fixed()?, from.fixed()?),
            4 => Self::Done,
            5 => Self::Failed(from.tag()?),
            _ => return Err(Garbled),
        };
        from.end()?;
        Ok(reply)
    }

    /// What stands for a failure.
    pub(super) fn failed(failure: &Failure) -> Self {
        let text = failure.to_string();
        let place = FAILURES.iter().position(|known| known.to_string() == text);
        Self::Failed(place.unwrap_or(0) as u8)
    }
}

/// Asks a member.
pub async fn ask(replica: &Replica, id: u64, call: Call) -> Result<Reply, Failure> {
    let inner = &replica.0;
    let urls = inner.peers.urls(id);
    let asked = inner.peers.caller().call(&urls, CALL, id, call.encode());
    let limit: Duration = replica.limit();
    let told = match inner.env.clock.timeout(limit, asked).await {
        None => return Err(Failure::TimedOut),
        Some(Err(error)) => {
            tracing::debug!(%error, "a member does not answer");
            return Err(Failure::TimedOut);
        }
        Some(Ok(told)) => told,
    };
    match Reply::decode(told) {
        Ok(Reply::Failed(code)) => Err(FAILURES
            .get(usize::from(code))
            .cloned()
            .unwrap_or(Failure::TimedOut)),
        Ok(reply) => Ok(reply),
        Err(_) => Err(Failure::TimedOut),
    }
}

/// Answers a question.
pub(super) async fn answer(replica: &Replica, call: Call) -> Reply {
    let answered = match call {
        Call::KeepAlive(id) => replica.keep_alive_here(id).await.map(|ttl| {
            ttl.map_or(Reply::NoLease, |ttl| {
                let ttl = ttl.as_millis() as u64;
                Reply::Lease(ttl, ttl)
            })
        }),
        Call::TimeToLive(id) => replica.lease_here(id).await.map(|lease| {
            lease.map_or(Reply::NoLease, |lease| {
                Reply::Lease(lease.ttl.as_millis() as u64, lease.left.as_millis() as u64)
            })
        }),
        Call::Hash(revision) => replica
            .hash(revision)
            .await
            .map(|(hash, revision, compacted)| Reply::Hash(hash, revision, compacted)),
        Call::Promote(id) => replica.promote_here(id).await.map(|()| Reply::Done),
    };
    answered.unwrap_or_else(|failure| Reply::failed(&failure))
}
