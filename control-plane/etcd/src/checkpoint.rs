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
    recovery::OpenError,
    state::{Location, State, Version},
};
use bytes::Bytes;
use crc32fast::Hasher;
use std::{
    io,
    sync::{Arc, atomic::Ordering},
};

mod summary;

pub(crate) use summary::{Input, Summary};

/// Its file.
pub(crate) const NAME: &str = "checkpoint";
const NEW: &str = "checkpoint.new";
/// The format that is written, and the newest that can be read.
const FORMAT: u32 = 3;
const MAGIC: &[u8; 8] = b"FKCHECK\0";
const END: u32 = u32::MAX;
/// Bytes that are written before they are synced.
const SYNC_BYTES: u64 = 1 << 20;
/// Keys that are copied while the lock is held.
const STEP: usize = 1024;

/// Where a checkpoint starts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capture {
    pub segment: u32,
    pub offset: u64,
    pub term: u64,
    pub next_index: u64,
    pub revision: Revision,
    pub compacted: Revision,
    pub reserved: Revision,
    pub summary: Summary,
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
    synced: u64,
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
        // A device that is given much at once lets the log wait.
        if self.offset - self.synced >= SYNC_BYTES {
            self.synced = self.offset;
            self.file.sync()?;
        }
        Ok(())
    }
}

/// Writes a checkpoint from `capture` that does not use the segments in `without`. The caller holds `dumping`.
pub(crate) fn write(core: &Core, capture: &Capture, without: &[u32]) -> io::Result<()> {
    let unsaved = core.unsaved.load(Ordering::Relaxed);
    let segments: Vec<u32> = core
        .read()
        .segments
        .keys()
        .copied()
        .filter(|id| !without.contains(id))
        .collect();
    write_to(core.files.as_ref(), core.salt, capture, &segments, |last| {
        core.read().state.keys_after(last, STEP)
    })?;
    core.unsaved.fetch_sub(unsaved, Ordering::Relaxed);
    let length = core.files.open(NAME).and_then(|file| file.length())?;
    core.spare.checkpoint.store(length, Ordering::Relaxed);
    Ok(())
}

/// Writes a checkpoint of the keys that `keys` gives: the next few after the one it is told.
pub(crate) fn write_to(
    files: &dyn Files,
    salt: u32,
    capture: &Capture,
    segments: &[u32],
    keys: impl Fn(Option<&Bytes>) -> Vec<(Bytes, Vec<Version>)>,
) -> io::Result<()> {
    let written = files
        .create(NEW)
        .and_then(|file| dump(file, salt, capture, segments, keys));
    if let Err(error) = written {
        // It is only in the way; the next one is written over it.
        let _ = files.remove(NEW);
        return Err(error);
    }
    files.rename(NEW, NAME)?;
    files.sync()
}

fn dump(
    file: Arc<dyn File>,
    salt: u32,
    capture: &Capture,
    segments: &[u32],
    keys: impl Fn(Option<&Bytes>) -> Vec<(Bytes, Vec<Version>)>,
) -> io::Result<()> {
    let mut out = Output {
        file,
        offset: 0,
        synced: 0,
        buffer: Vec::new(),
        hasher: Hasher::new(),
    };
    out.buffer.extend_from_slice(MAGIC);
    for number in [FORMAT, salt, capture.segment] {
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
    capture.summary.write(&mut out.buffer);
    out.u32(segments.len() as u32);
    for id in segments {
        out.u32(*id);
    }
    let mut last: Option<Bytes> = None;
    loop {
        let keys = keys(last.as_ref());
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
    let summary = Summary::read(input, format >= 3)?;
    let segments = input.list(Input::u32)?;
    let mut state = State::from_checkpoint(revision, compacted, reserved, &summary);
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
        summary,
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
