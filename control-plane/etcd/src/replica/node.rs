//! The driver: what comes in goes to Raft, and what Raft wants done is done.

use super::{
    Failure, Inner, View, apply,
    disk::{self, Done},
    log::Place,
    peer::Outgoing,
    pending::Proposed,
    reads::{Asking, Reads},
};
use bytes::Bytes;
use raft::{ChangeKind, HardState, Message, Raft, Ready, Refused, Role, Soft};
use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

/// Inputs that are taken before what they lead to is done, at most.
const INPUTS: usize = 1024;
/// Proposals that wait for a leader, at most.
const STALLED: usize = 10_000;
/// Entries that may be committed and not applied before proposals are refused.
const BEHIND: u64 = 5000;
/// Entries that stay in memory for members that are a little behind, and their bytes, at most.
const KEEP_ENTRIES: u64 = 5000;
const KEEP_BYTES: u64 = 32 << 20;

/// What comes in.
pub enum Input {
    Read(Asking),
    Step(Message),
    /// A snapshot came; the store that it makes is in this directory.
    Snapshot {
        message: Message,
        dir: PathBuf,
        taken: oneshot::Sender<bool>,
    },
    SnapshotSent {
        to: u64,
        ok: bool,
    },
    Unreachable(u64),
    Transfer(u64),
    Status(oneshot::Sender<raft::Status>),
}

pub struct Driver {
    inner: Arc<Inner>,
    raft: Raft,
    disk: mpsc::UnboundedSender<disk::Job>,
    done: mpsc::UnboundedReceiver<Done>,
    apply: mpsc::UnboundedSender<apply::Job>,
    notes: mpsc::UnboundedReceiver<apply::Note>,
    input: mpsc::Receiver<Input>,
    /// Proposals that wait for a leader.
    stalled: VecDeque<(u64, Proposed)>,
    /// Those that were just taken.
    fresh: Vec<(u64, Proposed)>,
    reads: Reads,
    soft: Soft,
    /// The index of the first entry of this member's own as a leader.
    own: u64,
    next_tick: Instant,
    /// A hard state that goes with the next write.
    late: Option<HardState>,
    /// The number of the last Ready that was given to the disk, and since when it has made none of them durable.
    written: u64,
    waiting: Option<Instant>,
    /// Indexes and how many bytes the log had up to them.
    marks: VecDeque<(u64, u64)>,
    bytes: u64,
    flushed: u64,
    /// The directory of a snapshot that Raft was told of.
    incoming: Option<(PathBuf, oneshot::Sender<bool>)>,
}

/// The driver's ends of channels.
pub struct Ends {
    pub disk: mpsc::UnboundedSender<disk::Job>,
    pub done: mpsc::UnboundedReceiver<Done>,
    pub apply: mpsc::UnboundedSender<apply::Job>,
    pub notes: mpsc::UnboundedReceiver<apply::Note>,
    pub input: mpsc::Receiver<Input>,
}

impl Driver {
    pub fn new(inner: Arc<Inner>, raft: Raft, ends: Ends) -> Self {
        let next_tick = inner.env.clock.now() + inner.settings.heartbeat;
        // Half of the numbers are left to count on.
        let questions = inner.env.random.below(u64::MAX / 2);
        Self {
            inner,
            raft,
            disk: ends.disk,
            done: ends.done,
            apply: ends.apply,
            notes: ends.notes,
            input: ends.input,
            stalled: VecDeque::new(),
            fresh: Vec::new(),
            reads: Reads::after(questions),
            soft: Soft::default(),
            own: 0,
            next_tick,
            late: None,
            written: 0,
            waiting: None,
            marks: VecDeque::new(),
            bytes: 0,
            flushed: 0,
            incoming: None,
        }
    }

    /// Drives until the member is told to stop.
    pub async fn run(mut self) {
        let members = self.inner.members().raft();
        if members.voters.len() == 1 && members.voters.contains(&self.inner.identity.member) {
            self.raft.campaign();
        }
        let mut inbox = Vec::with_capacity(INPUTS);
        loop {
            if !self.work().await {
                return;
            }
            let clock = self.inner.env.clock.clone();
            let ticking = !self.inner.alone.load(Ordering::Relaxed);
            tokio::select! {
                biased;
                () = self.inner.tasks.stopping() => return,
                Some(done) = self.done.recv() => self.durable(done),
                Some(note) = self.notes.recv() => self.note(note),
                () = self.inner.pending.come() => {}
                taken = self.input.recv_many(&mut inbox, INPUTS) => {
                    if taken == 0 {
                        return;
                    }
                    inbox.drain(..).for_each(|input| self.take(input));
                }
                () = clock.sleep_until(self.next_tick), if ticking => self.tick(),
            }
            self.take_more();
            if ticking && self.inner.env.clock.now() >= self.next_tick {
                self.tick();
            }
        }
    }

    /// Takes all that is there already, so that it shares what it leads to.
    fn take_more(&mut self) {
        while let Ok(done) = self.done.try_recv() {
            self.durable(done);
        }
        while let Ok(note) = self.notes.try_recv() {
            self.note(note);
        }
        for _ in 0..INPUTS {
            let Ok(input) = self.input.try_recv() else { break };
            self.take(input);
        }
        self.take_proposals();
    }

    fn tick(&mut self) {
        let (now, pace) = (self.inner.env.clock.now(), self.inner.settings.heartbeat);
        self.next_tick += pace;
        if self.next_tick < now {
            // The process was held up: the others' time went on, but they may have written meanwhile.
            self.next_tick = now + pace;
        }
        self.raft.tick();
        self.reads.tick();
        self.look_at_disk(now);
    }

    /// A leader whose disk does nothing for so long that it would be elected away if it said nothing hands over, if the others
    /// can do without it: else all who ask it would wait for its disk.
    fn look_at_disk(&mut self, now: Instant) {
        let limit = self.inner.settings.election;
        let is_stuck = self.waiting.is_some_and(|since| now >= since + limit);
        if !is_stuck || self.soft.role != Role::Leader {
            return;
        }
        let status = self.raft.status();
        let up = successors(&status);
        if status.transferring.is_none()
            && up.len() >= status.members.majority()
            && let Some((_, to)) = up.into_iter().max()
        {
            tracing::warn!(
                to = format!("{to:x}"),
                "the disk is stuck: leadership is handed over"
            );
            self.raft.transfer(to);
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Read(asking) => self.reads.add(asking),
            Input::Step(message) => self.raft.step(message),
            Input::Snapshot { message, dir, taken } => {
                // Raft says in `work` what becomes of it.
                self.incoming = Some((dir, taken));
                self.raft.step(message);
            }
            Input::SnapshotSent { to, ok } => self.raft.report_snapshot(to, ok),
            Input::Unreachable(id) => self.raft.report_unreachable(id),
            Input::Transfer(to) => self.raft.transfer(to),
            Input::Status(answer) => {
                // Who asked may have gone.
                let _ = answer.send(self.raft.status());
            }
        }
    }

    /// Takes all that was proposed meanwhile: it waits for one sync.
    fn take_proposals(&mut self) {
        let mut fresh = std::mem::take(&mut self.fresh);
        self.inner.pending.take_fresh(&mut fresh);
        for (id, what) in fresh.drain(..) {
            self.propose(id, what);
        }
        fresh.shrink_to(STALLED);
        self.fresh = fresh;
    }

    fn propose(&mut self, id: u64, what: Proposed) {
        if let Proposed::DataIn(data, term) = what {
            return self.propose_in(id, data, term);
        }
        let behind = self.inner.committed.load(Ordering::Relaxed)
            > self.inner.applied.load(Ordering::Relaxed) + BEHIND;
        if behind || self.stalled.len() >= STALLED {
            return self.refuse(id, Failure::TooMany);
        }
        let tried = match &what {
            Proposed::Data(data) | Proposed::DataIn(data, _) => self.raft.propose(data.clone()),
            Proposed::Change(change) => self.raft.propose_change(change.clone()),
        };
        match tried {
            Ok(()) => {}
            Err(Refused::TooMuch) => self.refuse(id, Failure::TooMany),
            Err(Refused::ChangePending | Refused::NoLeader | Refused::Transferring) => {
                self.stalled.push_back((id, what));
            }
        }
    }

    fn propose_in(&mut self, id: u64, data: Bytes, term: u64) {
        let soft = self.raft.soft();
        let leads = soft.role == Role::Leader && soft.term == term;
        if !leads || self.raft.propose(data).is_err() {
            self.refuse(id, Failure::NotLeader);
        }
    }

    fn refuse(&self, id: u64, failure: Failure) {
        if let Some(waiting) = self.inner.pending.take(id) {
            let counts = matches!(failure, Failure::TooMany);
            self.inner.metrics().failed.add(u64::from(counts));
            waiting.reply.tell(Err(failure));
        }
    }

    /// Tries again what waits for a leader, as long as somebody waits for it.
    fn retry(&mut self) {
        for (id, what) in std::mem::take(&mut self.stalled) {
            if self.inner.pending.has(id) {
                self.propose(id, what);
            }
        }
    }

    fn durable(&mut self, done: Done) {
        self.waiting = (done.number < self.written).then(|| self.inner.env.clock.now());
        self.raft.persisted(done.number);
        self.send(done.messages);
    }

    fn note(&mut self, note: apply::Note) {
        match note {
            apply::Note::Applied { index, changes } => {
                for change in &changes {
                    self.raft.apply_change(change);
                    if change.kind == ChangeKind::Remove && change.id == self.inner.identity.member {
                        self.inner.removed.send_replace(true);
                    }
                }
                self.raft.applied(index);
                self.reads.applied(index);
                self.see_alone();
                if !changes.is_empty() {
                    self.retry();
                }
            }
            apply::Note::Flushed(place) => {
                self.flushed = place.0;
                self.compact();
            }
        }
    }

    fn see_alone(&mut self) {
        let leads = self.soft.role == Role::Leader;
        let applied = self.inner.applied.load(Ordering::Relaxed);
        let me = self.inner.identity.member;
        let alone = leads && applied >= self.own && {
            let members = self.inner.members().raft();
            members.learners.is_empty() && members.voters.len() == 1 && members.voters.contains(&me)
        };
        let was = self.inner.alone.swap(alone, Ordering::AcqRel);
        if was && !alone {
            self.next_tick = self.inner.env.clock.now() + self.inner.settings.heartbeat;
        }
    }

    /// Drops from memory what the engine holds durably, but for a little.
    fn compact(&mut self) {
        let applied = self.inner.applied.load(Ordering::Relaxed);
        let upto = self.flushed.min(applied);
        let mut index = upto.saturating_sub(KEEP_ENTRIES);
        while let Some((mark, bytes)) = self.marks.front().copied() {
            if mark > upto {
                break;
            }
            if self.bytes - bytes > KEEP_BYTES {
                index = index.max(mark);
            } else if mark > index {
                break;
            }
            self.marks.pop_front();
        }
        if self.inner.members().iter().count() == 1 {
            index = upto;
        }
        self.raft.compact(index);
        // The driver ends with the disk.
        let _ = self.disk.send(disk::Job::Drop(index));
    }

    /// Does what Raft wants done. False: the member ends.
    async fn work(&mut self) -> bool {
        if let Some(question) = self.reads.question()
            && self.raft.read_index(question).is_err()
        {
            self.reads.forget();
        }
        while self.raft.has_ready() {
            let ready = self.raft.ready();
            if !self.carry_out(ready).await {
                return false;
            }
        }
        if let Some((_, taken)) = self.incoming.take() {
            // What it holds is there already.
            let _ = taken.send(true);
        }
        true
    }

    async fn carry_out(&mut self, ready: Ready) -> bool {
        if let Some(soft) = ready.soft {
            self.become_soft(soft);
        }
        self.send(ready.messages);
        if let Some(snapshot) = &ready.snapshot
            && !self.install((snapshot.index, snapshot.term)).await
        {
            return false;
        }
        if let (Some(last), false) = (ready.append.last(), ready.append.is_empty()) {
            let (last, bytes) = (
                last.index,
                ready.append.iter().map(raft::Entry::bytes).sum::<usize>(),
            );
            self.bytes += bytes as u64;
            self.marks.push_back((last, self.bytes));
        }
        if let Some(last) = ready.committed.last() {
            self.inner.committed.store(last.index, Ordering::Release);
        }
        let hard = ready.hard_state.or(self.late.take());
        let sent = if self.may_wait(ready.must_sync, &ready.append, &ready.after_sync) {
            self.late = hard;
            true
        } else {
            self.written = ready.number;
            self.waiting.get_or_insert_with(|| self.inner.env.clock.now());
            let write = disk::Job::Write {
                number: ready.number,
                entries: ready.append,
                hard,
                sync: ready.must_sync,
                messages: ready.after_sync,
            };
            self.disk.send(write).is_ok()
        };
        for (question, index) in ready.reads {
            self.reads.answered(question, index);
        }
        self.reads.applied(self.inner.applied.load(Ordering::Relaxed));
        sent && (ready.committed.is_empty() || self.apply.send(apply::Job::Entries(ready.committed)).is_ok())
    }

    /// Whether what is to be written is only how far the log is agreed on, and this member alone agrees: that goes with the next
    /// write.
    fn may_wait(&self, sync: bool, entries: &[raft::Entry], messages: &[Message]) -> bool {
        let alone = self.inner.alone.load(Ordering::Relaxed);
        alone && !sync && entries.is_empty() && messages.is_empty()
    }

    fn become_soft(&mut self, soft: Soft) {
        let before = std::mem::replace(&mut self.soft, soft);
        if soft.role == Role::Leader && before.role != Role::Leader {
            self.own = self.raft.log().last_index();
            self.inner.engine().renew_all();
        }
        if soft.leader != before.leader {
            match soft.leader {
                0 => tracing::info!(term = soft.term, "there is no leader"),
                leader => tracing::info!(
                    leader = format!("{leader:x}"),
                    term = soft.term,
                    "there is a leader"
                ),
            }
        }
        let gained = soft.leader != 0 && soft.leader != before.leader;
        self.inner.view.send_modify(|view: &mut View| {
            view.term = soft.term;
            view.leader = soft.leader;
            view.leads = soft.role == Role::Leader;
            view.changes += u64::from(gained);
        });
        self.inner.pending.set_changes(self.inner.view.borrow().changes);
        self.see_alone();
        self.inner.leases.notify_one();
        if soft.leader != before.leader {
            self.reads.forget();
        }
        if soft.leader != 0 {
            self.retry();
            if let Some(question) = self.reads.question()
                && self.raft.read_index(question).is_err()
            {
                self.reads.forget();
            }
        }
    }

    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            let to = message.to;
            match self.inner.peers.send(message) {
                Outgoing::Sent => {}
                Outgoing::Lost => self.raft.report_unreachable(to),
                Outgoing::SnapshotLost => self.raft.report_snapshot(to, false),
            }
        }
    }

    /// Puts the store of a snapshot in the place of ours. A crash in between is mended at the next start.
    async fn install(&mut self, place: Place) -> bool {
        let Some((dir, taken)) = self.incoming.take() else {
            self.inner
                .break_down("a snapshot is to be installed that did not come".to_owned());
            return false;
        };
        tracing::info!(index = place.0, "a snapshot takes the place of the store");
        let (said, hears) = oneshot::channel();
        let (swapped, swaps) = oneshot::channel();
        let (reset, resets) = oneshot::channel();
        let begun = self.disk.send(disk::Job::Installing(place, said)).is_ok() && hears.await.is_ok();
        let installed = begun
            && self.apply.send(apply::Job::Install(dir, swapped)).is_ok()
            && matches!(swaps.await, Ok(Ok(())));
        let done =
            installed && self.disk.send(disk::Job::Reset(place, reset)).is_ok() && resets.await.is_ok();
        if done {
            self.inner.committed.store(place.0, Ordering::Release);
            self.raft.applied(place.0);
            self.reads.applied(place.0);
            self.marks.clear();
        }
        // Who sent it may have gone.
        let _ = taken.send(done);
        done
    }
}

/// To whom a leader may hand over: the other voters that it hears of, with how far they are.
pub fn successors(status: &raft::Status) -> Vec<(u64, u64)> {
    let voters = status.members.voters.iter().filter(|id| **id != status.id);
    let up = voters.filter_map(|id| {
        let progress = status.progress.get(id)?;
        progress.active.then_some((progress.matched, *id))
    });
    up.collect()
}
