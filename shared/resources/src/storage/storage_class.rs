//! StorageClass.

use crate::{
    Cell, Row, cells,
    write::{Kind, write},
};
use api::{Gvr, Object};
use jiff::Timestamp;
use k8s_openapi::api::storage::v1::StorageClass;
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    short_names: &["sc"],
    namespaced: false,
    prefix: "/registry/storageclasses",
    columns: &[
        cells::NAME,
        cells::column("Provisioner", "string", "Who makes its volumes."),
        cells::column(
            "ReclaimPolicy",
            "string",
            "What becomes of a volume when its claim goes.",
        ),
        cells::column("VolumeBindingMode", "string", "When a claim is bound."),
        cells::column(
            "AllowVolumeExpansion",
            "string",
            "Whether claims may ask for more.",
        ),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "storage.k8s.io",
        "StorageClass",
        "storageclasses",
        "storageclass",
        write::<StorageClass>,
    )
};

/// Resource of the row.
pub(crate) const RESOURCE: Gvr = Gvr::new("storage.k8s.io", "v1", "storageclasses");

impl Kind for StorageClass {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        self.reclaim_policy.get_or_insert_with(|| "Delete".to_owned());
        self.volume_binding_mode
            .get_or_insert_with(|| "Immediate".to_owned());
    }
}

/// Whether claims without a class get this one.
pub(crate) fn is_default(class: &Object) -> bool {
    [
        "storageclass.kubernetes.io/is-default-class",
        "storageclass.beta.kubernetes.io/is-default-class",
    ]
    .iter()
    .any(|key| class.annotation(key).as_deref() == Some("true"))
}

/// Whether its claims may grow.
pub(crate) fn allows_expansion(class: &Object) -> bool {
    cells::view::<View>(class).allow_volume_expansion
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct View {
    provisioner: String,
    reclaim_policy: String,
    volume_binding_mode: String,
    allow_volume_expansion: bool,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let view: View = cells::view(object);
    let mark = if is_default(object) { " (default)" } else { "" };
    vec![
        Cell::Text(format!("{}{mark}", object.name())),
        Cell::Text(view.provisioner),
        Cell::Text(view.reclaim_policy),
        Cell::Text(view.volume_binding_mode),
        Cell::Bool(view.allow_volume_expansion),
        cells::age(object, now),
    ]
}
