//! ControllerRevision: a state of a DaemonSet or StatefulSet to which it can go back.

use crate::{
    Cell, Row, cells,
    write::{Kind, write},
};
use api::{Object, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ControllerRevision;
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    prefix: "/registry/controllerrevisions",
    columns: &[
        cells::NAME,
        cells::column("Controller", "string", "Whose state it is."),
        cells::column("Revision", "string", "The number of the state in its history."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "apps",
        "ControllerRevision",
        "controllerrevisions",
        "controllerrevision",
        write::<ControllerRevision>,
    )
};

impl Kind for ControllerRevision {
    const ROW: &'static Row = &ROW;

    fn validate(&self, errors: &mut Vec<Error>) {
        if self.data.0.is_null() {
            errors.push(Error::required("data", "data is mandatory"));
        }
        if let Some(revision) = self.revision
            && revision < 0
        {
            let why = "must be greater than or equal to 0";
            errors.push(Error::invalid("revision", revision, why));
        }
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        self.validate(errors);
        if self.data != old.data {
            errors.push(Error::invalid("data", &self.data, "field is immutable"));
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    revision: i64,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let controller = object.controller().map(|owner| {
        let kind = owner.kind.to_lowercase();
        match owner.api_version.split_once('/') {
            Some((group, _)) => format!("{kind}.{group}/{}", owner.name),
            None => format!("{kind}/{}", owner.name),
        }
    });
    vec![
        cells::name(object),
        cells::or_none(&controller.unwrap_or_default()),
        Cell::Int(cells::view::<View>(object).revision),
        cells::age(object, now),
    ]
}
