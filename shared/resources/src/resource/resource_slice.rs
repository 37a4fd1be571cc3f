//! ResourceSlice.

use crate::{
    Cell, Row, Version, cells, encode, meta, names, rules,
    write::{Kind, write},
};
use api::{Object, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::resource::v1::ResourceSlice;
use serde::Deserialize;
use std::collections::BTreeSet;

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/resourceslices",
    on_demand: &[Version::same("v1beta2")],
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

    fn validate(&self, errors: &mut Vec<Error>) {
        let spec = &self.spec;
        names::csi_driver("spec.driver", &spec.driver, errors);
        rules::required("spec.pool.name", &spec.pool.name, errors);
        if spec.pool.resource_slice_count <= 0 {
            let (path, why) = ("spec.pool.resourceSliceCount", "must be greater than zero");
            errors.push(Error::invalid(path, spec.pool.resource_slice_count, why));
        }
        rules::count("spec.pool.generation", Some(spec.pool.generation), errors);
        let places = [
            spec.node_name.as_ref().is_some_and(|name| !name.is_empty()),
            spec.node_selector.is_some(),
            spec.all_nodes == Some(true),
            spec.per_device_node_selection == Some(true),
        ];
        if places.iter().filter(|set| **set).count() != 1 {
            let why =
                "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";
            errors.push(Error::required("spec", why));
        }
        let devices = spec.devices.as_deref().unwrap_or_default();
        rules::at_most("spec.devices", devices.len(), 128, errors);
        let mut seen = BTreeSet::new();
        for (i, device) in devices.iter().enumerate() {
            let path = field::child(&field::index("spec.devices", i), "name");
            meta::invalid(errors, &path, &device.name, names::dns_label(&device.name));
            if !seen.insert(&device.name) {
                errors.push(Error::duplicate(path, &device.name));
            }
        }
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        self.validate(errors);
        let (new, old) = (&self.spec, &old.spec);
        rules::immutable("spec.driver", &new.driver, &old.driver, errors);
        rules::immutable("spec.pool.name", &new.pool.name, &old.pool.name, errors);
        rules::immutable("spec.nodeName", &new.node_name, &old.node_name, errors);
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
