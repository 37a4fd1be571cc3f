//! Makes a directory from a dump.

use crate::{
    Error,
    checkpoint::{self, Capture, Input, Summary},
    dump,
    engine::Engine,
    files::{Disk, File, Files, Locked},
    record::{Damage, FORMAT, Kind, Record, SEGMENT_HEADER, SegmentHeader, u32_at},
    recovery,
    segment::Role,
    state::{Location, State, Version},
};
use bytes::Bytes;
use component::Env;
use crc32fast::Hasher;
use futures::{Stream, StreamExt};
use std::{io, path::Path, pin::pin, sync::Arc};

/// The file that is there until the directory is whole.
pub(crate) const MARK: &str = "loading";
/// The log goes on here; copies are in the segments after it.
const LOG: u32 = 1;
/// About how large a segment of copies becomes.
const SEGMENT: usize = 64 << 20;
/// Bytes of a dump before what its third line says.
const HEAD: usize = 24;

/// Why a dump was not loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is a store in the directory.
    #[error("there is a store in {0} already")]
    Occupied(String),
    /// The dump is cut off or was changed.
    #[error("the dump is damaged: {0}")]
    Damaged(String),
    /// A newer release made the dump.
    #[error("the dump has format {0}; this release reads formats up to {known}", known = dump::FORMAT)]
    Newer(u32),
    /// The dump could not be had.
    #[error("the dump cannot be read: {0}")]
    Source(#[from] Error),
    /// The file system failed.
    #[error("{place}: {source}")]
    Io {
        /// The directory.
        place: String,
        /// What the file system said.
        source: io::Error,
    },
}

impl Engine {
    /// Makes the directory `dir`, in which there is no store, one that opens as the state in a dump; gives the term and
    /// index of the newest entry in it. A directory that was not finished does not open, and can be loaded again.
    pub async fn load(
        dir: impl AsRef<Path>,
        chunks: impl Stream<Item = Result<Bytes, Error>> + Send,
        env: &Env,
    ) -> Result<(u64, u64), LoadError> {
        let dir = dir.as_ref();
        let disk = Disk::new(dir).map_err(|source| LoadError::Io {
            place: dir.display().to_string(),
            source,
        })?;
        Self::load_in(Arc::new(disk), chunks, env).await
    }

    /// As [`Engine::load`], in a directory of any kind.
    pub async fn load_in(
        files: Arc<dyn Files>,
        chunks: impl Stream<Item = Result<Bytes, Error>> + Send,
        env: &Env,
    ) -> Result<(u64, u64), LoadError> {
        let place = files.place();
        files.lock().map_err(|locked| LoadError::Io {
            place,
            source: match locked {
                Locked::Held(_) => io::ErrorKind::ResourceBusy.into(),
                Locked::Failed(source) => source,
            },
        })?;
        let loaded = run(files.clone(), chunks, env).await;
        files.unlock();
        loaded
    }
}

async fn run(
    files: Arc<dyn Files>,
    chunks: impl Stream<Item = Result<Bytes, Error>> + Send,
    env: &Env,
) -> Result<(u64, u64), LoadError> {
    let blocks = files.blocks();
    let work = async |work: Box<dyn FnOnce() -> Result<Loading, LoadError> + Send>| match blocks {
        false => work(),
        true => env
            .tasks
            .blocking(work)
            .await
            .ok_or_else(|| LoadError::Source(Error::Unavailable("the runtime is stopping".to_owned())))?,
    };
    let mut loading = work(Box::new(|| Loading::start(files))).await?;
    let mut chunks = pin!(chunks);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        loading = work(Box::new(move || {
            loading.feed(&chunk)?;
            Ok(loading)
        }))
        .await?;
    }
    let loaded = work(Box::new(move || {
        loading.finish()?;
        Ok(loading)
    }))
    .await?;
    Ok((loaded.capture.term, loaded.capture.next_index - 1))
}

/// A segment of copies that is being written.
struct Target {
    id: u32,
    file: Arc<dyn File>,
    written: u64,
    buffer: Vec<u8>,
}

struct Loading {
    files: Arc<dyn Files>,
    /// What was fed and is not read yet.
    rest: Vec<u8>,
    /// What comes before the records was read.
    begun: bool,
    ended: bool,
    salt: u32,
    capture: Capture,
    state: State,
    hasher: Hasher,
    records: u64,
    /// The key whose versions are coming.
    key: Bytes,
    versions: Vec<Version>,
    target: Option<Target>,
    segments: Vec<u32>,
}

fn damaged(why: impl ToString) -> LoadError {
    LoadError::Damaged(why.to_string())
}

impl Loading {
    fn start(files: Arc<dyn Files>) -> Result<Self, LoadError> {
        let place = files.place();
        let io = |source| LoadError::Io {
            place: place.clone(),
            source,
        };
        let names = files.list().map_err(io)?;
        let of_a_store: Vec<&String> = names
            .iter()
            .filter(|name| Role::parse(name).is_some() || *name == checkpoint::NAME)
            .collect();
        if !of_a_store.is_empty() && !names.iter().any(|name| name == MARK) {
            return Err(LoadError::Occupied(place));
        }
        for name in of_a_store {
            files.remove(name).map_err(io)?;
        }
        files
            .create(MARK)
            .and_then(|mark| mark.sync())
            .and_then(|()| files.sync())
            .map_err(io)?;
        Ok(Self {
            files,
            rest: Vec::new(),
            begun: false,
            ended: false,
            salt: 0,
            capture: Capture::default(),
            state: State::default(),
            hasher: Hasher::new(),
            records: 0,
            key: Bytes::new(),
            versions: Vec::new(),
            target: None,
            segments: vec![LOG],
        })
    }

    fn io(&self) -> impl Fn(io::Error) -> LoadError + use<> {
        let place = self.files.place();
        move |source| LoadError::Io {
            place: place.clone(),
            source,
        }
    }

    /// Takes the next bytes.
    fn feed(&mut self, chunk: &[u8]) -> Result<(), LoadError> {
        self.rest.extend_from_slice(chunk);
        let rest = std::mem::take(&mut self.rest);
        let mut at = 0;
        if !self.begun {
            at = self.head(&rest)?;
        }
        while self.begun && at < rest.len() {
            if self.ended {
                return Err(damaged("something follows its end"));
            }
            match Record::decode(self.salt, &rest[at..]) {
                Ok((record, size)) => {
                    self.record(&record, &rest[at..at + size])?;
                    at += size;
                }
                Err(Damage::Short) => break,
                Err(damage) => return Err(damaged(damage)),
            }
        }
        self.rest.extend_from_slice(&rest[at..]);
        Ok(())
    }

    /// Reads what comes before the records, when all of it is there; gives its length, or 0.
    fn head(&mut self, bytes: &[u8]) -> Result<usize, LoadError> {
        let known = bytes.len().min(dump::MAGIC.len());
        if bytes[..known] != dump::MAGIC[..known] {
            return Err(damaged("it is no dump"));
        }
        if bytes.len() < HEAD {
            return Ok(0);
        }
        let (format, length) = (u32_at(bytes, 8), u32_at(bytes, 16) as usize);
        if format > dump::FORMAT {
            return Err(LoadError::Newer(format));
        }
        let Some(head) = bytes.get(HEAD..HEAD + length) else {
            return Ok(0);
        };
        if crc32fast::hash(head) != u32_at(bytes, 20) {
            return Err(damaged("the checksum of its head is wrong"));
        }
        self.salt = u32_at(bytes, 12);
        self.capture = capture(&mut Input { bytes: head }).ok_or_else(|| damaged("its head is too short"))?;
        let Capture {
            revision, compacted, ..
        } = self.capture;
        self.state = State::from_checkpoint(revision, compacted, 0, &self.capture.summary);
        self.hasher.update(&bytes[..HEAD + length]);
        self.begun = true;
        Ok(HEAD + length)
    }

    fn record(&mut self, record: &Record<'_>, bytes: &[u8]) -> Result<(), LoadError> {
        if record.kind == Kind::Passed {
            let sum = u64::from(self.hasher.clone().finalize());
            if record.revision != sum || record.detail != self.records {
                return Err(damaged("something in it is missing"));
            }
            self.next_key(&[]);
            self.ended = true;
            return Ok(());
        }
        self.hasher.update(bytes);
        self.records += 1;
        if record.key != self.key {
            if record.key < &self.key[..] {
                return Err(damaged("its keys are not in order"));
            }
            self.next_key(record.key);
        }
        let at = match record.kind {
            Kind::Put => self.place(bytes).map_err(self.io())?,
            Kind::Delete => Location::default(),
            kind => return Err(damaged(format!("a {kind:?} is in it"))),
        };
        self.versions.push(Version {
            revision: record.revision,
            create: record.detail,
            count: record.version,
            lease: record.lease,
            at,
            value: None,
        });
        Ok(())
    }

    fn next_key(&mut self, key: &[u8]) {
        if !self.versions.is_empty() {
            let versions = std::mem::take(&mut self.versions);
            self.state.restore(self.key.clone(), versions);
        }
        self.key = Bytes::copy_from_slice(key);
    }

    /// Puts a record into a segment.
    fn place(&mut self, bytes: &[u8]) -> io::Result<Location> {
        let full = |target: &Target| target.written as usize + target.buffer.len() >= SEGMENT;
        if self.target.as_ref().is_some_and(full) {
            self.close()?;
        }
        if self.target.is_none() {
            let id = LOG + self.segments.len() as u32;
            self.segments.push(id);
            self.target = Some(Target {
                id,
                file: self.files.create(&Role::Live.name(id))?,
                written: 0,
                buffer: header(self.salt, id, 0),
            });
        }
        let Some(target) = &mut self.target else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let offset = target.written + target.buffer.len() as u64;
        target.buffer.extend_from_slice(bytes);
        if target.buffer.len() >= 1 << 20 {
            target.flush()?;
        }
        Ok(Location {
            segment: target.id,
            offset: offset as u32,
            length: bytes.len() as u32,
        })
    }

    fn close(&mut self) -> io::Result<()> {
        match self.target.take() {
            Some(mut target) => target.flush().and_then(|()| target.file.sync()),
            None => Ok(()),
        }
    }

    /// Makes the directory one that opens.
    fn finish(&mut self) -> Result<(), LoadError> {
        if !self.ended {
            return Err(damaged("it is cut off"));
        }
        self.close().map_err(self.io())?;
        self.state.restored();
        self.capture.segment = LOG;
        self.capture.offset = SEGMENT_HEADER as u64;
        let files = self.files.as_ref();
        let log = header(self.salt, LOG, self.capture.next_index);
        let finish = || {
            let file = files.create(&Role::Log.name(LOG))?;
            file.write_at(&log, 0)?;
            file.sync()?;
            recovery::write_version(files)?;
            let keys = |last: Option<&Bytes>| self.state.keys_after(last, 1024);
            checkpoint::write_to(files, self.salt, &self.capture, &self.segments, keys)?;
            files.remove(MARK)?;
            files.sync()
        };
        finish().map_err(self.io())
    }
}

impl Target {
    fn flush(&mut self) -> io::Result<()> {
        self.file.write_at(&self.buffer, self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

fn header(salt: u32, segment: u32, first_index: u64) -> Vec<u8> {
    let header = SegmentHeader {
        format: FORMAT,
        salt,
        segment,
        first_index,
    };
    header.encode()
}

fn capture(input: &mut Input<'_>) -> Option<Capture> {
    Some(Capture {
        term: input.u64()?,
        next_index: input.u64()? + 1,
        revision: input.u64()?,
        compacted: input.u64()?,
        summary: Summary::read(input, true)?,
        ..Capture::default()
    })
}
