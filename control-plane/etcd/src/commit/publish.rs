//! What was committed becomes visible: to the observer, then to readers and watches, then to the writer who asked.

use super::{Answer, Applied, Writer};
use crate::{
    Error, Event, KeyValue,
    engine::{Core, hold},
    segment::Found,
    state::{Output, Version},
};
use bytes::Bytes;
use std::time::Duration;

impl Writer {
    pub(super) fn publish(&self, applied: Vec<Applied>) {
        let core = &self.core;
        let observer = hold(&core.observer);
        if let Some(observer) = &*observer {
            for applied in &applied {
                match events(core, &applied.output).as_slice() {
                    [] => {}
                    events => observer.committed(events[0].revision(), events),
                }
            }
        }
        let (revision, advanced) = {
            let mut shared = core.write();
            let revision = shared.state.revision();
            let advanced = revision > shared.visible;
            shared.visible = revision;
            shared.compacted = shared.state.compacted();
            (revision, advanced)
        };
        drop(observer);
        for applied in &applied {
            match &applied.output {
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
        for Applied { output, answer } in applied {
            if let Some(answer) = answer {
                // A writer that no longer waits need not be told.
                let _ = answer.send(outcome(core, output, revision));
            }
        }
    }
}

fn outcome(core: &Core, output: Output, revision: u64) -> Result<Answer, Error> {
    match output {
        Output::Put { version, .. } => Ok(Answer::Done(version.revision)),
        Output::Removed { revision, .. } => Ok(Answer::Done(revision)),
        Output::Granted(..) | Output::Compacted(..) | Output::Reserved(..) => Ok(Answer::Done(revision)),
        Output::Mismatch(_, None) => Ok(Answer::Mismatch(None, revision)),
        Output::Mismatch(key, Some(version)) => Ok(Answer::Mismatch(
            Some(find(core, &key, version).load()?),
            revision,
        )),
        Output::Refused(refusal) => Err(refusal.into()),
    }
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
                lease: version.lease,
            };
            vec![Event::Put {
                kv,
                prev: prev.as_ref().and_then(|prev| previous(core, key, prev)),
            }]
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
