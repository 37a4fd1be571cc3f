//! A snapshot file: a bbolt file of all that etcd stores, and the SHA-256 of it.

use crate::{
    Chunks, Error,
    bolt::{Bolt, Pair},
    content::{Content, Values, Version, What},
    place::blocking,
};
use bytes::Bytes;
use component::{Env, hex};
use etcd::{Image, Revision, replica::auth};
use etcd_proto::authpb;
use futures::{StreamExt, stream};
use prost::Message;
use ring::digest;
use serde::Serialize;
use std::{fs::File, os::unix::fs::FileExt, path::Path, sync::Arc};

/// Bytes of the hash at the end.
const SUM: usize = 32;
/// The pages before it are a multiple of this, so that a file without the hash is told apart.
const SECTOR: u64 = 512;
/// Bytes of a revision as a key; those of removals have one more.
const REVISION: usize = 17;
const REMOVED: u8 = b't';

/// Bytes that are read at a time.
const STEP: u64 = 1 << 20;
/// What says how far etcd is compacted.
const COMPACTED: [&[u8]; 2] = [b"finishedCompactRev", b"scheduledCompactRev"];

/// What is in a snapshot, in the words of `etcdctl snapshot status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Facts {
    /// A checksum of all that is in it.
    pub hash: u32,
    /// Its newest revision.
    pub revision: Revision,
    /// Records, of any kind.
    pub total_key: u64,
    /// Bytes of its pages.
    pub total_size: u64,
}

/// A snapshot that was read, and is what was written. Of the file only pieces are in memory at any time.
#[derive(Clone, Debug)]
pub struct Snapshot {
    file: Arc<File>,
    /// Bytes of the file, and of its pages.
    bytes: u64,
    pages: u64,
    sum: [u8; SUM],
    facts: Facts,
}

/// A lease as etcd keeps it.
#[derive(Clone, PartialEq, Message)]
struct Lease {
    #[prost(int64, tag = "1")]
    id: i64,
    #[prost(int64, tag = "2")]
    ttl: i64,
}

fn damaged(why: impl ToString) -> Error {
    Error::Damaged(format!("the snapshot is damaged: {}", why.to_string()))
}

impl Snapshot {
    /// Reads a file. Without its hash, as a copy of `member/snap/db` is, it is taken only with `skip_hash_check`.
    pub fn open(path: &Path, skip_hash_check: bool) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io(path))?;
        let read = Self::of(Arc::new(file), skip_hash_check);
        read.map_err(|error| Error::Damaged(format!("{}: {error}", path.display())))
    }

    /// The same of a file that is open.
    pub fn of(file: Arc<File>, skip_hash_check: bool) -> Result<Self, Error> {
        let unread = |error| damaged(format!("it cannot be read: {error}"));
        let bytes = file.metadata().map_err(unread)?.len();
        let has_sum = bytes % SECTOR == SUM as u64;
        let pages = if has_sum { bytes - SUM as u64 } else { bytes };
        let (sum, said) = sums(&file, pages, has_sum).map_err(unread)?;
        if !skip_hash_check {
            if !has_sum {
                let why =
                    "snapshot missing hash: it is cut off, or a copy of a database file (--skip-hash-check)";
                return Err(Error::Damaged(why.to_owned()));
            }
            if sum != said {
                let why = format!("expected sha256 {}, got {}", hex::encode(said), hex::encode(sum));
                return Err(Error::Damaged(why));
            }
        }
        // What has the right hash and is still no snapshot is told at once as well.
        let facts = facts(&Bolt::open(&file, pages)?)?;
        Ok(Self {
            file,
            bytes,
            pages,
            sum,
            facts,
        })
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// What is in it.
    pub fn facts(&self) -> Facts {
        self.facts
    }

    /// Whether another has the same in it.
    pub fn is_as(&self, other: &Self) -> bool {
        (self.bytes, self.sum) == (other.bytes, other.sum)
    }

    /// The bytes of the file.
    pub fn chunks(&self, env: &Env) -> Chunks {
        let (file, end, env) = (self.file.clone(), self.bytes, env.clone());
        let read = stream::unfold(0, move |at| {
            let (file, env) = (file.clone(), env.clone());
            async move {
                let length = STEP.min(end - at);
                let read = move || {
                    let mut chunk = vec![0; length as usize];
                    let filled = file.read_exact_at(&mut chunk, at);
                    filled.map_err(|error| damaged(format!("it cannot be read: {error}")))?;
                    Ok(Bytes::from(chunk))
                };
                (length > 0).then_some((blocking(&env, read).await, at + length))
            }
        });
        read.boxed()
    }

    /// All that a store is made of: each retained version of each key, at its own revision, the leases, the users and their
    /// roles.
    pub fn content(&self) -> Result<Content, Error> {
        let (mut image, mut versions) = (Image::default(), Vec::new());
        let (mut users, mut roles) = (Vec::new(), Vec::new());
        let (mut enabled, mut auth_revision) = (false, None);
        let bolt = Bolt::open(&self.file, self.pages)?;
        for bucket in bolt.buckets()? {
            let mut visit = |pair: Pair<'_>| -> Result<(), Error> {
                match bucket.name.as_slice() {
                    b"key" => versions.push(version(&pair)?),
                    b"lease" => image.leases.push(lease(pair.value)?),
                    b"meta" if COMPACTED.contains(&pair.key) => {
                        let found = revision(pair.value).map_or(0, |found| found.0);
                        image.compacted = image.compacted.max(found);
                    }
                    b"authUsers" => users.push(authpb::User::decode(pair.value).map_err(damaged)?),
                    b"authRoles" => roles.push(authpb::Role::decode(pair.value).map_err(damaged)?),
                    b"auth" if pair.key == b"authEnabled" => enabled = pair.value == [1],
                    b"auth" if pair.key == b"authRevision" => {
                        auth_revision = pair.value.try_into().ok().map(u64::from_be_bytes);
                    }
                    _ => {}
                }
                Ok(())
            };
            bolt.pairs(&bucket, &mut visit)?;
        }
        if enabled || !users.is_empty() || !roles.is_empty() {
            let revision = auth_revision.unwrap_or(1);
            image.table.push(auth::entry(enabled, revision, users, roles));
        }
        let newest = versions.iter().map(|version| version.revision).max();
        image.revision = newest.unwrap_or(0).max(image.compacted);
        Ok(Content::new(image, versions, Values::Snapshot(self.file.clone())))
    }
}

/// The SHA-256 of the pages, and the one that stands behind them.
fn sums(file: &File, pages: u64, has_sum: bool) -> std::io::Result<([u8; SUM], [u8; SUM])> {
    let mut sum = digest::Context::new(&digest::SHA256);
    let mut chunk = vec![0; STEP.min(pages) as usize];
    let mut at = 0;
    while at < pages {
        let length = STEP.min(pages - at) as usize;
        file.read_exact_at(&mut chunk[..length], at)?;
        sum.update(&chunk[..length]);
        at += length as u64;
    }
    let (mut found, mut said) = ([0; SUM], [0; SUM]);
    found.copy_from_slice(sum.finish().as_ref());
    if has_sum {
        file.read_exact_at(&mut said, pages)?;
    }
    Ok((found, said))
}

fn facts(bolt: &Bolt<'_>) -> Result<Facts, Error> {
    let mut facts = Facts {
        hash: 0,
        revision: 0,
        total_key: 0,
        total_size: bolt.size(),
    };
    let mut hash = Castagnoli::new();
    let mut is_etcd = false;
    for bucket in bolt.buckets()? {
        hash.update(&bucket.name);
        let keys = bucket.name == b"key";
        is_etcd |= keys;
        bolt.pairs(&bucket, &mut |pair| {
            hash.update(pair.key);
            hash.update(pair.value);
            facts.total_key += 1;
            if keys {
                facts.revision = revision(pair.key)
                    .ok_or_else(|| damaged("a revision is cut off"))?
                    .0;
            }
            Ok(())
        })?;
    }
    if !is_etcd {
        return Err(damaged("it is no database of etcd"));
    }
    facts.hash = hash.finish();
    Ok(facts)
}

/// The revision, and whether it is a removal.
fn revision(key: &[u8]) -> Option<(Revision, bool)> {
    let main = key.get(..8)?.try_into().ok().map(u64::from_be_bytes)?;
    match &key[8..] {
        rest if key.len() == REVISION && rest[0] == b'_' => Some((main, false)),
        rest if key.len() == REVISION + 1 && rest[0] == b'_' => Some((main, key[REVISION] == REMOVED)),
        _ => None,
    }
}

fn version(pair: &Pair<'_>) -> Result<Version, Error> {
    let (revision, removed) = revision(pair.key).ok_or_else(|| damaged("a revision is cut off"))?;
    let kv = etcd_proto::mvccpb::KeyValue::decode(pair.value).map_err(damaged)?;
    let bytes = u32::try_from(pair.value.len()).map_err(damaged)?;
    let what = match removed {
        true => What::Removed,
        false => What::There { at: pair.at, bytes },
    };
    Ok(Version {
        // A copy, since what was decoded may share memory with the value.
        key: Bytes::copy_from_slice(&kv.key),
        revision,
        what,
    })
}

fn lease(value: &[u8]) -> Result<(i64, u64), Error> {
    let lease = Lease::decode(value).map_err(damaged)?;
    let seconds = u64::try_from(lease.ttl).unwrap_or(0);
    Ok((lease.id, seconds.saturating_mul(1000)))
}

/// CRC-32C, by which `etcdctl snapshot status` tells snapshots apart.
struct Castagnoli {
    table: [u32; 256],
    sum: u32,
}

impl Castagnoli {
    fn new() -> Self {
        let table = std::array::from_fn(|byte| {
            (0..8).fold(byte as u32, |sum, _| match sum & 1 {
                1 => (sum >> 1) ^ 0x82F6_3B78,
                _ => sum >> 1,
            })
        });
        Self { table, sum: !0 }
    }

    fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let at = (self.sum as u8 ^ byte) as usize;
            self.sum = self.table[at] ^ (self.sum >> 8);
        }
    }

    fn finish(&self) -> u32 {
        !self.sum
    }
}
