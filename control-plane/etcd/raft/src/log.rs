//! The log in memory: all entries since the last compaction.

use std::collections::VecDeque;

use crate::{Entry, HardState};

/// The part of the log that is in memory: the entries after a base that is in a snapshot; and how far they are durable,
/// committed and applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    base_index: u64,
    base_term: u64,
    entries: VecDeque<Entry>,
    /// Up to here it was handed out to be written.
    written: u64,
    /// Up to here it is durable.
    stable: u64,
    commit: u64,
    /// Up to here it was handed out to be applied.
    given: u64,
    applied: u64,
}

impl Log {
    /// A log whose entries up to `index`, the last of them of `term`, are in a snapshot, and that goes on with `entries`, all
    /// of them durable.
    #[must_use]
    pub fn after(index: u64, term: u64, entries: Vec<Entry>) -> Self {
        let last = index + entries.len() as u64;
        Self {
            base_index: index,
            base_term: term,
            entries: entries.into(),
            written: last,
            stable: last,
            commit: index,
            given: index,
            applied: index,
        }
    }

    /// The index of the last entry, or of the base.
    #[must_use]
    pub fn last_index(&self) -> u64 {
        self.base_index + self.entries.len() as u64
    }

    /// The term of the last entry, or of the base.
    #[must_use]
    pub fn last_term(&self) -> u64 {
        self.entries.back().map_or(self.base_term, |entry| entry.term)
    }

    /// The first index that is in memory.
    #[must_use]
    pub fn first_index(&self) -> u64 {
        self.base_index + 1
    }

    /// The term of the entry at `index`, if it is in memory or the base.
    #[must_use]
    pub fn term(&self, index: u64) -> Option<u64> {
        if index == self.base_index {
            return Some(self.base_term);
        }
        let place = index.checked_sub(self.first_index())?;
        Some(self.entries.get(usize::try_from(place).ok()?)?.term)
    }

    pub(crate) fn commit(&self) -> u64 {
        self.commit
    }

    pub(crate) fn stable(&self) -> u64 {
        self.stable
    }

    pub(crate) fn applied(&self) -> u64 {
        self.applied
    }

    /// Takes up what is known from before the start.
    pub(crate) fn restart(&mut self, hard: HardState, applied: u64) {
        self.commit = hard.commit.max(applied).clamp(self.base_index, self.last_index());
        self.applied = applied.clamp(self.base_index, self.commit);
        self.given = self.applied;
    }

    /// The entries from `from` to `to`, both in it.
    pub(crate) fn between(&self, from: u64, to: u64) -> impl Iterator<Item = &Entry> {
        let skipped = from.saturating_sub(self.first_index());
        let count = (to + 1).saturating_sub(from.max(self.first_index()));
        let [skipped, count] = [skipped, count].map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        self.entries.range(skipped.min(self.entries.len())..).take(count)
    }

    /// The entries from `from` on that go into `bytes`, and one in any case.
    pub(crate) fn batch(&self, from: u64, bytes: usize) -> Vec<Entry> {
        let mut room = bytes;
        let mut batch = Vec::new();
        for entry in self.between(from, self.last_index()) {
            if !batch.is_empty() && entry.bytes() > room {
                break;
            }
            room = room.saturating_sub(entry.bytes());
            batch.push(entry.clone());
        }
        batch
    }

    /// Whether a log that ends so has all that this one has.
    pub(crate) fn is_covered_by(&self, last_index: u64, last_term: u64) -> bool {
        (last_term, last_index) >= (self.last_term(), self.last_index())
    }

    /// The last index up to `index` whose term is not above `term`; one before the base if it is not in memory.
    pub(crate) fn last_not_above(&self, index: u64, term: u64) -> u64 {
        if index < self.base_index {
            return index;
        }
        let end = usize::try_from(index.min(self.last_index()) - self.base_index).unwrap_or(usize::MAX);
        let below = self.entries.partition_point(|entry| entry.term <= term).min(end);
        match below {
            0 if self.base_term > term => self.base_index.saturating_sub(1),
            below => self.base_index + below as u64,
        }
    }

    /// Puts an entry at the end.
    pub(crate) fn push(&mut self, entry: Entry) {
        self.entries.push_back(entry);
    }

    /// Puts the entries of a leader in, cutting off what contradicts them. Returns the index from which on it was cut off.
    pub(crate) fn merge(&mut self, entries: Vec<Entry>) -> Option<u64> {
        let mut cut = None;
        for entry in entries {
            match self.term(entry.index) {
                Some(term) if term == entry.term => continue,
                Some(_) => {
                    self.cut(entry.index);
                    cut.get_or_insert(entry.index);
                }
                None => {}
            }
            self.push(entry);
        }
        cut
    }

    fn cut(&mut self, from: u64) {
        assert!(
            from > self.commit,
            "the leader contradicts the committed entry {from}"
        );
        let keep = usize::try_from(from - self.first_index()).unwrap_or(usize::MAX);
        self.entries.truncate(keep);
        self.written = self.written.min(from - 1);
        self.stable = self.stable.min(from - 1);
    }

    /// Is all in a snapshot now.
    pub(crate) fn replace(&mut self, index: u64, term: u64) {
        *self = Self::after(index, term, Vec::new());
    }

    pub(crate) fn commit_to(&mut self, index: u64) {
        self.commit = self.commit.max(index.min(self.last_index()));
    }

    pub(crate) fn stable_to(&mut self, index: u64) {
        self.stable = self.stable.max(index.min(self.written));
    }

    pub(crate) fn applied_to(&mut self, index: u64) {
        self.applied = self.applied.max(index.min(self.given));
    }

    /// Forgets the entries up to `index`, as far as they are applied.
    pub(crate) fn compact(&mut self, index: u64) {
        let index = index.min(self.applied);
        if let Some(term) = self.term(index) {
            let gone = usize::try_from(index - self.base_index).unwrap_or(usize::MAX);
            self.entries.drain(..gone);
            (self.base_index, self.base_term) = (index, term);
        }
    }

    pub(crate) fn has_unwritten(&self) -> bool {
        self.written < self.last_index()
    }

    /// What is to be written and was not handed out yet.
    pub(crate) fn take_unwritten(&mut self) -> Vec<Entry> {
        let entries = self
            .between(self.written + 1, self.last_index())
            .cloned()
            .collect();
        self.written = self.last_index();
        entries
    }

    /// Up to where it may be applied: what is committed and durable here.
    fn appliable(&self) -> u64 {
        self.commit.min(self.stable)
    }

    pub(crate) fn has_appliable(&self) -> bool {
        self.given < self.appliable()
    }

    /// What is to be applied and was not handed out yet.
    pub(crate) fn take_appliable(&mut self) -> Vec<Entry> {
        let entries = self.between(self.given + 1, self.appliable()).cloned().collect();
        self.given = self.given.max(self.appliable());
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Payload;

    fn log(base: u64, terms: &[u64]) -> Log {
        let entries = terms.iter().zip(base + 1..).map(|(term, index)| Entry {
            term: *term,
            index,
            payload: Payload::Empty,
        });
        Log::after(base, 1, entries.collect())
    }

    #[test]
    fn a_hint_is_the_last_place_that_may_agree() {
        let log = log(10, &[1, 3, 3, 4, 6]);
        assert_eq!(log.last_not_above(15, 6), 15);
        assert_eq!(log.last_not_above(15, 5), 14);
        assert_eq!(log.last_not_above(12, 5), 12);
        assert_eq!(log.last_not_above(15, 2), 11);
        assert_eq!(log.last_not_above(99, 3), 13);
        assert_eq!(log.last_not_above(15, 0), 9);
        assert_eq!(log.last_not_above(7, 6), 7);
    }

    #[test]
    fn a_batch_has_one_entry_at_least() {
        let log = log(0, &[1, 1, 1]);
        let size = Payload::Empty.bytes();
        assert_eq!(log.batch(1, 0).len(), 1);
        assert_eq!(log.batch(1, 2 * size).len(), 2);
        assert_eq!(log.batch(2, 9 * size).len(), 2);
        assert_eq!(log.batch(4, 9 * size).len(), 0);
    }

    #[test]
    fn what_is_applied_can_be_forgotten_and_no_more() {
        let mut log = log(0, &[1, 1, 2]);
        log.commit_to(3);
        log.take_appliable();
        log.applied_to(2);
        log.compact(3);
        assert_eq!((log.first_index(), log.last_index()), (3, 3));
        assert_eq!((log.term(1), log.term(2), log.term(3)), (None, Some(1), Some(2)));
    }
}
