//! VolumeAttachment.

use crate::{
    Cell, Row, STATUS, WriteRequest, cells, meta, names, rules,
    write::{Kind, write},
};
use api::{Object, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::storage::v1::{VolumeAttachment, VolumeAttachmentStatus};
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    namespaced: false,
    prefix: "/registry/volumeattachments",
    unconditional: false,
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

    fn validate(&self, errors: &mut Vec<Error>) {
        let spec = &self.spec;
        names::csi_driver("spec.attacher", &spec.attacher, errors);
        let source = (
            &spec.source.inline_volume_spec,
            &spec.source.persistent_volume_name,
        );
        let why = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
        match source {
            (None, None) => errors.push(Error::required("spec.source", why)),
            (Some(_), Some(_)) => errors.push(Error::forbidden("spec.source", why)),
            (None, Some(name)) => {
                let path = "spec.source.persistentVolumeName";
                meta::invalid(errors, path, name, names::dns_subdomain(name));
            }
            (Some(_), None) => {}
        }
        let node = &spec.node_name;
        meta::invalid(errors, "spec.nodeName", node, names::dns_subdomain(node));
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        self.validate(errors);
        rules::immutable("spec", &self.spec, &old.spec, errors);
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
