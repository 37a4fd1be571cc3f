//! Who manages which fields of what is written.

use super::{Call, Incoming, Place, Stage};
use crate::{cache::api_version, splice};
use api::{Object, Status};
use jiff::Timestamp;
use resources::{Op, Row, Written};
use schema::apply::{self, FieldSet, Node, Versions, Writer};

/// `written` with its managed fields.
pub(super) fn keep(
    place: &Place,
    call: &Call,
    op: Op,
    incoming: &Incoming,
    old: Option<&Object>,
    now: Timestamp,
    written: Written,
) -> Result<Written, Status> {
    let given = incoming.object.managed_fields();
    let fields = match incoming.stage {
        Stage::Sent => {
            let meant = written.meant.as_ref().unwrap_or(&written.body);
            updated(place, call, old, meant, given, now).unwrap_or_else(|why| {
                tracing::warn!(resource = %place.gvr(), why, "managed fields stay as they were");
                old.map_or_else(Vec::new, |old| old.managed_fields().to_vec())
            })
        }
        Stage::Applied | Stage::Prepared => given.to_vec(),
    };
    // A write that would only touch times changes nothing.
    let fields = match old {
        Some(old) if op != Op::Create && old.managed_fields() != fields => {
            let still = written.body == old.unmanaged();
            if still && apply::same_but_times(old.managed_fields(), &fields) {
                old.managed_fields().to_vec()
            } else {
                fields
            }
        }
        _ => fields,
    };
    if fields.is_empty() {
        return Ok(written);
    }
    let body = splice::set(&written.body, "metadata.managedFields", Some(&fields));
    Ok(Written {
        body: body.map_err(Status::internal)?.into(),
        ..written
    })
}

/// The managed fields after a write that is no apply.
fn updated(
    place: &Place,
    call: &Call,
    old: Option<&Object>,
    meant: &[u8],
    given: &[u8],
    now: Timestamp,
) -> Result<Vec<u8>, String> {
    let live = old.map_or(&b""[..], Object::managed_fields);
    let subresource = call.attributes.subresource.as_str();
    // By way of a subresource managed fields cannot be set.
    let given = if subresource.is_empty() { given } else { b"" };
    if old.is_some() && live.is_empty() && given.is_empty() {
        return Ok(Vec::new());
    }
    let (row, version) = (place.row(), place.api_version());
    let hub = row.gvk().api_version();
    let served = |json: &[u8]| in_version(row, json, &hub, &version);
    let before = old.map(Object::unmanaged);
    let reset = reset(row, subresource);
    with_versions(row, |versions| {
        let writer = Writer {
            name: &call.field_manager,
            version: &version,
            subresource,
            now,
            reset: &reset,
        };
        if hub == version {
            return apply::update(versions, writer, before.as_deref(), meant, live, given);
        }
        let before = before.as_deref().map(served).transpose()?;
        apply::update(versions, writer, before.as_deref(), &served(meant)?, live, given)
    })
}

/// Lets `act` see the versions of a resource.
pub(super) fn with_versions<T>(row: &'static Row, act: impl FnOnce(Versions<'_>) -> T) -> T {
    let convert = |json: &[u8], from: &str, to: &str| in_version(row, json, from, to);
    act(Versions {
        node: &|version| node(row, version),
        convert: &convert,
    })
}

/// The type of the resource in the served version `version`.
fn node(row: &'static Row, version: &str) -> Option<Node<'static>> {
    let (group, name) = version.rsplit_once('/').unwrap_or(("", version));
    row.version(group, name)?;
    match schema::type_of(group, name, row.kind) {
        Some(ty) => Some(Node::of(ty)),
        None => Some(Node::Object(None)),
    }
}

/// `json`, of one served version, as of another.
pub(super) fn in_version(
    row: &'static Row,
    json: &[u8],
    from: &str,
    to: &str,
) -> Result<Vec<u8>, String> {
    if from == to {
        return Ok(json.to_vec());
    }
    let version = |name: &str| {
        let found = row.versions.iter().find(|version| api_version(row, version) == name);
        found.ok_or_else(|| format!("no kind {:?} is registered for version {name:?}", row.kind))
    };
    let (from, target) = (version(from)?, version(to)?);
    let hub = from.to_hub.map(|to_hub| to_hub(json)).transpose();
    let hub = hub.map_err(|status| status.message)?;
    let json = hub.as_deref().unwrap_or(json);
    match target.from_hub {
        Some(from_hub) => from_hub(json).map_err(|status| status.message),
        None => splice::set(json, "apiVersion", Some(&splice::quoted(to))).map_err(|error| error.to_string()),
    }
}

/// What a write of the resource, or by way of a subresource, cannot change.
pub(super) fn reset(row: &Row, subresource: &str) -> FieldSet {
    let built_in = schema::type_of(row.group, row.hub, row.kind).is_some();
    let fields: &[&str] = match (subresource, row.group, row.plural) {
        ("", ..) if row.subresource("status").is_some() => &["status"],
        ("status", "apps", "deployments") => &["spec", "metadata.labels"],
        ("status", "", "pods") => &["spec", "metadata.deletionTimestamp", "metadata.ownerReferences"],
        ("status", ..) if built_in => &["spec"],
        ("status", ..) => &["spec", "metadata"],
        _ => &[],
    };
    FieldSet::of(fields)
}
