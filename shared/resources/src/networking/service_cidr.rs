//! ServiceCIDR: a range of the addresses of Services.

use crate::{
    Cell, Row, STATUS, WriteRequest, cells,
    write::{Kind, write},
};
use api::Object;
use jiff::Timestamp;
use k8s_openapi::api::networking::v1::{ServiceCIDR, ServiceCIDRStatus};
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/servicecidrs",
    subresources: &[STATUS],
    columns: &[
        cells::NAME,
        cells::column("CIDRs", "string", "The ranges, at most one a family."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "networking.k8s.io",
        "ServiceCIDR",
        "servicecidrs",
        "servicecidr",
        write::<ServiceCIDR>,
    )
};

impl Kind for ServiceCIDR {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        self.spec.get_or_insert_default();
        self.status.get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(ServiceCIDRStatus::default());
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
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
    cidrs: Vec<String>,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let ranges = cells::view::<View>(object).spec.cidrs;
    vec![
        cells::name(object),
        cells::text(ranges.join(",")),
        cells::age(object, now),
    ]
}
