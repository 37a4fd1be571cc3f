//! What piles up for the next [`Ready`], and what of the earlier ones is not durable yet.

use std::collections::VecDeque;

use crate::{Body, HardState, Log, Message, Ready, SnapshotMeta, Soft};

/// A Ready that is not durable yet.
#[derive(Clone, Debug)]
struct Pending {
    number: u64,
    /// Up to where the log is durable with it. What is cut off meanwhile lowers it.
    index: u64,
    term: u64,
    snapshot: Option<u64>,
}

/// Messages and other results of steps.
#[derive(Clone, Debug)]
pub(crate) struct Outbox {
    id: u64,
    number: u64,
    messages: Vec<Message>,
    after_sync: Vec<Message>,
    pub reads: Vec<(u64, u64)>,
    pub snapshot: Option<SnapshotMeta>,
    /// The index of a snapshot that is not installed yet.
    installing: Option<u64>,
    told_hard: HardState,
    told_soft: Soft,
    pending: VecDeque<Pending>,
}

impl Outbox {
    pub fn new(id: u64, hard: HardState) -> Self {
        let told_soft = Soft {
            term: hard.term,
            ..Soft::default()
        };
        Self {
            id,
            number: 0,
            messages: Vec::new(),
            after_sync: Vec::new(),
            reads: Vec::new(),
            snapshot: None,
            installing: None,
            told_hard: hard,
            told_soft,
            pending: VecDeque::new(),
        }
    }

    /// To go at once.
    pub fn send(&mut self, to: u64, term: u64, body: Body) {
        self.messages.push(self.message(to, term, body));
    }

    /// To go once all that is known now is durable: votes, what they are asked for with, and what the log holds.
    pub fn send_after_sync(&mut self, to: u64, term: u64, body: Body) {
        self.after_sync.push(self.message(to, term, body));
    }

    fn message(&self, to: u64, term: u64, body: Body) -> Message {
        Message {
            from: self.id,
            to,
            term,
            body,
        }
    }

    pub fn queued(&mut self) -> &mut Vec<Message> {
        &mut self.messages
    }

    pub fn install(&mut self, meta: SnapshotMeta) {
        self.installing = Some(meta.index);
        self.snapshot = Some(meta);
    }

    pub fn is_installing(&self) -> bool {
        self.installing.is_some()
    }

    /// The log was cut off from `index` on: what was written of it there does not count.
    pub fn cut(&mut self, index: u64) {
        for pending in &mut self.pending {
            pending.index = pending.index.min(index - 1);
        }
    }

    pub fn is_empty(&self, hard: HardState, soft: Soft, log: &Log) -> bool {
        self.messages.is_empty()
            && self.after_sync.is_empty()
            && self.reads.is_empty()
            && self.snapshot.is_none()
            && self.told_hard == hard
            && self.told_soft == soft
            && !log.has_unwritten()
            && (self.is_installing() || !log.has_appliable())
    }

    pub fn take(&mut self, hard: HardState, soft: Soft, log: &mut Log) -> Ready {
        self.number += 1;
        let voted = (hard.term, hard.vote) != (self.told_hard.term, self.told_hard.vote);
        let mut ready = Ready {
            number: self.number,
            hard_state: (hard != self.told_hard).then_some(hard),
            must_sync: voted || self.snapshot.is_some() || log.has_unwritten(),
            snapshot: self.snapshot.take(),
            append: log.take_unwritten(),
            messages: std::mem::take(&mut self.messages),
            after_sync: std::mem::take(&mut self.after_sync),
            reads: std::mem::take(&mut self.reads),
            soft: (soft != self.told_soft).then_some(soft),
            committed: Vec::new(),
        };
        if !self.is_installing() {
            ready.committed = log.take_appliable();
        }
        (self.told_hard, self.told_soft) = (hard, soft);
        if ready.must_sync || !self.pending.is_empty() {
            self.pending.push_back(Pending {
                number: self.number,
                index: log.last_index(),
                term: hard.term,
                snapshot: ready.snapshot.as_ref().map(|meta| meta.index),
            });
        } else {
            ready.messages.append(&mut ready.after_sync);
        }
        ready
    }

    /// All up to the Ready `number` is durable. Returns the term that is, if that is news.
    pub fn persisted(&mut self, number: u64, log: &mut Log) -> Option<u64> {
        let mut term = None;
        while let Some(pending) = self.pending.pop_front_if(|pending| pending.number <= number) {
            log.stable_to(pending.index);
            if pending.snapshot.is_some() && pending.snapshot == self.installing {
                self.installing = None;
            }
            term = Some(pending.term);
        }
        term
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Entry, Payload};

    fn entry(index: u64, term: u64) -> Entry {
        let payload = Payload::Empty;
        Entry { term, index, payload }
    }

    /// A log is overwritten twice while its first form is still being written: that this got to the disk says nothing, since
    /// the second form gets there after it.
    #[test]
    fn what_was_cut_off_meanwhile_is_not_durable_when_its_write_ends() {
        let hard = HardState::default();
        let mut log = Log::after(1, 1, Vec::new());
        let mut out = Outbox::new(1, hard);
        let mut numbers = Vec::new();
        for term in [1, 2, 1] {
            if let Some(index) = log.merge(vec![entry(2, term)]) {
                out.cut(index);
            }
            let ready = out.take(hard, Soft::default(), &mut log);
            assert_eq!(ready.append, [entry(2, term)]);
            numbers.push(ready.number);
        }
        out.persisted(numbers[0], &mut log);
        assert_eq!(log.stable(), 1);
        out.persisted(numbers[1], &mut log);
        assert_eq!(log.stable(), 1);
        out.persisted(numbers[2], &mut log);
        assert_eq!(log.stable(), 2);
    }
}
