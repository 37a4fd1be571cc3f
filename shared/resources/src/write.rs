//! `write::<K>`: the one path by which an object of a built-in kind comes to be stored. Pure: what it needs of time,
//! randomness and the cluster is in the request.

use crate::{Op, Refused, Row, WriteRequest, Written, encode, meta, names};
use api::{Status, field};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Serialize, de::DeserializeOwned};

/// What is special about a kind. Every method has a default that does nothing.
pub(crate) trait Kind:
    k8s_openapi::Resource + k8s_openapi::Metadata<Ty = ObjectMeta> + Serialize + DeserializeOwned + Clone
{
    /// Its row.
    const ROW: &'static Row;
    /// Its names.
    const NAMES: names::NameRule = names::dns_subdomain;
    /// `metadata.generation` counts changes of the spec.
    const GENERATION: bool = false;

    /// Fills what the client left out. Runs on every write, so it is idempotent.
    fn defaults(&mut self) {}
    /// Resets what a create may not set.
    fn prepare_create(&mut self, _request: &WriteRequest<'_>) {}
    /// Takes from the old object what an update may not set (the status).
    fn prepare_update(&mut self, _old: &Self) {}
    /// Takes from the old object what a write of the status may not set (the spec).
    fn prepare_status(&mut self, _old: &Self) {}
    /// The same for another subresource.
    fn prepare_subresource(&mut self, _name: &str, _old: &Self) {}
    /// Notes when something changed, after an update was prepared.
    fn stamp(&mut self, _old: &Self, _request: &WriteRequest<'_>) {}
    /// Admission: may change the object or refuse it after a look at the cluster. `old` is `None` for a create.
    fn admit(&mut self, _old: Option<&Self>, _request: &WriteRequest<'_>) -> Result<(), Status> {
        Ok(())
    }
    /// The same for a write of the status.
    fn admit_status(&mut self, _old: &Self, _request: &WriteRequest<'_>) -> Result<(), Status> {
        Ok(())
    }
    /// Rules for a new object.
    fn validate(&self, _errors: &mut Vec<field::Error>) {}
    /// Rules for a changed object; those for a new one unless the kind says otherwise.
    fn validate_update(&self, _old: &Self, errors: &mut Vec<field::Error>) {
        self.validate(errors);
    }
    /// Rules for a change through another subresource; those for any other change unless the kind says otherwise.
    fn validate_subresource(&self, _name: &str, old: &Self, errors: &mut Vec<field::Error>) {
        self.validate_update(old, errors);
    }
    /// Rules for a changed status.
    fn validate_status(&self, _old: &Self, _errors: &mut Vec<field::Error>) {}
    /// Takes addresses and ports, after validation.
    fn allocate(&mut self, _old: Option<&Self>, _request: &WriteRequest<'_>) -> Result<(), Refused> {
        Ok(())
    }
    /// Whether the change is one that `metadata.generation` counts.
    fn spec_changed(&self, _old: &Self) -> bool {
        false
    }
    /// Warnings for the client, unless it writes the status.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Decodes, defaults, prepares, admits, validates and encodes one object.
pub(crate) fn write<K: Kind>(request: &WriteRequest<'_>) -> Result<Written, Status> {
    let open = without_disabled::<K>(request)?;
    let mut new: K = decode(open.as_deref().unwrap_or(request.body))?;
    if request.for_admission {
        return for_admission(new, request);
    }
    let mut errors = Vec::new();
    let meant = match request.old {
        None => create(&mut new, request, &mut errors)?,
        Some(object) => {
            let old: K = serde_json::from_slice(&object.unmanaged()).map_err(Status::internal)?;
            update(&mut new, &old, request, &mut errors)?
        }
    };
    if !errors.is_empty() {
        return Err(Status::invalid(K::ROW.group, K::ROW.kind, request.name, errors));
    }
    let body = encoded(&new)?;
    Ok(Written {
        meant: (meant != body).then(|| meant.into()),
        body: body.into(),
        warnings: match request.op {
            Op::Status => Vec::new(),
            _ => new.warnings(),
        },
    })
}

/// The body without fields whose feature gates are off; `None`: it has none.
fn without_disabled<K: Kind>(request: &WriteRequest<'_>) -> Result<Option<Vec<u8>>, Status> {
    let Some(disabled) = request.cluster.disabled() else {
        return Ok(None);
    };
    let Some(ty) = schema::type_of(K::ROW.group, K::ROW.hub, K::ROW.kind) else {
        return Ok(None);
    };
    let old = request.old.map(|old| old.body().as_ref());
    disabled
        .drop(request.body, old, ty)
        .map_err(|error| Status::bad_request(error.to_string()))
}

/// The object as others may change it, and what the client meant. A new one has nothing yet of what the server makes.
fn for_admission<K: Kind>(mut new: K, request: &WriteRequest<'_>) -> Result<Written, Status> {
    let old: Option<K> = match request.old {
        Some(old) => Some(serde_json::from_slice(&old.unmanaged()).map_err(Status::internal)?),
        None => None,
    };
    let (mut meant, mut errors) = (new.clone(), Vec::new());
    let meant = match &old {
        None => create(&mut meant, request, &mut errors)?,
        Some(old) => update(&mut meant, old, request, &mut errors)?,
    };
    new.defaults();
    meta::scope(new.metadata_mut(), K::ROW, request)?;
    if old.is_none() {
        meta::wipe(new.metadata_mut());
    }
    if matches!(request.op, Op::Create | Op::Update) {
        new.admit(old.as_ref(), request)?;
    }
    Ok(Written {
        body: encoded(&new)?.into(),
        meant: Some(meant.into()),
        warnings: Vec::new(),
    })
}

/// Decodes an object, or says what cannot be read.
pub(crate) fn decode<K: k8s_openapi::Resource + DeserializeOwned>(body: &[u8]) -> Result<K, Status> {
    serde_json::from_slice(body).map_err(|error| unreadable(K::KIND, K::VERSION, &error))
}

fn unreadable(kind: &str, version: &str, error: &serde_json::Error) -> Status {
    Status::bad_request(format!(
        "{kind} in version {version:?} cannot be handled as a {kind}: {error}"
    ))
}

/// Answers what the client meant.
fn create<K: Kind>(
    new: &mut K,
    request: &WriteRequest<'_>,
    errors: &mut Vec<field::Error>,
) -> Result<Vec<u8>, Status> {
    new.defaults();
    meta::prepare_create(new.metadata_mut(), K::ROW, request)?;
    let meant = encoded(new)?;
    if K::GENERATION {
        new.metadata_mut().generation = Some(1);
    }
    new.prepare_create(request);
    new.admit(None, request)?;
    meta::validate(new.metadata(), K::ROW.namespaced, K::NAMES, errors);
    new.validate(errors);
    allocate(new, None, request, errors)?;
    Ok(meant)
}

fn encoded<K: Kind>(new: &K) -> Result<Vec<u8>, Status> {
    encode::checked(new).map_err(|error| unreadable(K::KIND, K::VERSION, &error))
}

/// Answers what the client meant, as far as it may be changed.
fn update<K: Kind>(
    new: &mut K,
    old: &K,
    request: &WriteRequest<'_>,
    errors: &mut Vec<field::Error>,
) -> Result<Vec<u8>, Status> {
    let given = (request.op == DELETE).then(|| new.metadata().clone());
    new.defaults();
    meta::prepare_update(new.metadata_mut(), old.metadata(), K::ROW, request)?;
    match request.op {
        Op::Create | Op::Update => new.prepare_update(old),
        Op::Status => new.prepare_status(old),
        Op::Subresource(_) if given.is_some() => {}
        Op::Subresource(name) => new.prepare_subresource(name, old),
    }
    new.stamp(old, request);
    if K::GENERATION && request.op != Op::Status && new.spec_changed(old) {
        let generation = old.metadata().generation.unwrap_or_default() + 1;
        new.metadata_mut().generation = Some(generation);
    }
    if let Some(given) = given {
        let meta = new.metadata_mut();
        (meta.deletion_timestamp, meta.generation) = (given.deletion_timestamp, given.generation);
        meta.deletion_grace_period_seconds = given.deletion_grace_period_seconds;
        new.defaults();
        return Ok(Vec::new());
    }
    let meant = encoded(new)?;
    if request.op == Op::Update {
        new.admit(Some(old), request)?;
    }
    if request.op == Op::Status {
        new.admit_status(old, request)?;
    }
    meta::validate(new.metadata(), K::ROW.namespaced, no_rule, errors);
    meta::validate_update(new.metadata(), old.metadata(), errors);
    match request.op {
        Op::Status => new.validate_status(old, errors),
        Op::Subresource(name) => new.validate_subresource(name, old, errors),
        Op::Create | Op::Update => new.validate_update(old, errors),
    }
    names::keep_addresses(errors, || {
        let mut known = Vec::new();
        old.validate(&mut known);
        known
    });
    allocate(new, Some(old), request, errors)?;
    Ok(meant)
}

/// An object that is there keeps its name, whatever today's rule says.
fn no_rule(_: &str) -> Vec<String> {
    Vec::new()
}

fn allocate<K: Kind>(
    new: &mut K,
    old: Option<&K>,
    request: &WriteRequest<'_>,
    errors: &mut Vec<field::Error>,
) -> Result<(), Status> {
    if !errors.is_empty() {
        return Ok(());
    }
    match new.allocate(old, request) {
        Err(Refused::Field(error)) => errors.push(error),
        Err(Refused::Whole(status)) => return Err(status),
        Ok(()) => {}
    }
    Ok(())
}

/// The write that marks an object as being deleted: the handler sets `deletionTimestamp`, the grace period and the
/// finalizers, the kind shows it where it must (a Namespace in its phase). Nothing is validated.
const DELETE: Op = Op::Subresource("delete");
