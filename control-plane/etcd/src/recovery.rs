//! Opening a directory: the checkpoint, then the log after it; a torn tail is cut off, other damage is refused.

use crate::{
    checkpoint,
    files::{File, Files, Locked},
    load,
    record::{Damage, FORMAT, Kind, Record, SEGMENT_HEADER, SegmentHeader},
    segment::{Role, Segment},
    spare,
    state::{Location, State},
};
use component::Env;
use std::{collections::BTreeMap, io, sync::Arc};

/// The file that says the format.
pub(crate) const VERSION: &str = "version";

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Somebody else has it open.
    #[error("the store in {place} is in use by {}", holder(*.pid))]
    Locked {
        /// The directory.
        place: String,
        /// The process that holds it, if that could be read.
        pid: Option<u32>,
    },
    /// A newer release wrote it.
    #[error("the store in {place} has format {found}; this release reads formats up to {known}")]
    Newer {
        /// The directory.
        place: String,
        /// Its format.
        found: u32,
        /// The newest format that can be read.
        known: u32,
    },
    /// A dump was to be loaded into it, and was not to its end.
    #[error("the store in {place} was not loaded to its end: load it again")]
    Unfinished {
        /// The directory.
        place: String,
    },
    /// It was damaged after it was written. Restore it from a snapshot.
    #[error("the store in {place} is damaged: {file} at offset {offset}: {why}")]
    Corrupt {
        /// The directory.
        place: String,
        /// The file in it.
        file: String,
        /// Where in the file.
        offset: u64,
        /// What is wrong.
        why: String,
    },
    /// The file system failed.
    #[error("{what}: {source}")]
    Io {
        /// What was to be used.
        what: String,
        /// What the file system said.
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or("another process".to_owned(), |pid| format!("process {pid}"))
}

/// An open directory.
pub(crate) struct Recovered {
    pub state: State,
    pub segments: BTreeMap<u32, Arc<Segment>>,
    pub active: Arc<Segment>,
    pub salt: u32,
    pub term: u64,
    pub next_index: u64,
    pub next_segment: u32,
    /// The newest revision in the log.
    pub logged: u64,
}

/// Locks and reads the directory.
pub(crate) fn open(files: &dyn Files, env: &Env) -> Result<Recovered, OpenError> {
    files.lock().map_err(|locked| match locked {
        Locked::Held(pid) => OpenError::Locked {
            place: files.place(),
            pid,
        },
        Locked::Failed(source) => OpenError::Io {
            what: format!("{}/lock", files.place()),
            source,
        },
    })?;
    let recovered = Recovery::run(files, env);
    if recovered.is_err() {
        files.unlock();
    }
    recovered
}

struct Recovery<'a> {
    files: &'a dyn Files,
    state: State,
    segments: BTreeMap<u32, Arc<Segment>>,
    salt: u32,
    /// The term of the newest entry; 0 if there is none.
    term: u64,
    next_index: u64,
}

/// Where the log is read from.
struct Start {
    segment: u32,
    offset: u64,
}

impl<'a> Recovery<'a> {
    fn run(files: &'a dyn Files, env: &Env) -> Result<Recovered, OpenError> {
        match files.open(load::MARK) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => check_version(files)?,
            Err(source) => {
                let what = format!("{}/{}", files.place(), load::MARK);
                return Err(OpenError::Io { what, source });
            }
            Ok(_) => {
                let place = files.place();
                return Err(OpenError::Unfinished { place });
            }
        }
        let mut salt = [0; 4];
        env.random.fill(&mut salt);
        let mut this = Self {
            files,
            state: State::default(),
            segments: BTreeMap::new(),
            salt: u32::from_le_bytes(salt),
            term: 0,
            next_index: 1,
        };
        let mut found = this.list()?;
        let next_segment = found.iter().map(|(id, _)| id + 1).max().unwrap_or(1);
        let (mut start, mut used) = (None, Vec::new());
        if let Some(checkpoint) = checkpoint::read(files)? {
            this.salt = checkpoint.salt;
            this.state = checkpoint.state;
            this.term = checkpoint.capture.term;
            this.next_index = checkpoint.capture.next_index;
            used = checkpoint.segments;
            start = Some(Start {
                segment: checkpoint.capture.segment,
                offset: checkpoint.capture.offset,
            });
        }
        let first = start.as_ref().map_or(0, |start| start.segment);
        let unused = this.take_unused(&mut found, &used, first)?;
        this.read_segments(&found, start.as_ref())?;
        for (id, role) in unused {
            let name = role.name(id);
            files.remove(&name).map_err(this.io(&name))?;
        }
        this.finish(next_segment)
    }

    fn io(&self, name: &str) -> impl Fn(io::Error) -> OpenError + use<> {
        let what = format!("{}/{name}", self.files.place());
        move |source| OpenError::Io {
            what: what.clone(),
            source,
        }
    }

    fn corrupt(&self, file: &str, offset: u64, why: impl ToString) -> OpenError {
        let (place, file) = (self.files.place(), file.to_owned());
        OpenError::Corrupt {
            place,
            file,
            offset,
            why: why.to_string(),
        }
    }

    /// The segments by number.
    fn list(&self) -> Result<Vec<(u32, Role)>, OpenError> {
        let names = self.files.list().map_err(self.io(""))?;
        let mut found: Vec<_> = names
            .iter()
            .filter_map(|name| Role::parse(name))
            .map(|(r, id)| (id, r))
            .collect();
        found.sort_unstable_by_key(|(id, _)| *id);
        Ok(found)
    }

    /// Takes from `found` the copies that were not finished and the segments that were not unlinked in time.
    fn take_unused(
        &self,
        found: &mut Vec<(u32, Role)>,
        used: &[u32],
        first: u32,
    ) -> Result<Vec<(u32, Role)>, OpenError> {
        if let Some(missing) = used
            .iter()
            .find(|id| !found.iter().any(|(found, _)| found == *id))
        {
            let file = format!("segment {missing}");
            return Err(self.corrupt(&file, 0, "the checkpoint needs it, and it is not there"));
        }
        let (keep, unused) = found
            .drain(..)
            .partition(|(id, role)| used.contains(id) || (*role == Role::Log && *id >= first));
        *found = keep;
        Ok(unused)
    }

    fn read_segments(&mut self, found: &[(u32, Role)], start: Option<&Start>) -> Result<(), OpenError> {
        let newest = found
            .iter()
            .filter(|(_, role)| *role == Role::Log)
            .map(|(id, _)| *id)
            .max();
        for (id, role) in found {
            let name = role.name(*id);
            let file = self.files.open(&name).map_err(self.io(&name))?;
            let length = file.length().map_err(self.io(&name))?;
            let last = Some(*id) == newest;
            // One that a checkpoint knows was finished.
            let new = last && start.is_none_or(|start| *id > start.segment);
            let Some(header) = self.header(&name, file.as_ref(), length, new)? else {
                continue;
            };
            if self.segments.is_empty() && start.is_none() {
                self.salt = header.salt;
            }
            if header.salt != self.salt || header.segment != *id {
                return Err(self.corrupt(&name, 0, "it belongs to another store"));
            }
            let mut end = length;
            if *role == Role::Log && start.is_none_or(|start| *id >= start.segment) {
                let from = start
                    .filter(|start| start.segment == *id)
                    .map(|start| start.offset);
                if from.is_none() && header.first_index != self.next_index {
                    let why = format!(
                        "it starts at index {}, after {}",
                        header.first_index,
                        self.next_index - 1
                    );
                    return Err(self.corrupt(&name, 0, why));
                }
                end = self.replay(
                    &name,
                    *id,
                    file.as_ref(),
                    from.unwrap_or(SEGMENT_HEADER as u64),
                    last,
                )?;
            }
            let segment = Segment::opened(file, *role, *id, self.salt, end);
            self.segments.insert(*id, Arc::new(segment));
        }
        Ok(())
    }

    /// The header of a segment; none if it is `new` and was never finished, then it is removed.
    fn header(
        &self,
        name: &str,
        file: &dyn File,
        length: u64,
        new: bool,
    ) -> Result<Option<SegmentHeader>, OpenError> {
        let mut bytes = vec![0; (length as usize).min(SEGMENT_HEADER)];
        file.read_at(&mut bytes, 0).map_err(self.io(name))?;
        match SegmentHeader::decode(&bytes) {
            Ok(header) if header.format > FORMAT => Err(OpenError::Newer {
                place: self.files.place(),
                found: header.format,
                known: FORMAT,
            }),
            Ok(header) => Ok(Some(header)),
            Err(_) if new && length <= SEGMENT_HEADER as u64 => {
                self.files.remove(name).map_err(self.io(name))?;
                Ok(None)
            }
            Err(damage) => Err(self.corrupt(name, 0, damage)),
        }
    }

    /// Reads the log in a segment; gives where it ends, and cuts the file there.
    fn replay(
        &mut self,
        name: &str,
        id: u32,
        file: &dyn File,
        from: u64,
        last: bool,
    ) -> Result<u64, OpenError> {
        let length = file.length().map_err(self.io(name))?;
        let Some(rest) = length.checked_sub(from) else {
            return Err(self.corrupt(name, length, "it ends before the checkpoint"));
        };
        let mut bytes = vec![0; rest as usize];
        file.read_at(&mut bytes, from).map_err(self.io(name))?;
        // Where the last whole entry ends, and the revision there.
        let (mut at, mut whole, mut revision) = (0, 0, self.state.revision());
        while at < bytes.len() {
            let (record, size) = match Record::decode(self.salt, &bytes[at..]) {
                Ok(decoded) => decoded,
                // The file was made longer than what is in it.
                Err(_) if last && bytes[at..].iter().all(|byte| *byte == 0) => break,
                Err(damage) => {
                    if !last || self.was_durable(&bytes[at..]) {
                        return Err(self.corrupt(name, from + at as u64, damage));
                    }
                    break;
                }
            };
            let first = match record.kind {
                Kind::Passed => record.detail,
                _ => record.index,
            };
            if first != self.next_index || record.index < first {
                let why = format!("index {first} follows {}", self.next_index - 1);
                return Err(self.corrupt(name, from + at as u64, why));
            }
            let offset = (from + at as u64) as u32;
            self.state.replay(
                &record,
                Location {
                    segment: id,
                    offset,
                    length: size as u32,
                },
            );
            at += size;
            if !record.more {
                (self.term, self.next_index) = (record.term, record.index + 1);
                (whole, revision) = (at, self.state.revision());
            }
        }
        if whole < bytes.len() {
            if !last {
                return Err(self.corrupt(name, from + whole as u64, "an entry is cut off"));
            }
            if bytes[whole..].iter().any(|byte| *byte != 0) {
                let bytes = bytes.len() - whole;
                tracing::info!(file = name, bytes, "cut off an unfinished write");
            }
            self.state.truncate(revision);
            file.truncate(from + whole as u64)
                .and_then(|()| file.sync())
                .map_err(self.io(name))?;
        }
        Ok(from + whole as u64)
    }

    /// Whether a later record says that the one at the start of `bytes` was durable once.
    fn was_durable(&self, bytes: &[u8]) -> bool {
        (1..bytes.len()).any(|at| match Record::decode(self.salt, &bytes[at..]) {
            Ok((later, _)) => later.durable >= self.next_index,
            Err(Damage::Short | Damage::NoRecord | Damage::Checksum) => false,
        })
    }

    fn finish(mut self, mut next_segment: u32) -> Result<Recovered, OpenError> {
        let newest = self
            .segments
            .values()
            .rfind(|segment| segment.role == Role::Log)
            .cloned();
        let active = match newest {
            Some(active) => active,
            None => {
                let id = next_segment;
                next_segment += 1;
                let made = Segment::create(self.files, Role::Log, id, self.salt, self.next_index);
                let active = Arc::new(made.map_err(self.io(&Role::Log.name(id)))?);
                self.segments.insert(id, active.clone());
                active
            }
        };
        if self.state.reserved() > self.state.revision() {
            self.skip_reserved(&active)?;
        }
        let compacted = self.state.compacted();
        while self.state.sweep(compacted, usize::MAX) {}
        Ok(Recovered {
            logged: self.state.revision(),
            state: self.state,
            segments: self.segments,
            active,
            salt: self.salt,
            term: self.term,
            next_index: self.next_index,
            next_segment,
        })
    }

    /// Writes that were acknowledged from memory may be lost: their revisions must not come again.
    fn skip_reserved(&mut self, active: &Segment) -> Result<(), OpenError> {
        let (from, to) = (self.state.revision(), self.state.reserved() + 1);
        let record = Record {
            kind: Kind::Lost,
            more: false,
            term: self.term,
            version: 0,
            index: self.next_index,
            durable: self.next_index - 1,
            revision: to,
            detail: from,
            lease: 0,
            key: &[],
            value: &[],
        };
        let mut bytes = Vec::new();
        record.encode(self.salt, &mut bytes);
        let mut tail = active.tail_mut();
        let write = || active.file.write_at(&bytes, tail.start);
        let written = spare::with(self.files, write).and_then(|()| active.file.sync());
        written.map_err(self.io(&active.role.name(active.id)))?;
        tail.start += bytes.len() as u64;
        self.next_index += 1;
        self.state.lose(from, to);
        Ok(())
    }
}

fn check_version(files: &dyn Files) -> Result<(), OpenError> {
    let io = |source| OpenError::Io {
        what: format!("{}/{VERSION}", files.place()),
        source,
    };
    let file = match files.open(VERSION) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return write_version(files).map_err(io),
        opened => opened.map_err(io)?,
    };
    let mut text = vec![0; file.length().map_err(io)? as usize];
    file.read_at(&mut text, 0).map_err(io)?;
    match String::from_utf8_lossy(&text).trim().parse::<u32>() {
        Ok(found) if found > FORMAT => Err(OpenError::Newer {
            place: files.place(),
            found,
            known: FORMAT,
        }),
        // What is written from now on, an older release could not read.
        Ok(found) if found < FORMAT => spare::with(files, || write_version(files)).map_err(io),
        Ok(_) => Ok(()),
        Err(error) => {
            let (place, file) = (files.place(), VERSION.to_owned());
            Err(OpenError::Corrupt {
                place,
                file,
                offset: 0,
                why: error.to_string(),
            })
        }
    }
}

pub(crate) fn write_version(files: &dyn Files) -> io::Result<()> {
    let new = "version.new";
    let file = files.create(new)?;
    file.write_at(format!("{FORMAT}\n").as_bytes(), 0)?;
    file.sync()?;
    files.rename(new, VERSION)?;
    files.sync()
}
