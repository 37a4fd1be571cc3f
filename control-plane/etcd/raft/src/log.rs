//! The log in memory: all entries since the last compaction.

use std::collections::VecDeque;

use crate::Entry;

/// The part of the log that is in memory: the entries after a base that is in a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    base_index: u64,
    base_term: u64,
    entries: VecDeque<Entry>,
}

impl Log {
    /// A log whose entries up to `index`, the last of them of `term`, are in a snapshot.
    #[must_use]
    pub fn after(index: u64, term: u64, entries: Vec<Entry>) -> Self {
        Self {
            base_index: index,
            base_term: term,
            entries: entries.into(),
        }
    }

    /// The index of the last entry, or of the base.
    #[must_use]
    pub fn last_index(&self) -> u64 {
        self.base_index + self.entries.len() as u64
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
        self.entries
            .get(usize::try_from(place).ok()?)
            .map(|entry| entry.term)
    }
}
