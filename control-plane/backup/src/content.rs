//! What a store is made of: all that an image says, and each retained version of each key.

use crate::Error;
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
    /// Where values are that are not in memory.
    file: Option<Arc<File>>,
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
    /// It was written.
    Here(Box<KeyValue>),
    /// It was written, and stands in the file as etcd keeps it.
    There {
        /// Where.
        at: u64,
        /// So many bytes.
        bytes: u32,
    },
}

impl Content {
    /// A state of these versions, of each key in the order in which they came. What is older than the image's compaction and cannot be read is left out.
    pub fn new(image: Image, mut versions: Vec<Version>, file: Option<Arc<File>>) -> Self {
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
            file,
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
        let file = self.file;
        let versions = self.versions.into_iter();
        let kept = versions.map(move |Version { key, revision, what }| match (what, &file) {
            (What::Removed, _) => Ok(Kept::Removed(key, revision)),
            (What::Here(kv), _) => Ok(Kept::Put(*kv)),
            (What::There { at, bytes }, Some(file)) => read(file, at, bytes, key, revision).map(Kept::Put),
            (What::There { .. }, None) => Err(Error::Damaged("a value is in no file".to_owned())),
        });
        (self.image, kept)
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
