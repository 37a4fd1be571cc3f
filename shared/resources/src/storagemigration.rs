//! StorageVersionMigration.

use crate::{
    Cell, Row, STATUS, Version, WriteRequest, cells,
    write::{Kind, write},
};
use api::{Object, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::storagemigration::v1::{StorageVersionMigration, StorageVersionMigrationStatus};
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/storageversionmigrations",
    unconditional: false,
    on_demand: &[Version::same("v1beta1")],
    subresources: &[STATUS],
    columns: &[
        cells::NAME,
        cells::column(
            "Resource",
            "string",
            "The resource whose objects are written anew.",
        ),
    ],
    cells: row_cells,
    ..Row::usual(
        "storagemigration.k8s.io",
        "StorageVersionMigration",
        "storageversionmigrations",
        "storageversionmigration",
        write::<StorageVersionMigration>,
    )
};

impl Kind for StorageVersionMigration {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        self.spec.get_or_insert_default();
        self.status.get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(StorageVersionMigrationStatus::default());
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let resource = self.spec.as_ref().map(|spec| spec.resource.resource.as_str());
        if resource.unwrap_or_default().is_empty() {
            errors.push(Error::required("spec.resource.resource", "resource is required"));
        }
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        self.validate(errors);
        if self.spec != old.spec {
            errors.push(Error::invalid("spec", &self.spec, "field is immutable"));
        }
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
    resource: ResourceView,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResourceView {
    group: String,
    resource: String,
}

fn row_cells(object: &Object, _: Timestamp) -> Vec<Cell> {
    let ResourceView { group, resource } = cells::view::<View>(object).spec.resource;
    let full = [resource, group];
    let full: Vec<String> = full.into_iter().filter(|part| !part.is_empty()).collect();
    vec![cells::name(object), cells::text(full.join("."))]
}
