//! What of an outcome the log must say.

use super::TERM;
use crate::{
    record::{Kind, Record},
    state::{Output, Wrote},
};

impl Output {
    /// Whether the log must say it.
    pub(super) fn is_logged(&self) -> bool {
        match self {
            Output::Put { .. } | Output::Granted(..) | Output::Compacted(..) | Output::Reserved(..) => true,
            Output::Removed { keys, lease, .. } => !keys.is_empty() || lease.is_some(),
            Output::Txn { wrote, .. } => !wrote.is_empty(),
            Output::Mismatch(..) | Output::Wanting(_) | Output::Refused(_) => false,
        }
    }

    /// Appends the records of this output.
    pub(super) fn encode(&self, index: u64, durable: u64, salt: u32, out: &mut Vec<u8>) {
        let mut say = |kind, more, revision, (detail, version), lease, key: &[u8], value: &[u8]| {
            let term = TERM;
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
            Output::Mismatch(..) | Output::Wanting(_) | Output::Refused(_) => {}
        }
    }
}
