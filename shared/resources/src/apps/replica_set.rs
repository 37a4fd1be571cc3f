//! ReplicaSet.

use super::validate_template;
use crate::{
    Cell, Row, SCALE, STATUS, ScalePaths, WriteRequest, cells,
    core::pod::template,
    encode, rules,
    write::{Kind, write},
};
use api::{Object, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::ReplicaSet;
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    short_names: &["rs"],
    categories: &["all"],
    prefix: "/registry/replicasets",
    subresources: &[SCALE, STATUS],
    fields: &["status.replicas"],
    columns: &[
        cells::NAME,
        cells::column("Desired", "integer", "Pods that are wished."),
        cells::column("Current", "integer", "Pods that were seen last."),
        cells::column("Ready", "integer", "Pods that are ready."),
        cells::AGE,
        cells::CONTAINERS,
        cells::IMAGES,
        cells::SELECTOR,
    ],
    cells: row_cells,
    scale: Some(ScalePaths {
        spec_replicas: "spec.replicas",
        status_replicas: "status.replicas",
        selector: "spec.selector",
    }),
    ..Row::usual(
        "apps",
        "ReplicaSet",
        "replicasets",
        "replicaset",
        write::<ReplicaSet>,
    )
};

impl Kind for ReplicaSet {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        let spec = &mut self.spec;
        spec.replicas.get_or_insert(1);
        template::defaults(spec.template.get_or_insert_default());
        self.status.get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(k8s_openapi::api::apps::v1::ReplicaSetStatus::default());
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    fn warnings(&self) -> Vec<String> {
        self.spec
            .template
            .as_ref()
            .map(template::warnings)
            .unwrap_or_default()
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let spec = &self.spec;
        rules::count("spec.replicas", spec.replicas, errors);
        rules::count("spec.minReadySeconds", spec.min_ready_seconds, errors);
        let template = spec.template.clone().unwrap_or_default();
        validate_template(&spec.selector, &template, ("deployment", "ReplicaSet"), errors);
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        rules::immutable("spec.selector", &self.spec.selector, &old.spec.selector, errors);
        self.validate(errors);
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: SpecView,
    status: StatusView,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SpecView {
    replicas: i64,
    selector: cells::SelectorView,
    template: cells::TemplateView,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusView {
    replicas: i64,
    ready_replicas: i64,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let View { spec, status } = cells::view(object);
    let [containers, images] = spec.template.cells();
    vec![
        cells::name(object),
        Cell::Int(spec.replicas),
        Cell::Int(status.replicas),
        Cell::Int(status.ready_replicas),
        cells::age(object, now),
        containers,
        images,
        spec.selector.cell(),
    ]
}
