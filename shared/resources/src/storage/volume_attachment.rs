//! VolumeAttachment.

use crate::{
    Cell, Row, STATUS, WriteRequest, cells,
    write::{Kind, write},
};
use api::Object;
use jiff::Timestamp;
use k8s_openapi::api::storage::v1::{VolumeAttachment, VolumeAttachmentStatus};
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/volumeattachments",
    subresources: &[STATUS],
    columns: &[
        cells::NAME,
        crate::Column {
            format: "name",
            ..cells::column("Attacher", "string", "Who attaches the volume.")
        },
        cells::column("PV", "string", "The volume."),
        cells::column("Node", "string", "The node."),
        cells::column("Attached", "boolean", "Whether the volume is attached."),
        cells::AGE,
    ],
    cells: row_cells,
    ..Row::usual(
        "storage.k8s.io",
        "VolumeAttachment",
        "volumeattachments",
        "volumeattachment",
        write::<VolumeAttachment>,
    )
};

impl Kind for VolumeAttachment {
    const ROW: &'static Row = &ROW;

    fn defaults(&mut self) {
        self.status.get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(VolumeAttachmentStatus::default());
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
    status: StatusView,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SpecView {
    attacher: String,
    node_name: String,
    source: SourceView,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SourceView {
    persistent_volume_name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusView {
    attached: bool,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let View { spec, status } = cells::view(object);
    vec![
        cells::name(object),
        Cell::Text(spec.attacher),
        Cell::Text(spec.source.persistent_volume_name),
        Cell::Text(spec.node_name),
        Cell::Bool(status.attached),
        cells::age(object, now),
    ]
}
