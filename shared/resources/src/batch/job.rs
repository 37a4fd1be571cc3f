//! Job.

use super::validation;
use crate::{
    Cell, Row, STATUS, WriteRequest, cells,
    core::pod::template,
    duration, encode, names, rules, selector,
    write::{Kind, write},
};
use api::{Object, field, field::Error};
use jiff::Timestamp;
use k8s_openapi::{
    api::{
        batch::v1::{Job, JobSpec, JobStatus},
        core::v1::{Container, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use serde::Deserialize;
use std::collections::BTreeMap;

pub(crate) static ROW: Row = Row {
    categories: &["all"],
    prefix: "/registry/jobs",
    subresources: &[STATUS],
    fields: &["status.successful", "status.succeeded"],
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

    fn warnings(&self) -> Vec<String> {
        let template = self.spec.as_ref().map(|spec| &spec.template);
        template.map(template::warnings).unwrap_or_default()
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        let Some(spec) = &self.spec else { return };
        validate_generated(self, spec, errors);
        validate_spec(spec, errors);
        let name = self.metadata.name.as_deref().unwrap_or_default();
        if spec.completion_mode.as_deref() == Some("Indexed")
            && let Some(last) = spec.completions.filter(|count| *count > 0)
        {
            let host = format!("{name}-{}", last - 1);
            if !names::dns_label(&host).is_empty() {
                let why = format!("will not able to create pod with invalid DNS label: {host}");
                errors.push(Error::invalid("metadata.name", name, why));
            }
        }
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        let (Some(new), Some(old_spec)) = (&self.spec, &old.spec) else {
            return;
        };
        validate_spec(new, errors);
        validate_completions(new, old_spec, errors);
        rules::immutable("spec.selector", &new.selector, &old_spec.selector, errors);
        let template = with_mutable(new, old);
        rules::immutable("spec.template", &new.template, &template, errors);
        rules::immutable(
            "spec.completionMode",
            &new.completion_mode,
            &old_spec.completion_mode,
            errors,
        );
        let path = "spec.podFailurePolicy";
        rules::immutable(
            path,
            &new.pod_failure_policy,
            &old_spec.pod_failure_policy,
            errors,
        );
        let path = "spec.backoffLimitPerIndex";
        rules::immutable(
            path,
            &new.backoff_limit_per_index,
            &old_spec.backoff_limit_per_index,
            errors,
        );
        rules::immutable("spec.managedBy", &new.managed_by, &old_spec.managed_by, errors);
        rules::immutable(
            "spec.successPolicy",
            &new.success_policy,
            &old_spec.success_policy,
            errors,
        );
    }

    fn validate_status(&self, old: &Self, errors: &mut Vec<Error>) {
        if let (Some(new), Some(old)) = (&self.status, &old.status) {
            validate_status(new, old, errors);
        }
    }
}

/// Unless the author says otherwise, the labels and the selector are those that were generated.
fn validate_generated(job: &Job, spec: &JobSpec, errors: &mut Vec<Error>) {
    if spec.manual_selector == Some(true) {
        return;
    }
    let uid = job.metadata.uid.as_deref().unwrap_or_default();
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let empty = BTreeMap::new();
    let metadata = spec.template.metadata.as_ref();
    let labels = metadata
        .and_then(|metadata| metadata.labels.as_ref())
        .unwrap_or(&empty);
    let mut expected = BTreeMap::new();
    for (key, value) in [
        ("controller-uid", uid),
        ("job-name", name),
        ("batch.kubernetes.io/controller-uid", uid),
        ("batch.kubernetes.io/job-name", name),
    ] {
        expected.insert(key.to_owned(), value.to_owned());
        if let Some(actual) = labels.get(key).filter(|actual| *actual != value) {
            let path = field::key("spec.template.metadata.labels", key);
            errors.push(Error::invalid(path, actual, format!("must be '{value}'")));
        }
    }
    let wanted = spec.selector.clone().unwrap_or_default();
    if !selector::matches(&wanted, &expected) {
        errors.push(Error::invalid(
            "spec.selector",
            &wanted,
            "`selector` not auto-generated",
        ));
    }
}

fn validate_spec(spec: &JobSpec, errors: &mut Vec<Error>) {
    validation::spec(spec, "spec", errors);
    let Some(wanted) = &spec.selector else {
        errors.push(Error::required("spec.selector", ""));
        return;
    };
    selector::validate(wanted, "spec.selector", errors);
    let empty = BTreeMap::new();
    let metadata = spec.template.metadata.as_ref();
    let labels = metadata
        .and_then(|metadata| metadata.labels.as_ref())
        .unwrap_or(&empty);
    template::selected(selector::matches(wanted, labels), labels, errors);
}

/// The completions of an indexed job change together with its parallelism, others' do not change.
fn validate_completions(new: &JobSpec, old: &JobSpec, errors: &mut Vec<Error>) {
    if new.completion_mode.as_deref() != Some("Indexed") {
        rules::immutable("spec.completions", &new.completions, &old.completions, errors);
    } else if new.completions.is_some()
        && new.completions != old.completions
        && new.completions != new.parallelism
    {
        let why = "can only be modified in tandem with spec.parallelism";
        errors.push(Error::invalid("spec.completions", new.completions, why));
    }
}

/// Whether the job stands still: it is suspended, none of its pods is left, and it never ran or says that it is suspended.
fn stands_still(job: &Job, spec: &JobSpec) -> bool {
    let still = |status: &JobStatus| {
        let mut conditions = status.conditions.iter().flatten();
        let stopped = conditions.any(|known| known.type_ == "Suspended" && known.status == "True");
        status.active.unwrap_or_default() == 0 && (stopped || status.start_time.is_none())
    };
    spec.suspend == Some(true) && job.status.as_ref().is_none_or(still)
}

/// The old template, with what may change in a job that stands still: where its pods may go, and what they ask for.
fn with_mutable(new: &JobSpec, old: &Job) -> PodTemplateSpec {
    let spec = old.spec.clone().unwrap_or_default();
    let still = stands_still(old, &spec);
    let mut template = spec.template;
    if !still {
        return template;
    }
    let fresh = new.template.spec.clone().unwrap_or_default();
    let pod = template.spec.get_or_insert_default();
    let nodes = fresh
        .affinity
        .as_ref()
        .and_then(|affinity| affinity.node_affinity.clone());
    let affinity = pod.affinity.get_or_insert_default();
    affinity.node_affinity = nodes;
    let only_nodes = affinity.pod_affinity.is_none() && affinity.pod_anti_affinity.is_none();
    if fresh.affinity.is_none() && only_nodes {
        pod.affinity = None;
    }
    pod.node_selector = fresh.node_selector;
    pod.tolerations = fresh.tolerations;
    pod.scheduling_gates = fresh.scheduling_gates;
    ask_for(&mut pod.containers, &fresh.containers);
    let init = fresh.init_containers.unwrap_or_default();
    ask_for(pod.init_containers.as_deref_mut().unwrap_or_default(), &init);
    let labels = new.template.metadata.clone().unwrap_or_default();
    let metadata = template.metadata.get_or_insert_default();
    (metadata.labels, metadata.annotations) = (labels.labels, labels.annotations);
    template
}

/// The old containers, asking for what the new ones do.
fn ask_for(old: &mut [Container], new: &[Container]) {
    for (old, new) in old.iter_mut().zip(new) {
        old.resources.clone_from(&new.resources);
    }
}

fn validate_status(new: &JobStatus, old: &JobStatus, errors: &mut Vec<Error>) {
    for (path, count) in [
        ("status.active", new.active),
        ("status.succeeded", new.succeeded),
        ("status.failed", new.failed),
        ("status.ready", new.ready),
        ("status.terminating", new.terminating),
    ] {
        rules::count(path, count, errors);
    }
    let is = |status: &JobStatus, kind: &str| {
        let mut conditions = status.conditions.iter().flatten();
        conditions.any(|condition| condition.type_ == kind && condition.status == "True")
    };
    if is(new, "Complete") && is(new, "Failed") {
        let why = "cannot set Complete=True and Failed=true conditions";
        errors.push(rules::wrong("status.conditions", why));
    }
    for kind in ["Failed", "Complete", "FailureTarget"] {
        if is(old, kind) && !is(new, kind) {
            let why = format!("cannot disable the terminal {kind}=True condition");
            errors.push(rules::wrong("status.conditions", why));
        }
    }
    let finished = is(new, "Complete") || is(new, "Failed");
    let active = new.active.unwrap_or_default();
    if finished && active > 0 {
        errors.push(Error::invalid(
            "status.active",
            active,
            "active>0 is invalid for finished job",
        ));
    }
    if finished && new.start_time.is_none() {
        errors.push(Error::required(
            "status.startTime",
            "startTime is required for finished job",
        ));
    }
    match (&new.completion_time, is(new, "Complete")) {
        (None, true) => {
            let why = "completionTime is required for Complete jobs";
            errors.push(Error::required("status.completionTime", why));
        }
        (Some(time), false) => {
            let why = "cannot set completionTime when there is no Complete=True condition";
            errors.push(Error::invalid("status.completionTime", time, why));
        }
        _ => {}
    }
    for (path, name, new, old) in [
        ("status.failed", "failed", new.failed, old.failed),
        ("status.succeeded", "succeeded", new.succeeded, old.succeeded),
    ] {
        let (new, old) = (new.unwrap_or_default(), old.unwrap_or_default());
        if new < old {
            let why = format!("cannot decrease the {name} counter");
            errors.push(Error::invalid(path, new, why));
        }
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
