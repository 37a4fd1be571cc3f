//! What of an outcome the log must say.

use crate::{
    record::{Kind, Record},
    state::{Output, Wrote},
};

/// Where in the log an entry is.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub term: u64,
    pub index: u64,
    /// The index up to which the log is durable.
    pub durable: u64,
    pub salt: u32,
}

impl Output {
    /// Whether the log must say it.
    pub(super) fn is_logged(&self) -> bool {
        match self {
            Output::Put { .. }
            | Output::Granted(..)
            | Output::Compacted(..)
            | Output::Reserved(..)
            | Output::Meta { .. } => true,
            Output::Removed { keys, lease, .. } => !keys.is_empty() || lease.is_some(),
            Output::Txn { wrote, .. } => !wrote.is_empty(),
            Output::Mismatch(..) | Output::Wanting(_) | Output::Refused(_) | Output::Nothing => false,
        }
    }

    /// Appends the records of this output.
    pub(super) fn encode(&self, place: Place, out: &mut Vec<u8>) {
        let Place {
            term,
            index,
            durable,
            salt,
        } = place;
        let mut say = |kind, more, revision, (detail, version), lease, key: &[u8], value: &[u8]| {
            Record {
                kind,
                more,
                term,
                version,
                index,
                durable,
                revision,
                detail,
                lease,
                key,
                value,
            }
            .encode(salt, out);
        };
        match self {
            Output::Put {
                key, value, version, ..
            } => {
                say(
                    Kind::Put,
                    false,
                    version.revision,
                    (version.create, version.count),
                    version.lease,
                    key,
                    value,
                );
            }
            Output::Removed {
                keys,
                revision,
                lease,
            } => {
                for (at, (key, _)) in keys.iter().enumerate() {
                    let more = lease.is_some() || at + 1 < keys.len();
                    say(Kind::Delete, more, *revision, (0, 0), 0, key, &[]);
                }
                if let Some((lease, _)) = *lease {
                    say(Kind::Revoke, false, *revision, (0, 0), lease, &[], &[]);
                }
            }
            Output::Txn { wrote, revision, .. } => {
                for (at, Wrote { key, put, .. }) in wrote.iter().enumerate() {
                    let more = at + 1 < wrote.len();
                    match put {
                        Some((value, v)) => {
                            let facts = (v.create, v.count);
                            say(Kind::Put, more, *revision, facts, v.lease, key, value);
                        }
                        None => say(Kind::Delete, more, *revision, (0, 0), 0, key, &[]),
                    }
                }
            }
            Output::Granted(lease, ttl) => say(Kind::Grant, false, 0, (*ttl, 0), *lease, &[], &[]),
            Output::Compacted(revision, _) => say(Kind::Compact, false, *revision, (0, 0), 0, &[], &[]),
            Output::Reserved(until, _) => say(Kind::Reserve, false, *until, (0, 0), 0, &[], &[]),
            Output::Meta { key, value, .. } => {
                let (set, value) = (u64::from(value.is_some()), value.as_deref().unwrap_or_default());
                say(Kind::Meta, false, 0, (set, 0), 0, key, value);
            }
            Output::Mismatch(..) | Output::Wanting(_) | Output::Refused(_) | Output::Nothing => {}
        }
    }
}

/// Appends the record of entries that changed nothing: those from `first` on.
pub(super) fn passed(first: u64, place: Place, out: &mut Vec<u8>) {
    Record {
        kind: Kind::Passed,
        more: false,
        term: place.term,
        version: 0,
        index: place.index,
        durable: place.durable,
        revision: 0,
        detail: first,
        lease: 0,
        key: &[],
        value: &[],
    }
    .encode(place.salt, out);
}
