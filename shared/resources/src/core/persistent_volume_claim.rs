//! PersistentVolumeClaim.

use super::persistent_volume::{CLASS_ANNOTATION, access_modes};
use crate::{
    Cell, Row, STATUS, WriteRequest, cells,
    storage::storage_class,
    write::{Kind, write},
};
use api::{Object, Status};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimStatus};
use serde::Deserialize;
use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

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

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(pending());
        let finalizers = self.metadata.finalizers.get_or_insert_default();
        if !finalizers.iter().any(|name| name == PROTECTION) {
            finalizers.push(PROTECTION.to_owned());
        }
    }

    /// A claim that names no class gets the default one, the newest if there are several.
    fn admit(&mut self, old: Option<&Self>, request: &WriteRequest<'_>) -> Result<(), Status> {
        let annotations = self.metadata.annotations.as_ref();
        let annotated = annotations.is_some_and(|annotations| annotations.contains_key(CLASS_ANNOTATION));
        let spec = self.spec.get_or_insert_default();
        if old.is_none() && !annotated && spec.storage_class_name.is_none() {
            let classes = request.cluster.list(&storage_class::RESOURCE, "");
            let defaults = classes.iter().filter(|class| storage_class::is_default(class));
            let order = |class: &Arc<Object>| (class.creation_timestamp(), Reverse(class.name().to_owned()));
            spec.storage_class_name = defaults
                .max_by_key(|class| order(class))
                .map(|class| class.name().to_owned());
        }
        Ok(())
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
