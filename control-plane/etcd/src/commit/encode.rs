//! What of an outcome the log must say.

use super::TERM;
use crate::{
    record::{Kind, Record},
    state::Output,
};

impl Output {
    /// Whether the log must say it.
    pub(super) fn is_logged(&self) -> bool {
        match self {
            Output::Put { .. } | Output::Granted(..) | Output::Compacted(..) | Output::Reserved(..) => true,
            Output::Removed { keys, lease, .. } => !keys.is_empty() || lease.is_some(),
            Output::Mismatch(..) | Output::Refused(_) => false,
        }
    }

    /// Appends the records of this output.
    pub(super) fn encode(&self, index: u64, durable: u64, salt: u32, out: &mut Vec<u8>) {
        let blank = Record {
            kind: Kind::Put,
            more: false,
            term: TERM,
            index,
            durable,
            revision: 0,
            detail: 0,
            lease: 0,
            key: &[],
            value: &[],
        };
        match self {
            Output::Put {
                key, value, version, ..
            } => {
                let (revision, detail, lease) = (version.revision, version.create, version.lease);
                Record {
                    revision,
                    detail,
                    lease,
                    key,
                    value,
                    ..blank
                }
                .encode(salt, out);
            }
            Output::Removed {
                keys,
                revision,
                lease,
            } => {
                let revision = *revision;
                for (at, (key, _)) in keys.iter().enumerate() {
                    let more = lease.is_some() || at + 1 < keys.len();
                    Record {
                        kind: Kind::Delete,
                        more,
                        revision,
                        key,
                        ..blank
                    }
                    .encode(salt, out);
                }
                if let Some((lease, _)) = *lease {
                    Record {
                        kind: Kind::Revoke,
                        revision,
                        lease,
                        ..blank
                    }
                    .encode(salt, out);
                }
            }
            Output::Granted(lease, ttl) => {
                Record {
                    kind: Kind::Grant,
                    lease: *lease,
                    detail: *ttl,
                    ..blank
                }
                .encode(salt, out);
            }
            Output::Compacted(revision, _) => {
                Record {
                    kind: Kind::Compact,
                    revision: *revision,
                    ..blank
                }
                .encode(salt, out);
            }
            Output::Reserved(until, _) => {
                Record {
                    kind: Kind::Reserve,
                    revision: *until,
                    ..blank
                }
                .encode(salt, out);
            }
            Output::Mismatch(..) | Output::Refused(_) => {}
        }
    }
}
