//! Reads that wait until a majority has confirmed the leader.

use std::collections::VecDeque;

/// As many reads may wait at once; a server asks once for all its clients that wait.
const LIMIT: usize = 4096;

/// One read, asked by `from`.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub from: u64,
    pub context: u64,
    /// What is to be applied; unknown until the leader has committed an entry of its own.
    pub index: Option<u64>,
    number: u64,
}

/// The reads of a leader.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    asked: u64,
    /// The number that went out with the last heartbeats.
    sent: u64,
    waiting: VecDeque<Read>,
}

impl Reads {
    /// Takes a read, unless there are too many.
    pub fn ask(&mut self, from: u64, context: u64, index: Option<u64>) -> bool {
        if self.waiting.len() >= LIMIT {
            return false;
        }
        self.asked += 1;
        let number = self.asked;
        self.waiting.push_back(Read {
            from,
            context,
            index,
            number,
        });
        true
    }

    /// The number of the newest read.
    pub fn newest(&self) -> u64 {
        self.asked
    }

    /// Whether some read is not in any heartbeat yet.
    pub fn has_unsent(&self) -> bool {
        self.sent < self.asked
    }

    /// What the next heartbeats say; 0 if no read waits.
    pub fn send(&mut self) -> u64 {
        self.sent = self.asked;
        self.waiting.back().map_or(0, |read| read.number)
    }

    /// The leader has committed an entry of its own: reads from before get their index.
    pub fn committed(&mut self, commit: u64) {
        for read in &mut self.waiting {
            read.index.get_or_insert(commit);
        }
    }

    /// Takes out what may be answered once the reads up to number `confirmed` are.
    pub fn settle(&mut self, confirmed: u64) -> Vec<Read> {
        let fit = |read: &Read| read.number <= confirmed && read.index.is_some();
        let count = self.waiting.iter().take_while(|read| fit(read)).count();
        self.waiting.drain(..count).collect()
    }
}
