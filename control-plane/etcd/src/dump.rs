//! The whole state at one entry as a stream, and back: what a member gets that is far behind, and what a backup holds.
//!
//! Numbers are little-endian, records as in [`mod@crate::record`]:
//!
//! ```text
//! "FKDUMP\0\0", format u32, salt u32
//! length u32 of the next line, checksum u32 of it
//! term, index, revision, compacted u64; lost revisions, leases and the table beside the key space as in a checkpoint
//! Put and Delete records: each retained version of each key, in key order, the oldest first
//! a Passed record; detail: how many records came before it, revision: the checksum of all bytes before it
//! ```

use crate::{
    Error, Revision,
    checkpoint::Capture,
    commit::Request,
    engine::{Core, Engine, Pin},
    record::{Kind, Record},
    segment::Found,
};
use bytes::Bytes;
use crc32fast::Hasher;
use futures::{StreamExt, stream, stream::BoxStream};
use std::{collections::VecDeque, sync::Arc};
use tokio::sync::oneshot;

pub(crate) const MAGIC: &[u8; 8] = b"FKDUMP\0\0";
/// The format that is written, and the newest that can be read.
pub(crate) const FORMAT: u32 = 1;
/// Bytes of a chunk, about.
const CHUNK: usize = 1 << 20;
/// Keys that are looked up while the lock is held.
const STEP: usize = 512;

/// A state on its way out.
pub struct Dump {
    /// The term of the newest entry in it.
    pub term: u64,
    /// The index of the newest entry in it.
    pub index: u64,
    /// Its revision.
    pub revision: Revision,
    /// Its bytes.
    pub chunks: BoxStream<'static, Result<Bytes, Error>>,
}

/// How far a dump is.
struct Dumping {
    core: Arc<Core>,
    capture: Capture,
    /// The key that was looked up last.
    last: Option<Bytes>,
    /// What was looked up and is not written; with its segment, which may go away meanwhile.
    found: VecDeque<Found>,
    hasher: Hasher,
    records: u64,
    state: Step,
    _pin: Pin,
}

#[derive(PartialEq)]
enum Step {
    Start,
    Records,
    Done,
}

impl Engine {
    /// The whole state as it is now. Writers go on meanwhile; what it holds is not forgotten before it is read or dropped.
    pub async fn dump(&self) -> Result<Dump, Error> {
        let core = self.core().clone();
        let mut pin = Pin::new(&core);
        let closed = || Error::Unavailable("the store is closed".to_owned());
        let (answer, captured) = oneshot::channel();
        let durable = true;
        let request = Request::Capture { durable, answer };
        core.queue.send(request).await.map_err(|_| closed())?;
        let capture = captured.await.map_err(|_| closed())?;
        pin.at(capture.compacted);
        let (term, index, revision) = (capture.term, capture.next_index - 1, capture.revision);
        let dumping = Dumping {
            core,
            capture,
            last: None,
            found: VecDeque::new(),
            hasher: Hasher::new(),
            records: 0,
            state: Step::Start,
            _pin: pin,
        };
        let chunks = stream::unfold(Some(dumping), |dumping| async move {
            let mut dumping = dumping.filter(|dumping| dumping.state != Step::Done)?;
            let core = dumping.core.clone();
            let step = move || {
                let chunk = dumping.chunk();
                (chunk, dumping)
            };
            match core.run(step).await {
                Ok((Ok(chunk), dumping)) => Some((Ok(chunk), Some(dumping))),
                Ok((Err(error), _)) | Err(error) => Some((Err(error), None)),
            }
        });
        Ok(Dump {
            term,
            index,
            revision,
            chunks: chunks.boxed(),
        })
    }
}

impl Dumping {
    /// The next bytes.
    fn chunk(&mut self) -> Result<Bytes, Error> {
        let mut out = Vec::with_capacity(CHUNK + CHUNK / 4);
        if self.state == Step::Start {
            self.head(&mut out);
            self.state = Step::Records;
        }
        while out.len() < CHUNK {
            if self.found.is_empty() {
                self.look();
            }
            let Some(found) = self.found.pop_front() else {
                self.hasher.update(&out);
                self.end(&mut out);
                self.state = Step::Done;
                return Ok(out.into());
            };
            self.one(found, &mut out)?;
        }
        self.hasher.update(&out);
        Ok(out.into())
    }

    fn head(&self, out: &mut Vec<u8>) {
        let Capture {
            term,
            next_index,
            revision,
            compacted,
            ..
        } = self.capture;
        let mut head = Vec::new();
        for number in [term, next_index - 1, revision, compacted] {
            head.extend_from_slice(&number.to_le_bytes());
        }
        self.capture.summary.write(&mut head);
        out.extend_from_slice(MAGIC);
        let sum = crc32fast::hash(&head);
        for number in [FORMAT, self.core.salt, head.len() as u32, sum] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&head);
    }

    /// Looks up the next keys.
    fn look(&mut self) {
        let shared = self.core.read();
        while self.found.is_empty() {
            let keys = shared.state.keys_after(self.last.as_ref(), STEP);
            let Some((key, _)) = keys.last() else { return };
            self.last = Some(key.clone());
            for (key, versions) in keys {
                let versions = versions.into_iter();
                let older = versions.take_while(|version| version.revision <= self.capture.revision);
                self.found.extend(older.map(|version| shared.find(&key, version)));
            }
        }
    }

    fn one(&mut self, found: Found, out: &mut Vec<u8>) -> Result<(), Error> {
        self.records += 1;
        if found.version.is_removal() {
            self.say(
                Kind::Delete,
                (found.version.revision, 0, 0, 0),
                &found.key,
                &[],
                out,
            );
            return Ok(());
        }
        let kv = found.load()?;
        let facts = (kv.mod_revision, kv.create_revision, kv.version, kv.lease);
        self.say(Kind::Put, facts, &kv.key, &kv.value, out);
        Ok(())
    }

    fn end(&self, out: &mut Vec<u8>) {
        let sum = u64::from(self.hasher.clone().finalize());
        self.say(Kind::Passed, (sum, self.records, 0, 0), &[], &[], out);
    }

    fn say(
        &self,
        kind: Kind,
        (revision, detail, version, lease): (u64, u64, u64, i64),
        key: &[u8],
        value: &[u8],
        out: &mut Vec<u8>,
    ) {
        let index = self.capture.next_index - 1;
        Record {
            kind,
            more: false,
            term: self.capture.term,
            version,
            index,
            durable: index,
            revision,
            detail,
            lease,
            key,
            value,
        }
        .encode(self.core.salt, out);
    }
}
