//! Reading a log: a torn tail is cut off, other damage is refused.

use super::{
    Identity, Log, Old, Place, name,
    record::{FORMAT, HEADER, Header, Read, Record, may_be_later, read},
    zero,
};
use crate::files::{File, Files};
use bytes::Bytes;
use raft::{Entry, HardState};
use std::{collections::VecDeque, io, sync::Arc};

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// It was damaged after it was written.
    #[error("the log in {place} is damaged: {file} at offset {offset}: {why}")]
    Damaged {
        /// The directory.
        place: String,
        /// The file in it.
        file: String,
        /// Where in the file.
        offset: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// A newer release wrote it.
    #[error("the log in {place} has format {found}; this release reads formats up to {FORMAT}")]
    Newer {
        /// The directory.
        place: String,
        /// Its format.
        found: u32,
    },
    /// The file system failed.
    #[error("the log in {place}: {source}")]
    Io {
        /// The directory.
        place: String,
        /// What the file system said.
        source: io::Error,
    },
}

/// What a log holds.
#[derive(Debug)]
pub struct Stored {
    /// The hard state.
    pub hard: HardState,
    /// The index and term before the first entry.
    pub base: Place,
    /// The entries, without a gap.
    pub entries: Vec<Entry>,
    /// A snapshot was about to take the place of the store.
    pub installing: Option<Place>,
}

#[derive(Debug, Default)]
struct Content {
    hard: HardState,
    base: Place,
    entries: VecDeque<Entry>,
    installing: Option<Place>,
    started: bool,
}

impl Content {
    fn tip(&self) -> Place {
        let last = self.entries.back();
        last.map_or(self.base, |last| (last.index, last.term))
    }

    /// What is wrong with a record, if anything.
    fn take(&mut self, record: Record) -> Option<&'static str> {
        match record {
            Record::Hard(hard) => self.hard = hard,
            Record::Installing(index, term) => self.installing = Some((index, term)),
            Record::Reset(index, term) => {
                self.base = (index, term);
                self.entries.clear();
                self.installing = None;
            }
            Record::Tip(index, term) if !self.started => self.base = (index, term),
            Record::Tip(index, term) if self.tip() != (index, term) => {
                return Some("a segment does not go on where the one before ended");
            }
            Record::Tip(..) => {}
            Record::Entry(entry) => return self.entry(entry),
        }
        self.started = true;
        None
    }

    fn entry(&mut self, entry: Entry) -> Option<&'static str> {
        if entry.index > self.tip().0 + 1 {
            return Some("entries are missing");
        }
        // Nothing is written while a snapshot is installed: it never was.
        self.installing = None;
        while self.entries.back().is_some_and(|last| last.index >= entry.index) {
            self.entries.pop_back();
        }
        if entry.index <= self.base.0 {
            // What came before was dropped since it is in the store, and so is this.
            self.base = (entry.index, entry.term);
        } else {
            self.entries.push_back(entry);
        }
        None
    }
}

/// Opens the log of a directory; `None`: there is none.
pub fn open(files: Arc<dyn Files>, segment_bytes: u64) -> Result<Option<(Log, Stored)>, LogError> {
    let failed = |source| LogError::Io {
        place: files.place(),
        source,
    };
    let mut names = files.list().map_err(failed)?;
    names.retain(|name| name.starts_with("raft-") && name.ends_with(".log"));
    names.sort();
    let mut content = Content::default();
    let mut log: Option<Log> = None;
    let count = names.len();
    for (at, file_name) in names.into_iter().enumerate() {
        let file = files.open(&file_name).map_err(failed)?;
        let mut bytes = vec![0; file.length().map_err(failed)? as usize];
        file.read_at(&mut bytes, 0).map_err(failed)?;
        let mut reading = Reading {
            place: files.place(),
            name: file_name,
            bytes: bytes.into(),
            is_last: at + 1 == count,
        };
        let next = reading.segment(&mut content, log.as_ref())?;
        let old = log.map(|mut log| {
            log.old.push_back(Old {
                number: log.segment,
                last: log.greatest,
            });
            log.old
        });
        if at + 1 == count {
            reading.clear(file.as_ref(), next.offset).map_err(failed)?;
        }
        let mut read = reading.log(files.clone(), file, next, &content);
        read.old = old.unwrap_or_default();
        read.segment_bytes = segment_bytes;
        log = Some(read);
    }
    let Some(log) = log else { return Ok(None) };
    let stored = Stored {
        hard: content.hard,
        base: content.base,
        entries: content.entries.into(),
        installing: content.installing,
    };
    Ok(Some((log, stored)))
}

struct Reading {
    place: String,
    name: String,
    bytes: Bytes,
    is_last: bool,
}

/// How a segment ended.
struct Next {
    header: Header,
    offset: usize,
    number: u64,
    greatest: u64,
}

impl Reading {
    fn damaged(&self, offset: usize, why: &'static str) -> LogError {
        LogError::Damaged {
            place: self.place.clone(),
            file: self.name.clone(),
            offset,
            why,
        }
    }

    /// Reads the records of a segment.
    fn segment(&mut self, content: &mut Content, before: Option<&Log>) -> Result<Next, LogError> {
        let header = Header::decode(&self.bytes).ok_or_else(|| self.damaged(0, "there is no header"))?;
        if header.format > FORMAT {
            return Err(LogError::Newer {
                place: self.place.clone(),
                found: header.format,
            });
        }
        let follows = before.is_none_or(|log| {
            let identity = (log.identity.member, log.identity.cluster);
            header.segment == log.segment + 1
                && header.first == log.next
                && identity == (header.member, header.cluster)
        });
        if !follows || self.name != name(header.segment) {
            return Err(self.damaged(0, "it does not follow the segment before"));
        }
        let mut next = Next {
            header,
            offset: HEADER,
            number: header.first,
            greatest: content.tip().0,
        };
        while let Some(found) = read(header.salt, &self.bytes, next.offset) {
            let Read {
                number,
                length,
                record,
                ..
            } = found;
            if number != next.number {
                break;
            }
            if let Some(why) = content.take(record) {
                return Err(self.damaged(next.offset, why));
            }
            next.greatest = next.greatest.max(content.tip().0);
            next.offset += length;
            next.number += 1;
        }
        if next.number == header.first {
            return Err(self.damaged(HEADER, "the first record is not whole"));
        }
        self.proven_lost(&next)?;
        Ok(next)
    }

    /// An error if something later says that what could not be read was durable.
    fn proven_lost(&self, next: &Next) -> Result<(), LogError> {
        if !self.is_last {
            return Ok(());
        }
        for offset in next.offset + 1..self.bytes.len() {
            if may_be_later(&self.bytes[offset..], next.number)
                && read(next.header.salt, &self.bytes, offset).is_some()
            {
                return Err(self.damaged(next.offset, "a record that was acknowledged is not whole"));
            }
        }
        Ok(())
    }

    /// Clears a torn tail: parts of it must not come after what will be written there.
    fn clear(&self, file: &dyn File, offset: usize) -> io::Result<()> {
        match self.bytes[offset..].iter().rposition(|byte| *byte != 0) {
            Some(last) => zero(file, offset as u64, (offset + last + 1) as u64),
            None => Ok(()),
        }
    }

    fn log(self, files: Arc<dyn Files>, file: Arc<dyn File>, next: Next, content: &Content) -> Log {
        Log {
            files,
            identity: Identity {
                member: next.header.member,
                cluster: next.header.cluster,
            },
            salt: next.header.salt,
            segment: next.header.segment,
            file,
            offset: next.offset as u64,
            next: next.number,
            durable: next.number,
            hard: content.hard,
            tip: content.tip(),
            greatest: next.greatest,
            old: VecDeque::new(),
            segment_bytes: 0,
            buffer: Vec::new(),
        }
    }
}
