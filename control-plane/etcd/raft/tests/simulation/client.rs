//! Clients: what they asked, and what they must not see.
//!
//! All members apply the same entries in the same order, so every operation has a place in one order: a write the index of its
//! entry, a read the index that was applied when it was answered. A history is linearizable if no operation has a place before
//! one that was answered before it was asked.

use std::collections::BTreeMap;

/// An operation that is not answered yet.
pub struct Asked {
    pub at: u64,
    pub write: bool,
    floor: u64,
    expires: u64,
    /// For a read: the index to wait for, once it is known.
    pub index: Option<u64>,
}

/// All clients.
#[derive(Default)]
pub struct Clients {
    next: u64,
    asked: BTreeMap<u64, Asked>,
    /// The last place of what was answered.
    floor: u64,
    pub writes: u64,
    pub reads: u64,
}

impl Clients {
    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    pub fn asked(&mut self, number: u64, at: u64, write: bool, now: u64) {
        let (floor, expires) = (self.floor, now + 500);
        self.asked.insert(
            number,
            Asked {
                at,
                write,
                floor,
                expires,
                index: None,
            },
        );
    }

    /// A member answers an operation that it was asked.
    pub fn answered(&mut self, number: u64, at: u64, place: u64) {
        let Some(asked) = self.asked.get(&number).filter(|asked| asked.at == at) else {
            return;
        };
        let fine = place > asked.floor || (!asked.write && place == asked.floor);
        assert!(
            fine,
            "not linearizable: {number} at {place}, after {} was answered",
            asked.floor
        );
        self.writes += u64::from(asked.write);
        self.reads += u64::from(!asked.write);
        self.floor = self.floor.max(place);
        self.asked.remove(&number);
    }

    /// A read may be answered at `index`.
    pub fn readable(&mut self, number: u64, at: u64, index: u64) {
        if let Some(asked) = self.asked.get_mut(&number).filter(|asked| asked.at == at) {
            asked.index.get_or_insert(index);
        }
    }

    /// Answers the reads that a member can answer now.
    pub fn read(&mut self, at: u64, applied: u64) {
        let fit = |asked: &Asked| asked.at == at && asked.index.is_some_and(|index| index <= applied);
        let fit: Vec<u64> = self
            .asked
            .iter()
            .filter(|(_, asked)| fit(asked))
            .map(|(number, _)| *number)
            .collect();
        for number in fit {
            self.answered(number, at, applied);
        }
    }

    /// Who asked a process that is gone, or too long ago, does not know what became of it.
    pub fn give_up(&mut self, gone: Option<u64>, now: u64) {
        self.asked
            .retain(|_, asked| Some(asked.at) != gone && asked.expires > now);
    }
}
