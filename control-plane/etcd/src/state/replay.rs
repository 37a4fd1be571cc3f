//! How a state comes back: from a checkpoint, then from the log.

use super::{Change, Location, State, Version, removal};
use crate::{Revision, record};
use bytes::Bytes;

impl State {
    /// Takes a record of the log as it was decided then; for recovery.
    pub(crate) fn replay(&mut self, record: &record::Record<'_>, at: Location) {
        match record.kind {
            record::Kind::Put => {
                let (revision, create, lease) = (record.revision, record.detail, record.lease);
                let count = match record.version {
                    // Older releases did not say.
                    0 => self.newest(record.key).map_or(1, |newest| newest.count + 1),
                    count => count,
                };
                let version = Version {
                    revision,
                    create,
                    count,
                    lease,
                    at,
                    value: None,
                };
                self.push(&Bytes::copy_from_slice(record.key), version, None);
            }
            record::Kind::Delete => {
                self.push(
                    &Bytes::copy_from_slice(record.key),
                    removal(record.revision),
                    None,
                );
            }
            record::Kind::Grant => self.leases.entry(record.lease).or_default().ttl = record.detail,
            record::Kind::Revoke => {
                self.leases.remove(&record.lease);
            }
            record::Kind::Compact => self.compacted = self.compacted.max(record.revision),
            record::Kind::Reserve => self.reserved = record.revision,
            record::Kind::Lost => self.lose(record.detail, record.revision),
            record::Kind::Meta => {
                let value = (record.detail == 1).then(|| Bytes::copy_from_slice(record.value));
                self.set_meta(&Bytes::copy_from_slice(record.key), value.as_ref());
            }
            record::Kind::Passed => {}
        }
        if !matches!(record.kind, record::Kind::Compact | record::Kind::Reserve) {
            self.revision = self.revision.max(record.revision);
        }
    }

    /// Takes back what is newer than `revision`: the part of an entry whose rest is not in the log.
    pub(crate) fn truncate(&mut self, revision: Revision) {
        while let Some(change) = self.changes.back().filter(|change| change.revision > revision) {
            let key = change.key.clone();
            self.pop(&key);
        }
        self.revision = self.revision.min(revision);
    }

    /// Skips from revision `from` to `to`: what lies between may have been seen and is gone.
    pub(crate) fn lose(&mut self, from: Revision, to: Revision) {
        self.lost.push((from, to.saturating_sub(1)));
        self.revision = to;
        self.reserved = self.reserved.max(to);
    }

    /// Forgets a segment that nothing is in any more.
    pub(crate) fn forget_segment(&mut self, segment: u32) {
        self.live_bytes -= self.live.remove(&segment).unwrap_or(0);
    }

    /// Puts a key of a checkpoint in place; its versions oldest first.
    pub(crate) fn restore(&mut self, key: Bytes, versions: Vec<Version>) {
        for version in &versions {
            self.count(version.at, true);
            if version.revision >= self.compacted || versions.len() > 1 || version.is_removal() {
                self.changes.push_back(Change {
                    revision: version.revision,
                    key: key.clone(),
                    value: None,
                });
            }
        }
        let newest = versions
            .last()
            .filter(|version| !version.is_removal())
            .map_or(0, |version| version.lease);
        self.attach(newest, &key);
        self.index.insert(key, versions);
    }

    /// Ends a series of [`State::restore`].
    pub(crate) fn restored(&mut self) {
        self.changes
            .make_contiguous()
            .sort_by_key(|change| change.revision);
    }
}
