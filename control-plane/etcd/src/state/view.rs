//! What can be read of a state, now and as of any retained revision.

use super::{Change, State, Version};
use crate::{Error, RangeRequest, Revision, checkpoint::Summary};
use bytes::Bytes;
use std::{collections::BTreeMap, ops::Bound};

/// Why an entry could not be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such lease.
    LeaseNotFound,
    /// There is such a lease already.
    LeaseExists,
    /// A key whose value or lease is to stay is not there.
    KeyNotFound,
    /// The revision is forgotten already; the oldest one that is not.
    Compacted(Revision),
    /// The revision is not there yet.
    Future(Revision),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::LeaseNotFound => Error::LeaseNotFound,
            Refusal::LeaseExists => Error::LeaseExists,
            Refusal::KeyNotFound => Error::KeyNotFound,
            Refusal::Compacted(oldest) => Error::Compacted(oldest),
            Refusal::Future(revision) => Error::Future(revision),
        }
    }
}

/// Whether `key` is in `start..end`; an empty `end` means the one key `start`, a single zero byte no end.
pub(crate) fn contains(start: &[u8], end: &[u8], key: &[u8]) -> bool {
    if end.is_empty() {
        key == start
    } else {
        key >= start && (end == [0] || key < end)
    }
}

impl State {
    /// The newest revision, published or not.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The oldest revision that can be read.
    pub fn compacted(&self) -> Revision {
        self.compacted
    }

    /// Revisions up to this may be used before they are logged.
    pub fn reserved(&self) -> Revision {
        self.reserved
    }

    /// Revisions of an empty store go on after this one.
    pub(crate) fn start_at(&mut self, first: Revision) {
        self.revision = self.revision.max(first);
    }

    pub(crate) fn set_keep_values(&mut self) {
        self.keep_values = true;
    }

    pub(crate) fn lost(&self) -> &[(Revision, Revision)] {
        &self.lost
    }

    /// Bytes of records in use, by segment.
    pub fn live(&self) -> &BTreeMap<u32, u64> {
        &self.live
    }

    /// The same, of all segments.
    pub const fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    /// The table beside the key space.
    pub fn meta(&self) -> &BTreeMap<Bytes, Bytes> {
        &self.meta
    }

    /// The leases with their TTL in milliseconds.
    pub fn leases(&self) -> impl Iterator<Item = (i64, u64)> {
        self.leases.iter().map(|(id, lease)| (*id, lease.ttl))
    }

    /// The newest version of a key that is there.
    pub fn newest(&self, key: &[u8]) -> Option<&Version> {
        self.index
            .get(key)?
            .last()
            .filter(|version| !version.is_removal())
    }

    /// Whether the state as of `revision` can be read.
    pub fn readable(&self, revision: Revision) -> Result<(), Error> {
        if revision < self.compacted {
            return Err(Error::Compacted(self.compacted));
        }
        match self
            .lost
            .iter()
            .find(|(after, last)| *after < revision && revision <= *last)
        {
            Some((_, last)) => Err(Error::Compacted(last + 1)),
            None => Ok(()),
        }
    }

    /// The keys of a range with their versions as of `revision`, in key order.
    pub fn range<'a>(
        &'a self,
        start: &'a [u8],
        end: &'a [u8],
        revision: Revision,
    ) -> impl Iterator<Item = (&'a Bytes, &'a Version)> {
        let last = match end {
            [] => Bound::Included(start),
            [0] => Bound::Unbounded,
            end => Bound::Excluded(end.max(start)),
        };
        // Both bounds at one key would be a panic if one excludes it.
        let first = if last == Bound::Excluded(start) {
            Bound::Unbounded
        } else {
            Bound::Included(start)
        };
        let last = if first == Bound::Unbounded {
            Bound::Excluded(&[][..])
        } else {
            last
        };
        self.index
            .range::<[u8], _>((first, last))
            .filter_map(move |(key, versions)| {
                let version = versions
                    .iter()
                    .rev()
                    .find(|version| version.revision <= revision)?;
                (!version.is_removal()).then_some((key, version))
            })
    }

    /// How many keys of a range there are as of `revision`, and the first of them, up to the limit.
    pub(crate) fn look(&self, request: &RangeRequest, revision: Revision) -> (u64, Vec<(Bytes, Version)>) {
        let limit = match request.limit {
            0 => usize::MAX,
            limit => limit,
        };
        let (mut count, mut found) = (0, Vec::new());
        for (key, version) in self.range(&request.start, &request.end, revision) {
            count += 1;
            if found.len() < limit && !request.count_only {
                let mut version = version.clone();
                if request.keys_only {
                    version.value = Some(Bytes::new());
                }
                found.push((key.clone(), version));
            }
        }
        (count, found)
    }

    /// The keys that live by a lease, and its TTL in milliseconds.
    pub(crate) fn lease(&self, id: i64) -> Option<(u64, Vec<Bytes>)> {
        let lease = self.leases.get(&id)?;
        Some((lease.ttl, lease.keys.iter().cloned().collect()))
    }

    /// The retained changes after `after`, by revision.
    pub fn changes_after(&self, after: Revision) -> impl Iterator<Item = &Change> {
        let first = self.changes.partition_point(|change| change.revision <= after);
        self.changes.range(first..)
    }

    /// The version that a change made (with its value, if that is in memory) and the one before, if the key was there.
    pub fn versions(&self, change: &Change) -> Option<(Version, Option<Version>)> {
        let versions = self.index.get(&change.key)?;
        let at = versions
            .binary_search_by_key(&change.revision, |version| version.revision)
            .ok()?;
        let mut version = versions[at].clone();
        version.value = version.value.or_else(|| change.value.clone());
        let prev = at
            .checked_sub(1)
            .map(|before| &versions[before])
            .filter(|prev| !prev.is_removal());
        Some((version, prev.cloned()))
    }

    /// The version of a key that a revision wrote.
    pub(crate) fn version(&self, key: &[u8], revision: Revision) -> Option<&Version> {
        let versions = self.index.get(key)?;
        let at = versions.binary_search_by_key(&revision, |version| version.revision);
        versions.get(at.ok()?)
    }

    /// Up to `limit` keys after `after` (`None`: from the first) with all their versions.
    pub(crate) fn keys_after(&self, after: Option<&Bytes>, limit: usize) -> Vec<(Bytes, Vec<Version>)> {
        let first = after.map_or(Bound::Unbounded, Bound::Excluded);
        let keys = self
            .index
            .range::<Bytes, _>((first, Bound::Unbounded))
            .take(limit);
        keys.map(|(key, versions)| (key.clone(), versions.clone()))
            .collect()
    }

    /// What there is besides keys.
    pub(crate) fn summary(&self) -> Summary {
        Summary {
            lost: self.lost.clone(),
            leases: self.leases().collect(),
            meta: self.meta.clone().into_iter().collect(),
        }
    }

    /// Starts a state from what a checkpoint says of the whole.
    pub(crate) fn from_checkpoint(
        revision: Revision,
        compacted: Revision,
        reserved: Revision,
        summary: &Summary,
    ) -> Self {
        let mut state = Self {
            revision,
            compacted,
            reserved,
            lost: summary.lost.clone(),
            meta: summary.meta.iter().cloned().collect(),
            ..Self::default()
        };
        for (id, ttl) in &summary.leases {
            state.leases.entry(*id).or_default().ttl = *ttl;
        }
        state
    }
}
