//! ResourceSlice.

use crate::{
    Cell, Row, cells, encode,
    write::{Kind, write},
};
use api::Object;
use jiff::Timestamp;
use k8s_openapi::api::resource::v1::ResourceSlice;
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/resourceslices",
    fields: &["spec.nodeName", "spec.driver"],
    columns: &[
        cells::NAME,
        cells::column("Node", "string", "The node of the devices."),
        cells::column("Driver", "string", "The driver of the devices."),
        cells::column("Pool", "string", "The pool of the devices."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        super::GROUP,
        "ResourceSlice",
        "resourceslices",
        "resourceslice",
        write::<ResourceSlice>,
    )
};

impl Kind for ResourceSlice {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: SpecView,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SpecView {
    pool: PoolView,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PoolView {
    name: String,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let pool = cells::view::<View>(object).spec.pool;
    vec![
        cells::name(object),
        cells::text(object.field(0)),
        cells::text(object.field(1)),
        Cell::Text(pool.name),
        cells::age(object, now),
    ]
}
