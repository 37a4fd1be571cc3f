//! What a controller wants done, and what became of it.

use api::{
    Gvr, Key, Object, Status,
    decision::{Reason, Verdict},
};
use bytes::Bytes;
use client::{About, DeleteOptions, Patch, Severity, Target, Write};
use serde::Serialize;
use std::time::Duration;

/// A write that is to be done.
#[derive(Clone, Debug)]
pub struct PlannedWrite {
    /// On what.
    pub target: Target,
    /// What.
    pub write: Write,
    /// A name by which the controller finds the outcome again, such as `create-pod`.
    pub label: &'static str,
    /// Recorded when it is done; `{name}` in the message stands for the name of the object as written.
    pub done: Option<Note>,
    /// Recorded when it is refused; `{error}` in the message stands for the server's words.
    pub refused: Option<Note>,
}

/// An event that is to be recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Note {
    /// About what.
    pub about: About,
    /// How it is meant.
    pub severity: Severity,
    /// Machine-readable reason.
    pub reason: &'static str,
    /// For a person.
    pub message: String,
}

impl Note {
    /// As it should be.
    pub fn normal(about: About, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            about,
            severity: Severity::Normal,
            reason,
            message: message.into(),
        }
    }

    /// Someone should look.
    pub fn warning(about: About, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            about,
            severity: Severity::Warning,
            reason,
            message: message.into(),
        }
    }
}

/// What a controller wants done.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// In this order; equal kinds in a row run in slow-start batches; the first refusal ends the plan.
    pub writes: Vec<PlannedWrite>,
    /// Recorded once the writes are through.
    pub events: Vec<Note>,
    /// Look again after so long, whatever happens.
    pub requeue_after: Option<Duration>,
    /// Why; with a verdict, it becomes a decision record.
    pub reasons: Vec<Reason>,
    /// The verdict of the record.
    pub verdict: Option<Verdict>,
}

impl Plan {
    /// Nothing to do.
    pub fn nothing() -> Self {
        Self::default()
    }

    fn push(&mut self, label: &'static str, target: Target, write: Write) {
        self.writes.push(PlannedWrite {
            target,
            write,
            label,
            done: None,
            refused: None,
        });
    }

    /// Creates an object.
    pub fn create(&mut self, label: &'static str, gvr: &Gvr, namespace: &str, object: &impl Serialize) {
        self.push(
            label,
            Target::collection(gvr, namespace),
            Write::Create(encode(object)),
        );
    }

    /// Replaces an object; the body carries the resourceVersion it is based on.
    pub fn update(
        &mut self,
        label: &'static str,
        gvr: &Gvr,
        key: &Key,
        sub: &'static str,
        object: &impl Serialize,
    ) {
        self.push(
            label,
            Target::object(gvr, key).sub(sub),
            Write::Update(encode(object)),
        );
    }

    /// Patches an object. A precondition goes into the patch as `metadata.uid` or `metadata.resourceVersion`.
    pub fn patch(
        &mut self,
        label: &'static str,
        gvr: &Gvr,
        key: &Key,
        sub: &'static str,
        kind: Patch,
        patch: &impl Serialize,
    ) {
        self.push(
            label,
            Target::object(gvr, key).sub(sub),
            Write::Patch(kind, encode(patch)),
        );
    }

    /// Deletes exactly this object (by UID), in the background.
    pub fn delete(&mut self, label: &'static str, gvr: &Gvr, object: &Object) {
        let options = DeleteOptions {
            uid: Some(object.uid().to_owned()),
            propagation_policy: Some("Background"),
            ..DeleteOptions::default()
        };
        self.push(label, Target::object(gvr, &object.key()), Write::Delete(options));
    }

    /// Adds to the last write what is recorded when it is done, and when it is refused.
    pub fn noting(&mut self, done: Option<Note>, refused: Option<Note>) {
        if let Some(write) = self.writes.last_mut() {
            write.done = done;
            write.refused = refused;
        }
    }

    /// Records an event.
    pub fn event(&mut self, note: Note) {
        self.events.push(note);
    }

    /// Says why.
    pub fn because(&mut self, verdict: Verdict, reason: Reason) {
        self.verdict = Some(verdict);
        self.reasons.push(reason);
    }

    /// Looks again after `delay`, or sooner if that was wished before.
    pub fn again_after(&mut self, delay: Duration) {
        self.requeue_after = Some(self.requeue_after.map_or(delay, |d| d.min(delay)));
    }
}

fn encode(object: &impl Serialize) -> Bytes {
    // Views serialize to maps with string keys; that cannot fail.
    serde_json::to_vec(object).map(Bytes::from).unwrap_or_default()
}

/// What became of one write.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Done, at this resourceVersion.
    Done(u64),
    /// Refused: nothing was written.
    Refused(Box<Status>),
    /// It may or may not have been written.
    Unknown(Box<Status>),
    /// Not tried, because one before it was refused.
    Skipped,
}

/// What became of each write of the last plan for the key. Empty the first time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LastOutcome(pub Vec<(&'static str, Outcome)>);

impl LastOutcome {
    /// The first refusal of a write named `label`.
    pub fn refused(&self, label: &str) -> Option<&Status> {
        self.0.iter().find_map(|(l, outcome)| match outcome {
            Outcome::Refused(status) if *l == label => Some(&**status),
            _ => None,
        })
    }

    /// Nobody could see what has the names that are taken: it may be what was wanted.
    pub(crate) fn doubt(&mut self) {
        for (_, outcome) in &mut self.0 {
            if let Outcome::Refused(status) = outcome
                && status.is_already_exists()
            {
                *outcome = Outcome::Unknown(status.clone());
            }
        }
    }

    /// Whether all writes were done.
    pub fn is_done(&self) -> bool {
        self.0
            .iter()
            .all(|(_, outcome)| matches!(outcome, Outcome::Done(_)))
    }

    /// Whether the plan lost a race: something it was based on had changed.
    pub fn is_conflict(&self) -> bool {
        self.0
            .iter()
            .any(|(_, outcome)| matches!(outcome, Outcome::Refused(status) if status.is_conflict()))
    }
}
