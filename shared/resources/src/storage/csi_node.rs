//! CSINode.

use crate::{
    Cell, Row, cells, meta, names, rules,
    write::{Kind, write},
};
use api::{Object, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::storage::v1::{CSINode, CSINodeDriver};
use serde::{Deserialize, de::IgnoredAny};
use std::collections::BTreeSet;

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/csinodes",
    unconditional: false,
    columns: &[
        cells::NAME,
        cells::column("Drivers", "integer", "Number of drivers on the node."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "storage.k8s.io",
        "CSINode",
        "csinodes",
        "csinode",
        write::<CSINode>,
    )
};

impl Kind for CSINode {
    const ROW: &'static Row = &ROW;

    fn validate(&self, errors: &mut Vec<Error>) {
        let mut seen = BTreeSet::new();
        for (i, driver) in self.spec.drivers.iter().enumerate() {
            let path = field::index("spec.drivers", i);
            let name = field::child(&path, "name");
            names::csi_driver(&name, &driver.name, errors);
            if !seen.insert(&driver.name) {
                errors.push(Error::duplicate(name, &driver.name));
            }
            let id = field::child(&path, "nodeID");
            rules::required(&id, &driver.node_id, errors);
            if driver.node_id.len() > NODE_ID {
                let why = format!("must be {NODE_ID} characters or less");
                errors.push(Error::invalid(id, &driver.node_id, why));
            }
            let count = driver.allocatable.as_ref().and_then(|resources| resources.count);
            rules::count(&field::child(&path, "allocatable.count"), count, errors);
            let mut keys = BTreeSet::new();
            for key in driver.topology_keys.iter().flatten() {
                if !keys.insert(key) {
                    errors.push(Error::duplicate(&path, key));
                }
                meta::invalid(errors, &path, &driver.topology_keys, names::qualified_name(key));
            }
        }
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        self.validate(errors);
        for driver in &self.spec.drivers {
            let before = old.spec.drivers.iter().find(|old| old.name == driver.name);
            // How many volumes fit may be counted again.
            let same = |before: &CSINodeDriver| {
                let allocatable = driver.allocatable.clone();
                *driver
                    == CSINodeDriver {
                        allocatable,
                        ..before.clone()
                    }
            };
            if before.is_some_and(|before| !same(before)) {
                errors.push(Error::invalid("CSINodeDriver", driver, "field is immutable"));
            }
        }
    }
}

const NODE_ID: usize = 192;

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: SpecView,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SpecView {
    drivers: Vec<IgnoredAny>,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let drivers = cells::view::<View>(object).spec.drivers;
    vec![
        cells::name(object),
        cells::count(&drivers),
        cells::age(object, now),
    ]
}
