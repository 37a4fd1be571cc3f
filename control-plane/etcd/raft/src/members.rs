//! Who belongs to the cluster.

use std::collections::BTreeSet;

use crate::{Change, ChangeKind};

/// The members of the cluster as of some index of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Those who vote, and of whom a majority decides.
    pub voters: BTreeSet<u64>,
    /// Those who only get the log.
    pub learners: BTreeSet<u64>,
}

impl Members {
    /// Members that are all voters.
    #[must_use]
    pub fn voting(ids: impl IntoIterator<Item = u64>) -> Self {
        Self {
            voters: ids.into_iter().collect(),
            learners: BTreeSet::new(),
        }
    }

    /// Whether `id` is a voter or a learner.
    #[must_use]
    pub fn contains(&self, id: u64) -> bool {
        self.voters.contains(&id) || self.learners.contains(&id)
    }

    /// Voters, then learners, each in order.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.voters.iter().chain(&self.learners).copied()
    }

    /// How many voters are a majority.
    #[must_use]
    pub fn majority(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// Does a change. The last voter stays, and so does what would be changed to what it is.
    pub fn apply(&mut self, change: &Change) {
        let id = change.id;
        match change.kind {
            ChangeKind::Add => {
                self.learners.remove(&id);
                self.voters.insert(id);
            }
            ChangeKind::AddLearner if !self.voters.contains(&id) => {
                self.learners.insert(id);
            }
            ChangeKind::Promote if self.learners.remove(&id) => {
                self.voters.insert(id);
            }
            ChangeKind::Remove if self.voters.len() > 1 || !self.voters.contains(&id) => {
                self.voters.remove(&id);
                self.learners.remove(&id);
            }
            ChangeKind::AddLearner | ChangeKind::Promote | ChangeKind::Remove => {}
        }
    }
}

/// What a snapshot stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// The last index that is in it.
    pub index: u64,
    /// The term of the entry there.
    pub term: u64,
    /// The members as of that index.
    pub members: Members,
}
