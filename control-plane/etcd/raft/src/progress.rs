//! How far another member is, as its leader knows it.

use std::collections::VecDeque;

use crate::{Body, Config, Hint, Log, Members, ProgressState, SnapshotMeta};

/// How far a member is, and what is on its way to it.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub matched: u64,
    pub next: u64,
    pub state: ProgressState,
    /// Heard of since the last look at the quorum.
    pub active: bool,
    /// The newest read for which it confirmed the leader.
    pub read: u64,
    /// A probe is on its way.
    paused: bool,
    /// Ask once, with an empty append if need be, whether the logs agree.
    nudged: bool,
    /// The commit index that it was told last.
    told_commit: u64,
    /// The last indexes of the appends on their way.
    inflight: VecDeque<u64>,
}

impl Progress {
    pub fn new(last_index: u64, active: bool) -> Self {
        Self {
            matched: 0,
            next: last_index + 1,
            state: ProgressState::Probe,
            active,
            read: 0,
            paused: false,
            nudged: false,
            told_commit: 0,
            inflight: VecDeque::new(),
        }
    }

    /// Whether [`Progress::next_message`] gives one.
    pub fn wants(&self, log: &Log, config: &Config) -> bool {
        let uncommitted = self.told_commit < log.commit().min(self.next - 1);
        let wanted = match self.state {
            ProgressState::Snapshot(_) => false,
            ProgressState::Probe => {
                !self.paused && (self.nudged || uncommitted || self.matched < log.last_index())
            }
            ProgressState::Replicate => {
                self.nudged || uncommitted || (self.next <= log.last_index() && self.has_room(config))
            }
        };
        wanted && (self.active || log.term(self.next - 1).is_some())
    }

    fn has_room(&self, config: &Config) -> bool {
        self.inflight.len() < config.max_inflight.max(1)
    }

    /// What to send next. Nothing if an answer has to come first or there is nothing new.
    pub fn next_message(&mut self, log: &Log, config: &Config, members: &Members) -> Option<Body> {
        if !self.wants(log, config) {
            return None;
        }
        self.nudged = false;
        let prev_index = self.next - 1;
        let Some(prev_term) = log.term(prev_index) else {
            return Some(self.snapshot(log, members));
        };
        let probing = self.state == ProgressState::Probe;
        let entries = if probing || self.has_room(config) {
            log.batch(self.next, config.max_message_bytes)
        } else {
            Vec::new()
        };
        self.told_commit = log.commit();
        self.paused = probing;
        if let (Some(last), false) = (entries.last(), probing) {
            self.next = last.index + 1;
            self.inflight.push_back(last.index);
        }
        let commit = log.commit();
        Some(Body::Append {
            prev_index,
            prev_term,
            entries,
            commit,
        })
    }

    fn snapshot(&mut self, log: &Log, members: &Members) -> Body {
        let index = log.applied();
        let meta = SnapshotMeta {
            index,
            term: log.term(index).unwrap_or_default(),
            members: members.clone(),
        };
        self.enter(ProgressState::Snapshot(index), index + 1);
        Body::InstallSnapshot(meta)
    }

    fn enter(&mut self, state: ProgressState, next: u64) {
        self.state = state;
        self.next = next;
        self.paused = false;
        self.nudged = false;
        self.told_commit = self.told_commit.min(next - 1);
        self.inflight.clear();
    }

    /// Its log agrees up to `index`. Returns whether that is news.
    pub fn agreed(&mut self, index: u64, log: &Log) -> bool {
        let news = index > self.matched;
        if news {
            self.matched = index;
            self.next = self.next.max(index + 1);
            self.paused = false;
        }
        match self.state {
            ProgressState::Probe if index == self.matched => {
                self.enter(ProgressState::Replicate, self.matched + 1);
            }
            ProgressState::Snapshot(_) if news && self.matched + 1 >= log.first_index() => {
                self.enter(ProgressState::Replicate, self.matched + 1);
            }
            ProgressState::Replicate => {
                let freed = self.inflight.partition_point(|last| *last <= index);
                self.inflight.drain(..freed);
            }
            ProgressState::Probe | ProgressState::Snapshot(_) => {}
        }
        news
    }

    /// It refused an append after `index`: go back, but not behind what is known to agree.
    pub fn refused(&mut self, index: u64, hint: Hint, log: &Log) {
        match self.state {
            ProgressState::Replicate if index > self.matched => {
                self.enter(ProgressState::Probe, self.matched + 1);
            }
            ProgressState::Probe if index == self.next - 1 => {
                let likely = match hint.term {
                    0 => hint.index,
                    term => log.last_not_above(hint.index, term),
                };
                let next = index.min(likely + 1).max(self.matched + 1);
                self.enter(ProgressState::Probe, next);
            }
            _ => {}
        }
    }

    /// It answered a heartbeat: what was not answered may be lost.
    pub fn alive(&mut self, log: &Log) {
        self.active = true;
        self.paused = false;
        self.nudged = self.state == ProgressState::Probe || self.matched < log.last_index();
    }

    pub fn unreachable(&mut self) {
        if self.state == ProgressState::Replicate {
            self.enter(ProgressState::Probe, self.matched + 1);
        }
    }

    /// The snapshot got there or not; whichever it is, its answer, or that to a heartbeat, is waited for.
    pub fn snapshot_sent(&mut self, ok: bool) {
        if let ProgressState::Snapshot(index) = self.state {
            let likely = if ok { index } else { 0 };
            self.enter(ProgressState::Probe, self.matched.max(likely) + 1);
            self.paused = true;
        }
    }
}
