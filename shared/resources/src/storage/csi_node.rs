//! CSINode.

use crate::{
    Cell, Row, cells,
    write::{Kind, write},
};
use api::Object;
use jiff::Timestamp;
use k8s_openapi::api::storage::v1::CSINode;
use serde::{Deserialize, de::IgnoredAny};

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/csinodes",
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
}

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
