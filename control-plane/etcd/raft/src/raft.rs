//! A member.

use bytes::Bytes;

use crate::{Change, Config, HardState, Log, Members, Message, Ready, Role, Soft, Status};

/// Why a proposal or a read was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody is known to lead.
    #[error("no leader")]
    NoLeader,
    /// The leader is handing over.
    #[error("the leader is being changed")]
    Transferring,
    /// Too much is on its way already.
    #[error("too many requests")]
    TooMuch,
    /// An earlier change of the members is not applied yet.
    #[error("another change of the members is pending")]
    ChangePending,
}

/// A member of the cluster.
#[derive(Clone, Debug)]
pub struct Raft {
    config: Config,
    hard: HardState,
    members: Members,
    log: Log,
    number: u64,
}

impl Raft {
    /// A member as of what is on its disk: `members` as of `config.applied`, and all of the log that is not in a snapshot.
    #[must_use]
    pub fn new(config: Config, hard: HardState, members: Members, log: Log) -> Self {
        Self {
            config,
            hard,
            members,
            log,
            number: 0,
        }
    }

    /// Time goes on.
    pub fn tick(&mut self) {}

    /// Takes a message from another member.
    pub fn step(&mut self, _message: Message) {}

    /// Proposes a command. It may be lost without a word when the leader changes; on a follower it is passed on to the leader.
    pub fn propose(&mut self, _data: Bytes) -> Result<(), Refused> {
        Err(Refused::NoLeader)
    }

    /// Proposes a change of the members, as [`Raft::propose`] does a command.
    pub fn propose_change(&mut self, _change: Change) -> Result<(), Refused> {
        Err(Refused::NoLeader)
    }

    /// Asks for an index to read at: it comes in [`Ready::reads`] with `context`, once a majority confirmed that the leader
    /// still led when the question came. It may be lost without a word when the leader changes or a message is lost: ask again.
    pub fn read_index(&mut self, _context: u64) -> Result<(), Refused> {
        Err(Refused::NoLeader)
    }

    /// Hands leadership over to a voter; given up after an election time-out. Does nothing unless this member leads.
    pub fn transfer(&mut self, _to: u64) {}

    /// Stands for election now.
    pub fn campaign(&mut self) {}

    /// Does a committed change of the members, when its entry is applied; to be called for every such entry that the
    /// application takes, in order, before [`Raft::applied`] of its index. One that the application refuses is not told here.
    pub fn apply_change(&mut self, change: &Change) -> Members {
        self.members.apply(change);
        self.members.clone()
    }

    /// Everything up to `index` is applied.
    pub fn applied(&mut self, index: u64) {
        self.config.applied = index;
    }

    /// Drops the log up to `index` from memory; it is in a snapshot that a member far behind can be sent.
    pub fn compact(&mut self, _index: u64) {}

    /// Whether the snapshot of an [`crate::Body::InstallSnapshot`] to `to` got there. Must be told for each of them.
    pub fn report_snapshot(&mut self, _to: u64, _ok: bool) {}

    /// Messages to `id` were lost.
    pub fn report_unreachable(&mut self, _id: u64) {}

    /// Whether [`Raft::ready`] would say anything.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        false
    }

    /// What is to be done.
    pub fn ready(&mut self) -> Ready {
        self.number += 1;
        Ready {
            number: self.number,
            hard_state: Some(self.hard),
            soft: Some(Soft::default()),
            ..Ready::default()
        }
    }

    /// Everything up to and including the Ready of this number is durable.
    pub fn persisted(&mut self, _number: u64) {}

    /// How the member is.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            id: self.config.id,
            term: self.hard.term,
            vote: self.hard.vote,
            leader: 0,
            role: Role::Follower,
            commit: self.hard.commit,
            applied: self.config.applied,
            first_index: self.log.first_index(),
            last_index: self.log.last_index(),
            members: self.members.clone(),
            progress: std::collections::BTreeMap::new(),
            transferring: None,
        }
    }
}
