//! VolumeAttributesClass.

use crate::{
    Cell, Row, cells,
    write::{Kind, write},
};
use api::Object;
use jiff::Timestamp;
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    short_names: &["vac"],
    namespaced: false,
    prefix: "/registry/volumeattributesclasses",
    columns: &[
        cells::NAME,
        cells::column("DriverName", "string", "The driver that knows the attributes."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "storage.k8s.io",
        "VolumeAttributesClass",
        "volumeattributesclasses",
        "volumeattributesclass",
        write::<VolumeAttributesClass>,
    )
};

impl Kind for VolumeAttributesClass {
    const ROW: &'static Row = &ROW;
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct View {
    driver_name: String,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let driver = cells::view::<View>(object).driver_name;
    vec![cells::name(object), Cell::Text(driver), cells::age(object, now)]
}
