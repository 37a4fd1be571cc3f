//! RuntimeClass, of the node group.

use crate::{
    Cell, Row, cells, meta, names,
    write::{Kind, write},
};
use api::{Object, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::node::v1::RuntimeClass;
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/runtimeclasses",
    create_on_update: true,
    unconditional: false,
    columns: &[
        cells::NAME,
        cells::column(
            "Handler",
            "string",
            "The name that the container runtime knows it by.",
        ),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "node.k8s.io",
        "RuntimeClass",
        "runtimeclasses",
        "runtimeclass",
        write::<RuntimeClass>,
    )
};

impl Kind for RuntimeClass {
    const ROW: &'static Row = &ROW;

    fn validate(&self, errors: &mut Vec<Error>) {
        meta::invalid(errors, "handler", &self.handler, names::dns_label(&self.handler));
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        if self.handler != old.handler {
            errors.push(Error::invalid("handler", &self.handler, "field is immutable"));
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    handler: String,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let handler = cells::view::<View>(object).handler;
    vec![cells::name(object), Cell::Text(handler), cells::age(object, now)]
}
