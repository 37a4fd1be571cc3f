//! Job.

use crate::{
    Cell, Row, STATUS, WriteRequest, cells,
    core::pod::template,
    duration, encode,
    write::{Kind, write},
};
use api::Object;
use jiff::Timestamp;
use k8s_openapi::{
    api::batch::v1::{Job, JobSpec, JobStatus},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use serde::Deserialize;
use std::collections::BTreeMap;

pub(crate) static ROW: Row = Row {
    categories: &["all"],
    prefix: "/registry/jobs",
    subresources: &[STATUS],
    fields: &["status.successful"],
    columns: &[
        cells::NAME,
        cells::column("Status", "string", "What the job is doing."),
        cells::column(
            "Completions",
            "string",
            "Pods that succeeded, of those that must.",
        ),
        cells::column("Duration", "string", "How long it ran, or has been running."),
        cells::AGE,
        cells::CONTAINERS,
        cells::IMAGES,
        cells::SELECTOR,
    ],
    cells: row_cells,
    propagation: "Orphan",
    ..Row::usual("batch", "Job", "jobs", "job", write::<Job>)
};

impl Kind for Job {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        defaults(self.spec.get_or_insert_default());
        self.status.get_or_insert_default();
        // A new job gets its labels with its selector.
        if self.metadata.uid.is_some() {
            inherit_labels(self);
        }
    }

    fn prepare_create(&mut self, request: &WriteRequest<'_>) {
        self.status = Some(JobStatus::default());
        generate_selector(self.spec.get_or_insert_default(), request.name, request.uid);
        inherit_labels(self);
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
}

/// A job without labels has those of its pods.
fn inherit_labels(job: &mut Job) {
    let template = job.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
    if job.metadata.labels.as_ref().is_none_or(BTreeMap::is_empty) {
        job.metadata.labels = template.and_then(|metadata| metadata.labels.clone());
    }
}

fn defaults(spec: &mut JobSpec) {
    if spec.completions.is_none() && spec.parallelism.is_none() {
        spec.completions = Some(1);
    }
    spec.parallelism.get_or_insert(1);
    let endless = spec.backoff_limit_per_index.is_some();
    spec.backoff_limit
        .get_or_insert(if endless { i32::MAX } else { 6 });
    spec.completion_mode
        .get_or_insert_with(|| "NonIndexed".to_owned());
    spec.suspend.get_or_insert(false);
    spec.manual_selector.get_or_insert(false);
    if spec.pod_replacement_policy.is_none() {
        let failed = spec.pod_failure_policy.is_some();
        spec.pod_replacement_policy = Some(if failed { "Failed" } else { "TerminatingOrFailed" }.to_owned());
    }
    template_defaults(spec);
}

/// The part of the defaults that a CronJob's template has as well.
pub(super) fn template_defaults(spec: &mut JobSpec) {
    for rule in spec
        .pod_failure_policy
        .iter_mut()
        .flat_map(|policy| &mut policy.rules)
    {
        for pattern in rule.on_pod_conditions.iter_mut().flatten() {
            let status = pattern.status.get_or_insert_default();
            if status.is_empty() {
                "True".clone_into(status);
            }
        }
    }
    template::defaults(&mut spec.template);
}

/// The labels by which a job knows its pods: the UID is in them, so that no other's pods are taken.
fn generate_selector(spec: &mut JobSpec, name: &str, uid: &str) {
    if spec.manual_selector == Some(true) {
        return;
    }
    let metadata = spec.template.metadata.get_or_insert_default();
    let labels = metadata.labels.get_or_insert_default();
    for (key, value) in [("controller-uid", uid), ("job-name", name)] {
        for key in [key.to_owned(), format!("batch.kubernetes.io/{key}")] {
            labels.entry(key).or_insert_with(|| value.to_owned());
        }
    }
    let selector = spec.selector.get_or_insert_with(LabelSelector::default);
    let wanted = selector.match_labels.get_or_insert_default();
    wanted
        .entry("batch.kubernetes.io/controller-uid".to_owned())
        .or_insert_with(|| uid.to_owned());
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
    completions: Option<i64>,
    parallelism: i64,
    selector: cells::SelectorView,
    template: cells::TemplateView,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusView {
    succeeded: i64,
    start_time: Option<Timestamp>,
    completion_time: Option<Timestamp>,
    conditions: Vec<cells::ConditionView>,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let View { spec, status } = cells::view(object);
    let [containers, images] = spec.template.cells();
    let completions = match spec.completions {
        Some(wished) => format!("{}/{wished}", status.succeeded),
        None if spec.parallelism > 1 => format!("{}/1 of {}", status.succeeded, spec.parallelism),
        None => format!("{}/1", status.succeeded),
    };
    let took = status.start_time.map(|start| {
        let end = status.completion_time.unwrap_or(now);
        duration::human_duration(end.duration_since(start).as_secs())
    });
    vec![
        cells::name(object),
        cells::text(state(object, &status.conditions)),
        Cell::Text(completions),
        Cell::Text(took.unwrap_or_default()),
        cells::age(object, now),
        containers,
        images,
        spec.selector.cell(),
    ]
}

/// The first that is true, in upstream's order.
fn state(object: &Object, conditions: &[cells::ConditionView]) -> &'static str {
    let is = |name: &str| conditions.iter().any(|c| c.r#type == name && c.status == "True");
    let first = |names: &[&'static str]| names.iter().copied().find(|name| is(name));
    match first(&["Complete", "Failed"]) {
        Some(end) => end,
        None if object.deletion_timestamp().is_some() => "Terminating",
        None => first(&["Suspended", "FailureTarget", "SuccessCriteriaMet"]).unwrap_or("Running"),
    }
}
