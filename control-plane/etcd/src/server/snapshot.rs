//! A snapshot as etcd's own tools read it: a bbolt file of what is stored, and its SHA-256.
//!
//! It holds the keys as they are at one revision, each as its newest revision wrote it, the leases, the users with their
//! roles, and the numbers by which etcd knows a whole file. Older revisions are not in it, so that it is compacted at its own
//! revision. It is made while it is read: what is held of it is a list of the keys and a few values.

use super::{
    bolt::{Layout, Value, Writer},
    convert,
};
use crate::{
    Engine, Error, Revision,
    engine::{Core, Pin},
    record::RECORD_HEADER,
    replica::auth::Auth,
    segment::Found,
    state::Version,
};
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use prost::Message;
use ring::digest;
use std::{collections::VecDeque, ops::Range, sync::Arc};

/// Bytes of one answer.
const PART: usize = 32 << 10;
/// Keys that are listed, and that are found again for their values, while the lock is held.
const KEYS: usize = 512;
const VALUES: usize = 32;
/// Bytes of a chunk, about.
const CHUNK: usize = 1 << 20;
/// Bytes of the hash at the end.
const SUM: u64 = 32;

/// A snapshot on its way out.
pub struct Snapshot {
    /// Its newest revision.
    pub revision: Revision,
    /// How many bytes there will be.
    pub bytes: u64,
    /// Its bytes.
    pub chunks: BoxStream<'static, Result<Bytes, Error>>,
}

/// The protobuf of a lease as etcd keeps it: ID, TTL, remaining TTL.
#[derive(Clone, PartialEq, prost::Message)]
struct Lease {
    #[prost(int64, tag = "1")]
    id: i64,
    #[prost(int64, tag = "2")]
    ttl: i64,
    #[prost(int64, tag = "3")]
    remaining: i64,
}

/// A key and a value of a small bucket.
type Pair = (Vec<u8>, Vec<u8>);

/// A key that is in the snapshot.
struct Listed {
    revision: Revision,
    key: Bytes,
    /// Bytes of what stands for it.
    bytes: usize,
}

/// What a snapshot is made of.
struct Contents {
    core: Arc<Core>,
    revision: Revision,
    /// In the order in which they were written.
    keys: Vec<Listed>,
    /// The small buckets whose names come before `key`.
    before: Vec<(&'static [u8], Vec<Pair>)>,
    /// Those that come after it.
    after: Vec<(&'static [u8], Vec<Pair>)>,
    _pin: Pin,
}

/// How far a snapshot is made.
struct Making {
    contents: Contents,
    layout: Layout,
    writer: Writer<Vec<u8>>,
    sum: digest::Context,
    /// How many keys are written, and what was found of those that follow.
    at: usize,
    found: VecDeque<Found>,
    sub: u64,
    state: Step,
}

#[derive(PartialEq)]
enum Step {
    Start,
    Keys,
    Done,
}

impl Engine {
    /// All that is stored now, as a file of etcd's. Writers go on meanwhile.
    pub async fn snapshot(&self) -> Result<Snapshot, Error> {
        let core = self.core().clone();
        if self.is_closed() {
            return Err(Error::Unavailable("the store is closed".to_owned()));
        }
        let listing = core.clone();
        let making = core.run(move || Contents::of(listing).map(Making::of)).await??;
        let (revision, bytes) = (making.contents.revision, making.layout.bytes() + SUM);
        let chunks = stream::unfold(Some(making), |making| async move {
            let mut making = making.filter(|making| making.state != Step::Done)?;
            let core = making.contents.core.clone();
            let step = move || {
                let chunk = making.chunk();
                (chunk, making)
            };
            match core.run(step).await {
                Ok((Ok(chunk), making)) => Some((Ok(chunk), Some(making))),
                Ok((Err(error), _)) | Err(error) => Some((Err(error), None)),
            }
        });
        Ok(Snapshot {
            revision,
            bytes,
            chunks: chunks.boxed(),
        })
    }
}

impl Contents {
    fn of(core: Arc<Core>) -> Result<Self, Error> {
        let mut pin = Pin::new(&core);
        let (revision, summary) = {
            let shared = core.read();
            (shared.visible, shared.state.summary())
        };
        pin.at(revision);
        let mut keys = list(&core, revision);
        keys.sort_by_key(|listed| listed.revision);
        let mut leases: Vec<Pair> = summary.leases.into_iter().map(lease).collect();
        leases.sort();
        let table = summary.meta.into_iter().collect();
        let auth = Auth::of(&table);
        let auth = auth.map_err(|error| Error::Unavailable(format!("the table of users: {error}")))?;
        let mut flags = vec![(b"authRevision".to_vec(), auth.revision().to_be_bytes().to_vec())];
        if auth.is_enabled() {
            flags.insert(0, (b"authEnabled".to_vec(), vec![1]));
        }
        let roles = auth
            .roles()
            .map(|role| (role.name.to_vec(), role.encode_to_vec()));
        let users = auth
            .users()
            .map(|user| (user.name.to_vec(), user.encode_to_vec()));
        let compacted = revision_key(revision, 0);
        let meta = vec![
            (b"consistent_index".to_vec(), revision.to_be_bytes().to_vec()),
            (b"finishedCompactRev".to_vec(), compacted.clone()),
            (b"scheduledCompactRev".to_vec(), compacted),
        ];
        let cluster = vec![(b"clusterVersion".to_vec(), b"3.4.0".to_vec())];
        Ok(Self {
            revision,
            keys,
            before: vec![
                (b"alarm", Vec::new()),
                (b"auth", flags),
                (b"authRoles", roles.collect()),
                (b"authUsers", users.collect()),
                (b"cluster", cluster),
            ],
            after: vec![
                (b"lease", leases),
                (b"members", Vec::new()),
                (b"members_removed", Vec::new()),
                (b"meta", meta),
            ],
            core,
            _pin: pin,
        })
    }

    /// The record that tells the newest revision, if that was a removal: etcd takes the revision from the newest record.
    fn tombstone(&self) -> Option<Pair> {
        let last = self.keys.last().map_or(0, |listed| listed.revision);
        let mut key = revision_key(self.revision, 0);
        key.push(b't');
        let tombstone = etcd_proto::mvccpb::KeyValue {
            key: Bytes::from_static(b"\0"),
            ..Default::default()
        };
        (last < self.revision).then(|| (key, tombstone.encode_to_vec()))
    }

    /// What the lengths alone say.
    fn layout(&self) -> Layout {
        let mut writer = Writer::<usize>::default();
        small(&mut writer, &self.before);
        let mut sub = 0;
        for (at, listed) in self.keys.iter().enumerate() {
            sub = self.sub(at, sub);
            writer.pair(revision_key(listed.revision, sub), listed.bytes);
        }
        self.end(&mut writer);
        writer.finish()
    }

    /// The place of a key among those that were written at its revision.
    fn sub(&self, at: usize, before: u64) -> u64 {
        let same = at > 0 && self.keys[at - 1].revision == self.keys[at].revision;
        if same { before + 1 } else { 0 }
    }

    /// Writes what comes after the keys.
    fn end<V: Value>(&self, writer: &mut Writer<V>) {
        if let Some((key, value)) = self.tombstone() {
            writer.pair(key, V::of(value));
        }
        writer.bucket(b"key");
        small(writer, &self.after);
    }

    /// Where some of the keys are now.
    fn found(&self, range: Range<usize>) -> Result<VecDeque<Found>, Error> {
        let shared = self.core.read();
        let listed = self.keys[range].iter();
        let found = listed.map(|listed| {
            let version = shared.state.version(&listed.key, listed.revision);
            let gone = || Error::Unavailable("a revision is gone that a snapshot needs".to_owned());
            Ok(shared.find(&listed.key, version.ok_or_else(gone)?.clone()))
        });
        found.collect()
    }
}

/// The keys that there are at a revision.
fn list(core: &Core, revision: Revision) -> Vec<Listed> {
    let mut keys = Vec::new();
    let mut last: Option<Bytes> = None;
    loop {
        let shared = core.read();
        let some = shared.state.keys_after(last.as_ref(), KEYS);
        drop(shared);
        let Some((key, _)) = some.last() else { return keys };
        last = Some(key.clone());
        keys.extend(some.into_iter().filter_map(|(key, versions)| {
            let older = versions.into_iter().take_while(|one| one.revision <= revision);
            let newest = older.last().filter(|newest| !newest.is_removal())?;
            let bytes = bytes_of(&key, &newest);
            let revision = newest.revision;
            Some(Listed { revision, key, bytes })
        }));
    }
}

/// Bytes of the protobuf of a version, whose value is not read for that.
fn bytes_of(key: &Bytes, version: &Version) -> usize {
    let bare = etcd_proto::mvccpb::KeyValue {
        key: key.clone(),
        create_revision: version.create as i64,
        mod_revision: version.revision as i64,
        version: version.count as i64,
        value: Bytes::new(),
        lease: version.lease,
    };
    let value = match &version.value {
        Some(value) => value.len(),
        None => (version.at.length as usize).saturating_sub(RECORD_HEADER + key.len()),
    };
    let more = match value {
        0 => 0,
        some => 1 + prost::length_delimiter_len(some) + some,
    };
    bare.encoded_len() + more
}

fn lease((id, ttl): (i64, u64)) -> Pair {
    let kept = Lease {
        id,
        ttl: (ttl / 1000) as i64,
        remaining: 0,
    };
    (id.to_be_bytes().to_vec(), kept.encode_to_vec())
}

fn small<V: Value>(writer: &mut Writer<V>, buckets: &[(&'static [u8], Vec<Pair>)]) {
    for (name, pairs) in buckets {
        for (key, value) in pairs {
            writer.pair(key.clone(), V::of(value.clone()));
        }
        writer.bucket(name);
    }
}

/// The parts of a chunk.
pub fn parts(chunk: &Bytes) -> impl Iterator<Item = Bytes> {
    let starts = (0..chunk.len()).step_by(PART);
    starts.map(|start| chunk.slice(start..(start + PART).min(chunk.len())))
}

fn revision_key(revision: Revision, sub: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(18);
    key.extend(revision.to_be_bytes());
    key.push(b'_');
    key.extend(sub.to_be_bytes());
    key
}

impl Making {
    fn of(contents: Contents) -> Self {
        Self {
            layout: contents.layout(),
            contents,
            writer: Writer::default(),
            sum: digest::Context::new(&digest::SHA256),
            at: 0,
            found: VecDeque::new(),
            sub: 0,
            state: Step::Start,
        }
    }

    /// The next bytes.
    fn chunk(&mut self) -> Result<Bytes, Error> {
        let mut out = Vec::with_capacity(CHUNK + CHUNK / 4);
        if self.state == Step::Start {
            out = self.layout.head();
            small(&mut self.writer, &self.contents.before);
            self.state = Step::Keys;
        }
        while out.len() < CHUNK {
            self.writer.take_into(&mut out);
            if self.found.is_empty() {
                let end = self.contents.keys.len();
                self.found = self.contents.found(self.at..(self.at + VALUES).min(end))?;
            }
            match self.found.pop_front() {
                Some(found) => self.one(found)?,
                None => return self.end(out),
            }
        }
        self.sum.update(&out);
        Ok(out.into())
    }

    fn one(&mut self, found: Found) -> Result<(), Error> {
        self.sub = self.contents.sub(self.at, self.sub);
        let kv = found.load()?;
        let key = revision_key(kv.mod_revision, self.sub);
        let value = convert::key_value(kv).encode_to_vec();
        if value.len() != self.contents.keys[self.at].bytes {
            return Err(Error::Unavailable(
                "a value has another length than it says".to_owned(),
            ));
        }
        self.writer.pair(key, value);
        self.at += 1;
        Ok(())
    }

    fn end(&mut self, mut out: Vec<u8>) -> Result<Bytes, Error> {
        self.contents.end(&mut self.writer);
        let layout = self.writer.finish();
        self.writer.take_into(&mut out);
        if layout != self.layout {
            return Err(Error::Unavailable(
                "the snapshot is not what was laid out".to_owned(),
            ));
        }
        self.sum.update(&out);
        out.extend_from_slice(self.sum.clone().finish().as_ref());
        self.state = Step::Done;
        Ok(out.into())
    }
}
