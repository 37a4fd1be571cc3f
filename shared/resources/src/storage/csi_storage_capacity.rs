//! CSIStorageCapacity.

use crate::{
    Cell, Row, cells,
    write::{Kind, write},
};
use api::Object;
use jiff::Timestamp;
use k8s_openapi::api::storage::v1::CSIStorageCapacity;
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    prefix: "/registry/csistoragecapacities",
    columns: &[
        cells::NAME,
        cells::column("StorageClassName", "string", "The class of the storage."),
        cells::column("Capacity", "string", "How much room there is."),
    ],
    cells: row_cells,
    ..Row::usual(
        "storage.k8s.io",
        "CSIStorageCapacity",
        "csistoragecapacities",
        "csistoragecapacity",
        write::<CSIStorageCapacity>,
    )
};

impl Kind for CSIStorageCapacity {
    const ROW: &'static Row = &ROW;
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct View {
    storage_class_name: String,
    capacity: Option<String>,
}

fn row_cells(object: &Object, _: Timestamp) -> Vec<Cell> {
    let view: View = cells::view(object);
    vec![
        cells::name(object),
        Cell::Text(view.storage_class_name),
        cells::or_unset(view.capacity),
    ]
}
