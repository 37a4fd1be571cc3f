//! Who leads: terms, time-outs and votes.

use crate::raft::{Ballot, State};
use crate::{Body, Message, Payload, Raft};

impl Raft {
    /// Stands for election now, if the member may: first it asks whether it would win.
    pub fn campaign(&mut self) {
        if matches!(self.state, State::Leader(_)) {
            return;
        }
        if !self.may_campaign() {
            self.leader = 0;
            return;
        }
        self.begin_election();
        self.state = State::PreCandidate(Ballot::from([(self.config.id, true)]));
        let (last_index, last_term) = (self.log.last_index(), self.log.last_term());
        for id in self.other_voters() {
            self.out.send(
                id,
                self.term + 1,
                Body::PreVote {
                    last_index,
                    last_term,
                },
            );
        }
        self.count_votes();
    }

    /// A voter that has all of its state, and knows who votes: none of what is committed and not applied yet changes that. (So
    /// the members as any two candidates know them differ by one at most, and their majorities meet.)
    fn may_campaign(&self) -> bool {
        let mut unapplied = self.log.between(self.log.applied() + 1, self.log.commit());
        self.members.voters.contains(&self.config.id)
            && !self.out.is_installing()
            && !unapplied.any(|entry| matches!(entry.payload, Payload::Change(_)))
    }

    fn begin_election(&mut self) {
        self.leader = 0;
        self.elapsed = 0;
        self.draw_timeout();
    }

    pub(crate) fn draw_timeout(&mut self) {
        let least = self.config.election_ticks.max(1);
        self.timeout = least + self.dice.below(least);
    }

    fn other_voters(&self) -> Vec<u64> {
        let voters = self.members.voters.iter().copied();
        voters.filter(|id| *id != self.config.id).collect()
    }

    /// Asks for votes in a new term. The question goes once the term is durable, since what a member says in a term must not be
    /// forgotten by it; its own vote counts then, too.
    fn stand(&mut self, transfer: bool) {
        self.term += 1;
        self.vote = self.config.id;
        self.begin_election();
        self.state = State::Candidate(Ballot::new());
        let (last_index, last_term) = (self.log.last_index(), self.log.last_term());
        for id in self.other_voters() {
            self.out.send_after_sync(
                id,
                self.term,
                Body::Vote {
                    last_index,
                    last_term,
                    transfer,
                },
            );
        }
    }

    pub(crate) fn count_own_vote(&mut self, durable_term: u64) {
        if durable_term == self.term {
            self.on_vote_reply(self.config.id, true);
        }
    }

    fn count_votes(&mut self) {
        let (State::PreCandidate(ballot) | State::Candidate(ballot)) = &self.state else {
            return;
        };
        let count = |answer| {
            let said = |id| ballot.get(id) == Some(&answer);
            self.members.voters.iter().filter(|id| said(id)).count()
        };
        let majority = self.members.majority();
        let lost = self.members.voters.len().saturating_sub(count(false)) < majority;
        match self.state {
            _ if lost => self.become_follower(self.term, 0),
            _ if count(true) < majority => {}
            State::PreCandidate(_) if self.may_campaign() => self.stand(false),
            State::PreCandidate(_) => self.become_follower(self.term, 0),
            _ => self.become_leader(),
        }
    }

    pub(crate) fn become_follower(&mut self, term: u64, leader: u64) {
        if term > self.term {
            self.term = term;
            self.vote = 0;
        }
        self.begin_election();
        self.leader = leader;
        self.state = State::Follower;
    }

    /// The sender leads this term.
    pub(crate) fn follow(&mut self, leader: u64) {
        assert!(
            !matches!(self.state, State::Leader(_)),
            "two leaders in term {}",
            self.term
        );
        if self.leader != leader || !matches!(self.state, State::Follower) {
            self.become_follower(self.term, leader);
        }
        self.elapsed = 0;
    }

    /// Whether a message is to be heeded; one of a newer term makes the member a follower before.
    pub(crate) fn is_current(&mut self, message: &Message) -> bool {
        if message.term < self.term {
            self.answer_outdated(message);
            return false;
        }
        if message.term == self.term {
            return true;
        }
        match message.body {
            Body::PreVote { .. } | Body::Vote { transfer: false, .. } if self.hears_leader() => return false,
            Body::PreVote { .. } | Body::PreVoteReply { granted: true, .. } => {}
            Body::Append { .. } | Body::Heartbeat { .. } | Body::InstallSnapshot(_) => {
                self.become_follower(message.term, message.from);
            }
            _ => self.become_follower(message.term, 0),
        }
        true
    }

    /// Whoever is cut off and comes back must not disturb a leader that a majority hears.
    fn hears_leader(&self) -> bool {
        self.leader != 0 && self.elapsed < self.config.election_ticks
    }

    /// A leader or candidate of an older term is told the newer one. Else a member with a newer term and an older log could
    /// neither win an election nor follow.
    fn answer_outdated(&mut self, message: &Message) {
        let body = match message.body {
            Body::Append { .. } | Body::Heartbeat { .. } | Body::InstallSnapshot(_) => Body::AppendReply {
                index: 0,
                refused: None,
            },
            Body::PreVote { .. } => self.pre_vote_reply(false),
            _ => return,
        };
        self.out.send_after_sync(message.from, self.term, body);
    }

    /// A yes binds to nothing, and changes nothing here.
    pub(crate) fn on_pre_vote(&mut self, from: u64, term: u64, last_index: u64, last_term: u64) {
        let free = term > self.term || self.vote == from || (self.vote == 0 && self.leader == 0);
        let granted = free && self.log.is_covered_by(last_index, last_term);
        let term = if granted { term } else { self.term };
        self.out.send(from, term, self.pre_vote_reply(granted));
    }

    fn pre_vote_reply(&self, granted: bool) -> Body {
        let commit = self.log.commit();
        Body::PreVoteReply {
            granted,
            commit,
            commit_term: self.log.term(commit).unwrap_or_default(),
        }
    }

    /// Another member knows the entry at `index`, of `term`, to be committed.
    pub(crate) fn learn_commit(&mut self, index: u64, term: u64) {
        if self.log.term(index) == Some(term) && !matches!(self.state, State::Leader(_)) {
            self.log.commit_to(index);
        }
    }

    pub(crate) fn on_vote(&mut self, from: u64, last_index: u64, last_term: u64) {
        let free = self.vote == from || (self.vote == 0 && self.leader == 0);
        let granted = free && self.log.is_covered_by(last_index, last_term);
        if granted {
            self.vote = from;
            self.elapsed = 0;
        }
        self.out
            .send_after_sync(from, self.term, Body::VoteReply { granted });
    }

    pub(crate) fn on_pre_vote_reply(&mut self, from: u64, term: u64, granted: bool) {
        let State::PreCandidate(ballot) = &mut self.state else {
            return;
        };
        // A yes is for the term that was asked about, a no comes from a member of the same term.
        if term == self.term + u64::from(granted) {
            ballot.insert(from, granted);
            self.count_votes();
        }
    }

    pub(crate) fn on_vote_reply(&mut self, from: u64, granted: bool) {
        if let State::Candidate(ballot) = &mut self.state {
            ballot.insert(from, granted);
            self.count_votes();
        }
    }

    /// The leader hands over: there is no need to ask before.
    pub(crate) fn on_timeout_now(&mut self) {
        if matches!(self.state, State::Follower) && self.may_campaign() {
            self.stand(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::{Change, ChangeKind, Config, Entry, HardState, Log, Members, Payload, Raft, Role};

    #[test]
    fn who_does_not_know_the_members_yet_does_not_stand_for_election() {
        let change = Change {
            kind: ChangeKind::Remove,
            id: 3,
            context: Bytes::new(),
        };
        let entry = Entry {
            term: 1,
            index: 2,
            payload: Payload::Change(change.clone()),
        };
        let hard = HardState {
            term: 1,
            vote: 0,
            commit: 2,
        };
        let log = Log::after(1, 1, vec![entry]);
        let mut raft = Raft::new(Config::new(1, 0, 1), hard, Members::voting([1, 2, 3]), log);
        raft.campaign();
        assert_eq!(raft.soft().role, Role::Follower);
        assert_eq!(raft.ready().committed.len(), 1);
        raft.apply_change(&change);
        raft.applied(2);
        raft.campaign();
        assert_eq!(raft.soft().role, Role::PreCandidate);
    }
}
