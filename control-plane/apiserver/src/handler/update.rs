//! PUT, and the transaction that PUT and PATCH share.

use super::{
    Call, Did, Handler, Incoming, Outcome, Place, Stage,
    admit::{Subject, settle},
    commit::Commit,
    view::View,
};
use crate::{audit::Layer, cache::Held};
use api::{Object, Status, field};
use resources::{Op, Written};

/// Tries of a write that names no resourceVersion, before it is a conflict.
const TRIES: usize = 32;

impl Handler {
    /// Replaces an object, or with a subresource its part.
    pub async fn update(&self, place: &Place, call: &Call, body: &[u8]) -> Result<Outcome, Status> {
        let incoming = Incoming::decode(place, call.validation, body)?;
        incoming.check_names(place)?;
        if incoming.object.name().is_empty() {
            let name = &place.name;
            return Err(Status::bad_request(format!(
                "the name of the object ({name} based on URL) was undeterminable: name must be provided"
            )));
        }
        super::decode::check_version(body)?;
        if let Some(outcome) = self.create_on_update(place, call, &incoming).await? {
            return Ok(outcome);
        }
        let unconditional = place.row().unconditional && place.cache.custom().is_none();
        let text = incoming.object.body().clone();
        let version = incoming.object.resource_version();
        let fields = place.row().fields;
        self.transact(place, call, TRIES, |_| {
            if version == 0 && !unconditional {
                return Err(versionless(place, incoming.object.name()));
            }
            let object = Object::parse(text.clone(), version, fields).map_err(Status::internal)?;
            Ok(Incoming {
                object,
                warnings: incoming.warnings.clone(),
                stage: Stage::Sent,
            })
        })
        .await
    }

    /// Makes the object that a PUT finds missing, of a kind that allows it, for who may create it.
    async fn create_on_update(
        &self,
        place: &Place,
        call: &Call,
        incoming: &Incoming,
    ) -> Result<Option<Outcome>, Status> {
        if !place.row().create_on_update || !place.subresource.is_empty() {
            return Ok(None);
        }
        self.fresh().await?;
        if self.current(place).is_ok() {
            return Ok(None);
        }
        let mut creation = call.clone();
        creation.attributes.verb = "create".to_owned();
        crate::server::authorize(&self.security, &creation.attributes).await?;
        if incoming.object.resource_version() != 0 {
            return Err(Status::modified(&place.gvr(), &place.name));
        }
        self.check_creation(place)?;
        let made = self.create_as(place, &creation, incoming, &place.name).await?;
        Ok(Some(made))
    }

    /// Reads the object, lets `make` say what it should be, and writes it if nobody else did meanwhile; else again, at
    /// most `tries` times. The resourceVersion of what `make` returns is a precondition.
    pub async fn transact(
        &self,
        place: &Place,
        call: &Call,
        tries: usize,
        make: impl Fn(&Held) -> Result<Incoming, Status>,
    ) -> Result<Outcome, Status> {
        self.fresh().await?;
        for _ in 0..tries {
            let held = self.current(place)?;
            self.ensure(place, std::slice::from_ref(&held)).await?;
            let incoming = make(&held)?;
            let stale = || Status::modified(&place.gvr(), &place.name);
            let wanted = incoming.object.resource_version();
            if wanted != 0 && wanted != held.hub().resource_version() {
                return Err(stale());
            }
            check_uid(place, &incoming.object, held.hub())?;
            match self.replace(place, call, &held, incoming).await? {
                Some(outcome) => return Ok(outcome),
                None if wanted != 0 => return Err(stale()),
                None => {}
            }
        }
        Err(Status::modified(&place.gvr(), &place.name))
    }

    /// One try; none when another writer was faster.
    async fn replace(
        &self,
        place: &Place,
        call: &Call,
        held: &Held,
        mut incoming: Incoming,
    ) -> Result<Option<Outcome>, Status> {
        let name = place.name.as_str();
        let view = View::new(self);
        let written = match incoming.stage {
            Stage::Prepared => Written {
                body: incoming.object.body().clone(),
                meant: None,
                warnings: Vec::new(),
            },
            _ => {
                let op = op(place)?;
                incoming = self.mutated(place, call, op, incoming, Some(held)).await?;
                self.prepare(place, call, &view, op, &incoming, Some(held), name)
                    .await?
            }
        };
        let replaced = self
            .replace_admitted(place, call, held, incoming, written, &view)
            .await;
        settle(call, &replaced).await;
        replaced
    }

    /// Lets the plugins see what is to be stored, and stores it.
    async fn replace_admitted(
        &self,
        place: &Place,
        call: &Call,
        held: &Held,
        incoming: Incoming,
        written: Written,
        view: &View<'_>,
    ) -> Result<Option<Outcome>, Status> {
        let (old, name) = (held.hub(), place.name.as_str());
        let revision = old.resource_version();
        let new =
            Object::parse(written.body.clone(), revision, place.row().fields).map_err(Status::internal)?;
        let gone = self.finished(place, &new);
        self.validate(place, call, Subject::update(old.clone(), new))
            .await?;
        let warnings = [incoming.warnings, written.warnings].concat();
        if !gone && written.body == *held.stored() {
            let object = held.version(place.version).clone();
            return Ok(Some(Outcome {
                object,
                did: Did::Stored,
                warnings,
            }));
        }
        let did = if gone { Did::Deleted } else { Did::Stored };
        if call.dry_run {
            let object = self.shown(place, written.body, revision).await?;
            return Ok(Some(Outcome {
                object,
                did: Did::Stored,
                warnings,
            }));
        }
        let stored = (!gone).then(|| written.body.clone());
        let picked = view.picked();
        let commit = self.commit_with(&picked, place, name, revision, stored);
        match call.notes.during(Layer::Store, commit).await? {
            Commit::Lost | Commit::Again => Ok(None),
            Commit::Done(revision) => {
                call.undo.keep();
                let object = self.stored(place, name, written.body, revision).await?;
                Ok(Some(Outcome {
                    object,
                    did,
                    warnings,
                }))
            }
        }
    }

    /// Whether an object that is being deleted has nothing left that holds it.
    fn finished(&self, place: &Place, object: &Object) -> bool {
        object.deletion_timestamp().is_some()
            && object.finalizers().next().is_none()
            && object.deletion_grace_seconds().unwrap_or(0) == 0
            && !(place.row().lingers)(object)
    }
}

/// Some kinds are replaced only as they were read.
fn versionless(place: &Place, name: &str) -> Status {
    let why = "must be specified for an update";
    let error = field::Error::invalid("metadata.resourceVersion", 0, why);
    // Upstream names the resource where it means the kind.
    Status::invalid(place.group(), place.row().plural, name, vec![error])
}

fn op(place: &Place) -> Result<Op, Status> {
    match place.subresource.as_str() {
        "" => Ok(Op::Update),
        "status" => Ok(Op::Status),
        name => {
            let known = place.row().subresource(name).ok_or_else(Status::no_such_path)?;
            Ok(Op::Subresource(known.name))
        }
    }
}

fn check_uid(place: &Place, new: &Object, old: &Object) -> Result<(), Status> {
    if new.uid().is_empty() || new.uid() == old.uid() {
        return Ok(());
    }
    let why = format!(
        "Precondition failed: UID in precondition: {}, UID in object meta: {}",
        new.uid(),
        old.uid()
    );
    Err(Status::conflict(&place.gvr(), &place.name, &why))
}
