//! Who manages which fields of what is written.

use super::{Call, Incoming, Place, Stage};
use crate::{
    cache::{Held, api_version},
    splice,
};
use api::{Object, Status, field};
use bytes::Bytes;
use jiff::Timestamp;
use resources::{Row, Written};
use schema::apply::{self, FieldSet, Node, Versions, Writer};

/// How long the name of a manager may be, in bytes.
pub const MANAGER_LENGTH: usize = 128;

/// Whether Go prints `c` as itself: as `unicode.IsPrint`, as far as names of managers matter.
pub fn printable(c: char) -> bool {
    c == ' '
        || !(c.is_control()
            || c.is_whitespace()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{feff}' | '\u{ad}'))
}

/// How long the name of a subresource may be there, in bytes.
const SUBRESOURCE_LENGTH: usize = 256;

/// What is wrong with the name of a manager.
pub fn check_manager(path: &str, name: &str) -> Vec<field::Error> {
    let mut errors = Vec::new();
    if name.len() > MANAGER_LENGTH {
        errors.push(field::Error::too_long(path, MANAGER_LENGTH));
    }
    for (at, c) in name.char_indices().filter(|(_, c)| !printable(*c)) {
        let why = format!("invalid character U+{:04X} (at position {at})", u32::from(c));
        errors.push(field::Error::invalid(path, name, why));
    }
    errors
}

/// What is wrong with managed fields that a client sends. Those that cannot be read are not taken, and so not wrong.
fn check(place: &Place, name: &str, given: &[u8]) -> Result<(), Status> {
    let mut errors = Vec::new();
    for (at, manager) in apply::read_managed(given).unwrap_or_default().iter().enumerate() {
        let path = field::index("metadata.managedFields", at);
        errors.extend(check_manager(&field::child(&path, "manager"), &manager.name));
        if manager.subresource.len() > SUBRESOURCE_LENGTH {
            let path = field::child(&path, "subresource");
            errors.push(field::Error::too_long(path, SUBRESOURCE_LENGTH));
        }
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Status::invalid(place.group(), place.row().kind, name, errors))
}

/// The managed fields of what the row made of `incoming`; empty: none.
pub(super) fn fields(
    place: &Place,
    call: &Call,
    incoming: &Incoming,
    old: Option<&Held>,
    now: Timestamp,
    written: &Written,
) -> Result<Vec<u8>, Status> {
    let given = incoming.object.managed_fields();
    if incoming.stage != Stage::Sent {
        return Ok(given.to_vec());
    }
    let live = old.map_or(&b""[..], |old| old.hub().managed_fields());
    if !given.is_empty() && given != live {
        check(place, incoming.object.name(), given)?;
    }
    Ok(
        updated(place, call, old, written, given, now).unwrap_or_else(|why| {
            tracing::warn!(resource = %place.gvr(), why, "managed fields stay as they were");
            live.to_vec()
        }),
    )
}

/// `written`, in its stored form, with its managed fields. A write that would only touch times changes nothing.
pub(super) fn keep(fields: Vec<u8>, old: Option<&Held>, written: Written) -> Result<Written, Status> {
    let same = |old: &&Object| {
        old.managed_fields() != fields
            && written.body == old.unmanaged()
            && apply::same_but_times(old.managed_fields(), &fields)
    };
    let old = old.map(|old| old.hub().as_ref()).filter(same);
    let fields = old.map_or(fields.as_slice(), Object::managed_fields);
    if fields.is_empty() {
        return Ok(written);
    }
    let body = splice::set(&written.body, "metadata.managedFields", Some(fields));
    Ok(Written {
        body: body.map_err(Status::internal)?.into(),
        ..written
    })
}

/// The managed fields after a write that is no apply.
fn updated(
    place: &Place,
    call: &Call,
    old: Option<&Held>,
    written: &Written,
    given: &[u8],
    now: Timestamp,
) -> Result<Vec<u8>, String> {
    let live = old.map_or(&b""[..], |old| old.hub().managed_fields());
    let subresource = call.attributes.subresource.as_str();
    // By way of a subresource managed fields cannot be set.
    let given = if subresource.is_empty() { given } else { b"" };
    if old.is_some() && live.is_empty() && given.is_empty() {
        return Ok(Vec::new());
    }
    let version = place.api_version();
    let before = old.map(|old| old.version(place.version).unmanaged());
    let meant = meant(place, written, &version)?;
    let reset = reset(place, subresource);
    with_versions(place, |versions| {
        let writer = Writer {
            name: &call.field_manager,
            version: &version,
            subresource,
            now,
            reset: &reset,
        };
        apply::update(versions, writer, before.as_deref(), &meant, live, given)
    })
}

/// What the client meant, in the version of the request. What a webhook will convert is still in it.
fn meant(place: &Place, written: &Written, version: &str) -> Result<Bytes, String> {
    let meant = written.meant.as_ref().unwrap_or(&written.body);
    let hub = place.row().gvk().api_version();
    let webhook = place
        .cache
        .custom()
        .is_some_and(|custom| custom.webhook.is_some());
    if webhook || hub == version {
        return Ok(meant.clone());
    }
    in_version(place.row(), meant, &hub, version).map(Bytes::from)
}

/// Lets `act` see the versions of a resource.
pub(super) fn with_versions<T>(place: &Place, act: impl FnOnce(Versions<'_>) -> T) -> T {
    let (row, custom) = (place.row(), place.cache.custom());
    let node = |version: &str| match &custom {
        Some(custom) => {
            let found = custom.versions.iter().find(|known| known.api_version == version);
            found.map(|version| Node::Object(version.schema.as_ref()))
        }
        None => built_in(row, version),
    };
    let convert = |json: &[u8], from: &str, to: &str| match &custom {
        // The fields that versions share; a webhook's answer is not waited for.
        Some(_) => renamed(json, to),
        None => in_version(row, json, from, to),
    };
    act(Versions {
        node: &node,
        convert: &convert,
    })
}

/// `live`, of the served version `version`, with what `patch` says, by the schema: what it does not name stays.
///
/// # Errors
/// See [`schema::apply::mutate`].
pub fn merged(place: &Place, version: &str, live: &[u8], patch: &[u8]) -> Result<Vec<u8>, String> {
    let patch = schema::apply::config(patch).map_err(|error| error.to_string())?;
    with_versions(place, |versions| {
        let node = (versions.node)(version).ok_or_else(|| format!("no corresponding type for {version}"))?;
        schema::apply::mutate(node, live, &patch)
    })
}

/// The type of the resource in the served version `version`.
fn built_in(row: &'static Row, version: &str) -> Option<Node<'static>> {
    let (group, name) = version.rsplit_once('/').unwrap_or(("", version));
    row.version(group, name)?;
    let ty = schema::type_of(group, name, row.kind);
    Some(ty.map_or(Node::Object(None), Node::of))
}

fn renamed(json: &[u8], version: &str) -> Result<Vec<u8>, String> {
    let version = splice::quoted(version);
    splice::set(json, "apiVersion", Some(&version)).map_err(|error| error.to_string())
}

/// `json`, of one served version, as of another.
fn in_version(row: &'static Row, json: &[u8], from: &str, to: &str) -> Result<Vec<u8>, String> {
    if from == to {
        return Ok(json.to_vec());
    }
    let version = |name: &str| {
        let found = row
            .versions
            .iter()
            .find(|version| api_version(row, version) == name);
        found.ok_or_else(|| format!("no kind {:?} is registered for version {name:?}", row.kind))
    };
    let (from, target) = (version(from)?, version(to)?);
    let hub = from.to_hub.map(|to_hub| to_hub(json)).transpose();
    let hub = hub.map_err(|status| status.message)?;
    let json = hub.as_deref().unwrap_or(json);
    match target.from_hub {
        Some(from_hub) => from_hub(json).map_err(|status| status.message),
        None => renamed(json, to),
    }
}

/// What a write of the resource, or by way of a subresource, cannot change.
pub(super) fn reset(place: &Place, subresource: &str) -> FieldSet {
    let row = place.row();
    let fields: &[&str] = match (subresource, row.group, row.plural) {
        ("", ..) if place.has("status") => &["status"],
        ("status", "apps", "deployments") => &["spec", "metadata.labels"],
        ("status", "", "pods") => &["spec", "metadata.deletionTimestamp", "metadata.ownerReferences"],
        ("status", ..) if place.cache.custom().is_some() => &["spec", "metadata"],
        ("status", ..) => &["spec"],
        _ => &[],
    };
    FieldSet::of(fields)
}
