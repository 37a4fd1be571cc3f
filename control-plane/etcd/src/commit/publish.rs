//! What was committed becomes visible: to the observer, then to readers and watches, then to the writer who asked.

use super::{Answer, Writer};
use crate::{
    Error, Event, KeyValue, RangeResponse, Revision,
    engine::{Core, hold},
    segment::Found,
    state::{Did, Output, Version, Wrote},
    txn::{TxnReply, TxnResult},
};
use bytes::Bytes;
use std::time::Duration;

impl Writer {
    /// Shows outputs to all but those who wait for them; gives the revision they led to.
    pub(super) fn publish<'a>(&self, outputs: impl Iterator<Item = &'a Output> + Clone) -> Revision {
        let core = &self.core;
        let observers = hold(&core.observers);
        if !observers.is_empty() {
            for output in outputs.clone() {
                let events = events(core, output);
                if let Some(first) = events.first() {
                    let revision = first.revision();
                    observers
                        .iter()
                        .for_each(|observer| observer.committed(revision, &events));
                }
            }
        }
        let (revision, advanced) = {
            let mut shared = core.write();
            let revision = shared.state.revision();
            let advanced = revision > shared.visible;
            shared.visible = revision;
            shared.compacted = shared.state.compacted();
            shared.applied = (self.term, self.index);
            (revision, advanced)
        };
        drop(observers);
        for output in outputs {
            match output {
                Output::Granted(lease, ttl) => {
                    let now = core.env.clock.now();
                    hold(&core.leases).insert(*lease, Duration::from_millis(*ttl), now);
                    core.timer.notify_one();
                }
                Output::Removed {
                    lease: Some((lease, _)),
                    ..
                } => hold(&core.leases).remove(*lease),
                Output::Compacted(..) => core.upkeep.notify_one(),
                _ => {}
            }
        }
        if advanced {
            core.tip.send_modify(|tip| tip.revision = revision);
        }
        revision
    }
}

/// What the one is told who asked; `revision`: the newest.
pub(super) fn outcome(core: &Core, output: Output, revision: u64) -> Result<Answer, Error> {
    match output {
        Output::Put { version, .. } => Ok(Answer::Done(version.revision)),
        Output::Removed { revision, .. } => Ok(Answer::Done(revision)),
        Output::Granted(..)
        | Output::Compacted(..)
        | Output::Reserved(..)
        | Output::Meta { .. }
        | Output::Nothing => Ok(Answer::Done(revision)),
        Output::Txn {
            succeeded,
            results,
            revision,
            ..
        } => Ok(Answer::Txn(TxnReply {
            revision,
            succeeded,
            results: results
                .into_iter()
                .map(|did| result(core, did, revision))
                .collect::<Result<_, _>>()?,
        })),
        Output::Wanting(keys) => load(core, keys).map(Answer::Wanting),
        Output::Mismatch(_, None) => Ok(Answer::Mismatch(None, revision)),
        Output::Mismatch(key, Some(version)) => Ok(Answer::Mismatch(
            Some(find(core, &key, version).load()?),
            revision,
        )),
        Output::Refused(refusal) => Err(refusal.into()),
    }
}

/// What an operation of a transaction did, with values.
fn result(core: &Core, did: Did, revision: u64) -> Result<TxnResult, Error> {
    Ok(match did {
        Did::Range(count, found) => TxnResult::Range(RangeResponse {
            kvs: load(core, found)?,
            count,
            revision,
        }),
        Did::Put(prev) => TxnResult::Put(load(core, prev.into_iter().collect())?.pop()),
        Did::Deleted(count, prev) => TxnResult::Deleted(count, load(core, prev)?),
        Did::Txn(succeeded, results) => {
            let results = results.into_iter().map(|did| result(core, did, revision));
            TxnResult::Txn(succeeded, results.collect::<Result<_, _>>()?)
        }
    })
}

fn load(core: &Core, found: Vec<(Bytes, Version)>) -> Result<Vec<KeyValue>, Error> {
    let found = found.into_iter();
    found
        .map(|(key, version)| find(core, &key, version).load())
        .collect()
}

fn find(core: &Core, key: &Bytes, version: Version) -> Found {
    if version.value.is_some() {
        return Found {
            key: key.clone(),
            version,
            segment: None,
        };
    }
    core.read().find(key, version)
}

fn previous(core: &Core, key: &Bytes, version: &Version) -> Option<KeyValue> {
    match find(core, key, version.clone()).load() {
        Ok(kv) => Some(kv),
        Err(error) => {
            tracing::error!(%error, "a previous value cannot be read");
            None
        }
    }
}

fn event(wrote: &Wrote, revision: u64, prev: Option<KeyValue>) -> Event {
    let key = wrote.key.clone();
    let Some((value, version)) = &wrote.put else {
        return Event::Delete { key, revision, prev };
    };
    let kv = KeyValue {
        key,
        value: value.clone(),
        mod_revision: version.revision,
        create_revision: version.create,
        version: version.count,
        lease: version.lease,
    };
    Event::Put { kv, prev }
}

fn events(core: &Core, output: &Output) -> Vec<Event> {
    match output {
        Output::Put {
            key,
            value,
            version,
            prev,
        } => {
            let kv = KeyValue {
                key: key.clone(),
                value: value.clone(),
                mod_revision: version.revision,
                create_revision: version.create,
                version: version.count,
                lease: version.lease,
            };
            vec![Event::Put {
                kv,
                prev: prev.as_ref().and_then(|prev| previous(core, key, prev)),
            }]
        }
        Output::Txn { wrote, revision, .. } => {
            let events = wrote.iter().map(|wrote| {
                let prev = wrote
                    .prev
                    .as_ref()
                    .and_then(|prev| previous(core, &wrote.key, prev));
                event(wrote, *revision, prev)
            });
            events.collect()
        }
        Output::Removed { keys, revision, .. } => {
            let events = keys.iter().map(|(key, prev)| Event::Delete {
                key: key.clone(),
                revision: *revision,
                prev: previous(core, key, prev),
            });
            events.collect()
        }
        _ => Vec::new(),
    }
}
