//! The write of a custom resource: what `write::<K>` is for built-in kinds.

use super::{Custom, CustomVersion};
use crate::{
    Op, WriteRequest, Written, encode, meta,
    names::{self, NameRule},
};
use api::{
    Status,
    field::{self, Error},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schema::Instance;

/// Prepares and validates an object in the version of the request, and gives it in the stored one (unless a webhook
/// converts it: then in the version of the request). The body is in shape already, and `old` is of that version too.
pub(super) fn write(request: &WriteRequest<'_>) -> Result<Written, Status> {
    let Some((custom, index)) = request.custom else {
        return Err(Status::internal("a custom resource without a definition"));
    };
    if request.op == Op::Subresource("delete") {
        return Ok(written(request.body.to_vec(), Vec::new()));
    }
    let version = &custom.versions[index];
    let mut new = Instance::parse(request.body).map_err(Status::internal)?;
    let mut errors = Vec::new();
    let warnings = match request.old {
        None => create(&mut new, custom, version, request, &mut errors)?,
        Some(object) => {
            let old = Instance::parse(&object.unmanaged()).map_err(Status::internal)?;
            update(&mut new, &old, custom, version, request, &mut errors)?
        }
    };
    if !errors.is_empty() {
        let row = custom.row;
        return Err(Status::invalid(row.group, row.kind, request.name, errors));
    }
    let body = new.to_json();
    if custom.webhook.is_some() || index == custom.hub {
        return Ok(written(body, warnings));
    }
    let body = custom.renamed(custom.hub, &body).map_err(Status::internal)?;
    Ok(written(body, warnings))
}

fn written(body: Vec<u8>, warnings: Vec<String>) -> Written {
    Written {
        body: body.into(),
        meant: None,
        warnings,
    }
}

fn metadata(instance: &Instance) -> Result<ObjectMeta, Status> {
    instance.member("metadata").map_err(Status::bad_request)
}

fn set_metadata(instance: &mut Instance, meta: &ObjectMeta) -> Result<(), Status> {
    let text = encode::canonical(meta)?;
    instance.set("metadata", &text).map_err(Status::internal)
}

fn create(
    new: &mut Instance,
    custom: &Custom,
    version: &CustomVersion,
    request: &WriteRequest<'_>,
    errors: &mut Vec<Error>,
) -> Result<Vec<String>, Status> {
    let mut meta = metadata(new)?;
    meta::prepare_create(&mut meta, custom.row, request)?;
    meta.generation = Some(1);
    set_metadata(new, &meta)?;
    if version.status {
        new.remove("status");
    }
    if !of_type(new, custom, version, errors) {
        return Ok(Vec::new());
    }
    validate_metadata(&meta, custom, names::dns_subdomain, errors);
    if let Some(schema) = &version.schema {
        errors.extend(new.check(schema, None));
    }
    scale(new, version, false, errors);
    let mut warnings = finalizer_warnings(&meta, &[]);
    warnings.extend(rules(new, None, version, errors));
    Ok(warnings)
}

fn update(
    new: &mut Instance,
    old: &Instance,
    custom: &Custom,
    version: &CustomVersion,
    request: &WriteRequest<'_>,
    errors: &mut Vec<Error>,
) -> Result<Vec<String>, Status> {
    let (mut meta, before) = (metadata(new)?, metadata(old)?);
    meta::prepare_update(&mut meta, &before, custom.row, request)?;
    let status = request.op == Op::Status;
    if status {
        // Only the status is taken.
        let mut kept = old.clone();
        kept.copy("status", new);
        *new = kept;
        meta = before.clone();
    } else {
        if version.status {
            new.copy("status", old);
        }
        if !new.same_but("metadata", old) {
            meta.generation = Some(before.generation.unwrap_or_default() + 1);
        }
    }
    set_metadata(new, &meta)?;
    if !of_type(new, custom, version, errors) {
        return Ok(Vec::new());
    }
    validate_metadata(&meta, custom, |_| Vec::new(), errors);
    meta::validate_update(&meta, &before, errors);
    if let Some(schema) = &version.schema {
        errors.extend(if status {
            new.check_member("status", schema, Some(old))
        } else {
            new.check(schema, Some(old))
        });
    }
    scale(new, version, status, errors);
    let mut warnings = finalizer_warnings(&meta, before.finalizers.as_deref().unwrap_or_default());
    warnings.extend(rules(new, Some(old), version, errors));
    Ok(warnings)
}

/// The rules in CEL. Answers what is wrong as it was before.
fn rules(
    new: &Instance,
    old: Option<&Instance>,
    version: &CustomVersion,
    errors: &mut Vec<Error>,
) -> Vec<String> {
    let (Some(schema), Some(rules)) = (&version.schema, version.rules()) else {
        return Vec::new();
    };
    let verdict = new.run(schema, rules, old, errors);
    errors.extend(verdict.errors);
    verdict.warnings
}

/// The rules for `metadata`. Of finalizers without a path upstream only warns here.
fn validate_metadata(meta: &ObjectMeta, custom: &Custom, rule: NameRule, errors: &mut Vec<Error>) {
    let finalizers = meta.finalizers.as_deref().unwrap_or_default();
    let bare = ObjectMeta {
        finalizers: None,
        ..meta.clone()
    };
    meta::validate(&bare, custom.row.namespaced, rule, errors);
    for name in finalizers {
        meta::invalid(errors, "metadata.finalizers", name, names::qualified_name(name));
    }
}

/// Warnings of new finalizers that others may take for theirs.
fn finalizer_warnings(meta: &ObjectMeta, before: &[String]) -> Vec<String> {
    let new = meta
        .finalizers
        .iter()
        .flatten()
        .filter(|name| !before.contains(name));
    let odd = new.filter(|name| !name.contains('/') && !meta::STANDARD_FINALIZERS.contains(&name.as_str()));
    odd.map(|name| {
        let path = if name.contains('.') { " including a path (/)" } else { "" };
        format!(
            "metadata.finalizers: {name:?}: prefer a domain-qualified finalizer name{path} to avoid accidental \
             conflicts with other finalizer writers"
        )
    })
    .collect()
}

/// Whether the object says what it is.
fn of_type(new: &Instance, custom: &Custom, version: &CustomVersion, errors: &mut Vec<Error>) -> bool {
    let before = errors.len();
    for (name, wanted) in [("kind", custom.row.kind), ("apiVersion", &version.api_version)] {
        let given = new.text(name);
        if given != wanted {
            errors.push(Error::invalid(name, given, format!("must be {wanted}")));
        }
    }
    errors.len() == before
}

/// The numbers behind `/scale`.
fn scale(new: &Instance, version: &CustomVersion, status_only: bool, errors: &mut Vec<Error>) {
    let Some(paths) = &version.scale else { return };
    let mut number = |path: &str| {
        let at = format!(".{path}");
        match new.integer(path) {
            Err(why) => errors.push(Error::invalid(at, 0, why)),
            Ok(Some(n)) if n < 0 => {
                errors.push(Error::invalid(at, n, "should be a non-negative integer"));
            }
            Ok(Some(n)) if n > i64::from(i32::MAX) => {
                let why = format!("should be less than or equal to {}", i32::MAX);
                errors.push(Error::invalid(at, n, why));
            }
            Ok(_) => {}
        }
    };
    if !status_only {
        number(paths.spec_replicas);
    }
    number(paths.status_replicas);
    if !paths.selector.is_empty()
        && let Err(why) = new.string(paths.selector)
    {
        errors.push(Error::invalid(
            field::child("", &format!(".{}", paths.selector)),
            "",
            why,
        ));
    }
}
