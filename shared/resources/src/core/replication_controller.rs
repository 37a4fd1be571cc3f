//! ReplicationController.

use super::pod::template;
use crate::{
    Cell, Row, SCALE, STATUS, ScalePaths, WriteRequest, cells, encode, rules,
    write::{Kind, write},
};
use api::{Object, field::Error};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ReplicationController, ReplicationControllerStatus};
use serde::Deserialize;
use std::collections::BTreeMap;

pub(crate) static ROW: Row = Row {
    short_names: &["rc"],
    categories: &["all"],
    prefix: "/registry/controllers",
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
    propagation: "Orphan",
    ..Row::usual(
        "",
        "ReplicationController",
        "replicationcontrollers",
        "replicationcontroller",
        write::<ReplicationController>,
    )
};

impl Kind for ReplicationController {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        let spec = self.spec.get_or_insert_default();
        spec.replicas.get_or_insert(1);
        let labels = spec
            .template
            .as_ref()
            .and_then(|t| t.metadata.as_ref()?.labels.clone());
        if labels.is_some() {
            // The labels of the template say which pods and controllers are meant, if nothing else does.
            if spec.selector.as_ref().is_none_or(BTreeMap::is_empty) {
                spec.selector.clone_from(&labels);
            }
            if self.metadata.labels.as_ref().is_none_or(BTreeMap::is_empty) {
                self.metadata.labels = labels;
            }
        }
        if let Some(template) = &mut spec.template {
            template::defaults(template);
        }
        self.status.get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(ReplicationControllerStatus::default());
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }

    fn warnings(&self) -> Vec<String> {
        let template = self.spec.as_ref().and_then(|spec| spec.template.as_ref());
        template.map(template::warnings).unwrap_or_default()
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let Some(spec) = &self.spec else { return };
        rules::count("spec.minReadySeconds", spec.min_ready_seconds, errors);
        let empty = BTreeMap::new();
        let wanted = spec.selector.as_ref().unwrap_or(&empty);
        if wanted.is_empty() {
            errors.push(Error::required("spec.selector", ""));
        }
        rules::count("spec.replicas", spec.replicas, errors);
        let Some(template) = &spec.template else {
            errors.push(Error::required("spec.template", ""));
            return;
        };
        let metadata = template.metadata.as_ref();
        let labels = metadata.and_then(|meta| meta.labels.as_ref()).unwrap_or(&empty);
        let matches = wanted.iter().all(|(key, value)| labels.get(key) == Some(value));
        template::selected(matches, labels, errors);
        template::validate(template, "spec.template", errors);
        template::lasting(template, "ReplicationController", errors);
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
    selector: BTreeMap<String, String>,
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
        cells::labels(&spec.selector),
    ]
}
