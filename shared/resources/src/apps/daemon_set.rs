//! DaemonSet.

use crate::{
    Cell, Row, STATUS, WriteRequest, cells,
    core::pod::template,
    encode,
    write::{Kind, write},
};
use api::Object;
use jiff::Timestamp;
use k8s_openapi::{
    api::apps::v1::{DaemonSet, DaemonSetStatus},
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    short_names: &["ds"],
    categories: &["all"],
    prefix: "/registry/daemonsets",
    subresources: &[STATUS],
    columns: &[
        cells::NAME,
        cells::column("Desired", "integer", "Nodes that should run the pod."),
        cells::column("Current", "integer", "Nodes that run the pod and should."),
        cells::column("Ready", "integer", "Nodes on which the pod is ready."),
        cells::column(
            "Up-to-date",
            "integer",
            "Nodes with the pod of the wished template.",
        ),
        cells::column(
            "Available",
            "integer",
            "Nodes on which the pod has been ready long enough.",
        ),
        cells::column("Node Selector", "string", "The labels of the nodes."),
        cells::AGE,
        cells::CONTAINERS,
        cells::IMAGES,
        cells::SELECTOR,
    ],
    cells: row_cells,
    ..Row::usual("apps", "DaemonSet", "daemonsets", "daemonset", write::<DaemonSet>)
};

/// Counts changes of the template, for clients of old versions.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

impl Kind for DaemonSet {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        let spec = &mut self.spec;
        spec.revision_history_limit.get_or_insert(10);
        let strategy = spec.update_strategy.get_or_insert_default();
        let kind = strategy.type_.get_or_insert_default();
        if kind.is_empty() {
            "RollingUpdate".clone_into(kind);
        }
        if kind == "RollingUpdate" {
            let rolling = strategy.rolling_update.get_or_insert_default();
            rolling.max_unavailable.get_or_insert(IntOrString::Int(1));
            rolling.max_surge.get_or_insert(IntOrString::Int(0));
        }
        template::defaults(&mut spec.template);
        self.status.get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(DaemonSetStatus::default());
        let generation = template_generation(&self.metadata).max(1);
        set_template_generation(&mut self.metadata, generation);
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
        let changed = !encode::same(&self.spec.template, &old.spec.template);
        let generation = template_generation(&old.metadata) + i64::from(changed);
        set_template_generation(&mut self.metadata, generation);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
    }

    fn warnings(&self) -> Vec<String> {
        super::warnings(&self.spec.template)
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }
}

fn template_generation(meta: &ObjectMeta) -> i64 {
    let annotations = meta.annotations.as_ref();
    let value = annotations.and_then(|annotations| annotations.get(TEMPLATE_GENERATION));
    value.and_then(|value| value.parse().ok()).unwrap_or_default()
}

fn set_template_generation(meta: &mut ObjectMeta, generation: i64) {
    let annotations = meta.annotations.get_or_insert_default();
    annotations.insert(TEMPLATE_GENERATION.to_owned(), generation.to_string());
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
    selector: cells::SelectorView,
    template: cells::TemplateView,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusView {
    desired_number_scheduled: i64,
    current_number_scheduled: i64,
    number_ready: i64,
    updated_number_scheduled: i64,
    number_available: i64,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let View { spec, status } = cells::view(object);
    let [containers, images] = spec.template.cells();
    vec![
        cells::name(object),
        Cell::Int(status.desired_number_scheduled),
        Cell::Int(status.current_number_scheduled),
        Cell::Int(status.number_ready),
        Cell::Int(status.updated_number_scheduled),
        Cell::Int(status.number_available),
        cells::labels(spec.template.node_selector()),
        cells::age(object, now),
        containers,
        images,
        spec.selector.cell(),
    ]
}
