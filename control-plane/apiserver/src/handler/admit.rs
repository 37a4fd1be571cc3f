//! Where a write meets admission.

use super::{Call, Handler, Incoming, Place, Stage, decode, managed, view::View};
use crate::{
    admission::{Attributes, Operation, Rounds},
    cache::Held,
    splice,
};
use api::{
    Gvk, Object, Status, field,
    scan::{self, ScanError},
};
use bytes::Bytes;
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

/// A body that is no object of its resource.
pub(crate) struct Body<'a> {
    /// What is done.
    pub operation: Operation,
    /// The resource; none for a review.
    pub place: Option<&'a Place>,
    /// What the body is.
    pub kind: Gvk,
    /// The object that it is about.
    pub name: &'a str,
    /// The body.
    pub json: Bytes,
    /// The same as it is now.
    pub old: Option<Arc<Object>>,
}

impl Handler {
    /// Lets plugins make the namespace that is not there.
    pub(super) async fn provide(&self, place: &Place, call: &Call) -> Result<(), Status> {
        let attributes = attributes(place, call, Operation::Create, &place.name);
        self.admission.provide(&attributes).await?;
        self.fresh().await
    }

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
        let operation = if old.is_some() {
            Operation::Update
        } else {
            Operation::Create
        };
        let name = incoming.object.name().to_owned();
        let mut attributes = attributes(place, call, operation, &name);
        attributes.old = old.map(|old| old.hub().clone());
        if !self.admission.mutates(&attributes) {
            return Ok(incoming);
        }
        let wanted = incoming.object.resource_version();
        let object = self.admissible(place, call, op, &incoming, old)?;
        let managed = object.managed_fields().to_vec();
        let normal = |body: Bytes| self.normal(place, call, op, body, old);
        attributes.normal = Some(&normal);
        attributes.object = Some(Arc::new(object));
        self.admission.admit(&mut attributes).await?;
        keep_managed(&mut attributes, &managed)?;
        let object = attributes.object.take().ok_or_else(Status::no_such_path)?;
        let incoming = Incoming {
            object: object.at(wanted),
            warnings: incoming.warnings,
            stage: Stage::Applied,
        };
        check_identity(place, &incoming.object, old)?;
        Ok(incoming)
    }

    /// The object with its defaults, and the managed fields that it has by what the client alone meant.
    fn admissible(
        &self,
        place: &Place,
        call: &Call,
        op: Op,
        incoming: &Incoming,
        old: Option<&Held>,
    ) -> Result<Object, Status> {
        let now = self.env.clock.wall();
        let written = self.defaulted(place, call, op, &incoming.object, old)?;
        let fields = managed::fields(place, call, incoming, old, now, &written)?;
        let fields = (!fields.is_empty()).then_some(fields.as_slice());
        let body = splice::set(&written.body, "metadata.managedFields", fields).map_err(Status::internal)?;
        // A patch names no version: it is of the one that is there.
        let version = match (incoming.object.resource_version(), old) {
            (0, Some(old)) if call.attributes.verb == "patch" => old.hub().resource_version(),
            (version, _) => version,
        };
        Object::parse(body.into(), version, place.row().fields).map_err(Status::internal)
    }

    /// `object` with its defaults, and what the client meant by it.
    fn defaulted(
        &self,
        place: &Place,
        call: &Call,
        op: Op,
        object: &Object,
        old: Option<&Held>,
    ) -> Result<Written, Status> {
        let (row, body) = (place.row(), object.unmanaged());
        if place.cache.custom().is_some() {
            let missing = row.namespaced && object.namespace().is_empty();
            let body = if missing {
                in_namespace(&body, &place.namespace)
                    .map_err(Status::internal)?
                    .into()
            } else {
                body
            };
            return Ok(Written {
                body,
                meant: None,
                warnings: Vec::new(),
            });
        }
        (row.write)(&WriteRequest {
            op,
            body: &body,
            old: old.map(|old| old.hub().as_ref()),
            namespace: if row.namespaced { &place.namespace } else { "" },
            name: if place.name.is_empty() {
                object.name()
            } else {
                &place.name
            },
            uid: "",
            now: self.env.clock.wall(),
            user: call.attributes.user.requester(),
            cluster: &View::new(self),
            custom: None,
            for_admission: true,
        })
    }

    /// An object as others left it, in shape again.
    fn normal(
        &self,
        place: &Place,
        call: &Call,
        op: Op,
        body: Bytes,
        old: Option<&Held>,
    ) -> Result<Bytes, Status> {
        if let Some(custom) = place.cache.custom() {
            let shaped = custom.shaped(place.version, &body).map_err(Status::internal)?;
            return Ok(shaped.into());
        }
        let object = Object::parse_any(body, place.row().fields).map_err(Status::internal)?;
        check_identity(place, &object, old)?;
        let written = self.defaulted(place, call, op, &object, old);
        let written = written.map_err(|status| match status.code {
            400 => Status::internal(status.message),
            _ => status,
        })?;
        let fields = Some(object.managed_fields()).filter(|fields| !fields.is_empty());
        splice::set(&written.body, "metadata.managedFields", fields)
            .map(Bytes::from)
            .map_err(Status::internal)
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

    /// Both phases for what is not an object of its resource: the body of a subresource, a review, the options of a
    /// connection. Answers the body as it is then.
    pub(crate) async fn admit_body(&self, call: &Call, what: Body<'_>) -> Result<Bytes, Status> {
        let mut attributes = Attributes {
            call,
            operation: what.operation,
            place: what.place,
            kind: what.kind,
            name: what.name,
            object: None,
            old: what.old,
            delete: None,
            rounds: Rounds::default(),
            normal: None,
        };
        if !(self.admission.mutates(&attributes) || self.admission.validates(&attributes)) {
            return Ok(what.json);
        }
        let body = in_full(&attributes, &what.json).map_err(|error| {
            Status::bad_request(format!("the body is no {}: {error}", attributes.kind.kind))
        })?;
        let object = Object::parse_any(body.into(), &[]).map_err(Status::internal)?;
        attributes.object = Some(Arc::new(object));
        self.admit_whole(&mut attributes).await?;
        let object = attributes.object.take();
        Ok(object.map_or(what.json, |object| object.to_json()))
    }

    async fn admit_whole(&self, attributes: &mut Attributes<'_>) -> Result<(), Status> {
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

/// What the plugins did for a write that was not done is undone; of one that may have been done nothing is. Of one that
/// was done nothing is left here.
pub(super) async fn settle<T>(call: &Call, done: &Result<T, Status>) {
    match done {
        Err(status) if status.reason == "Timeout" => call.undo.keep(),
        _ => call.undo.run().await,
    }
}

/// An object that the plugins changed is still the one that the request is about.
fn check_identity(place: &Place, object: &Object, old: Option<&Held>) -> Result<(), Status> {
    let Some(old) = old.map(Held::hub) else {
        return decode::check_names(place, object);
    };
    let namespace = object.namespace();
    if place.row().namespaced && !namespace.is_empty() && namespace != place.namespace {
        let why = "the namespace of the provided object does not match the namespace sent on the request";
        return Err(Status::bad_request(why));
    }
    let immutable = |field: &str, value: &str| field::Error::invalid(field, value, "field is immutable");
    let (name, uid) = (object.name(), object.uid());
    let mut errors = Vec::new();
    if name != old.name() {
        errors.push(immutable("metadata.name", name));
    }
    if !uid.is_empty() && uid != old.uid() {
        errors.push(immutable("metadata.uid", uid));
    }
    if name.is_empty() {
        let why = "name or generateName is required";
        errors.push(field::Error::required("metadata.name", why));
    }
    match errors.is_empty() {
        true => Ok(()),
        false => Err(Status::invalid(place.group(), place.row().kind, name, errors)),
    }
}

/// The body with its namespace, even if it has no metadata at all.
fn in_namespace(body: &[u8], namespace: &str) -> Result<Vec<u8>, ScanError> {
    let found = scan::find(body, "metadata")?.filter(|range| &body[range.clone()] != b"null");
    let whole = match found {
        Some(_) => None,
        None => Some(splice::set(body, "metadata", Some(b"{}"))?),
    };
    let body = whole.as_deref().unwrap_or(body);
    splice::set(body, "metadata.namespace", Some(&splice::quoted(namespace)))
}

/// The body with what a client may leave out: what it is, and its namespace.
fn in_full(attributes: &Attributes<'_>, body: &[u8]) -> Result<Vec<u8>, ScanError> {
    let kind = &attributes.kind;
    let version = match &*kind.group {
        "" => kind.version.to_string(),
        group => format!("{group}/{}", kind.version),
    };
    let mut body = splice::set(body, "apiVersion", Some(&splice::quoted(&version)))?;
    body = splice::set(&body, "kind", Some(&splice::quoted(&kind.kind)))?;
    let namespace = &attributes.request().namespace;
    if attributes.operation != Operation::Connect && !namespace.is_empty() {
        body = in_namespace(&body, namespace)?;
    }
    Ok(body)
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
        normal: None,
    }
}

/// Managed fields that a plugin has spoiled are as they were before.
fn keep_managed(attributes: &mut Attributes<'_>, before: &[u8]) -> Result<(), Status> {
    let Some(object) = attributes.object.clone() else {
        return Ok(());
    };
    let Err(why) = schema::apply::read_managed(object.managed_fields()) else {
        return Ok(());
    };
    attributes.notes().warn(format!(
        ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated \
         mutating admission controller; please fix your requests: {why}"
    ));
    let before = (!before.is_empty()).then_some(before);
    let body = splice::set(object.body(), "metadata.managedFields", before).map_err(Status::internal)?;
    attributes.set_object(body.into())
}

/// The resource's own kind in the version of the request.
fn kind(place: &Place) -> Gvk {
    Gvk::new(place.group(), place.served().name, place.row().kind)
}
