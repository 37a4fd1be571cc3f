//! DELETE: preconditions, grace, finalizers.

use super::{Call, Did, Handler, Incoming, Outcome, Place, Stage, commit::Commit, view::View};
use crate::{audit::Layer, cache::Held, splice};
use api::{Gvr, Object, Status};
use bytes::Bytes;
use client::DeleteOptions;
use resources::Op;

const TRIES: usize = 32;
const FOREGROUND: &str = "foregroundDeletion";
const ORPHAN: &str = "orphan";

impl Handler {
    /// Deletes an object, or begins to.
    pub async fn delete(
        &self,
        place: &Place,
        call: &Call,
        options: &DeleteOptions,
    ) -> Result<Outcome, Status> {
        self.check_mortal(place)?;
        self.fresh().await?;
        for _ in 0..TRIES {
            let held = self.current(place)?;
            check_preconditions(place, held.hub(), options)?;
            self.admit_delete(place, call, held.hub(), options).await?;
            if let Some(outcome) = self.delete_once(place, call, &held, options).await? {
                return Ok(outcome);
            }
        }
        Err(Status::modified(&place.gvr(), &place.name))
    }

    /// One try; none when another writer was faster.
    async fn delete_once(
        &self,
        place: &Place,
        call: &Call,
        held: &Held,
        options: &DeleteOptions,
    ) -> Result<Option<Outcome>, Status> {
        let old = held.hub();
        let finalizers = finalizers(place, old, options);
        let grace = (place.row().grace)(old, options.grace_period_seconds);
        if grace.is_none() && finalizers.is_empty() && !(place.row().lingers)(old) {
            return self.remove(place, call, held).await;
        }
        let marked = self.marked(old, grace.unwrap_or(0), &finalizers)?;
        let body = if marked == *old.body() {
            marked
        } else {
            self.prepared(place, call, held, marked).await?
        };
        if body == *old.body() {
            let object = held.version(place.version).clone();
            return Ok(Some(Outcome {
                object,
                did: Did::Stored,
                warnings: Vec::new(),
            }));
        }
        let revision = old.resource_version();
        if call.dry_run {
            let object = self.shown(place, body, revision).await?;
            return Ok(Some(Outcome {
                object,
                did: Did::Stored,
                warnings: Vec::new(),
            }));
        }
        let commit = self.commit(place, &place.name, revision, Some(body.clone()));
        match call.notes.during(Layer::Store, commit).await? {
            Commit::Lost | Commit::Again => Ok(None),
            Commit::Done(revision) => {
                let object = self.stored(place, &place.name, body, revision).await?;
                Ok(Some(Outcome {
                    object,
                    did: Did::Stored,
                    warnings: Vec::new(),
                }))
            }
        }
    }

    /// Lets the row see the mark (a Namespace shows it in its phase).
    async fn prepared(&self, place: &Place, call: &Call, old: &Held, marked: Bytes) -> Result<Bytes, Status> {
        let view = View::new(self);
        let object = Object::parse(marked, 0, place.row().fields).map_err(Status::internal)?;
        let incoming = Incoming {
            object,
            warnings: Vec::new(),
            stage: Stage::Applied,
        };
        let op = Op::Subresource("delete");
        Ok(self
            .prepare(place, call, &view, op, &incoming, Some(old), &place.name)
            .await?
            .body)
    }

    async fn remove(&self, place: &Place, call: &Call, held: &Held) -> Result<Option<Outcome>, Status> {
        let gone = |object| {
            Ok(Some(Outcome {
                object,
                did: Did::Deleted,
                warnings: Vec::new(),
            }))
        };
        let last = held.version(place.version);
        if call.dry_run {
            return gone(last.clone());
        }
        let commit = self.commit(place, &place.name, held.hub().resource_version(), None);
        match call.notes.during(Layer::Store, commit).await? {
            Commit::Lost | Commit::Again => Ok(None),
            Commit::Done(revision) => gone(std::sync::Arc::new(last.at(revision))),
        }
    }

    /// The object marked as going in `grace` seconds. What was marked before is only ever hastened.
    fn marked(&self, old: &Object, grace: i64, finalizers: &[String]) -> Result<Bytes, Status> {
        let broken = |error: api::scan::ScanError| Status::internal(error);
        let mut body = old.body().to_vec();
        let hastened = old.deletion_grace_seconds().is_none_or(|left| grace < left);
        if old.deletion_timestamp().is_none() || hastened {
            let begun = old.deletion_timestamp().map(|end| {
                let left = old.deletion_grace_seconds().unwrap_or(0);
                end - jiff::SignedDuration::from_secs(left)
            });
            let end = begun.unwrap_or_else(|| self.env.clock.wall()) + jiff::SignedDuration::from_secs(grace);
            let end = format!("\"{}\"", end.strftime("%Y-%m-%dT%H:%M:%SZ"));
            body = splice::set(&body, "metadata.deletionTimestamp", Some(end.as_bytes())).map_err(broken)?;
            let seconds = grace.to_string();
            body = splice::set(
                &body,
                "metadata.deletionGracePeriodSeconds",
                Some(seconds.as_bytes()),
            )
            .map_err(broken)?;
            if old.generation() > 0 && old.deletion_timestamp().is_none() {
                let next = (old.generation() + 1).to_string();
                body = splice::set(&body, "metadata.generation", Some(next.as_bytes())).map_err(broken)?;
            }
        }
        if !finalizers.iter().map(String::as_str).eq(old.finalizers()) {
            let list = serde_json::to_vec(finalizers).map_err(Status::internal)?;
            let list = (!finalizers.is_empty()).then_some(list.as_slice());
            body = splice::set(&body, "metadata.finalizers", list).map_err(broken)?;
        }
        Ok(body.into())
    }
}

fn check_preconditions(place: &Place, object: &Object, options: &DeleteOptions) -> Result<(), Status> {
    // Upstream names the kind where it means the resource.
    let kind = Gvr::new(place.group(), place.served().name, place.row().kind);
    let conflict = |why: String| Err(Status::conflict(&kind, &place.name, &why));
    if let Some(uid) = options.uid.as_deref().filter(|uid| *uid != object.uid()) {
        return conflict(format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). \
             The object might have been deleted and then recreated",
            object.uid()
        ));
    }
    let version = object.resource_version();
    if let Some(wanted) = options.resource_version.filter(|wanted| *wanted != version) {
        return conflict(format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record \
             ({version}). The object might have been modified"
        ));
    }
    Ok(())
}

/// The finalizers that the propagation policy leaves: `Foreground` and `Orphan` add their own, a policy that is named
/// takes the others' away, and none keeps what is there or else follows the resource's default.
fn finalizers(place: &Place, object: &Object, options: &DeleteOptions) -> Vec<String> {
    let ours = [FOREGROUND, ORPHAN];
    let standing = object.finalizers().find(|f| ours.contains(f)).map(str::to_owned);
    let added = match options.propagation_policy {
        Some("Foreground") => Some(FOREGROUND.to_owned()),
        Some("Orphan") => Some(ORPHAN.to_owned()),
        Some(_) => None,
        None => standing.or_else(|| (place.row().propagation == "Orphan").then(|| ORPHAN.to_owned())),
    };
    let others = object
        .finalizers()
        .filter(|f| !ours.contains(f))
        .map(str::to_owned);
    others.chain(added).collect()
}
