//! ComponentStatus: how a part of the control plane does. It is asked, never stored.

use crate::{
    Cell, Row, cells,
    write::{Kind, write},
};
use api::Object;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ComponentStatus;
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    short_names: &["cs"],
    namespaced: false,
    // Nothing is kept there.
    prefix: "/registry/componentstatuses",
    verbs: &["get", "list"],
    columns: &[
        cells::NAME,
        cells::column("Status", "string", "Whether it does well."),
        cells::column("Message", "string", "What it says."),
        cells::column("Error", "string", "What is wrong."),
    ],
    cells: row_cells,
    ..Row::usual(
        "",
        "ComponentStatus",
        "componentstatuses",
        "componentstatus",
        write::<ComponentStatus>,
    )
};

impl Kind for ComponentStatus {
    const ROW: &'static Row = &ROW;
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    conditions: Vec<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
    message: String,
    error: String,
}

fn row_cells(object: &Object, _: Timestamp) -> Vec<Cell> {
    let conditions = cells::view::<View>(object).conditions;
    let healthy = conditions
        .into_iter()
        .find(|condition| condition.r#type == "Healthy");
    let (status, condition) = match healthy {
        Some(condition) if condition.status == "True" => ("Healthy", condition),
        Some(condition) => ("Unhealthy", condition),
        None => ("Unknown", Condition::default()),
    };
    vec![
        cells::name(object),
        cells::text(status),
        cells::text(condition.message),
        cells::text(condition.error),
    ]
}
