//! DaemonSet.

use super::validate_template;
use crate::{
    Cell, Row, STATUS, WriteRequest, cells,
    core::pod::template,
    encode, rules,
    write::{Kind, write},
};
use api::{Object, field::Error};
use jiff::Timestamp;
use k8s_openapi::{
    api::apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetStatus, RollingUpdateDaemonSet},
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
        template::warnings(&self.spec.template)
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec)
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let spec = &self.spec;
        validate_template(&spec.selector, &spec.template, ("daemonset", "DaemonSet"), errors);
        rules::count("spec.minReadySeconds", spec.min_ready_seconds, errors);
        validate_strategy(spec, errors);
        rules::count("spec.revisionHistoryLimit", spec.revision_history_limit, errors);
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        self.validate(errors);
        rules::immutable("spec.selector", &self.spec.selector, &old.spec.selector, errors);
    }
}

fn validate_strategy(spec: &DaemonSetSpec, errors: &mut Vec<Error>) {
    let strategy = spec.update_strategy.clone().unwrap_or_default();
    match strategy.type_.as_deref().unwrap_or_default() {
        "OnDelete" => {}
        "RollingUpdate" => {
            let Some(rolling) = &strategy.rolling_update else {
                errors.push(Error::required("spec.updateStrategy.rollingUpdate", ""));
                return;
            };
            validate_rolling(rolling, errors);
        }
        _ => {
            let supported = ["RollingUpdate", "OnDelete"];
            errors.push(Error::not_supported("spec.updateStrategy", &strategy, &supported));
        }
    }
}

fn validate_rolling(rolling: &RollingUpdateDaemonSet, errors: &mut Vec<Error>) {
    let unavailable = (
        "spec.updateStrategy.rollingUpdate.maxUnavailable",
        rolling.max_unavailable.as_ref(),
    );
    let surge = (
        "spec.updateStrategy.rollingUpdate.maxSurge",
        rolling.max_surge.as_ref(),
    );
    for (path, value) in [unavailable, surge] {
        rules::share(path, value, errors);
    }
    match (rules::is_zero(unavailable.1), rules::is_zero(surge.1)) {
        (false, false) => {
            let why = "may not be set when maxUnavailable is non-zero";
            errors.push(Error::invalid(surge.0, surge.1, why));
        }
        (true, true) => errors.push(Error::required(unavailable.0, "cannot be 0 when maxSurge is 0")),
        _ => {}
    }
    for (path, value) in [unavailable, surge] {
        rules::at_most_all(path, value, errors);
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
