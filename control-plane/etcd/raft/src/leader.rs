//! What a leader does.

use std::collections::BTreeMap;

use crate::progress::Progress;
use crate::raft::State;
use crate::reads::Reads;
use crate::{Body, Config, Entry, Hint, Log, Payload, Raft, Refused};

/// What only a leader knows.
#[derive(Clone, Debug)]
pub(crate) struct Leading {
    /// How far the others are.
    pub progress: BTreeMap<u64, Progress>,
    pub reads: Reads,
    pub transfer: Option<Transfer>,
    /// The next change of members has to wait until this index is applied.
    change: u64,
    uncommitted_bytes: usize,
    since_heartbeat: u32,
}

/// The leader hands over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transfer {
    pub to: u64,
    told: bool,
}

impl Leading {
    /// Whether a proposal can be taken now.
    pub fn takes(&self, payload: &Payload, log: &Log, config: &Config) -> Result<(), Refused> {
        let bytes = self.uncommitted_bytes + payload.bytes();
        let full = self.uncommitted_bytes > 0 && bytes > config.max_uncommitted_bytes;
        match payload {
            _ if self.transfer.is_some() => Err(Refused::Transferring),
            _ if full => Err(Refused::TooMuch),
            Payload::Change(_) if self.change > log.applied() => Err(Refused::ChangePending),
            _ => Ok(()),
        }
    }

    fn due_transfer(&self, log: &Log) -> Option<u64> {
        let transfer = self.transfer.filter(|transfer| !transfer.told)?;
        let progress = self.progress.get(&transfer.to)?;
        (progress.matched == log.last_index()).then_some(transfer.to)
    }
}

impl Raft {
    pub(crate) fn become_leader(&mut self) {
        let id = self.config.id;
        let others = self.members.iter().filter(|other| *other != id);
        let last = self.log.last_index();
        let uncommitted = self.log.between(self.log.commit() + 1, last);
        self.state = State::Leader(Box::new(Leading {
            progress: others.map(|other| (other, Progress::new(last, false))).collect(),
            reads: Reads::default(),
            transfer: None,
            change: last + 1,
            uncommitted_bytes: uncommitted.map(Entry::bytes).sum(),
            since_heartbeat: 0,
        }));
        self.leader = id;
        self.elapsed = 0;
        self.append_own(Payload::Empty);
    }

    /// Takes a proposal into the log, if this member leads.
    pub(crate) fn append_proposal(&mut self, payload: Payload) -> Result<(), Refused> {
        let State::Leader(leading) = &self.state else {
            return Err(Refused::NoLeader);
        };
        leading.takes(&payload, &self.log, &self.config)?;
        self.append_own(payload);
        Ok(())
    }

    fn append_own(&mut self, payload: Payload) {
        let State::Leader(leading) = &mut self.state else {
            return;
        };
        let (term, index) = (self.term, self.log.last_index() + 1);
        if matches!(payload, Payload::Change(_)) {
            leading.change = index;
        }
        let entry = Entry { term, index, payload };
        leading.uncommitted_bytes += entry.bytes();
        self.log.push(entry);
    }

    pub(crate) fn tick_leader(&mut self) {
        if self.elapsed >= self.config.election_ticks {
            self.elapsed = 0;
            self.check_quorum();
        }
        let State::Leader(leading) = &mut self.state else {
            return;
        };
        leading.since_heartbeat += 1;
        if leading.since_heartbeat >= self.config.heartbeat_ticks {
            self.send_heartbeats();
        }
    }

    /// A leader that does not hear of a majority is none; and a hand-over has its time.
    fn check_quorum(&mut self) {
        let State::Leader(leading) = &mut self.state else {
            return;
        };
        leading.transfer = None;
        self.leave();
        let State::Leader(leading) = &mut self.state else {
            return;
        };
        let voters = self.members.voters.iter();
        let heard = |id: &u64| {
            *id == self.config.id || leading.progress.get(id).is_some_and(|progress| progress.active)
        };
        let active = voters.filter(|id| heard(id)).count();
        for progress in leading.progress.values_mut() {
            progress.active = false;
        }
        if active < self.members.majority() {
            self.become_follower(self.term, 0);
        }
    }

    fn send_heartbeats(&mut self) {
        let State::Leader(leading) = &mut self.state else {
            return;
        };
        leading.since_heartbeat = 0;
        let read = leading.reads.send();
        for (id, progress) in &leading.progress {
            let commit = progress.matched.min(self.log.commit());
            self.out.send(*id, self.term, Body::Heartbeat { commit, read });
        }
    }

    /// Whether [`Raft::send_what_is_due`] sends anything.
    pub(crate) fn wants_to_send(&self) -> bool {
        let State::Leader(leading) = &self.state else {
            return false;
        };
        let mut others = leading.progress.values();
        (leading.reads.has_unsent() && !leading.progress.is_empty())
            || leading.due_transfer(&self.log).is_some()
            || others.any(|progress| progress.wants(&self.log, &self.config))
    }

    /// Sends what has come up since the last Ready: so proposals and reads that come together go together.
    pub(crate) fn send_what_is_due(&mut self) {
        let State::Leader(leading) = &mut self.state else {
            return;
        };
        for (id, progress) in &mut leading.progress {
            while let Some(body) = progress.next_message(&self.log, &self.config, &self.members) {
                self.out.send(*id, self.term, body);
            }
        }
        if let Some(to) = leading.due_transfer(&self.log) {
            leading.transfer = Some(Transfer { to, told: true });
            self.out.send(to, self.term, Body::TimeoutNow);
        }
        if leading.reads.has_unsent() {
            self.send_heartbeats();
        }
    }

    pub(crate) fn on_append_reply(&mut self, from: u64, index: u64, refused: Option<Hint>) {
        let State::Leader(leading) = &mut self.state else {
            return;
        };
        let Some(progress) = leading.progress.get_mut(&from) else {
            return;
        };
        progress.active = true;
        match refused {
            Some(hint) => progress.refused(index, hint, &self.log),
            None if progress.agreed(index.min(self.log.last_index()), &self.log) => self.advance_commit(),
            None => {}
        }
    }

    pub(crate) fn on_heartbeat_reply(&mut self, from: u64, read: u64) {
        let State::Leader(leading) = &mut self.state else {
            return;
        };
        if let Some(progress) = leading.progress.get_mut(&from) {
            progress.alive(&self.log);
            progress.read = progress.read.max(read);
            if let Some(transfer) = leading.transfer.as_mut().filter(|transfer| transfer.to == from) {
                // It answers and still does not stand: the message may be lost.
                transfer.told = false;
            }
            self.settle_reads();
        }
    }

    /// The greatest value that a majority of the voters has reached; `own` is this member's.
    fn reached(&self, leading: &Leading, own: u64, of: impl Fn(&Progress) -> u64) -> u64 {
        let value = |id: &u64| match leading.progress.get(id) {
            Some(progress) => of(progress),
            None if *id == self.config.id => own,
            None => 0,
        };
        let mut values: Vec<u64> = self.members.voters.iter().map(value).collect();
        values.sort_unstable();
        let minority = values.len() - self.members.majority().min(values.len());
        values.get(minority).copied().unwrap_or(0)
    }

    /// Commits what is durable on a majority, if it is of this term; entries of earlier ones come with it.
    pub(crate) fn advance_commit(&mut self) {
        let State::Leader(leading) = &self.state else {
            return;
        };
        let index = self.reached(leading, self.log.stable(), |progress| progress.matched);
        let known = self.log.commit();
        if index <= known || self.log.term(index) != Some(self.term) {
            return;
        }
        let bytes: usize = self.log.between(known + 1, index).map(Entry::bytes).sum();
        self.log.commit_to(index);
        if let State::Leader(leading) = &mut self.state {
            leading.uncommitted_bytes = leading.uncommitted_bytes.saturating_sub(bytes);
            leading.reads.committed(index);
        }
        self.settle_reads();
    }

    /// Takes a read that `from` asks for.
    pub(crate) fn take_read(&mut self, from: u64, context: u64) -> Result<(), Refused> {
        let commit = self.log.commit();
        let own = self.log.term(commit) == Some(self.term);
        let State::Leader(leading) = &mut self.state else {
            return Err(Refused::NoLeader);
        };
        if !leading.reads.ask(from, context, own.then_some(commit)) {
            return Err(Refused::TooMuch);
        }
        self.settle_reads();
        Ok(())
    }

    fn settle_reads(&mut self) {
        let State::Leader(leading) = &self.state else {
            return;
        };
        let confirmed = self.reached(leading, leading.reads.newest(), |progress| progress.read);
        let State::Leader(leading) = &mut self.state else {
            return;
        };
        for read in leading.reads.settle(confirmed) {
            let (context, index) = (read.context, read.index.unwrap_or_default());
            if read.from == self.config.id {
                self.out.reads.push((context, index));
            } else {
                let reply = Body::ReadIndexReply { context, index };
                self.out.send(read.from, self.term, reply);
            }
        }
    }

    /// Hands leadership over to a voter; given up after an election time-out. Does nothing unless this member leads.
    pub fn transfer(&mut self, to: u64) {
        let State::Leader(leading) = &mut self.state else {
            return;
        };
        let known = leading.transfer.is_some_and(|transfer| transfer.to == to);
        if to != self.config.id && self.members.voters.contains(&to) && !known {
            self.elapsed = 0;
            leading.transfer = Some(Transfer { to, told: false });
        }
    }

    /// Whether the snapshot of a [`Body::InstallSnapshot`] to `to` got there. Must be told for each of them.
    pub fn report_snapshot(&mut self, to: u64, ok: bool) {
        if let State::Leader(leading) = &mut self.state
            && let Some(progress) = leading.progress.get_mut(&to)
        {
            progress.snapshot_sent(ok);
        }
    }

    /// Messages to `id` were lost.
    pub fn report_unreachable(&mut self, id: u64) {
        if let State::Leader(leading) = &mut self.state
            && let Some(progress) = leading.progress.get_mut(&id)
        {
            progress.unreachable();
        }
    }

    /// The members changed.
    pub(crate) fn follow_members(&mut self) {
        let last = self.log.last_index();
        let State::Leader(leading) = &mut self.state else {
            return;
        };
        let (members, id) = (&self.members, self.config.id);
        leading.progress.retain(|other, _| members.contains(*other));
        for other in members.iter().filter(|other| *other != id) {
            // A new one counts as heard of, so that the quorum does not fail before it can answer.
            let progress = leading.progress.entry(other);
            progress.or_insert_with(|| Progress::new(last, true));
        }
        let transfer = leading.transfer;
        leading.transfer = transfer.filter(|transfer| members.voters.contains(&transfer.to));
        self.leave();
        self.advance_commit();
        self.settle_reads();
    }

    /// A leader that is no member any more leads on, without a vote of its own, until another one does: so the others learn
    /// that it left.
    fn leave(&mut self) {
        let State::Leader(leading) = &mut self.state else {
            return;
        };
        if leading.transfer.is_some() || self.members.voters.contains(&self.config.id) {
            return;
        }
        let voters = leading.progress.iter();
        let voters = voters.filter(|(id, _)| self.members.voters.contains(id));
        let best = voters.max_by_key(|(_, progress)| (progress.active, progress.matched));
        leading.transfer = best.map(|(to, _)| Transfer { to: *to, told: false });
    }
}
