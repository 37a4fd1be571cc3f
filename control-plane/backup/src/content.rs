//! What a store is made of: all that an image says, and each retained version of each key.

use crate::{Error, kine::Kine, sqlite::Place};
use bytes::Bytes;
use etcd::{Image, Kept, KeyValue, Revision};
use etcd_proto::mvccpb;
use prost::Message;
use std::{fs::File, os::unix::fs::FileExt, sync::Arc};

/// A state that can be restored. Values stay in the file that they came from until they are written.
#[derive(Clone, Debug)]
pub struct Content {
    /// What there is besides the keys.
    pub image: Image,
    /// By key, the oldest first.
    versions: Vec<Version>,
    values: Values,
}

/// Where the values are: in no memory.
#[derive(Clone, Debug)]
pub enum Values {
    /// In a snapshot.
    Snapshot(Arc<File>),
    /// In a database of k3s.
    Kine(Arc<Kine>),
}

/// A version of a key.
#[derive(Clone, Debug)]
pub struct Version {
    /// The key.
    pub key: Bytes,
    /// The revision that made it.
    pub revision: Revision,
    /// What it is.
    pub what: What,
}

/// What a version is.
#[derive(Clone, Debug)]
pub enum What {
    /// The key was removed.
    Removed,
    /// It was written, and stands in a snapshot as etcd keeps it.
    There {
        /// Where.
        at: u64,
        /// So many bytes.
        bytes: u32,
    },
    /// It was written, and all but its value is known, which is in a row of k3s' database.
    Row(Box<KeyValue>, Place),
}

impl Content {
    /// A state of these versions, of each key in the order in which they came. What is older than the image's compaction and cannot be read is left out.
    pub fn new(image: Image, mut versions: Vec<Version>, values: Values) -> Self {
        versions.sort_by(|one, other| (&one.key, one.revision).cmp(&(&other.key, other.revision)));
        // A transaction may remove a key and write it again: the later counts.
        versions.dedup_by(|next, one| {
            let same = (&next.key, next.revision) == (&one.key, one.revision);
            if same {
                std::mem::swap(next, one);
            }
            same
        });
        let mut this = Self {
            image,
            versions,
            values,
        };
        this.forget();
        this
    }

    /// How many versions there are.
    pub fn versions(&self) -> usize {
        self.versions.len()
    }

    /// Makes the newest revision newer by so much, and forgets what was before it.
    pub fn bump(&mut self, revisions: u64) {
        self.image.revision += revisions;
        self.image.compacted = self.image.revision;
        self.forget();
    }

    /// Leaves out the versions that cannot be read any more.
    fn forget(&mut self) {
        let compacted = self.image.compacted;
        let versions = std::mem::take(&mut self.versions);
        let mut versions = versions.into_iter().peekable();
        while let Some(version) = versions.next() {
            let replaced = versions
                .peek()
                .is_some_and(|next| next.key == version.key && next.revision <= compacted);
            let removed = matches!(version.what, What::Removed) && version.revision <= compacted;
            if !replaced && !removed {
                self.versions.push(version);
            }
        }
    }

    /// The versions, each read when it is its turn.
    pub fn into_versions(self) -> (Image, impl Iterator<Item = Result<Kept, Error>> + Send) {
        let values = self.values;
        let versions = self.versions.into_iter().map(Some);
        // After the last of them it is seen whether all were of one time.
        let kept = versions.chain([None]).filter_map(move |version| match version {
            Some(version) => Some(version.kept(&values)),
            None => values.check_unchanged().err().map(Err),
        });
        (self.image, kept)
    }
}

impl Version {
    fn kept(self, values: &Values) -> Result<Kept, Error> {
        let Version { key, revision, what } = self;
        match (what, values) {
            (What::Removed, _) => Ok(Kept::Removed(key, revision)),
            (What::There { at, bytes }, Values::Snapshot(file)) => {
                read(file, at, bytes, key, revision).map(Kept::Put)
            }
            (What::Row(mut kv, place), Values::Kine(kine)) => {
                kv.value = kine.value(place, revision)?;
                Ok(Kept::Put(*kv))
            }
            _ => Err(Error::Damaged("a value is elsewhere".to_owned())),
        }
    }
}

impl Values {
    fn check_unchanged(&self) -> Result<(), Error> {
        match self {
            Self::Snapshot(_) => Ok(()),
            Self::Kine(kine) => kine.check_unchanged(),
        }
    }
}

fn read(file: &File, at: u64, bytes: u32, key: Bytes, revision: Revision) -> Result<KeyValue, Error> {
    let mut value = vec![0; bytes as usize];
    let filled = file.read_exact_at(&mut value, at);
    filled.map_err(|error| Error::Damaged(format!("the snapshot cannot be read: {error}")))?;
    let kv = mvccpb::KeyValue::decode(Bytes::from(value));
    let kv = kv.map_err(|error| Error::Damaged(format!("the snapshot is damaged: {error}")))?;
    Ok(KeyValue {
        key,
        value: kv.value,
        mod_revision: revision,
        create_revision: kv.create_revision as u64,
        version: kv.version as u64,
        lease: kv.lease,
    })
}
