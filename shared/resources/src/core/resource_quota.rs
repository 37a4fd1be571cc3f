//! ResourceQuota.

use crate::{
    Cell, Row, STATUS, WriteRequest, cells,
    write::{Kind, write},
};
use api::Object;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ResourceQuota, ResourceQuotaStatus};
use serde::Deserialize;
use std::collections::BTreeMap;

pub(crate) static ROW: Row = Row {
    short_names: &["quota"],
    prefix: "/registry/resourcequotas",
    subresources: &[STATUS],
    columns: &[
        cells::NAME,
        cells::column("Request", "string", "Objects and requests: used and allowed."),
        cells::column("Limit", "string", "Limits: used and allowed."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "",
        "ResourceQuota",
        "resourcequotas",
        "resourcequota",
        write::<ResourceQuota>,
    )
};

impl Kind for ResourceQuota {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        self.spec.get_or_insert_default();
        self.status.get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(ResourceQuotaStatus::default());
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
    status: StatusView,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusView {
    hard: BTreeMap<String, String>,
    used: BTreeMap<String, String>,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let status = cells::view::<View>(object).status;
    let list = |limits: bool| {
        let hard = status
            .hard
            .iter()
            .filter(|(name, _)| name.starts_with("limits.") == limits);
        let texts: Vec<String> = hard
            .map(|(name, hard)| {
                format!(
                    "{name}: {}/{hard}",
                    status.used.get(name).map_or("0", String::as_str)
                )
            })
            .collect();
        Cell::Text(texts.join(", "))
    };
    vec![
        cells::name(object),
        list(false),
        list(true),
        cells::age(object, now),
    ]
}
