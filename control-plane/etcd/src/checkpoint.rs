//! The checkpoint: a dump of the index, so that opening reads only the log after it.
//!
//! It is written while writers go on. So it may miss what was freed meanwhile, and it leaves out what is newer than its
//! start; the log from its start on says both again. Format version 3 (1 had no counts; neither 1 nor 2 a term or a table
//! beside the key space), numbers little-endian:
//!
//! ```text
//! "FKCHECK\0", format u32, salt u32
//! segment u32, offset u64, next index u64        where the log goes on
//! term u64                                       of the newest entry
//! revision u64, compacted u64, reserved u64
//! count u32, then (after u64, last u64)          lost revisions
//! count u32, then (id i64, ttl u64)              leases
//! count u32, then (key length, value length u32, key, value)   the table beside the key space
//! count u32, then (id u32)                       segments in use
//! key length u32, versions u32, key,             for each key; a key length of 2^32-1 ends them
//!   (revision, create, count, lease u64; segment, offset, length u32) each
//! checksum u32 of all before
//! ```

use crate::{
    Revision,
    engine::Core,
    files::{File, Files},
    record::{u32_at, u64_at},
    recovery::OpenError,
    state::{Location, State, Version},
};
use bytes::Bytes;
use crc32fast::Hasher;
use std::{
    io,
    sync::{Arc, atomic::Ordering},
};

/// Its file.
pub(crate) const NAME: &str = "checkpoint";
const NEW: &str = "checkpoint.new";
/// The format that is written, and the newest that can be read.
const FORMAT: u32 = 3;
const MAGIC: &[u8; 8] = b"FKCHECK\0";
const END: u32 = u32::MAX;
/// Keys that are copied while the lock is held.
const STEP: usize = 1024;

/// Where a checkpoint starts.
#[derive(Clone, Debug)]
pub(crate) struct Capture {
    pub segment: u32,
    pub offset: u64,
    pub term: u64,
    pub next_index: u64,
    pub revision: Revision,
    pub compacted: Revision,
    pub reserved: Revision,
    pub lost: Vec<(Revision, Revision)>,
    pub leases: Vec<(i64, u64)>,
    pub meta: Vec<(Bytes, Bytes)>,
}

/// A checkpoint that was read.
pub(crate) struct Checkpoint {
    pub salt: u32,
    pub capture: Capture,
    pub segments: Vec<u32>,
    pub state: State,
}

struct Output {
    file: Arc<dyn File>,
    offset: u64,
    buffer: Vec<u8>,
    hasher: Hasher,
}

impl Output {
    fn u32(&mut self, number: u32) {
        self.buffer.extend_from_slice(&number.to_le_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.buffer.extend_from_slice(&number.to_le_bytes());
    }

    fn flush(&mut self) -> io::Result<()> {
        self.hasher.update(&self.buffer);
        self.file.write_at(&self.buffer, self.offset)?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// Writes a checkpoint from `capture` that does not use the segments in `without`. The caller holds `dumping`.
pub(crate) fn write(core: &Core, capture: &Capture, without: &[u32]) -> io::Result<()> {
    let unsaved = core.unsaved.load(Ordering::Relaxed);
    let files = core.files.as_ref();
    let written = dump(core, files.create(NEW)?, capture, without);
    if let Err(error) = written {
        // It is only in the way; the next one is written over it.
        let _ = files.remove(NEW);
        return Err(error);
    }
    files.rename(NEW, NAME)?;
    files.sync()?;
    core.unsaved.fetch_sub(unsaved, Ordering::Relaxed);
    Ok(())
}

fn dump(core: &Core, file: Arc<dyn File>, capture: &Capture, without: &[u32]) -> io::Result<()> {
    let mut out = Output {
        file,
        offset: 0,
        buffer: Vec::new(),
        hasher: Hasher::new(),
    };
    out.buffer.extend_from_slice(MAGIC);
    for number in [FORMAT, core.salt, capture.segment] {
        out.u32(number);
    }
    for number in [
        capture.offset,
        capture.next_index,
        capture.term,
        capture.revision,
        capture.compacted,
        capture.reserved,
    ] {
        out.u64(number);
    }
    out.u32(capture.lost.len() as u32);
    for (after, last) in &capture.lost {
        out.u64(*after);
        out.u64(*last);
    }
    out.u32(capture.leases.len() as u32);
    for (id, ttl) in &capture.leases {
        out.u64(*id as u64);
        out.u64(*ttl);
    }
    out.u32(capture.meta.len() as u32);
    for (key, value) in &capture.meta {
        out.u32(key.len() as u32);
        out.u32(value.len() as u32);
        out.buffer.extend_from_slice(key);
        out.buffer.extend_from_slice(value);
    }
    let segments: Vec<u32> = core
        .read()
        .segments
        .keys()
        .copied()
        .filter(|id| !without.contains(id))
        .collect();
    out.u32(segments.len() as u32);
    for id in segments {
        out.u32(id);
    }
    let mut last: Option<Bytes> = None;
    loop {
        let keys = core.read().state.keys_after(last.as_ref(), STEP);
        let Some((key, _)) = keys.last() else { break };
        last = Some(key.clone());
        for (key, versions) in keys {
            dump_key(&mut out, &key, &versions, capture.revision);
        }
        out.flush()?;
    }
    out.u32(END);
    out.flush()?;
    let sum = out.hasher.clone().finalize();
    out.u32(sum);
    out.flush()?;
    out.file.sync()
}

fn dump_key(out: &mut Output, key: &Bytes, versions: &[Version], upto: Revision) {
    let count = versions.partition_point(|version| version.revision <= upto);
    if count == 0 {
        return;
    }
    out.u32(key.len() as u32);
    out.u32(count as u32);
    out.buffer.extend_from_slice(key);
    for Version {
        revision,
        create,
        count,
        lease,
        at,
        ..
    } in &versions[..count]
    {
        for number in [*revision, *create, *count, *lease as u64] {
            out.u64(number);
        }
        for number in [at.segment, at.offset, at.length] {
            out.u32(number);
        }
    }
}

struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (part, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(part)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4).map(|part| u32_at(part, 0))
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8).map(|part| u64_at(part, 0))
    }

    fn entry(&mut self) -> Option<(Bytes, Bytes)> {
        let (key, value) = (self.u32()? as usize, self.u32()? as usize);
        let mut part = |length| self.take(length).map(Bytes::copy_from_slice);
        Some((part(key)?, part(value)?))
    }

    fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.u32()?;
        (0..count).map(|_| item(self)).collect()
    }
}

/// Reads the checkpoint, if there is one.
pub(crate) fn read(files: &dyn Files) -> Result<Option<Checkpoint>, OpenError> {
    let io = |source| OpenError::Io {
        what: format!("{}/{NAME}", files.place()),
        source,
    };
    let corrupt = |why: &str| OpenError::Corrupt {
        place: files.place(),
        file: NAME.to_owned(),
        offset: 0,
        why: why.to_owned(),
    };
    let file = match files.open(NAME) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(io)?,
    };
    let mut bytes = vec![0; file.length().map_err(io)? as usize];
    file.read_at(&mut bytes, 0).map_err(io)?;
    let Some((content, sum)) = bytes.split_last_chunk::<4>() else {
        return Err(corrupt("it is too short"));
    };
    if crc32fast::hash(content) != u32::from_le_bytes(*sum) {
        return Err(corrupt("the checksum is wrong"));
    }
    let mut input = Input { bytes: content };
    if input.take(8) != Some(MAGIC) {
        return Err(corrupt("it is no checkpoint"));
    }
    match input.u32() {
        Some(format) if format > FORMAT => Err(OpenError::Newer {
            place: files.place(),
            found: format,
            known: FORMAT,
        }),
        Some(format) => parse(&mut input, format)
            .map(Some)
            .ok_or_else(|| corrupt("it ends too early")),
        None => Err(corrupt("it ends too early")),
    }
}

fn parse(input: &mut Input<'_>, format: u32) -> Option<Checkpoint> {
    let salt = input.u32()?;
    let (segment, offset, next_index) = (input.u32()?, input.u64()?, input.u64()?);
    // Before there was replication all was of the first term.
    let term = if format < 3 { 1 } else { input.u64()? };
    let (revision, compacted, reserved) = (input.u64()?, input.u64()?, input.u64()?);
    let lost = input.list(|input| Some((input.u64()?, input.u64()?)))?;
    let leases = input.list(|input| Some((input.u64()? as i64, input.u64()?)))?;
    let meta = match format {
        0..3 => Vec::new(),
        _ => input.list(Input::entry)?,
    };
    let segments = input.list(Input::u32)?;
    let mut state = State::from_checkpoint(
        revision,
        compacted,
        reserved,
        lost.clone(),
        leases.iter().copied(),
        meta.iter().cloned(),
    );
    loop {
        let key_length = input.u32()?;
        if key_length == END {
            break;
        }
        let count = input.u32()?;
        let key = Bytes::copy_from_slice(input.take(key_length as usize)?);
        let mut versions = (0..count)
            .map(|_| version(input, format))
            .collect::<Option<Vec<_>>>()?;
        if format == 1 {
            count_anew(&mut versions);
        }
        state.restore(key, versions);
    }
    state.restored();
    let capture = Capture {
        segment,
        offset,
        term,
        next_index,
        revision,
        compacted,
        reserved,
        lost,
        leases,
        meta,
    };
    Some(Checkpoint {
        salt,
        capture,
        segments,
        state,
    })
}

/// Counts of what a format without counts holds; what was forgotten is not counted.
fn count_anew(versions: &mut [Version]) {
    let mut count = 0;
    for version in versions {
        count = match version.is_removal() {
            true => 0,
            false => count + 1,
        };
        version.count = count;
    }
}

fn version(input: &mut Input<'_>, format: u32) -> Option<Version> {
    let (revision, create) = (input.u64()?, input.u64()?);
    let count = if format == 1 { 0 } else { input.u64()? };
    let lease = input.u64()? as i64;
    let at = Location {
        segment: input.u32()?,
        offset: input.u32()?,
        length: input.u32()?,
    };
    Some(Version {
        revision,
        create,
        count,
        lease,
        at,
        value: None,
    })
}
