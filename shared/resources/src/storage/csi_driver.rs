//! CSIDriver.

use crate::{
    Cell, Row, cells, encode,
    write::{Kind, write},
};
use api::Object;
use jiff::Timestamp;
use k8s_openapi::api::storage::v1::CSIDriver;
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/csidrivers",
    columns: &[
        cells::NAME,
        cells::column(
            "AttachRequired",
            "boolean",
            "Whether volumes are attached before they are mounted.",
        ),
        cells::column(
            "PodInfoOnMount",
            "boolean",
            "Whether the driver is told of the pod.",
        ),
        cells::column(
            "StorageCapacity",
            "boolean",
            "Whether the driver says how much room there is.",
        ),
        cells::column(
            "TokenRequests",
            "string",
            "Audiences of the tokens that the driver gets.",
        ),
        cells::column(
            "RequiresRepublish",
            "boolean",
            "Whether volumes are published again and again.",
        ),
        cells::column("Modes", "string", "What volumes the driver offers."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "storage.k8s.io",
        "CSIDriver",
        "csidrivers",
        "csidriver",
        write::<CSIDriver>,
    )
};

impl Kind for CSIDriver {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        let spec = &mut self.spec;
        spec.attach_required.get_or_insert(true);
        spec.pod_info_on_mount.get_or_insert(false);
        spec.storage_capacity.get_or_insert(false);
        spec.fs_group_policy
            .get_or_insert_with(|| "ReadWriteOnceWithFSType".to_owned());
        spec.requires_republish.get_or_insert(false);
        spec.se_linux_mount.get_or_insert(false);
        let modes = spec.volume_lifecycle_modes.get_or_insert_default();
        if modes.is_empty() {
            modes.push("Persistent".to_owned());
        }
    }

    /// The generation counts from the first change.
    fn prepare_update(&mut self, old: &Self) {
        if !encode::same(&self.spec, &old.spec) {
            self.metadata.generation = Some(old.metadata.generation.unwrap_or_default() + 1);
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
    attach_required: Option<bool>,
    pod_info_on_mount: bool,
    storage_capacity: bool,
    token_requests: Option<Vec<TokenView>>,
    requires_republish: bool,
    volume_lifecycle_modes: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenView {
    audience: String,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let spec = cells::view::<View>(object).spec;
    let audiences = spec.token_requests.map(|tokens| {
        let list: Vec<String> = tokens.into_iter().map(|token| token.audience).collect();
        list.join(",")
    });
    vec![
        cells::name(object),
        Cell::Bool(spec.attach_required.unwrap_or(true)),
        Cell::Bool(spec.pod_info_on_mount),
        Cell::Bool(spec.storage_capacity),
        cells::or_unset(audiences),
        Cell::Bool(spec.requires_republish),
        cells::or_none(&spec.volume_lifecycle_modes.join(",")),
        cells::age(object, now),
    ]
}
