//! The durable log of Raft: what must survive before a member may say that it has it.
//!
//! It is written in batches, each synced once however many proposals are in it. Segments are made ahead and of full
//! length, so that a sync has no file to grow. What the store itself holds durably is dropped, a segment at a time.

mod open;
pub mod record;

use crate::files::{File, Files};
use raft::{Entry, HardState};
use record::{FORMAT, Header, Record, encode_entry};
use std::{collections::VecDeque, io, sync::Arc};

pub use open::{LogError, Stored, open};

/// Bytes of a segment, usually.
pub const SEGMENT: u64 = 16 << 20;
/// A segment that is ready to be begun.
const SPARE: &str = "raft.spare";
/// Bytes that are zeroed at a time.
const ZEROS: usize = 1 << 20;
/// Bytes of memory that are kept for what is written next.
const KEPT: usize = 2 << 20;

/// Whose log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The member.
    pub member: u64,
    /// Its cluster.
    pub cluster: u64,
}

/// An index and its term.
pub type Place = (u64, u64);

/// Entries, and the hard state after them if it changed.
pub type Batch = (Vec<Entry>, Option<HardState>);

/// A segment that is complete: its number, and the last index in it.
#[derive(Debug)]
struct Old {
    number: u64,
    last: u64,
}

/// The log, to be written.
pub struct Log {
    files: Arc<dyn Files>,
    identity: Identity,
    salt: u32,
    segment: u64,
    file: Arc<dyn File>,
    offset: u64,
    /// Number of the next record; all before `durable` are durable.
    next: u64,
    durable: u64,
    hard: HardState,
    tip: Place,
    /// The greatest index in the segment.
    greatest: u64,
    old: VecDeque<Old>,
    segment_bytes: u64,
    /// What is written next is put together here.
    buffer: Vec<u8>,
}

fn name(segment: u64) -> String {
    format!("raft-{segment:08}.log")
}

impl Log {
    /// A new log, which goes on after `tip`.
    pub fn create(
        files: Arc<dyn Files>,
        identity: Identity,
        salt: u32,
        hard: HardState,
        tip: Place,
        segment_bytes: u64,
    ) -> io::Result<Self> {
        prepare(files.as_ref(), segment_bytes)?;
        let mut log = Self {
            file: files.open(SPARE)?,
            files,
            identity,
            salt,
            segment: 0,
            offset: 0,
            next: 1,
            durable: 1,
            hard,
            tip,
            greatest: 0,
            old: VecDeque::new(),
            segment_bytes,
            buffer: Vec::new(),
        };
        log.begin(&[Record::Reset(tip.0, tip.1), Record::Hard(hard)])?;
        Ok(log)
    }

    /// Whose it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The directory.
    pub fn files(&self) -> Arc<dyn Files> {
        self.files.clone()
    }

    /// Begins the next segment with these records, durably. Nothing is changed by a failure.
    fn begin(&mut self, records: &[Record]) -> io::Result<()> {
        let number = self.segment + 1;
        let salt = self.salt.wrapping_add(0x9e37_79b9);
        let spare = self.files.open(SPARE);
        let file = match spare {
            Ok(file) => file,
            Err(_) => self.files.create(SPARE)?,
        };
        let header = Header {
            format: FORMAT,
            salt,
            member: self.identity.member,
            cluster: self.identity.cluster,
            segment: number,
            first: self.next,
        };
        let mut bytes = header.encode();
        for (at, record) in records.iter().enumerate() {
            record.encode(salt, self.next + at as u64, self.durable, &mut bytes);
        }
        file.write_at(&bytes, 0)?;
        file.sync()?;
        self.files.rename(SPARE, &name(number))?;
        self.files.sync()?;
        if self.segment > 0 {
            self.old.push_back(Old {
                number: self.segment,
                last: self.greatest,
            });
        }
        (self.segment, self.salt, self.file) = (number, salt, file);
        self.offset = bytes.len() as u64;
        self.next += records.len() as u64;
        self.durable = self.next;
        self.greatest = self.tip.0;
        Ok(())
    }

    /// Writes batches, then records; they are durable after [`Log::sync`]. Nothing is changed by a failure.
    fn write(&mut self, batches: &[Batch], records: &[Record]) -> io::Result<()> {
        let (mut next, salt, durable) = (self.next, self.salt, self.durable);
        self.buffer.clear();
        self.buffer.shrink_to(KEPT);
        for (entries, hard) in batches {
            for entry in entries {
                encode_entry(entry, salt, next, durable, &mut self.buffer);
                next += 1;
            }
            if let Some(hard) = hard {
                Record::Hard(*hard).encode(salt, next, durable, &mut self.buffer);
                next += 1;
            }
        }
        for record in records {
            record.encode(salt, next, durable, &mut self.buffer);
            next += 1;
        }
        self.file.write_at(&self.buffer, self.offset)?;
        self.offset += self.buffer.len() as u64;
        self.next = next;
        Ok(())
    }

    /// Writes batches in order: of each its entries, then its hard state. Nothing is changed by a failure.
    pub fn append(&mut self, batches: &[Batch]) -> io::Result<()> {
        if self.offset >= self.segment_bytes {
            self.sync()?;
            self.begin(&[Record::Tip(self.tip.0, self.tip.1), Record::Hard(self.hard)])?;
        }
        self.write(batches, &[])?;
        for (entries, hard) in batches {
            self.tip = entries.last().map_or(self.tip, |last| (last.index, last.term));
            self.greatest = self.greatest.max(self.tip.0);
            self.hard = hard.unwrap_or(self.hard);
        }
        Ok(())
    }

    /// Says durably that a snapshot is about to take the place of the store.
    pub fn installing(&mut self, snapshot: Place) -> io::Result<()> {
        self.write(&[], &[Record::Installing(snapshot.0, snapshot.1)])?;
        self.sync()
    }

    /// Empties the log, durably: a snapshot stands for all up to `tip`.
    pub fn reset(&mut self, tip: Place, hard: Option<HardState>) -> io::Result<()> {
        let hard = hard.unwrap_or(self.hard);
        self.write(&[], &[Record::Reset(tip.0, tip.1), Record::Hard(hard)])?;
        self.sync()?;
        (self.tip, self.hard) = (tip, hard);
        self.greatest = self.greatest.max(tip.0);
        Ok(())
    }

    /// Returns when all that was written is durable. After a failure nobody knows what is.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync()?;
        self.durable = self.next;
        Ok(())
    }

    /// Drops segments with nothing after `index`. One of them may become the next one.
    pub fn drop_until(&mut self, index: u64) -> io::Result<()> {
        let mut spare = self.files.open(SPARE).is_ok();
        while self.old.front().is_some_and(|old| old.last <= index) {
            let Some(old) = self.old.pop_front() else { break };
            match spare {
                true => self.files.remove(&name(old.number))?,
                false => self.files.rename(&name(old.number), SPARE)?,
            }
            spare = true;
        }
        Ok(())
    }

    /// Whether a segment should be made ahead, and how large.
    pub fn wants_spare(&self) -> Option<u64> {
        let half = self.offset > self.segment_bytes / 2;
        (half && self.files.open(SPARE).is_err()).then_some(self.segment_bytes)
    }
}

/// Makes a segment ahead.
pub fn prepare(files: &dyn Files, bytes: u64) -> io::Result<()> {
    const MAKING: &str = "raft.making";
    let file = files.create(MAKING)?;
    zero(file.as_ref(), 0, bytes)?;
    files.rename(MAKING, SPARE)
}

/// Makes a part of a file zeros, durably.
fn zero(file: &dyn File, mut offset: u64, end: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS];
    while offset < end {
        let length = (end - offset).min(ZEROS as u64);
        file.write_at(&zeros[..length as usize], offset)?;
        offset += length;
    }
    file.sync()
}

#[cfg(test)]
mod tests;
