//! One file of the log: records that are read by their location, the newest of them perhaps not yet written.

use crate::{
    Error, KeyValue,
    files::{File, Files},
    record::{FORMAT, Record, SEGMENT_HEADER, SegmentHeader},
    state::{Location, Version},
};
use bytes::Bytes;
use std::{
    io,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

/// What a segment is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It is a part of the log.
    Log,
    /// It holds copies of live records.
    Live,
}

impl Role {
    pub fn name(self, id: u32) -> String {
        match self {
            Role::Log => format!("log-{id:08}.seg"),
            Role::Live => format!("live-{id:08}.seg"),
        }
    }

    /// The role and number of the segment of that name.
    pub fn parse(name: &str) -> Option<(Self, u32)> {
        let stem = name.strip_suffix(".seg")?;
        let (role, number) = match stem.strip_prefix("log-") {
            Some(number) => (Role::Log, number),
            None => (Role::Live, stem.strip_prefix("live-")?),
        };
        Some((role, number.parse().ok()?))
    }
}

/// Records that are encoded and not yet in the file.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    /// Where they will be written.
    pub start: u64,
    pub bytes: Vec<u8>,
}

pub(crate) struct Segment {
    pub id: u32,
    pub role: Role,
    pub salt: u32,
    pub file: Arc<dyn File>,
    tail: RwLock<Tail>,
}

impl Segment {
    /// Makes a segment whose header is durable.
    pub fn create(files: &dyn Files, role: Role, id: u32, salt: u32, first_index: u64) -> io::Result<Self> {
        let name = role.name(id);
        let made = files.create(&name).and_then(|file| {
            let header = SegmentHeader {
                format: FORMAT,
                salt,
                segment: id,
                first_index,
            };
            file.write_at(&header.encode(), 0)?;
            file.sync()?;
            files.sync()?;
            Ok(Self::opened(file, role, id, salt, SEGMENT_HEADER as u64))
        });
        if made.is_err() {
            // It would be found, empty, by the next recovery, which drops it; so it does not matter if this fails too.
            let _ = files.remove(&name);
        }
        made
    }

    /// A segment whose file ends at `length`.
    pub fn opened(file: Arc<dyn File>, role: Role, id: u32, salt: u32, length: u64) -> Self {
        Self {
            id,
            role,
            salt,
            file,
            tail: RwLock::new(Tail {
                start: length,
                bytes: Vec::new(),
            }),
        }
    }

    pub fn tail(&self) -> RwLockReadGuard<'_, Tail> {
        self.tail.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn tail_mut(&self) -> RwLockWriteGuard<'_, Tail> {
        self.tail.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the file is when all is written.
    pub fn length(&self) -> u64 {
        let tail = self.tail();
        tail.start + tail.bytes.len() as u64
    }

    /// The bytes of a record.
    pub fn read(&self, at: Location) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; at.length as usize];
        let tail = self.tail();
        match u64::from(at.offset).checked_sub(tail.start) {
            Some(offset) => {
                let offset = offset as usize;
                let part = tail
                    .bytes
                    .get(offset..offset + bytes.len())
                    .ok_or(io::ErrorKind::UnexpectedEof)?;
                bytes.copy_from_slice(part);
            }
            None => {
                drop(tail);
                self.file.read_at(&mut bytes, u64::from(at.offset))?;
            }
        }
        Ok(bytes)
    }

    /// The value of the record at `at`, which must be of `key` at `revision`.
    fn value(&self, key: &[u8], revision: u64, at: Location) -> Result<Bytes, Error> {
        let fail = |why: String| {
            let file = self.role.name(self.id);
            Error::Unavailable(format!("{file} at {}: {why}", at.offset))
        };
        let bytes = self.read(at).map_err(|error| fail(error.to_string()))?;
        let (record, _) = Record::decode(self.salt, &bytes).map_err(|damage| fail(damage.to_string()))?;
        if record.key != key || record.revision != revision {
            return Err(fail("another record is there".to_owned()));
        }
        let value = bytes.len() - record.value.len();
        Ok(Bytes::from(bytes).slice(value..))
    }
}

/// A version that was found, with all that is needed to read its value without the index.
pub(crate) struct Found {
    pub key: Bytes,
    pub version: Version,
    pub segment: Option<Arc<Segment>>,
}

impl Found {
    /// Whether the value must be read from its segment.
    pub fn is_cold(&self) -> bool {
        self.version.value.is_none()
    }

    pub fn load(self) -> Result<KeyValue, Error> {
        let Version {
            revision,
            create,
            count,
            lease,
            at,
            value,
        } = self.version;
        let value = match (value, &self.segment) {
            (Some(value), _) => value,
            (None, Some(segment)) => segment.value(&self.key, revision, at)?,
            (None, None) => return Err(Error::Unavailable(format!("segment {} is not there", at.segment))),
        };
        Ok(KeyValue {
            key: self.key,
            value,
            mod_revision: revision,
            create_revision: create,
            version: count,
            lease,
        })
    }
}
