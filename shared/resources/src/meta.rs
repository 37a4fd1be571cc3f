//! What is the same for all kinds: the fields of `metadata` that the server owns, and the rules for the others.

use crate::{
    Row, WriteRequest,
    names::{self, NameRule},
};
use api::{Object, Status, field, field::Error};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

const ANNOTATIONS_MAX: usize = 256 * 1024;
/// Finalizers that need no path.
pub(crate) const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];
const IMMUTABLE: &str = "field is immutable";

/// Fills what the server owns in a new object.
pub(crate) fn prepare_create(
    meta: &mut ObjectMeta,
    row: &Row,
    request: &WriteRequest<'_>,
) -> Result<(), Status> {
    scope(meta, row, request)?;
    meta.name = Some(request.name.to_owned()).filter(|name| !name.is_empty());
    wipe(meta);
    meta.uid = Some(request.uid.to_owned());
    meta.creation_timestamp = Some(Time(request.now));
    Ok(())
}

/// Forgets what only the server says of a new object.
pub(crate) fn wipe(meta: &mut ObjectMeta) {
    meta.uid = None;
    meta.creation_timestamp = None;
    meta.deletion_timestamp = None;
    meta.deletion_grace_period_seconds = None;
    meta.generation = None;
    meta.resource_version = None;
    meta.self_link = None;
}

/// Takes what the server owns from the old object.
pub(crate) fn prepare_update(
    meta: &mut ObjectMeta,
    old: &ObjectMeta,
    row: &Row,
    request: &WriteRequest<'_>,
) -> Result<(), Status> {
    scope(meta, row, request)?;
    match &meta.name {
        None => meta.name.clone_from(&old.name),
        Some(name) if name != request.name => {
            return Err(Status::bad_request(format!(
                "the name of the object ({name}) does not match the name on the URL ({})",
                request.name
            )));
        }
        Some(_) => {}
    }
    if let (Some(uid), Some(old_uid)) = (&meta.uid, &old.uid)
        && uid != old_uid
    {
        let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {old_uid}");
        return Err(Status::conflict(&row.gvr(), request.name, &why));
    }
    meta.uid.clone_from(&old.uid);
    meta.creation_timestamp.clone_from(&old.creation_timestamp);
    meta.deletion_timestamp.clone_from(&old.deletion_timestamp);
    meta.deletion_grace_period_seconds = old.deletion_grace_period_seconds;
    meta.generation = old.generation;
    meta.generate_name.clone_from(&old.generate_name);
    meta.resource_version = None;
    meta.self_link = None;
    Ok(())
}

/// The namespace of the object is that of the URL.
pub(crate) fn scope(meta: &mut ObjectMeta, row: &Row, request: &WriteRequest<'_>) -> Result<(), Status> {
    let given = meta.namespace.as_deref().unwrap_or_default();
    if row.namespaced && !given.is_empty() && given != request.namespace {
        return Err(Status::bad_request(format!(
            "the namespace of the provided object does not match the namespace sent on the request: \
             {given:?} != {:?}",
            request.namespace
        )));
    }
    if row.namespaced {
        meta.namespace = Some(request.namespace.to_owned());
    } else if given.is_empty() {
        meta.namespace = None;
    }
    Ok(())
}

/// Rules for `metadata` of any object.
pub(crate) fn validate(meta: &ObjectMeta, namespaced: bool, rule: NameRule, errors: &mut Vec<Error>) {
    if let Some(prefix) = meta.generate_name.as_deref().filter(|prefix| !prefix.is_empty()) {
        // The prefix may end where a name may not.
        let masked = match prefix.strip_suffix('-') {
            Some(rest) if !rest.is_empty() => format!("{rest}-a"),
            _ => prefix.to_owned(),
        };
        invalid(errors, "metadata.generateName", prefix, rule(&masked));
    }
    match meta.name.as_deref() {
        None | Some("") => errors.push(Error::required(
            "metadata.name",
            "name or generateName is required",
        )),
        Some(name) => invalid(errors, "metadata.name", name, rule(name)),
    }
    match meta.namespace.as_deref().unwrap_or_default() {
        "" if namespaced => errors.push(Error::required("metadata.namespace", "")),
        "" => {}
        namespace if namespaced => invalid(
            errors,
            "metadata.namespace",
            namespace,
            names::dns_label(namespace),
        ),
        _ => errors.push(Error::forbidden("metadata.namespace", "not allowed on this type")),
    }
    validate_labels(meta.labels.as_ref(), "metadata.labels", errors);
    validate_annotations(meta.annotations.as_ref(), "metadata.annotations", errors);
    validate_owners(meta, errors);
    validate_finalizers(
        meta.finalizers.as_deref().unwrap_or_default(),
        "metadata.finalizers",
        errors,
    );
}

/// Rules for a change of `metadata`.
pub(crate) fn validate_update(new: &ObjectMeta, old: &ObjectMeta, errors: &mut Vec<Error>) {
    if old.deletion_timestamp.is_some() {
        let before = old.finalizers.as_deref().unwrap_or_default();
        let added: Vec<&String> = new
            .finalizers
            .as_deref()
            .unwrap_or_default()
            .iter()
            .filter(|f| !before.contains(f))
            .collect();
        if !added.is_empty() {
            let list: Vec<String> = added.iter().map(|f| format!("{f:?}")).collect();
            let why = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                list.join(", ")
            );
            errors.push(Error::forbidden("metadata.finalizers", why));
        }
    }
    if new.name != old.name {
        errors.push(Error::invalid("metadata.name", &new.name, IMMUTABLE));
    }
    if new.namespace != old.namespace {
        errors.push(Error::invalid("metadata.namespace", &new.namespace, IMMUTABLE));
    }
}

/// One `Invalid` for each of the words.
pub(crate) fn invalid(errors: &mut Vec<Error>, path: &str, value: impl serde::Serialize, words: Vec<String>) {
    errors.extend(
        words
            .into_iter()
            .map(|detail| Error::invalid(path, &value, detail)),
    );
}

/// Rules for labels.
pub(crate) fn validate_labels(
    labels: Option<&BTreeMap<String, String>>,
    path: &str,
    errors: &mut Vec<Error>,
) {
    for (key, value) in labels.into_iter().flatten() {
        invalid(errors, path, key, names::qualified_name(key));
        invalid(errors, path, value, names::label_value(value));
    }
}

/// Rules for annotations.
pub(crate) fn validate_annotations(
    map: Option<&BTreeMap<String, String>>,
    path: &str,
    errors: &mut Vec<Error>,
) {
    for key in map.into_iter().flatten().map(|(key, _)| key) {
        invalid(errors, path, key, names::qualified_name(&key.to_lowercase()));
    }
    let size: usize = map
        .into_iter()
        .flatten()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if size > ANNOTATIONS_MAX {
        errors.push(Error::too_long(path, ANNOTATIONS_MAX));
    }
}

fn validate_owners(meta: &ObjectMeta, errors: &mut Vec<Error>) {
    let path = "metadata.ownerReferences";
    let mut controller: Option<&str> = None;
    for owner in meta.owner_references.iter().flatten() {
        let version = owner.api_version.rsplit('/').next().unwrap_or_default();
        for (name, value, words) in [
            ("apiVersion", version, "version must not be empty"),
            ("kind", &owner.kind, "kind must not be empty"),
            ("name", &owner.name, "name must not be empty"),
            ("uid", &owner.uid, "uid must not be empty"),
        ] {
            if value.is_empty() {
                errors.push(Error::invalid(field::child(path, name), value, words));
            }
        }
        if owner.controller == Some(true) {
            if let Some(first) = controller {
                let why = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {}",
                    owner.name
                );
                errors.push(Error::invalid(path, &meta.owner_references, why));
            }
            controller = Some(&owner.name);
        }
    }
}

/// Rules for finalizers.
pub(crate) fn validate_finalizers(finalizers: &[String], path: &str, errors: &mut Vec<Error>) {
    for (i, name) in finalizers.iter().enumerate() {
        let wrong = names::qualified_name(name);
        let good = wrong.is_empty();
        invalid(errors, path, name, wrong);
        // A definition's own is older than the rule.
        let standard = STANDARD_FINALIZERS.contains(&name.as_str()) || *name == crate::apiextensions::CLEANUP;
        if good && !name.contains('/') && !standard {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            // Upstream counts those of `metadata` alone.
            let counted = field::index(path, i);
            let at = if path == "metadata.finalizers" {
                &counted
            } else {
                path
            };
            errors.push(Error::invalid(at, name, why));
        }
    }
}

/// The name of the newest object; of equally new ones, the first by name.
pub(crate) fn newest<'a>(objects: impl Iterator<Item = &'a Arc<Object>>) -> Option<String> {
    let order = |object: &&Arc<Object>| (object.creation_timestamp(), Reverse(object.name().to_owned()));
    objects.max_by_key(order).map(|object| object.name().to_owned())
}
