//! CSIStorageCapacity.

use crate::{
    Cell, Row, cells, meta, names, rules, selector,
    write::{Kind, write},
};
use api::{Object, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::storage::v1::CSIStorageCapacity;
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    prefix: "/registry/csistoragecapacities",
    unconditional: false,
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

    fn validate(&self, errors: &mut Vec<Error>) {
        if let Some(wanted) = &self.node_topology {
            selector::validate(wanted, "nodeTopology", errors);
        }
        let class = &self.storage_class_name;
        meta::invalid(errors, "storageClassName", class, names::dns_subdomain(class));
        if let Some(capacity) = &self.capacity {
            rules::quantity("capacity", capacity, errors);
        }
        if let Some(size) = &self.maximum_volume_size {
            rules::quantity("maximumVolumeSize", size, errors);
        }
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        self.validate(errors);
        rules::immutable("nodeTopology", &self.node_topology, &old.node_topology, errors);
        let (new, old) = (&self.storage_class_name, &old.storage_class_name);
        rules::immutable("storageClassName", new, old, errors);
    }
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
