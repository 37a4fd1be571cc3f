//! What a follower does with what its leader says.

use crate::{Body, Entry, Hint, Raft, SnapshotMeta};

impl Raft {
    pub(crate) fn on_append(&mut self, from: u64, prev: (u64, u64), entries: Vec<Entry>, commit: u64) {
        let (prev_index, prev_term) = prev;
        let contiguous = entries
            .iter()
            .zip(prev_index + 1..)
            .all(|(entry, index)| entry.index == index);
        if !contiguous {
            return;
        }
        let known = self.log.commit();
        if prev_index < known {
            // From before: what is committed agrees.
            return self.agree(from, known);
        }
        if self.log.term(prev_index) != Some(prev_term) {
            let index = self
                .log
                .last_not_above(prev_index.min(self.log.last_index()), prev_term);
            let term = self.log.term(index).unwrap_or_default();
            let refused = Some(Hint { index, term });
            let index = prev_index;
            let reply = Body::AppendReply { index, refused };
            return self.out.send_after_sync(from, self.term, reply);
        }
        let last = prev_index + entries.len() as u64;
        if let Some(index) = self.log.merge(entries) {
            self.out.cut(index);
        }
        self.log.commit_to(commit.min(last));
        self.agree(from, last);
    }

    fn agree(&mut self, to: u64, index: u64) {
        let reply = Body::AppendReply { index, refused: None };
        self.out.send_after_sync(to, self.term, reply);
    }

    pub(crate) fn on_heartbeat(&mut self, from: u64, commit: u64, read: u64) {
        self.log.commit_to(commit);
        self.out.send(from, self.term, Body::HeartbeatReply { read });
    }

    pub(crate) fn on_snapshot(&mut self, from: u64, meta: SnapshotMeta) {
        if meta.index > self.log.commit() && meta.members.contains(self.config.id) {
            if self.log.term(meta.index) == Some(meta.term) {
                self.log.commit_to(meta.index);
            } else {
                self.log.replace(meta.index, meta.term);
                self.out.cut(meta.index + 1);
                self.members = meta.members.clone();
                self.out.install(meta);
            }
        }
        self.agree(from, self.log.commit());
    }
}

#[cfg(test)]
mod tests {
    use crate::{Body, Config, Entry, HardState, Log, Members, Message, Payload, Raft};

    fn entry(index: u64, term: u64) -> Entry {
        let payload = Payload::Empty;
        Entry { term, index, payload }
    }

    /// The leader knows index 3 to be committed, but of its own log; the follower's has an older entry there.
    #[test]
    fn no_more_is_committed_than_the_leader_has_sent() {
        let log = Log::after(1, 1, vec![entry(2, 2), entry(3, 2)]);
        let hard = HardState {
            term: 2,
            vote: 0,
            commit: 1,
        };
        let mut raft = Raft::new(Config::new(1, 0, 1), hard, Members::voting([1, 2, 3]), log);
        let append = |prev_index, prev_term, entries| Message {
            from: 2,
            to: 1,
            term: 3,
            body: Body::Append {
                prev_index,
                prev_term,
                entries,
                commit: 3,
            },
        };
        raft.step(append(1, 1, vec![entry(2, 2)]));
        assert_eq!(raft.hard().commit, 2);
        raft.step(append(2, 2, vec![entry(3, 3)]));
        assert_eq!((raft.hard().commit, raft.log().term(3)), (3, Some(3)));
    }
}
