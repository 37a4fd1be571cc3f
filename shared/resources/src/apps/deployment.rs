//! Deployment.

use super::validate_template;
use crate::{
    Cell, Row, SCALE, STATUS, ScalePaths, WriteRequest, cells,
    core::pod::template,
    encode, rules,
    write::{Kind, write},
};
use api::{Object, field::Error};
use jiff::Timestamp;
use k8s_openapi::{
    api::apps::v1::{Deployment, DeploymentStatus, DeploymentStrategy, RollingUpdateDeployment},
    apimachinery::pkg::util::intstr::IntOrString,
};
use serde::Deserialize;

pub(crate) static ROW: Row = Row {
    short_names: &["deploy"],
    categories: &["all"],
    prefix: "/registry/deployments",
    subresources: &[SCALE, STATUS],
    columns: &[
        cells::NAME,
        cells::column("Ready", "string", "Ready pods of the wished ones."),
        cells::column("Up-to-date", "integer", "Pods of the wished template."),
        cells::column("Available", "integer", "Pods that have been ready long enough."),
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
        "Deployment",
        "deployments",
        "deployment",
        write::<Deployment>,
    )
};

impl Kind for Deployment {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        let spec = &mut self.spec;
        spec.replicas.get_or_insert(1);
        spec.revision_history_limit.get_or_insert(10);
        spec.progress_deadline_seconds.get_or_insert(600);
        let strategy = spec.strategy.get_or_insert_default();
        let kind = strategy.type_.get_or_insert_default();
        if kind.is_empty() {
            "RollingUpdate".clone_into(kind);
        }
        if kind == "RollingUpdate" {
            let rolling = strategy.rolling_update.get_or_insert_default();
            rolling
                .max_unavailable
                .get_or_insert_with(|| IntOrString::String("25%".to_owned()));
            rolling
                .max_surge
                .get_or_insert_with(|| IntOrString::String("25%".to_owned()));
        }
        template::defaults(&mut spec.template);
        self.status.get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(DeploymentStatus::default());
    }

    fn prepare_update(&mut self, old: &Self) {
        self.status.clone_from(&old.status);
    }

    fn prepare_status(&mut self, old: &Self) {
        self.spec.clone_from(&old.spec);
        self.metadata.labels.clone_from(&old.metadata.labels);
    }

    fn warnings(&self) -> Vec<String> {
        template::warnings(&self.spec.template)
    }

    fn spec_changed(&self, old: &Self) -> bool {
        !encode::same(&self.spec, &old.spec) || self.metadata.annotations != old.metadata.annotations
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let spec = &self.spec;
        rules::count("spec.replicas", spec.replicas, errors);
        validate_template(
            &spec.selector,
            &spec.template,
            ("deployment", "ReplicaSet"),
            errors,
        );
        if let Some(strategy) = &spec.strategy {
            validate_strategy(strategy, errors);
        }
        rules::count("spec.minReadySeconds", spec.min_ready_seconds, errors);
        rules::count("spec.revisionHistoryLimit", spec.revision_history_limit, errors);
        rules::count(
            "spec.progressDeadlineSeconds",
            spec.progress_deadline_seconds,
            errors,
        );
        if let Some(deadline) = spec.progress_deadline_seconds
            && deadline <= spec.min_ready_seconds.unwrap_or_default()
        {
            let why = "must be greater than minReadySeconds";
            errors.push(Error::invalid("spec.progressDeadlineSeconds", deadline, why));
        }
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        self.validate(errors);
        rules::immutable("spec.selector", &self.spec.selector, &old.spec.selector, errors);
    }
}

fn validate_strategy(strategy: &DeploymentStrategy, errors: &mut Vec<Error>) {
    match (
        strategy.type_.as_deref().unwrap_or_default(),
        &strategy.rolling_update,
    ) {
        ("Recreate", Some(_)) => {
            let why = "may not be specified when strategy `type` is 'Recreate'";
            errors.push(Error::forbidden("spec.strategy.rollingUpdate", why));
        }
        ("Recreate", None) => {}
        ("RollingUpdate", Some(rolling)) => validate_rolling(rolling, errors),
        ("RollingUpdate", None) => {
            let why = "this should be defaulted and never be nil";
            errors.push(Error::required("spec.strategy.rollingUpdate", why));
        }
        (other, _) => errors.push(Error::not_supported(
            "spec.strategy.type",
            other,
            &["Recreate", "RollingUpdate"],
        )),
    }
}

fn validate_rolling(rolling: &RollingUpdateDeployment, errors: &mut Vec<Error>) {
    let unavailable = (
        "spec.strategy.rollingUpdate.maxUnavailable",
        rolling.max_unavailable.as_ref(),
    );
    let surge = ("spec.strategy.rollingUpdate.maxSurge", rolling.max_surge.as_ref());
    for (path, value) in [unavailable, surge] {
        rules::share(path, value, errors);
    }
    if rules::is_zero(unavailable.1) && rules::is_zero(surge.1) {
        errors.push(Error::invalid(
            unavailable.0,
            unavailable.1,
            "may not be 0 when `maxSurge` is 0",
        ));
    }
    rules::at_most_all(unavailable.0, unavailable.1, errors);
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
    ready_replicas: i64,
    updated_replicas: i64,
    available_replicas: i64,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let View { spec, status } = cells::view(object);
    let [containers, images] = spec.template.cells();
    vec![
        cells::name(object),
        Cell::Text(format!("{}/{}", status.ready_replicas, spec.replicas)),
        Cell::Int(status.updated_replicas),
        Cell::Int(status.available_replicas),
        cells::age(object, now),
        containers,
        images,
        spec.selector.cell(),
    ]
}
