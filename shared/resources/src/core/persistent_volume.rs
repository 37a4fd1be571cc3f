//! PersistentVolume.

use crate::{
    Cell, Row, STATUS, WriteRequest, cells,
    write::{Kind, write},
};
use api::Object;
use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{PersistentVolume, PersistentVolumeStatus},
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
        let finalizers = self.metadata.finalizers.get_or_insert_default();
        if !finalizers.iter().any(|name| name == PROTECTION) {
            finalizers.push(PROTECTION.to_owned());
        }
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
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
