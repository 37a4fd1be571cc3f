//! PersistentVolume.

use super::{
    persistent_volume_claim::access,
    pod::{validation::node_selector, volumes},
};
use crate::{
    Cell, Row, STATUS, WriteRequest,
    admission::storage_object_in_use_protection,
    cells, encode, meta, names, rules,
    write::{Kind, write},
};
use api::{Object, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{PersistentVolume, PersistentVolumeSpec, PersistentVolumeStatus},
    apimachinery::pkg::apis::meta::v1::Time,
};
use serde::Deserialize;
use std::collections::BTreeMap;

pub(crate) static ROW: Row = Row {
    short_names: &["pv"],
    namespaced: false,
    prefix: "/registry/persistentvolumes",
    subresources: &[STATUS],
    columns: &[
        cells::NAME,
        cells::column("Capacity", "string", "The size of the volume."),
        cells::column("Access Modes", "string", "How the volume can be mounted."),
        cells::column(
            "Reclaim Policy",
            "string",
            "What becomes of the volume when its claim goes.",
        ),
        cells::column("Status", "string", "The phase of the volume."),
        cells::column("Claim", "string", "The claim that it is bound to."),
        cells::column("StorageClass", "string", "The class of the storage."),
        cells::column(
            "VolumeAttributesClass",
            "string",
            "The class of the volume's attributes.",
        ),
        cells::column("Reason", "string", "Why it is in its phase, in one word."),
        cells::AGE,
        cells::wide("VolumeMode", "Whether the volume is a file system or a device."),
    ],
    cells: row_cells,
    ..Row::usual(
        "",
        "PersistentVolume",
        "persistentvolumes",
        "persistentvolume",
        write::<PersistentVolume>,
    )
};

/// The old place of the name of the storage class; it goes before `storageClassName`.
pub(crate) const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
/// The finalizer that keeps a volume while it is bound.
const PROTECTION: &str = "kubernetes.io/pv-protection";

impl Kind for PersistentVolume {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        spec.persistent_volume_reclaim_policy
            .get_or_insert_with(|| "Retain".to_owned());
        spec.volume_mode.get_or_insert_with(|| "Filesystem".to_owned());
        if let Some(host) = &mut spec.host_path {
            host.type_.get_or_insert_default();
        }
        let status = self.status.get_or_insert_default();
        let phase = status.phase.get_or_insert_default();
        if phase.is_empty() {
            "Pending".clone_into(phase);
        }
    }

    fn prepare_create(&mut self, request: &WriteRequest<'_>) {
        self.status = Some(PersistentVolumeStatus {
            phase: Some("Pending".to_owned()),
            last_phase_transition_time: Some(Time(request.now)),
            ..PersistentVolumeStatus::default()
        });
        storage_object_in_use_protection::admit(&mut self.metadata, PROTECTION, request);
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    fn stamp(&mut self, old: &Self, request: &WriteRequest<'_>) {
        let (Some(new), Some(old)) = (&mut self.status, &old.status) else {
            return;
        };
        let told = new.last_phase_transition_time.is_some()
            && new.last_phase_transition_time != old.last_phase_transition_time;
        if new.phase != old.phase && !told {
            new.last_phase_transition_time = Some(Time(request.now));
        } else if new.phase == old.phase && new.last_phase_transition_time.is_none() {
            new.last_phase_transition_time
                .clone_from(&old.last_phase_transition_time);
        }
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        if let Some(spec) = &self.spec {
            validate_spec(spec, errors);
        }
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        self.validate(errors);
        let (Some(new), Some(old)) = (&self.spec, &old.spec) else {
            return;
        };
        if !encode::same(&only_source(new), &only_source(old)) {
            let why = "spec.persistentvolumesource is immutable after creation";
            errors.push(Error::forbidden("spec.persistentvolumesource", why));
        }
        rules::immutable("volumeMode", &new.volume_mode, &old.volume_mode, errors);
        if old.node_affinity.is_some() {
            rules::immutable(
                "spec.nodeAffinity",
                &new.node_affinity,
                &old.node_affinity,
                errors,
            );
        }
    }
}

fn validate_spec(spec: &PersistentVolumeSpec, errors: &mut Vec<Error>) {
    let modes = spec.access_modes.as_deref().unwrap_or_default();
    access(modes, "spec.accessModes", "", errors);
    let empty = BTreeMap::new();
    let capacity = spec.capacity.as_ref().unwrap_or(&empty);
    if capacity.is_empty() {
        errors.push(Error::required("spec.capacity", ""));
    }
    if !capacity.contains_key("storage") || capacity.len() > 1 {
        errors.push(Error::not_supported("spec.capacity", capacity, &["storage"]));
    }
    for (name, quantity) in capacity {
        rules::positive(&field::key("spec.capacity", name), quantity, errors);
    }
    let policies = ["Delete", "Recycle", "Retain"];
    let policy = spec.persistent_volume_reclaim_policy.as_deref();
    let path = "spec.persistentVolumeReclaimPolicy";
    rules::one_of(policy, &policies, path, errors);
    if let Some(affinity) = &spec.node_affinity {
        match &affinity.required {
            Some(selector) => node_selector(selector, "spec.nodeAffinity.required", errors),
            None => {
                let why = "must specify required node constraints";
                errors.push(Error::required("spec.nodeAffinity.required", why));
            }
        }
    }
    validate_source(spec, errors);
    let root = spec
        .host_path
        .as_ref()
        .is_some_and(|host| host.path.trim_end_matches('/').is_empty());
    if root && policy == Some("Recycle") {
        let why = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(Error::forbidden(path, why));
    }
    for (path, class) in [
        ("spec.storageClassName", &spec.storage_class_name),
        (
            "spec.volumeAttributesClassName",
            &spec.volume_attributes_class_name,
        ),
    ] {
        if let Some(class) = class.as_deref().filter(|class| !class.is_empty()) {
            meta::invalid(errors, path, class, names::dns_subdomain(class));
        }
    }
    let modes = ["Block", "Filesystem"];
    rules::one_of(spec.volume_mode.as_deref(), &modes, "spec.volumeMode", errors);
}

fn validate_source(spec: &PersistentVolumeSpec, errors: &mut Vec<Error>) {
    let sources = sources(spec);
    if sources.is_empty() {
        errors.push(Error::required("spec", "must specify a volume type"));
    }
    for extra in sources.iter().skip(1) {
        let why = "may not specify more than 1 volume type";
        errors.push(Error::forbidden(field::child("spec", extra), why));
    }
    if let Some(host) = &spec.host_path {
        volumes::host_path(host, "spec.hostPath", errors);
    }
    if let Some(local) = &spec.local {
        rules::required("spec.local.path", &local.path, errors);
        if local.path.split('/').any(|part| part == "..") {
            errors.push(Error::invalid(
                "spec.local.path",
                &local.path,
                "must not contain '..'",
            ));
        }
        if spec.node_affinity.is_none() {
            let why = "Local volume requires node affinity";
            errors.push(Error::required("spec.nodeAffinity", why));
        }
    }
    if let Some(nfs) = &spec.nfs {
        rules::required("spec.nfs.server", &nfs.server, errors);
        rules::required("spec.nfs.path", &nfs.path, errors);
        if !nfs.path.is_empty() && !nfs.path.starts_with('/') {
            errors.push(Error::invalid(
                "spec.nfs.path",
                &nfs.path,
                "must be an absolute path",
            ));
        }
    }
    if let Some(csi) = &spec.csi {
        names::csi_driver("spec.csi.driver", &csi.driver, errors);
        rules::required("spec.csi.volumeHandle", &csi.volume_handle, errors);
    }
}

/// The kinds of storage that are named.
fn sources(spec: &PersistentVolumeSpec) -> Vec<&'static str> {
    let all = [
        ("hostPath", spec.host_path.is_some()),
        ("gcePersistentDisk", spec.gce_persistent_disk.is_some()),
        ("awsElasticBlockStore", spec.aws_elastic_block_store.is_some()),
        ("glusterfs", spec.glusterfs.is_some()),
        ("flocker", spec.flocker.is_some()),
        ("nfs", spec.nfs.is_some()),
        ("rbd", spec.rbd.is_some()),
        ("quobyte", spec.quobyte.is_some()),
        ("cephFS", spec.cephfs.is_some()),
        ("iscsi", spec.iscsi.is_some()),
        ("cinder", spec.cinder.is_some()),
        ("fc", spec.fc.is_some()),
        ("flexVolume", spec.flex_volume.is_some()),
        ("azureFile", spec.azure_file.is_some()),
        ("vsphereVolume", spec.vsphere_volume.is_some()),
        ("photonPersistentDisk", spec.photon_persistent_disk.is_some()),
        ("portworxVolume", spec.portworx_volume.is_some()),
        ("azureDisk", spec.azure_disk.is_some()),
        ("scaleIO", spec.scale_io.is_some()),
        ("local", spec.local.is_some()),
        ("storageos", spec.storageos.is_some()),
        ("csi", spec.csi.is_some()),
    ];
    let set = all.into_iter().filter(|(_, set)| *set);
    set.map(|(name, _)| name).collect()
}

/// The spec without what is not storage.
fn only_source(spec: &PersistentVolumeSpec) -> PersistentVolumeSpec {
    PersistentVolumeSpec {
        access_modes: None,
        capacity: None,
        claim_ref: None,
        mount_options: None,
        node_affinity: None,
        persistent_volume_reclaim_policy: None,
        storage_class_name: None,
        volume_attributes_class_name: None,
        volume_mode: None,
        ..spec.clone()
    }
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
    capacity: BTreeMap<String, String>,
    access_modes: Vec<String>,
    persistent_volume_reclaim_policy: String,
    claim_ref: Option<ClaimView>,
    storage_class_name: String,
    volume_attributes_class_name: Option<String>,
    volume_mode: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ClaimView {
    namespace: String,
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusView {
    phase: String,
    reason: String,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let View { spec, status } = cells::view(object);
    let phase = if object.deletion_timestamp().is_some() {
        "Terminating"
    } else {
        &status.phase
    };
    let claim = spec
        .claim_ref
        .map(|claim| format!("{}/{}", claim.namespace, claim.name));
    vec![
        cells::name(object),
        cells::text(spec.capacity.get("storage").map_or("0", String::as_str)),
        Cell::Text(access_modes(&spec.access_modes)),
        Cell::Text(spec.persistent_volume_reclaim_policy),
        cells::text(phase),
        Cell::Text(claim.unwrap_or_default()),
        Cell::Text(
            object
                .annotation(CLASS_ANNOTATION)
                .unwrap_or(spec.storage_class_name),
        ),
        cells::or_unset(spec.volume_attributes_class_name),
        Cell::Text(status.reason),
        cells::age(object, now),
        cells::or_unset(spec.volume_mode),
    ]
}

/// `RWO,ROX`: the modes, each once, in upstream's order.
pub(super) fn access_modes(modes: &[String]) -> String {
    const SHORT: [(&str, &str); 4] = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let there = SHORT.iter().filter(|(mode, _)| modes.iter().any(|m| m == mode));
    let short: Vec<&str> = there.map(|(_, short)| *short).collect();
    short.join(",")
}
