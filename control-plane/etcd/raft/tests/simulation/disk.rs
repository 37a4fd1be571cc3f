//! What survives a crash.

use std::collections::{BTreeMap, BTreeSet};

use raft::{Entry, HardState, Log, Members, Message, SnapshotMeta};

/// The state machine: registers, and who belongs to the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    pub applied: u64,
    pub term: u64,
    pub members: Members,
    pub registers: BTreeMap<u64, u64>,
    /// Operations that were applied: one that comes twice counts once.
    pub done: BTreeSet<u64>,
}

/// What a Ready wants written down.
pub struct Write {
    pub number: u64,
    pub due: u64,
    pub hard: Option<HardState>,
    pub snapshot: Option<(SnapshotMeta, Image)>,
    pub append: Vec<Entry>,
    pub after_sync: Vec<Message>,
}

/// A member's disk.
#[derive(Clone, Default)]
pub struct Disk {
    pub hard: HardState,
    pub base: SnapshotMeta,
    pub base_image: Image,
    /// The state machine's own, if it keeps one.
    pub image: Option<Image>,
    log: BTreeMap<u64, Entry>,
}

impl Disk {
    /// That of a member of a new cluster.
    pub fn first(members: &Members) -> Self {
        let base = SnapshotMeta {
            index: 1,
            term: 1,
            members: members.clone(),
        };
        let base_image = Image {
            applied: 1,
            term: 1,
            members: members.clone(),
            ..Image::default()
        };
        let hard = HardState {
            term: 1,
            vote: 0,
            commit: 1,
        };
        Self {
            hard,
            base,
            base_image,
            ..Self::default()
        }
    }

    pub fn write(&mut self, write: Write) {
        if let Some((meta, image)) = write.snapshot {
            self.log.clear();
            self.image = self.image.take().map(|_| image.clone());
            (self.base, self.base_image) = (meta, image);
        }
        if let Some(hard) = write.hard {
            self.hard = hard;
        }
        if let Some(first) = write.append.first() {
            self.log.split_off(&first.index);
        }
        let entries = write.append.into_iter();
        self.log.extend(entries.map(|entry| (entry.index, entry)));
    }

    /// A new snapshot takes the place of the log up to it.
    pub fn compact(&mut self, image: &Image) {
        self.base = SnapshotMeta {
            index: image.applied,
            term: image.term,
            members: image.members.clone(),
        };
        self.base_image = image.clone();
        self.log = self.log.split_off(&(image.applied + 1));
    }

    pub fn log(&self) -> Log {
        let entries: Vec<Entry> = self.log.values().cloned().collect();
        let indexes = entries.iter().map(|entry| entry.index);
        assert!(
            indexes.eq((self.base.index + 1..).take(entries.len())),
            "a hole in the log"
        );
        Log::after(self.base.index, self.base.term, entries)
    }

    /// The state at a start.
    pub fn image(&self) -> Image {
        let kept = self.image.clone().unwrap_or_default();
        if kept.applied > self.base_image.applied {
            kept
        } else {
            self.base_image.clone()
        }
    }
}
