//! Where a write meets admission.

use super::{Call, Handler, Incoming, Place, Stage, managed, view::View};
use crate::{
    admission::{Attributes, Operation, Rounds},
    cache::Held,
    splice,
};
use api::{Gvk, Object, Status};
use client::DeleteOptions;
use resources::{Op, WriteRequest, Written};
use std::sync::Arc;

/// What admission looks at.
pub(super) struct Subject {
    operation: Operation,
    /// The name that the client gave.
    name: String,
    old: Option<Arc<Object>>,
    new: Option<Arc<Object>>,
}

impl Subject {
    pub(super) fn create(name: &str, new: Object) -> Self {
        Self {
            operation: Operation::Create,
            name: name.to_owned(),
            old: None,
            new: Some(Arc::new(new)),
        }
    }

    pub(super) fn update(old: Arc<Object>, new: Object) -> Self {
        Self {
            operation: Operation::Update,
            name: old.name().to_owned(),
            old: Some(old),
            new: Some(Arc::new(new)),
        }
    }
}

impl Handler {
    /// The mutating phase: `incoming` as the plugins leave it. It is as it came if none mutates such a request.
    pub(super) async fn mutated(
        &self,
        place: &Place,
        call: &Call,
        op: Op,
        incoming: Incoming,
        old: Option<&Held>,
    ) -> Result<Incoming, Status> {
        if call.admitted || incoming.stage == Stage::Prepared {
            return Ok(incoming);
        }
        let operation = if old.is_some() { Operation::Update } else { Operation::Create };
        let name = incoming.object.name().to_owned();
        let mut attributes = attributes(place, call, operation, &name);
        attributes.old = old.map(|old| old.hub().clone());
        if !self.admission.mutates(&attributes) {
            return Ok(incoming);
        }
        let wanted = incoming.object.resource_version();
        let object = self.admissible(place, call, op, &incoming, old).await?;
        attributes.object = Some(Arc::new(object));
        self.admission.admit(&mut attributes).await?;
        let object = attributes.object.take().ok_or_else(Status::no_such_path)?;
        let incoming = Incoming {
            object: object.at(wanted),
            warnings: incoming.warnings,
            stage: Stage::Applied,
        };
        incoming.check_names(place)?;
        Ok(incoming)
    }

    /// The object with its defaults, and the managed fields that it has by what the client alone meant.
    async fn admissible(
        &self,
        place: &Place,
        call: &Call,
        op: Op,
        incoming: &Incoming,
        old: Option<&Held>,
    ) -> Result<Object, Status> {
        let (row, body, now) = (place.row(), incoming.object.unmanaged(), self.env.clock.wall());
        let written = if place.cache.custom().is_some() {
            let body = match (row.namespaced, incoming.object.namespace()) {
                (true, "") => {
                    let namespace = splice::quoted(&place.namespace);
                    let set = splice::set(&body, "metadata.namespace", Some(&namespace));
                    set.map_err(Status::internal)?.into()
                }
                _ => body,
            };
            Written {
                body,
                meant: None,
                warnings: Vec::new(),
            }
        } else {
            (row.write)(&WriteRequest {
                op,
                body: &body,
                old: old.map(|old| old.hub().as_ref()),
                namespace: if row.namespaced { &place.namespace } else { "" },
                name: if place.name.is_empty() { incoming.object.name() } else { &place.name },
                uid: "",
                now,
                user: call.attributes.user.requester(),
                cluster: &View::new(self),
                custom: None,
                for_admission: true,
            })?
        };
        let fields = managed::fields(place, call, incoming, old, now, &written)?;
        let fields = (!fields.is_empty()).then_some(fields.as_slice());
        let body = splice::set(&written.body, "metadata.managedFields", fields).map_err(Status::internal)?;
        // A patch names no version: it is of the one that is there.
        let version = match (incoming.object.resource_version(), old) {
            (0, Some(old)) if call.attributes.verb == "patch" => old.hub().resource_version(),
            (version, _) => version,
        };
        Object::parse(body.into(), version, row.fields).map_err(Status::internal)
    }

    /// The validating phase.
    pub(super) async fn validate(&self, place: &Place, call: &Call, subject: Subject) -> Result<(), Status> {
        if call.admitted {
            return Ok(());
        }
        let Subject {
            operation,
            name,
            old,
            new,
        } = subject;
        let attributes = Attributes {
            object: new,
            old,
            ..attributes(place, call, operation, &name)
        };
        self.admission.validate(&attributes).await
    }

    /// Both phases for what is not an object of its resource: the body of a subresource, a connection's options.
    pub(crate) async fn admit_whole(&self, attributes: &mut Attributes<'_>) -> Result<(), Status> {
        if attributes.call.admitted {
            return Ok(());
        }
        self.admission.admit(attributes).await?;
        self.admission.validate(attributes).await
    }

    /// Both phases for an object that goes.
    pub(super) async fn admit_delete(
        &self,
        place: &Place,
        call: &Call,
        old: &Arc<Object>,
        options: &DeleteOptions,
    ) -> Result<(), Status> {
        let mut attributes = Attributes {
            old: Some(old.clone()),
            delete: Some(options),
            ..attributes(place, call, Operation::Delete, &call.attributes.name)
        };
        self.admit_whole(&mut attributes).await
    }
}

fn attributes<'a>(place: &'a Place, call: &'a Call, operation: Operation, name: &'a str) -> Attributes<'a> {
    Attributes {
        call,
        operation,
        place: Some(place),
        kind: kind(place),
        name,
        object: None,
        old: None,
        delete: None,
        rounds: Rounds::default(),
    }
}

/// The resource's own kind in the version of the request.
fn kind(place: &Place) -> Gvk {
    Gvk::new(place.group(), place.served().name, place.row().kind)
}
