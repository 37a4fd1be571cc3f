//! What all members together have said, and what must never be contradicted.

use std::collections::BTreeMap;

use raft::{Body, Entry, Message, Payload, Raft, Role};

/// What is known of the whole cluster.
#[derive(Default)]
pub struct Truth {
    leaders: BTreeMap<u64, u64>,
    votes: BTreeMap<(u64, u64), u64>,
    /// Every entry that ever was in a log, with the term of the one before.
    entries: BTreeMap<(u64, u64), (u64, Payload)>,
    /// The term of each committed index.
    committed: BTreeMap<u64, u64>,
    applied: BTreeMap<u64, (u64, Payload)>,
    /// How far the commit index of each process was checked.
    checked: BTreeMap<u64, u64>,
}

impl Truth {
    pub fn leaders(&self) -> usize {
        self.leaders.len()
    }

    /// Looks at a member after each call.
    pub fn look(&mut self, id: u64, raft: &Raft) {
        let log = raft.log();
        let commit = raft.hard().commit;
        assert!(commit <= log.last_index());
        let checked = self.checked.get(&id).copied().unwrap_or(0);
        for index in (checked + 1).max(log.first_index())..=commit {
            let term = log.term(index).unwrap();
            let known = *self.committed.entry(index).or_insert(term);
            assert_eq!(
                known, term,
                "state-machine safety: {id} commits {index} of term {term}"
            );
        }
        self.checked.insert(id, commit);
        if raft.soft().role == Role::Leader {
            self.look_at_leader(id, raft);
        }
    }

    fn look_at_leader(&mut self, id: u64, raft: &Raft) {
        let term = raft.hard().term;
        if let Some(known) = self.leaders.insert(term, id) {
            assert_eq!(known, id, "election safety: two leaders in term {term}");
            return;
        }
        let log = raft.log();
        let in_memory = self.committed.range(log.first_index()..);
        for (index, committed) in in_memory {
            let own = log.term(*index);
            assert_eq!(
                own,
                Some(*committed),
                "leader completeness: {id} leads term {term} without {index}"
            );
        }
    }

    /// A process begins anew.
    pub fn forget(&mut self, id: u64) {
        self.checked.remove(&id);
    }

    /// A member has new entries in its log; `before` is the term of what precedes them there.
    pub fn appended(&mut self, entries: &[Entry], mut before: u64) {
        for entry in entries {
            let key = (entry.index, entry.term);
            let new = (before, entry.payload.clone());
            let known = self.entries.entry(key).or_insert_with(|| new.clone());
            assert_eq!(*known, new, "log matching: {key:?}");
            before = entry.term;
        }
    }

    pub fn applied(&mut self, id: u64, entry: &Entry) {
        let what = (entry.term, entry.payload.clone());
        let known = self.applied.entry(entry.index).or_insert_with(|| what.clone());
        assert_eq!(*known, what, "state-machine safety: {id} applies {}", entry.index);
        assert_eq!(self.committed.get(&entry.index), Some(&entry.term));
    }

    pub fn sent(&mut self, message: &Message) {
        if message.body == (Body::VoteReply { granted: true }) {
            let key = (message.term, message.from);
            let known = *self.votes.entry(key).or_insert(message.to);
            assert_eq!(known, message.to, "two votes of one member in a term: {key:?}");
        }
    }
}
