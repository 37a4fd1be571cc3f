//! The executor: carries a plan out and says what became of each write.

use crate::{LastOutcome, Outcome, PlannedWrite};
use api::{Gvr, Key, Object, Status};
use client::{Client, Recorder, Write};
use futures::future::join_all;
use std::{mem::discriminant, sync::Arc};

/// A write that was done, and the object as the server answered.
pub(crate) type Done = (PlannedWrite, Arc<Object>);

/// What became of a plan.
#[derive(Default)]
pub(crate) struct Carried {
    /// Of each write.
    pub outcome: LastOutcome,
    /// What was done.
    pub done: Vec<Done>,
    /// Objects that may be otherwise than the caches show: an answer was lost, or a name is taken.
    pub unsure: Vec<(Gvr, Key)>,
}

/// Carries out `writes`: runs of the same kind of write in batches of 1, 2, 4, …, others one by one. A refused write
/// ends the plan (the rest of its batch is already under way).
pub(crate) async fn execute(client: &Client, writes: Vec<PlannedWrite>, recorder: &Recorder) -> Carried {
    let Carried {
        mut outcome,
        mut done,
        mut unsure,
    } = Carried::default();
    let mut rest = writes.into_iter().peekable();
    let mut size = 1;
    let mut failed = false;
    while let Some(first) = rest.next() {
        if failed {
            outcome.0.push((first.label, Outcome::Skipped));
            continue;
        }
        let mut batch = vec![first];
        while batch.len() < size
            && let Some(next) = rest.next_if(|next| alike(next, &batch[0]))
        {
            batch.push(next);
        }
        let answers = join_all(
            batch
                .iter()
                .map(|w| client.write(w.target.clone(), w.write.clone())),
        )
        .await;
        let continued = rest.peek().is_some_and(|next| alike(next, &batch[0]));
        for (write, answer) in batch.into_iter().zip(answers) {
            let label = write.label;
            note(&write, &answer, recorder);
            let result = match answer {
                Ok(object) => {
                    let version = object.resource_version();
                    done.push((write, object));
                    Outcome::Done(version)
                }
                // What was to be deleted is gone: that is what was wanted.
                Err(status) if matches!(write.write, Write::Delete(_)) && status.is_not_found() => {
                    Outcome::Done(0)
                }
                Err(status) => {
                    failed = true;
                    if status.code == 504 || status.is_already_exists() {
                        unsure.extend(object_of(&write));
                    }
                    if status.code == 504 {
                        Outcome::Unknown(Box::new(status))
                    } else {
                        Outcome::Refused(Box::new(status))
                    }
                }
            };
            outcome.0.push((label, result));
        }
        size = if continued { size * 2 } else { 1 };
    }
    Carried {
        outcome,
        done,
        unsure,
    }
}

/// The object that a write is about; none if its name is the server's to choose.
fn object_of(write: &PlannedWrite) -> Option<(Gvr, Key)> {
    let target = &write.target;
    let name = match &write.write {
        Write::Create(body) if target.name.is_empty() => {
            api::scan::scalar(body, "metadata.name").ok()?.into_owned()
        }
        _ => target.name.clone(),
    };
    (!name.is_empty()).then(|| (target.gvr.clone(), Key::new(&target.namespace, name)))
}

fn note(write: &PlannedWrite, answer: &Result<Arc<Object>, Status>, recorder: &Recorder) {
    let (note, mark, text) = match answer {
        Ok(object) => (&write.done, "{name}", object.name()),
        // Who looks again sees what is there.
        Err(status) if status.is_already_exists() => return,
        Err(status) => (&write.refused, "{error}", status.message.as_str()),
    };
    if let Some(note) = note {
        recorder.record(
            note.about.clone(),
            note.severity,
            note.reason,
            note.message.replace(mark, text),
        );
    }
}

fn alike(a: &PlannedWrite, b: &PlannedWrite) -> bool {
    a.label == b.label && a.target.gvr == b.target.gvr && discriminant(&a.write) == discriminant(&b.write)
}
