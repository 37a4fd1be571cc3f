//! ServiceAccount.

use crate::{
    Cell, Row, Subresource, cells,
    write::{Kind, write},
};
use api::Object;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ServiceAccount;
use serde::{Deserialize, de::IgnoredAny};

pub(crate) static ROW: Row = Row {
    short_names: &["sa"],
    prefix: "/registry/serviceaccounts",
    subresources: &[Subresource {
        name: "token",
        kind: ("authentication.k8s.io", "v1", "TokenRequest"),
        verbs: &["create"],
    }],
    columns: &[
        cells::NAME,
        cells::column("Secrets", "string", "Number of secrets it may use."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "",
        "ServiceAccount",
        "serviceaccounts",
        "serviceaccount",
        write::<ServiceAccount>,
    )
};

impl Kind for ServiceAccount {
    const ROW: &'static Row = &ROW;
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    secrets: Vec<IgnoredAny>,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let count = cells::view::<View>(object).secrets.len();
    vec![
        cells::name(object),
        Cell::Int(i64::try_from(count).unwrap_or(i64::MAX)),
        cells::age(object, now),
    ]
}
