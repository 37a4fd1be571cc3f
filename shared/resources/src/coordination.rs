//! Lease, of the coordination group.

use crate::{
    Cell, Keeping, Row, cells,
    write::{Kind, write},
};
use api::{Object, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    prefix: "/registry/leases",
    create_on_update: true,
    unconditional: false,
    columns: &[
        cells::NAME,
        cells::column("Holder", "string", "Who holds the lease."),
        cells::AGE,
    ],
    cells: row_cells,
    keeping: Keeping::Volatile,
    ..Row::usual("coordination.k8s.io", "Lease", "leases", "lease", write::<Lease>)
};

impl Kind for Lease {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        self.spec.get_or_insert_default();
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let Some(spec) = &self.spec else { return };
        if let Some(seconds) = spec.lease_duration_seconds
            && seconds <= 0
        {
            errors.push(Error::invalid(
                "spec.leaseDurationSeconds",
                seconds,
                "must be greater than 0",
            ));
        }
        if let Some(count) = spec.lease_transitions
            && count < 0
        {
            errors.push(Error::invalid(
                "spec.leaseTransitions",
                count,
                "must be greater than or equal to 0",
            ));
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: SpecView,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SpecView {
    holder_identity: String,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let holder = cells::view::<View>(object).spec.holder_identity;
    vec![cells::name(object), Cell::Text(holder), cells::age(object, now)]
}
