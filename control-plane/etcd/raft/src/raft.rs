//! A member: its state, and the calls from outside.

use bytes::Bytes;

use crate::dice::Dice;
use crate::leader::Leading;
use crate::outbox::Outbox;
use crate::{Body, Change, Config, HardState, Log, Members, Message, Payload, Ready, Role, Soft};

/// As many messages may wait for the next Ready before questions and proposals are refused.
const QUEUE_LIMIT: usize = 4096;

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

/// What a member is, with what it needs for that.
#[derive(Clone, Debug)]
pub(crate) enum State {
    Follower,
    /// Who answered, and whether they would vote for it.
    PreCandidate(Ballot),
    Candidate(Ballot),
    Leader(Box<Leading>),
}

pub(crate) type Ballot = std::collections::BTreeMap<u64, bool>;

/// A member of the cluster.
#[derive(Clone, Debug)]
pub struct Raft {
    pub(crate) config: Config,
    pub(crate) members: Members,
    pub(crate) term: u64,
    pub(crate) vote: u64,
    pub(crate) leader: u64,
    pub(crate) state: State,
    pub(crate) log: Log,
    pub(crate) out: Outbox,
    /// Ticks since the leader was heard of, the election began, or, on a leader, since the last look at the quorum.
    pub(crate) elapsed: u32,
    pub(crate) timeout: u32,
    pub(crate) dice: Dice,
}

impl Raft {
    /// A member as of what is on its disk: `members` as of `config.applied`, and all of the log that is not in a snapshot.
    #[must_use]
    pub fn new(config: Config, hard: HardState, members: Members, mut log: Log) -> Self {
        log.restart(hard, config.applied);
        let mut raft = Self {
            term: hard.term.max(log.last_term()),
            vote: if log.last_term() > hard.term { 0 } else { hard.vote },
            leader: 0,
            state: State::Follower,
            out: Outbox::new(config.id, hard),
            elapsed: 0,
            timeout: 0,
            dice: Dice::new(config.seed, config.id),
            config,
            members,
            log,
        };
        raft.draw_timeout();
        raft
    }

    /// Time goes on.
    pub fn tick(&mut self) {
        self.elapsed = self.elapsed.saturating_add(1);
        match self.state {
            State::Leader(_) => self.tick_leader(),
            _ if self.elapsed >= self.timeout => self.campaign(),
            _ => {}
        }
    }

    /// Takes a message from another member.
    pub fn step(&mut self, message: Message) {
        if message.to != self.config.id || message.from == self.config.id {
            return;
        }
        match message.body {
            // What is not taken is asked again by whom it came from.
            Body::Propose { payloads } => payloads.into_iter().for_each(|payload| {
                let _ = self.append_proposal(payload);
            }),
            Body::ReadIndex { context } => {
                let _ = self.take_read(message.from, context);
            }
            _ if self.is_current(&message) => self.handle(message),
            _ => {}
        }
    }

    fn handle(&mut self, message: Message) {
        let Message { from, term, body, .. } = message;
        match body {
            Body::PreVote {
                last_index,
                last_term,
            } => self.on_pre_vote(from, term, last_index, last_term),
            Body::Vote {
                last_index,
                last_term,
                ..
            } => self.on_vote(from, last_index, last_term),
            Body::PreVoteReply {
                granted,
                commit,
                commit_term,
            } => {
                self.learn_commit(commit, commit_term);
                self.on_pre_vote_reply(from, term, granted);
            }
            Body::VoteReply { granted } => self.on_vote_reply(from, granted),
            Body::Append {
                prev_index,
                prev_term,
                entries,
                commit,
            } => {
                self.follow(from);
                self.on_append(from, (prev_index, prev_term), entries, commit);
            }
            Body::Heartbeat { commit, read } => {
                self.follow(from);
                self.on_heartbeat(from, commit, read);
            }
            Body::InstallSnapshot(meta) => {
                self.follow(from);
                self.on_snapshot(from, meta);
            }
            Body::AppendReply { index, refused } => self.on_append_reply(from, index, refused),
            Body::HeartbeatReply { read } => self.on_heartbeat_reply(from, read),
            Body::TimeoutNow => self.on_timeout_now(),
            Body::ReadIndexReply { context, index } => self.out.reads.push((context, index)),
            Body::ReadIndex { .. } | Body::Propose { .. } => {}
        }
    }

    /// Proposes a command. It may be lost without a word when the leader changes; on a follower it is passed on to the leader.
    pub fn propose(&mut self, data: Bytes) -> Result<(), Refused> {
        self.offer(Payload::Data(data))
    }

    /// Proposes a change of the members, as [`Raft::propose`] does a command.
    pub fn propose_change(&mut self, change: Change) -> Result<(), Refused> {
        self.offer(Payload::Change(change))
    }

    fn offer(&mut self, payload: Payload) -> Result<(), Refused> {
        if matches!(self.state, State::Leader(_)) {
            return self.append_proposal(payload);
        }
        let (to, term) = (self.leader_to_ask()?, self.term);
        let queued = self.out.queued().last_mut().filter(|message| message.to == to);
        match queued.map(|message| &mut message.body) {
            Some(Body::Propose { payloads }) if fits(payloads, &payload, &self.config) => {
                payloads.push(payload)
            }
            _ => {
                let payloads = vec![payload];
                self.out.send(to, term, Body::Propose { payloads });
            }
        }
        Ok(())
    }

    /// Asks for an index to read at: it comes in [`Ready::reads`] with `context`, once a majority confirmed that the leader
    /// still led when the question came. It may be lost without a word when the leader changes or a message is lost: ask again.
    pub fn read_index(&mut self, context: u64) -> Result<(), Refused> {
        if matches!(self.state, State::Leader(_)) {
            return self.take_read(self.config.id, context);
        }
        let (to, term) = (self.leader_to_ask()?, self.term);
        self.out.send(to, term, Body::ReadIndex { context });
        Ok(())
    }

    fn leader_to_ask(&mut self) -> Result<u64, Refused> {
        match self.leader {
            0 => Err(Refused::NoLeader),
            _ if self.out.queued().len() >= QUEUE_LIMIT => Err(Refused::TooMuch),
            leader => Ok(leader),
        }
    }

    /// Does a committed change of the members, when its entry is applied; to be called for every such entry that the
    /// application takes, in order, before [`Raft::applied`] of its index. One that the application refuses is not told here. A leader that removes itself
    /// leads on until another one does; then its process may end.
    pub fn apply_change(&mut self, change: &Change) -> Members {
        self.members.apply(change);
        self.follow_members();
        self.members.clone()
    }

    /// Everything up to `index` is applied.
    pub fn applied(&mut self, index: u64) {
        self.log.applied_to(index);
    }

    /// Drops the log up to `index` from memory; it is in a snapshot that a member far behind can be sent. The more is kept, the
    /// fewer members need one.
    pub fn compact(&mut self, index: u64) {
        self.log.compact(index);
    }

    /// Whether [`Raft::ready`] would say anything.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        self.wants_to_send() || !self.out.is_empty(self.hard(), self.soft(), &self.log)
    }

    /// What is to be done.
    pub fn ready(&mut self) -> Ready {
        self.send_what_is_due();
        let (hard, soft) = (self.hard(), self.soft());
        self.out.take(hard, soft, &mut self.log)
    }

    /// Everything up to and including the Ready of this number is durable.
    pub fn persisted(&mut self, number: u64) {
        if let Some(term) = self.out.persisted(number, &mut self.log) {
            self.count_own_vote(term);
            self.advance_commit();
        }
    }

    /// The log in memory.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// What must survive a crash, as of now; [`Ready`] says when to write it.
    #[must_use]
    pub fn hard(&self) -> HardState {
        HardState {
            term: self.term,
            vote: self.vote,
            commit: self.log.commit(),
        }
    }

    /// What the member is now.
    #[must_use]
    pub fn soft(&self) -> Soft {
        Soft {
            leader: self.leader,
            role: self.role(),
            term: self.term,
        }
    }

    pub(crate) fn role(&self) -> Role {
        match self.state {
            State::Follower => Role::Follower,
            State::PreCandidate(_) => Role::PreCandidate,
            State::Candidate(_) => Role::Candidate,
            State::Leader(_) => Role::Leader,
        }
    }
}

fn fits(payloads: &[Payload], more: &Payload, config: &Config) -> bool {
    let queued: usize = payloads.iter().map(Payload::bytes).sum();
    queued + more.bytes() <= config.max_message_bytes && payloads.len() < QUEUE_LIMIT
}
