//! PATCH of the kind `apply`: server-side apply.

#[cfg(test)]
mod stories;

use super::{Call, Did, Handler, Incoming, Outcome, Place, Stage, Validation, managed};
use crate::{cache::Held, server::authorize, splice};
use api::{Object, Status};
use resources::Op;
use schema::apply::{ApplyError, Writer};

/// How often an object that comes and goes meanwhile is looked for again.
const TRIES: usize = 5;

/// An applied configuration.
struct Config {
    /// JSON with sorted keys.
    text: Vec<u8>,
    warnings: Vec<String>,
}

impl Config {
    fn read(patch: &[u8], validation: Validation) -> Result<Self, Status> {
        let text = schema::apply::config(patch)
            .map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
        let findings = schema::check_untyped(patch)
            .map(|findings| findings.0)
            .unwrap_or_default();
        let warnings: Vec<String> = findings.iter().map(ToString::to_string).collect();
        match validation {
            Validation::Strict if !warnings.is_empty() => {
                let why = format!("error strict decoding patch: {}", warnings.join(", "));
                Err(Status::bad_request(why))
            }
            Validation::Warn => Ok(Self { text, warnings }),
            _ => Ok(Self {
                text,
                warnings: Vec::new(),
            }),
        }
    }
}

impl Handler {
    /// Makes the object as `patch` says, as far as that is the caller's to say; creates it if it is not there.
    pub(crate) async fn apply(&self, place: &Place, call: &Call, patch: &[u8]) -> Result<Outcome, Status> {
        let config = Config::read(patch, call.validation)?;
        self.fresh().await?;
        for _ in 0..TRIES {
            let there = place.cache.get(&place.namespace, &place.name).is_some();
            let outcome = if there {
                let apply = |held: &Held| self.applied(place, call, &config, Some(held));
                self.transact(place, call, TRIES, apply).await
            } else {
                self.apply_new(place, call, &config).await
            };
            match outcome {
                Err(status) if there && status.is_not_found() => {}
                Err(status) if !there && status.is_already_exists() => {}
                outcome => return outcome,
            }
        }
        Err(Status::modified(&place.gvr(), &place.name))
    }

    async fn apply_new(&self, place: &Place, call: &Call, config: &Config) -> Result<Outcome, Status> {
        if !call.attributes.subresource.is_empty() {
            return Err(Status::not_found(&place.gvr(), &place.name));
        }
        let mut incoming = self.applied(place, call, config, None)?;
        if incoming.object.name().is_empty() {
            return Err(Status::bad_request(format!(
                "the name of the object ({} based on URL) was undeterminable: name must be provided",
                place.name
            )));
        }
        if !incoming.object.uid().is_empty() {
            let why = format!(
                "uid mismatch: the provided object specified uid {}, and no existing object was found",
                incoming.object.uid()
            );
            return Err(Status::conflict(&place.gvr(), &place.name, &why));
        }
        let mut call = call.clone();
        call.attributes.verb = "create".to_owned();
        authorize(&self.security, &call.attributes).await?;
        self.check_creation(place)?;
        incoming.object = incoming.object.at(0);
        let incoming = self.mutated(place, &call, Op::Create, incoming, None).await?;
        let outcome = self.create_as(place, &call, &incoming, &place.name).await?;
        Ok(Outcome {
            did: Did::Created,
            ..outcome
        })
    }

    /// What the object, as it is stored, becomes.
    fn applied(
        &self,
        place: &Place,
        call: &Call,
        config: &Config,
        old: Option<&Held>,
    ) -> Result<Incoming, Status> {
        let (row, version) = (place.row(), place.api_version());
        let subresource = call.attributes.subresource.as_str();
        let reset = managed::reset(place, subresource);
        let live = old.map(|old| old.version(place.version).unmanaged());
        let writer = Writer {
            name: &call.field_manager,
            version: &version,
            subresource,
            now: self.env.clock.wall(),
            reset: &reset,
        };
        let known = old.map_or(&b""[..], |old| old.hub().managed_fields());
        let applied = managed::with_versions(place, |versions| {
            let (live, text) = (live.as_deref(), &config.text);
            schema::apply::apply(versions, writer, row.kind, live, known, text, call.force)
        });
        let applied = applied.map_err(refusal)?;
        let mut incoming = Incoming::decode(place, Validation::Ignore, &applied.json)?;
        incoming.check_names(place)?;
        if !applied.managed.is_empty() {
            let fields = Some(applied.managed.as_slice());
            let body = splice::set(incoming.object.body(), "metadata.managedFields", fields);
            let body = body.map_err(Status::internal)?.into();
            let wanted = incoming.object.resource_version();
            incoming.object = Object::parse(body, wanted, row.fields).map_err(Status::internal)?;
        }
        incoming.warnings.clone_from(&config.warnings);
        incoming.stage = Stage::Applied;
        Ok(incoming)
    }
}

fn refusal(error: ApplyError) -> Status {
    let message = error.to_string();
    match error {
        ApplyError::BadRequest(message) => Status::bad_request(message),
        ApplyError::Failed(message) => Status {
            code: 500,
            message,
            ..Status::default()
        },
        ApplyError::Conflicts(conflicts) => {
            let status = Status {
                code: 409,
                reason: "Conflict".to_owned(),
                message,
                ..Status::default()
            };
            conflicts.into_iter().fold(status, |status, conflict| {
                let message = format!("conflict with {}", conflict.manager);
                status.with_cause("FieldManagerConflict", message, conflict.field)
            })
        }
    }
}
