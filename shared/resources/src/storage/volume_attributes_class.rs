//! VolumeAttributesClass.

use crate::{
    Cell, Row, cells, names,
    write::{Kind, write},
};
use api::{Object, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use serde::Deserialize;
use std::collections::BTreeMap;

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

    fn validate(&self, errors: &mut Vec<Error>) {
        names::csi_driver("driverName", &self.driver_name, errors);
        if self.parameters.as_ref().is_none_or(BTreeMap::is_empty) {
            let why = "must contain at least one key/value pair";
            errors.push(Error::required("parameters", why));
        }
        super::storage_class::parameters(self.parameters.as_ref(), errors);
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        if self.driver_name != old.driver_name {
            errors.push(Error::forbidden(
                "driverName",
                "updates to driverName are forbidden.",
            ));
        }
        if self.parameters != old.parameters {
            errors.push(Error::forbidden(
                "parameters",
                "updates to parameters are forbidden.",
            ));
        }
    }
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
