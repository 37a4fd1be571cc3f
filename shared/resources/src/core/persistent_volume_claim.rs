//! PersistentVolumeClaim.

use super::persistent_volume::{CLASS_ANNOTATION, access_modes};
use crate::{
    Cell, Row, STATUS, WriteRequest,
    admission::{default_storage_class, storage_object_in_use_protection},
    cells, encode, meta, names, rules, selector,
    storage::storage_class,
    write::{Kind, write},
};
use api::{Object, Status, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimSpec, PersistentVolumeClaimStatus},
    apimachinery::pkg::api::resource::Quantity,
};
use serde::Deserialize;
use std::collections::BTreeMap;

pub(crate) static ROW: Row = Row {
    short_names: &["pvc"],
    prefix: "/registry/persistentvolumeclaims",
    subresources: &[STATUS],
    columns: &[
        cells::NAME,
        cells::column("Status", "string", "The phase of the claim."),
        cells::column("Volume", "string", "The volume that it is bound to."),
        cells::column("Capacity", "string", "The size of the volume."),
        cells::column("Access Modes", "string", "How the volume can be mounted."),
        cells::column("StorageClass", "string", "The class of the storage."),
        cells::column(
            "VolumeAttributesClass",
            "string",
            "The class of the volume's attributes.",
        ),
        cells::AGE,
        cells::wide("VolumeMode", "Whether the volume is a file system or a device."),
    ],
    cells: row_cells,
    ..Row::usual(
        "",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        "persistentvolumeclaim",
        write::<PersistentVolumeClaim>,
    )
};

/// The finalizer that keeps a claim while a pod uses it.
const PROTECTION: &str = "kubernetes.io/pvc-protection";

impl Kind for PersistentVolumeClaim {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        defaults(self);
    }

    fn prepare_create(&mut self, request: &WriteRequest<'_>) {
        self.status = Some(pending());
        storage_object_in_use_protection::admit(&mut self.metadata, PROTECTION, request);
    }

    fn admit(&mut self, old: Option<&Self>, request: &WriteRequest<'_>) -> Result<(), Status> {
        match old {
            Some(old) => admit_growth(self, old, request),
            None => {
                default_storage_class::admit(self, request);
                Ok(())
            }
        }
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        validate_spec(self, "spec", errors);
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        self.validate(errors);
        let same = with_mutable(self, old);
        if !encode::same(self.spec.as_ref().unwrap_or(&same), &same) {
            let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
            errors.push(Error::forbidden("spec", why));
        }
        if size(self) < size(old) {
            let shrunk = old
                .status
                .as_ref()
                .and_then(|status| status.capacity.as_ref()?.get("storage"));
            let had = shrunk.and_then(rules::parse);
            // An expansion that failed may be taken back, but not below what is there.
            if had.is_none() || size(self) <= had {
                let path = "spec.resources.requests.storage";
                errors.push(Error::forbidden(
                    path,
                    "field can not be less than status.capacity",
                ));
            }
        }
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }
}

fn pending() -> PersistentVolumeClaimStatus {
    PersistentVolumeClaimStatus {
        phase: Some("Pending".to_owned()),
        ..PersistentVolumeClaimStatus::default()
    }
}

/// Defaults of a claim; a StatefulSet's templates have them too.
pub(crate) fn defaults(claim: &mut PersistentVolumeClaim) {
    let spec = claim.spec.get_or_insert_default();
    spec.resources.get_or_insert_default();
    spec.volume_mode.get_or_insert_with(|| "Filesystem".to_owned());
    let status = claim.status.get_or_insert_default();
    let phase = status.phase.get_or_insert_default();
    if phase.is_empty() {
        "Pending".clone_into(phase);
    }
}

const MODES: [&str; 4] = [
    "ReadOnlyMany",
    "ReadWriteMany",
    "ReadWriteOnce",
    "ReadWriteOncePod",
];

/// Rules for the spec at `path`, of a claim or of a template of one.
pub(crate) fn validate_spec(claim: &PersistentVolumeClaim, path: &str, errors: &mut Vec<Error>) {
    let Some(spec) = &claim.spec else { return };
    let at = |name: &str| field::child(path, name);
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    access(
        modes,
        &at("accessModes"),
        "at least 1 access mode is required",
        errors,
    );
    if let Some(wanted) = &spec.selector {
        selector::validate(wanted, &at("selector"), errors);
    }
    let size = field::key(&at("resources"), "storage");
    match requested(claim) {
        None => errors.push(Error::required(size, "")),
        Some(quantity) => rules::positive(&size, quantity, errors),
    }
    for (name, class) in [
        ("storageClassName", &spec.storage_class_name),
        ("volumeAttributesClassName", &spec.volume_attributes_class_name),
    ] {
        if let Some(class) = class.as_deref().filter(|class| !class.is_empty()) {
            meta::invalid(errors, &at(name), class, names::dns_subdomain(class));
        }
    }
    let volume_modes = ["Block", "Filesystem"];
    let mode = spec.volume_mode.as_deref().unwrap_or_default();
    if !volume_modes.contains(&mode) {
        errors.push(Error::not_supported(at("volumeMode"), mode, &volume_modes));
    }
    if let Some(source) = &spec.data_source {
        let path = at("dataSource");
        rules::required(&field::child(&path, "name"), &source.name, errors);
        rules::required(&field::child(&path, "kind"), &source.kind, errors);
        let group = source.api_group.as_deref().unwrap_or_default();
        if group.is_empty() && source.kind != "PersistentVolumeClaim" {
            let why = "only 'PersistentVolumeClaim' is allowed if apiGroup is not set";
            errors.push(Error::invalid(path, &source.kind, why));
        }
    }
}

/// Rules for the access modes of claims and volumes.
pub(super) fn access(modes: &[String], path: &str, missing: &str, errors: &mut Vec<Error>) {
    if modes.is_empty() {
        errors.push(Error::required(path, missing));
    }
    for mode in modes {
        if !MODES.contains(&mode.as_str()) {
            errors.push(Error::not_supported(path, mode, &MODES));
        }
    }
    if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
        let why = "may not use ReadWriteOncePod with other access modes";
        errors.push(Error::forbidden(path, why));
    }
}

fn requested(claim: &PersistentVolumeClaim) -> Option<&Quantity> {
    let resources = claim.spec.as_ref()?.resources.as_ref()?;
    resources.requests.as_ref()?.get("storage")
}

fn size(claim: &PersistentVolumeClaim) -> Option<api::Quantity> {
    requested(claim).and_then(rules::parse)
}

fn phase(claim: &PersistentVolumeClaim) -> &str {
    let status = claim.status.as_ref();
    status
        .and_then(|status| status.phase.as_deref())
        .unwrap_or_default()
}

fn class(claim: &PersistentVolumeClaim) -> Option<&str> {
    let annotations = claim.metadata.annotations.as_ref();
    let old = annotations.and_then(|annotations| annotations.get(CLASS_ANNOTATION));
    old.or(claim.spec.as_ref()?.storage_class_name.as_ref())
        .map(String::as_str)
}

/// A claim may grow only if its class says so.
fn admit_growth(
    new: &PersistentVolumeClaim,
    old: &PersistentVolumeClaim,
    request: &WriteRequest<'_>,
) -> Result<(), Status> {
    if size(new) <= size(old) || !request.cluster.admits("PersistentVolumeClaimResize") {
        return Ok(());
    }
    let refuse = |why: &str| Err(Status::forbidden(&ROW.gvr(), request.name, why));
    if phase(old) != "Bound" {
        return refuse("Only bound persistent volume claims can be expanded");
    }
    let class = class(new).and_then(|name| request.cluster.get(&storage_class::RESOURCE, "", name));
    if class.is_none_or(|class| !storage_class::allows_expansion(&class)) {
        return refuse(
            "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
        );
    }
    Ok(())
}

/// The old spec, with what may change.
fn with_mutable(new: &PersistentVolumeClaim, old: &PersistentVolumeClaim) -> PersistentVolumeClaimSpec {
    let fresh = new.spec.clone().unwrap_or_default();
    let mut spec = old.spec.clone().unwrap_or_default();
    let bound = phase(old) == "Bound";
    if spec.volume_name.as_deref().unwrap_or_default().is_empty() {
        spec.volume_name = fresh.volume_name;
        // A class may be given later to a claim that waits for one.
        if spec.storage_class_name.is_none() {
            spec.storage_class_name = fresh.storage_class_name;
        }
    }
    if let (true, Some(size)) = (bound, requested(new)) {
        let resources = spec.resources.get_or_insert_default();
        let requests = resources.requests.get_or_insert_default();
        requests.insert("storage".to_owned(), size.clone());
    }
    if bound {
        spec.volume_attributes_class_name = fresh.volume_attributes_class_name;
    }
    spec
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: SpecView,
    status: StatusView,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SpecView {
    volume_name: String,
    storage_class_name: String,
    volume_attributes_class_name: Option<String>,
    volume_mode: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusView {
    phase: String,
    access_modes: Vec<String>,
    capacity: BTreeMap<String, String>,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let View { spec, status } = cells::view(object);
    let phase = if object.deletion_timestamp().is_some() {
        "Terminating"
    } else {
        &status.phase
    };
    let bound = !spec.volume_name.is_empty();
    let size = status.capacity.get("storage").map_or("0", String::as_str);
    vec![
        cells::name(object),
        cells::text(phase),
        Cell::Text(spec.volume_name),
        cells::text(if bound { size } else { "" }),
        Cell::Text(if bound {
            access_modes(&status.access_modes)
        } else {
            String::new()
        }),
        Cell::Text(
            object
                .annotation(CLASS_ANNOTATION)
                .unwrap_or(spec.storage_class_name),
        ),
        cells::or_unset(spec.volume_attributes_class_name),
        cells::age(object, now),
        cells::or_unset(spec.volume_mode),
    ]
}
