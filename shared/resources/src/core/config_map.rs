//! ConfigMap.

use crate::{
    Cell, Row, cells, meta, names,
    write::{Kind, write},
};
use api::{Object, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use serde::{Deserialize, de::IgnoredAny};
use std::collections::BTreeMap;

pub(crate) static ROW: Row = Row {
    short_names: &["cm"],
    prefix: "/registry/configmaps",
    columns: &[
        cells::NAME,
        cells::column("Data", "string", "Number of entries."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual("", "ConfigMap", "configmaps", "configmap", write::<ConfigMap>)
};

/// The most that `data` may hold, in bytes.
pub(super) const MAX: usize = 1024 * 1024;

impl Kind for ConfigMap {
    const ROW: &'static Row = &ROW;

    fn validate(&self, errors: &mut Vec<Error>) {
        let empty = BTreeMap::new();
        let binary = self.binary_data.as_ref();
        let mut size = 0;
        for (key, value) in self.data.as_ref().unwrap_or(&empty) {
            meta::invalid(errors, &field::key("data", key), key, names::config_key(key));
            if binary.is_some_and(|binary| binary.contains_key(key)) {
                errors.push(Error::invalid(
                    field::key("data", key),
                    key,
                    "duplicate of key present in binaryData",
                ));
            }
            size += value.len();
        }
        for (key, value) in binary.into_iter().flatten() {
            meta::invalid(
                errors,
                &field::key("binaryData", key),
                key,
                names::config_key(key),
            );
            size += value.0.len();
        }
        if size > MAX {
            errors.push(Error::too_long("", MAX));
        }
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        if old.immutable == Some(true) {
            if self.immutable != Some(true) {
                errors.push(Error::forbidden(
                    "immutable",
                    "field is immutable when `immutable` is set",
                ));
            }
            if self.data != old.data {
                errors.push(Error::forbidden(
                    "data",
                    "field is immutable when `immutable` is set",
                ));
            }
            if self.binary_data != old.binary_data {
                errors.push(Error::forbidden(
                    "binaryData",
                    "field is immutable when `immutable` is set",
                ));
            }
        }
        self.validate(errors);
    }
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct View {
    data: BTreeMap<String, IgnoredAny>,
    binary_data: BTreeMap<String, IgnoredAny>,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let view: View = cells::view(object);
    let count = view.data.len() + view.binary_data.len();
    vec![
        cells::name(object),
        Cell::Int(i64::try_from(count).unwrap_or(i64::MAX)),
        cells::age(object, now),
    ]
}
