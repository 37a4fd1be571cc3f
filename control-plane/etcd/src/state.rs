//! The state machine: [`apply`] gives each entry its revision and its outcome, and does nothing else.
//!
//! The same entries in the same order make the same state on every member. A value is not here but in the log, where
//! its [`Location`] says; it is also kept in memory while it is fresh, or while an observer shares it.

use crate::{
    Op, Revision,
    txn::{Known, Txn},
};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry as Slot};

mod replay;
mod transact;
mod view;

pub use view::Refusal;
pub(crate) use view::contains;

/// How many bytes of the newest changes' values stay in memory for watches.
const WARM_BYTES: usize = 4 << 20;

/// Where the log holds a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Location {
    /// The number of the segment; 0 for nowhere.
    pub segment: u32,
    /// The offset in it.
    pub offset: u32,
    /// The length of the record.
    pub length: u32,
}

/// One thing to apply.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The term it was proposed in.
    pub term: u64,
    /// Its place in the log.
    pub index: u64,
    /// Where the log holds (or will hold) the record, if the entry puts a value.
    pub at: Location,
    /// What to do.
    pub command: Command,
}

/// What an entry does.
#[derive(Clone, Debug)]
pub enum Command {
    /// Write `key` if it is at `expect`.
    Write {
        /// The key.
        key: Bytes,
        /// As [`crate::TxnRequest::expect`].
        expect: Option<Revision>,
        /// The write.
        op: Op,
    },
    /// Do a transaction, with values that it needs.
    Txn(Txn, Known),
    /// Grant a lease.
    Grant {
        /// Its number.
        id: i64,
        /// Its time to live, in milliseconds.
        ttl: u64,
    },
    /// End a lease and remove its keys.
    Revoke(i64),
    /// Forget what is older than the revision.
    Compact(Revision),
    /// Let revisions up to this one be used before they are logged.
    Reserve(Revision),
    /// Set or remove an entry of the table beside the key space, which has no revisions: members, alarms, users.
    Meta {
        /// Its name.
        key: Bytes,
        /// What it becomes; `None`: it is removed.
        value: Option<Bytes>,
    },
    /// Only take a place in the log, as the first entry of a leader does.
    Nothing,
}

/// What became of an entry.
#[derive(Clone, Debug)]
pub enum Output {
    /// The key was written.
    Put {
        /// The key.
        key: Bytes,
        /// The value.
        value: Bytes,
        /// The version that was made.
        version: Version,
        /// The version before, if the key was there.
        prev: Option<Version>,
    },
    /// Keys were removed at one revision: one by a delete, any number by the end of `lease` (its number and TTL).
    Removed {
        /// The keys, with what they were.
        keys: Vec<(Bytes, Version)>,
        /// When; the current revision if there was no key.
        revision: Revision,
        /// The lease that ended, if this was its end.
        lease: Option<(i64, u64)>,
    },
    /// A transaction was done.
    Txn {
        /// What it changed, all at `revision`.
        wrote: Vec<Wrote>,
        /// Whether its comparisons held.
        succeeded: bool,
        /// What became of its operations.
        results: Vec<Did>,
        /// The revision after it.
        revision: Revision,
    },
    /// The values of these keys must be known before it can be done; nothing changed.
    Wanting(Vec<(Bytes, Version)>),
    /// The condition did not hold; the key as it is.
    Mismatch(Bytes, Option<Version>),
    /// The lease is there.
    Granted(i64, u64),
    /// Older revisions are forgotten; the oldest readable one before.
    Compacted(Revision, Revision),
    /// Revisions are reserved; the reservation before.
    Reserved(Revision, Revision),
    /// An entry of the table beside the key space was set or removed.
    Meta {
        /// Its name.
        key: Bytes,
        /// What it is now.
        value: Option<Bytes>,
        /// What it was before.
        prev: Option<Bytes>,
    },
    /// Nothing was to be done.
    Nothing,
    /// It could not be done, and nothing changed.
    Refused(Refusal),
}

/// A change that a transaction made.
#[derive(Clone, Debug)]
pub struct Wrote {
    /// The key.
    pub key: Bytes,
    /// Its value and version; `None`: it was removed.
    pub put: Option<(Bytes, Version)>,
    /// The version before, if the key was there.
    pub prev: Option<Version>,
}

/// What an operation of a transaction did.
#[derive(Clone, Debug)]
pub enum Did {
    /// It read: how many keys there are, and those that were found.
    Range(u64, Vec<(Bytes, Version)>),
    /// It wrote; the key before, if that was asked and it was there.
    Put(Option<(Bytes, Version)>),
    /// It removed so many keys; what they were, if that was asked.
    Deleted(u64, Vec<(Bytes, Version)>),
    /// It was a transaction: whether its comparisons held, and what it did.
    Txn(bool, Vec<Did>),
}

/// A version of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The revision that wrote it.
    pub revision: Revision,
    /// The revision that created the key.
    pub create: Revision,
    /// How often the key was written since then.
    pub count: u64,
    /// The lease the key lives by; 0 for none.
    pub lease: i64,
    /// Where its record is; nowhere if this version is a removal.
    pub at: Location,
    /// The value, while it is kept in memory.
    pub value: Option<Bytes>,
}

impl Version {
    /// Whether the key was removed by this.
    pub fn is_removal(&self) -> bool {
        self.at.segment == 0
    }
}

/// A change that is retained for watches.
#[derive(Clone, Debug)]
pub struct Change {
    /// When.
    pub revision: Revision,
    /// Which key.
    pub key: Bytes,
    value: Option<Bytes>,
}

#[derive(Clone, Debug, Default)]
struct Lease {
    ttl: u64,
    keys: BTreeSet<Bytes>,
}

/// All that the store knows: an index of the log, ordered by key and by revision.
#[derive(Debug, Default)]
pub struct State {
    index: BTreeMap<Bytes, Vec<Version>>,
    /// By revision; those before `cold` have no value in memory.
    changes: VecDeque<Change>,
    cold: usize,
    warm_bytes: usize,
    leases: BTreeMap<i64, Lease>,
    meta: BTreeMap<Bytes, Bytes>,
    revision: Revision,
    compacted: Revision,
    reserved: Revision,
    /// Revisions that a crash may have taken: after the first, up to the second.
    lost: Vec<(Revision, Revision)>,
    /// Bytes of records in use, by segment.
    live: BTreeMap<u32, u64>,
    /// The same, all together.
    live_bytes: u64,
    /// Whether live values stay in memory (when somebody else holds them anyway).
    keep_values: bool,
}

/// Applies `entry` to `state`.
pub fn apply(state: &mut State, entry: Entry) -> Output {
    match entry.command {
        Command::Write { key, expect, op } => state.write(key, expect, op, entry.at),
        Command::Txn(txn, known) => state.transact(&txn, &known, entry.at),
        Command::Grant { id, .. } if state.leases.contains_key(&id) => Output::Refused(Refusal::LeaseExists),
        Command::Grant { id, ttl } => {
            state.leases.entry(id).or_default().ttl = ttl;
            Output::Granted(id, ttl)
        }
        Command::Revoke(id) => state.revoke(id),
        Command::Compact(revision) if revision > state.revision => Output::Refused(Refusal::Future(revision)),
        Command::Compact(revision) if revision <= state.compacted => {
            Output::Refused(Refusal::Compacted(state.compacted))
        }
        Command::Compact(revision) => {
            Output::Compacted(revision, std::mem::replace(&mut state.compacted, revision))
        }
        Command::Reserve(until) => Output::Reserved(until, std::mem::replace(&mut state.reserved, until)),
        Command::Meta { key, value } => {
            let prev = state.set_meta(&key, value.as_ref());
            Output::Meta { key, value, prev }
        }
        Command::Nothing => Output::Nothing,
    }
}

impl State {
    fn write(&mut self, key: Bytes, expect: Option<Revision>, op: Op, at: Location) -> Output {
        let revision = self.revision + 1;
        let current = match (&op, expect) {
            // It is looked up when it is written.
            (Op::Put { .. }, None) => 0,
            _ => {
                let live = self.newest(&key);
                let current = live.map_or(0, |version| version.revision);
                if expect.is_some_and(|expected| expected != current) {
                    return Output::Mismatch(key.clone(), live.cloned());
                }
                current
            }
        };
        match op {
            Op::Put { lease, .. } if lease != 0 && !self.leases.contains_key(&lease) => {
                Output::Refused(Refusal::LeaseNotFound)
            }
            Op::Put { value, lease } => {
                let kept = self.keep_values.then(|| value.clone());
                let make = |live: Option<&Version>| Version {
                    revision,
                    create: live.map_or(revision, |live| live.create),
                    count: live.map_or(1, |live| live.count + 1),
                    lease,
                    at,
                    value: kept,
                };
                self.revision = revision;
                let (version, prev) = self.push_made(&key, make, Some(value.clone()));
                Output::Put {
                    key,
                    value,
                    version,
                    prev,
                }
            }
            Op::Delete if current == 0 => Output::Removed {
                keys: Vec::new(),
                revision: self.revision,
                lease: None,
            },
            Op::Delete => {
                self.revision = revision;
                let prev = self.push(&key, removal(revision), None);
                Output::Removed {
                    keys: prev.map(|prev| (key, prev)).into_iter().collect(),
                    revision,
                    lease: None,
                }
            }
        }
    }

    /// Sets or removes an entry of the table beside the key space; gives what it was.
    fn set_meta(&mut self, key: &Bytes, value: Option<&Bytes>) -> Option<Bytes> {
        match value {
            // Copies, since they may be slices of something large.
            Some(value) => self
                .meta
                .insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)),
            None => self.meta.remove(key),
        }
    }

    fn revoke(&mut self, id: i64) -> Output {
        let Some(lease) = self.leases.get_mut(&id) else {
            return Output::Refused(Refusal::LeaseNotFound);
        };
        let (ttl, keys) = (lease.ttl, std::mem::take(&mut lease.keys));
        self.leases.remove(&id);
        if !keys.is_empty() {
            self.revision += 1;
        }
        let revision = self.revision;
        let removed = keys.into_iter().filter_map(|key| {
            let prev = self.push(&key, removal(revision), None)?;
            Some((key, prev))
        });
        Output::Removed {
            keys: removed.collect(),
            revision,
            lease: Some((id, ttl)),
        }
    }

    /// Adds the newest version of a key; gives the one before, if the key was there.
    fn push(&mut self, key: &Bytes, version: Version, value: Option<Bytes>) -> Option<Version> {
        self.push_made(key, |_| version, value).1
    }

    /// Adds the newest version of a key, made of the one before, if the key was there; gives both.
    fn push_made(
        &mut self,
        key: &Bytes,
        make: impl FnOnce(Option<&Version>) -> Version,
        value: Option<Bytes>,
    ) -> (Version, Option<Version>) {
        let (key, version, prev) = match self.index.entry(key.clone()) {
            Slot::Occupied(mut slot) => {
                let versions = slot.get_mut();
                let version = make(versions.last().filter(|live| !live.is_removal()));
                let prev = versions.last_mut().filter(|prev| !prev.is_removal()).map(|prev| {
                    let value = prev.value.take();
                    Version {
                        value,
                        ..prev.clone()
                    }
                });
                versions.push(version.clone());
                (slot.key().clone(), version, prev)
            }
            Slot::Vacant(slot) => {
                drop(slot);
                // A copy, since the caller's key may be a slice of something large.
                let key = Bytes::copy_from_slice(key);
                let version = make(None);
                self.index.insert(key.clone(), vec![version.clone()]);
                (key, version, None)
            }
        };
        let (revision, lease, at) = (version.revision, version.lease, version.at);
        if let Some(prev) = &prev {
            self.detach(prev.lease, &key);
        }
        self.attach(lease, &key);
        self.count(at, true);
        self.remember(Change { revision, key, value });
        (version, prev)
    }

    fn remember(&mut self, change: Change) {
        self.warm_bytes += change.value.as_ref().map_or(0, Bytes::len);
        self.changes.push_back(change);
        while self.warm_bytes > WARM_BYTES
            && let Some(change) = self.changes.get_mut(self.cold)
        {
            self.warm_bytes -= change.value.take().map_or(0, |value| value.len());
            self.cold += 1;
        }
    }

    fn attach(&mut self, lease: i64, key: &Bytes) {
        if lease != 0
            && let Some(lease) = self.leases.get_mut(&lease)
        {
            lease.keys.insert(key.clone());
        }
    }

    fn detach(&mut self, lease: i64, key: &Bytes) {
        if lease != 0
            && let Some(lease) = self.leases.get_mut(&lease)
        {
            lease.keys.remove(key);
        }
    }

    fn count(&mut self, at: Location, added: bool) {
        if at.segment != 0 {
            let live = self.live.entry(at.segment).or_default();
            let length = u64::from(at.length);
            if added {
                *live += length;
                self.live_bytes += length;
            } else {
                let less = length.min(*live);
                *live -= less;
                self.live_bytes -= less;
            }
        }
    }

    /// Takes back the newest entry that was applied and is not taken back yet.
    pub fn undo(&mut self, output: &Output) {
        match output {
            Output::Put { key, .. } => {
                self.pop(key);
                self.revision -= 1;
            }
            Output::Removed { keys, lease, .. } => {
                if let Some((id, ttl)) = *lease {
                    self.leases.insert(
                        id,
                        Lease {
                            ttl,
                            keys: BTreeSet::new(),
                        },
                    );
                }
                for (key, _) in keys.iter().rev() {
                    self.pop(key);
                }
                self.revision -= u64::from(!keys.is_empty());
            }
            Output::Txn { wrote, .. } => {
                for wrote in wrote.iter().rev() {
                    self.pop(&wrote.key);
                }
                self.revision -= u64::from(!wrote.is_empty());
            }
            Output::Granted(id, _) => {
                self.leases.remove(id);
            }
            Output::Compacted(_, before) => self.compacted = *before,
            Output::Reserved(_, before) => self.reserved = *before,
            Output::Meta { key, prev, .. } => {
                self.set_meta(key, prev.as_ref());
            }
            Output::Mismatch(..) | Output::Wanting(_) | Output::Refused(_) | Output::Nothing => {}
        }
    }

    fn pop(&mut self, key: &Bytes) {
        if let Some(change) = self.changes.pop_back() {
            self.warm_bytes -= change.value.map_or(0, |value| value.len());
            self.cold = self.cold.min(self.changes.len());
        }
        let Some(versions) = self.index.get_mut(key) else {
            return;
        };
        let popped = versions.pop();
        let lease = versions
            .last()
            .filter(|version| !version.is_removal())
            .map_or(0, |version| version.lease);
        if versions.is_empty() {
            self.index.remove(key);
        }
        if let Some(popped) = popped {
            self.detach(popped.lease, key);
            self.count(popped.at, false);
        }
        self.attach(lease, key);
    }

    /// Frees versions that are forgotten as of `upto`, of at most `limit` changes. False when nothing is left to free.
    pub fn sweep(&mut self, upto: Revision, mut limit: usize) -> bool {
        self.lost.retain(|(_, last)| *last >= upto);
        while self.changes.front().is_some_and(|change| change.revision < upto) {
            if limit == 0 {
                return true;
            }
            limit -= 1;
            if let Some(change) = self.changes.pop_front() {
                self.warm_bytes -= change.value.map_or(0, |value| value.len());
                self.cold = self.cold.saturating_sub(1);
                self.sweep_key(&change.key, upto);
            }
        }
        false
    }

    fn sweep_key(&mut self, key: &Bytes, upto: Revision) {
        let Some(versions) = self.index.get_mut(key) else {
            return;
        };
        let mut first = versions
            .iter()
            .rposition(|version| version.revision <= upto)
            .unwrap_or(0);
        if versions
            .get(first)
            .is_some_and(|version| version.is_removal() && version.revision < upto)
        {
            first += 1;
        }
        let freed: Vec<Location> = versions.drain(..first).map(|version| version.at).collect();
        if versions.is_empty() {
            self.index.remove(key);
        } else if !freed.is_empty() && versions.capacity() > 4 {
            versions.shrink_to_fit();
        }
        for at in freed {
            self.count(at, false);
        }
    }

    /// Whether [`State::sweep`] would free anything.
    pub fn sweepable(&self, upto: Revision) -> bool {
        self.changes.front().is_some_and(|change| change.revision < upto)
    }

    /// Moves a version to where it was copied, if it still is where it was copied from.
    pub(crate) fn relocate(&mut self, key: &[u8], revision: Revision, from: Location, to: Location) {
        let versions = self.index.get_mut(key).into_iter().flatten();
        if let Some(version) = versions
            .into_iter()
            .find(|v| v.revision == revision && v.at == from)
        {
            version.at = to;
            self.count(from, false);
            self.count(to, true);
        }
    }
}

fn removal(revision: Revision) -> Version {
    Version {
        revision,
        create: 0,
        count: 0,
        lease: 0,
        at: Location::default(),
        value: None,
    }
}
