//! A snapshot file: a bbolt file of all that etcd stores, and the SHA-256 of it.

use crate::{Error, bolt::Bolt};
use bytes::Bytes;
use etcd::{Image, Kept, KeyValue, Revision};
use prost::Message;
use ring::digest;
use serde::Serialize;
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Bytes of the hash at the end.
const SUM: usize = 32;
/// The pages before it are a multiple of this, so that a file without the hash is told apart.
const SECTOR: usize = 512;
/// Bytes of a revision as a key; those of removals have one more.
const REVISION: usize = 17;
const REMOVED: u8 = b't';

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

/// A snapshot that was read, and is what was written.
#[derive(Clone, Debug)]
pub struct Snapshot {
    file: Bytes,
    pages: Bytes,
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
        let file = fs::read(path).map_err(Error::io(path))?;
        Self::parse(file.into(), skip_hash_check)
            .map_err(|error| Error::Damaged(format!("{}: {error}", path.display())))
    }

    /// The same of its bytes.
    pub fn parse(file: Bytes, skip_hash_check: bool) -> Result<Self, Error> {
        let has_sum = file.len() % SECTOR == SUM;
        let pages = match has_sum {
            true => file.slice(..file.len() - SUM),
            false => file.clone(),
        };
        if !skip_hash_check {
            if !has_sum {
                let why =
                    "snapshot missing hash: it is cut off, or a copy of a database file (--skip-hash-check)";
                return Err(Error::Damaged(why.to_owned()));
            }
            let sum = digest::digest(&digest::SHA256, &pages);
            let said = &file[pages.len()..];
            if sum.as_ref() != said {
                let why = format!("expected sha256 {}, got {}", hex(said), hex(sum.as_ref()));
                return Err(Error::Damaged(why));
            }
        }
        let snapshot = Self { file, pages };
        // What has the right hash and is still no snapshot is told at once as well.
        snapshot.facts()?;
        Ok(snapshot)
    }

    /// The whole file.
    pub fn file(&self) -> &Bytes {
        &self.file
    }

    /// What is in it.
    pub fn facts(&self) -> Result<Facts, Error> {
        let bolt = Bolt::open(&self.pages)?;
        let mut facts = Facts {
            hash: 0,
            revision: 0,
            total_key: 0,
            total_size: bolt.size(),
        };
        let mut hash = Castagnoli::new();
        let mut is_etcd = false;
        for (name, pairs) in bolt.buckets()? {
            hash.update(name);
            let keys = name == b"key";
            is_etcd |= keys;
            for (key, value) in pairs {
                hash.update(key);
                hash.update(value);
                facts.total_key += 1;
                if keys {
                    facts.revision = revision(key).ok_or_else(|| damaged("a revision is cut off"))?.0;
                }
            }
        }
        if !is_etcd {
            return Err(damaged("it is no database of etcd"));
        }
        facts.hash = hash.finish();
        Ok(facts)
    }

    /// How many users etcd knew.
    pub fn users(&self) -> Result<usize, Error> {
        let buckets = Bolt::open(&self.pages)?.buckets()?;
        let users = buckets.iter().find(|(name, _)| *name == b"authUsers");
        Ok(users.map_or(0, |(_, users)| users.len()))
    }

    /// All that a store is made of: each retained version of each key, at its own revision, and the leases.
    pub fn image(&self) -> Result<Image, Error> {
        let mut image = Image::default();
        let mut keys: BTreeMap<Bytes, Vec<Kept>> = BTreeMap::new();
        for (name, pairs) in Bolt::open(&self.pages)?.buckets()? {
            match name {
                b"key" => {
                    for (key, value) in pairs {
                        let kept = version(key, self.pages.slice_ref(value))?;
                        image.revision = image.revision.max(kept.place().1);
                        keys.entry(kept.place().0.clone()).or_default().push(kept);
                    }
                }
                b"lease" => {
                    let leases = pairs.into_iter().map(|(_, value)| lease(value));
                    image.leases = leases.collect::<Result<_, _>>()?;
                }
                b"meta" => {
                    let of_compaction =
                        |name: &[u8]| name == b"finishedCompactRev" || name == b"scheduledCompactRev";
                    let compacted = pairs.into_iter().filter(|(name, _)| of_compaction(name));
                    let compacted = compacted
                        .filter_map(|(_, value)| revision(value))
                        .map(|found| found.0);
                    image.compacted = compacted.max().unwrap_or(0);
                }
                _ => {}
            }
        }
        image.revision = image.revision.max(image.compacted);
        image.versions = keys.into_values().flatten().collect();
        forget(&mut image);
        Ok(image)
    }
}

/// Leaves out the versions that cannot be read any more, since they are older than what is compacted.
pub fn forget(image: &mut Image) {
    let versions = std::mem::take(&mut image.versions);
    let mut versions = versions.into_iter().peekable();
    while let Some(version) = versions.next() {
        let (key, at) = version.place();
        let replaced = versions.peek().is_some_and(|next| {
            let (next, later) = next.place();
            next == key && later <= image.compacted
        });
        let removed = matches!(version, Kept::Removed(..)) && at <= image.compacted;
        if !replaced && !removed {
            image.versions.push(version);
        }
    }
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

fn version(key: &[u8], value: Bytes) -> Result<Kept, Error> {
    let (at, removed) = revision(key).ok_or_else(|| damaged("a revision is cut off"))?;
    let kv = etcd_proto::mvccpb::KeyValue::decode(value).map_err(damaged)?;
    if removed {
        return Ok(Kept::Removed(kv.key, at));
    }
    Ok(Kept::Put(KeyValue {
        key: kv.key,
        value: kv.value,
        mod_revision: at,
        create_revision: kv.create_revision as u64,
        version: kv.version as u64,
        lease: kv.lease,
    }))
}

fn lease(value: &[u8]) -> Result<(i64, u64), Error> {
    let lease = Lease::decode(value).map_err(damaged)?;
    let seconds = u64::try_from(lease.ttl).unwrap_or(0);
    Ok((lease.id, seconds.saturating_mul(1000)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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

/// Writes a file that is there whole or not at all, and reads it again; gives the snapshot as it was read.
pub fn write(path: &Path, file: &Bytes) -> Result<Snapshot, Error> {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    let part = PathBuf::from(part);
    let written = fill(&part, file).and_then(|()| Snapshot::open(&part, false));
    let renamed = written.and_then(|snapshot| {
        fs::rename(&part, path).map_err(Error::io(path))?;
        Ok(snapshot)
    });
    if renamed.is_err() {
        // It may not be there at all; what matters is told.
        let _ = fs::remove_file(&part);
    }
    let snapshot = renamed?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(Error::io(folder))?;
    Ok(snapshot)
}

fn fill(part: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let filled = options.open(part).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    filled.map_err(Error::io(part))
}
