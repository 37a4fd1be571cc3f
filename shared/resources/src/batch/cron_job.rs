//! CronJob.

use super::{job, validation};
use crate::{
    Cell, Row, STATUS, WriteRequest, cells,
    core::pod,
    duration, encode, rules,
    write::{Kind, write},
};
use api::{Object, field, field::Error, schedule::Schedule};
use jiff::{Timestamp, tz::TimeZone};
use k8s_openapi::api::batch::v1::{CronJob, CronJobStatus};
use serde::{Deserialize, de::IgnoredAny};

pub(crate) static ROW: Row = Row {
    short_names: &["cj"],
    categories: &["all"],
    prefix: "/registry/cronjobs",
    subresources: &[STATUS],
    columns: &[
        cells::NAME,
        cells::column("Schedule", "string", "When it runs, in cron's form."),
        cells::column("Timezone", "string", "The time zone of the schedule."),
        cells::column("Suspend", "boolean", "Whether it starts no more jobs."),
        cells::column("Active", "integer", "Jobs that are running."),
        cells::column("Last Schedule", "string", "When a job was started last."),
        cells::AGE,
        cells::CONTAINERS,
        cells::IMAGES,
        cells::SELECTOR,
    ],
    cells: row_cells,
    ..Row::usual("batch", "CronJob", "cronjobs", "cronjob", write::<CronJob>)
};

impl Kind for CronJob {
    const ROW: &'static Row = &ROW;
    const GENERATION: bool = true;

    fn defaults(&mut self) {
        let spec = &mut self.spec;
        let policy = spec.concurrency_policy.get_or_insert_default();
        if policy.is_empty() {
            "Allow".clone_into(policy);
        }
        spec.suspend.get_or_insert(false);
        spec.successful_jobs_history_limit.get_or_insert(3);
        spec.failed_jobs_history_limit.get_or_insert(1);
        spec.job_template.metadata.get_or_insert_default();
        job::template_defaults(spec.job_template.spec.get_or_insert_default());
        self.status.get_or_insert_default();
    }

    fn prepare_create(&mut self, _: &WriteRequest<'_>) {
        self.status = Some(CronJobStatus::default());
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
        let spec = self.spec.job_template.spec.as_ref();
        let pod = spec.and_then(|spec| spec.template.spec.as_ref());
        pod.map(|pod| pod::warnings::of(pod, "spec.jobTemplate.spec.template.spec"))
            .unwrap_or_default()
    }

    fn validate(&self, errors: &mut Vec<Error>) {
        validate_spec(self, None, errors);
        let name = self.metadata.name.as_deref().unwrap_or_default();
        // A job's name has eleven more characters than its CronJob's.
        if name.len() > 52 {
            errors.push(Error::invalid(
                "metadata.name",
                name,
                "must be no more than 52 characters",
            ));
        }
    }

    fn validate_update(&self, old: &Self, errors: &mut Vec<Error>) {
        validate_spec(self, Some(old), errors);
    }
}

/// What is wrong with the name of a time zone.
fn check_zone(zone: &str) -> Result<(), String> {
    let character = |c: char| c.is_ascii_alphanumeric() || ".-_+".contains(c);
    let good = |part: &str| {
        part != "."
            && part != ".."
            && !part.starts_with('-')
            && (1..=14).contains(&part.len())
            && part.chars().all(character)
    };
    if zone.is_empty() {
        return Err("timeZone must be nil or non-empty string".to_owned());
    }
    if zone.eq_ignore_ascii_case("Local") {
        let why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        return Err(why.to_owned());
    }
    let known = api::schedule::zone(zone).is_some();
    if !zone.split('/').all(good) || !known {
        return Err(format!("unknown time zone {zone}"));
    }
    Ok(())
}

fn validate_spec(new: &CronJob, old: Option<&CronJob>, errors: &mut Vec<Error>) {
    let spec = &new.spec;
    let zoned = old.is_some_and(|old| old.spec.schedule.contains("TZ"));
    if spec.schedule.is_empty() {
        errors.push(Error::required("spec.schedule", ""));
    } else {
        let mut wrong = |why: &str| errors.push(Error::invalid("spec.schedule", &spec.schedule, why));
        if let Err(why) = Schedule::parse(&spec.schedule, TimeZone::UTC) {
            wrong(&why.to_string());
        }
        if spec.schedule.contains("TZ") {
            if !zoned {
                wrong("cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
            } else if spec.time_zone.is_some() {
                wrong("cannot use both timeZone field and TZ or CRON_TZ in schedule");
            }
        }
    }
    rules::count(
        "spec.startingDeadlineSeconds",
        spec.starting_deadline_seconds,
        errors,
    );
    if let Some(zone) = &spec.time_zone
        && old.is_none_or(|old| old.spec.time_zone != spec.time_zone)
        && let Err(why) = check_zone(zone)
    {
        errors.push(Error::invalid("spec.timeZone", zone, why));
    }
    let policies = ["Allow", "Forbid", "Replace"];
    rules::one_of(
        spec.concurrency_policy.as_deref(),
        &policies,
        "spec.concurrencyPolicy",
        errors,
    );
    if let Some(job) = &spec.job_template.spec {
        let path = "spec.jobTemplate.spec";
        validation::spec(job, path, errors);
        if let Some(selector) = &job.selector {
            let why = "`selector` will be auto-generated";
            errors.push(Error::invalid(field::child(path, "selector"), selector, why));
        }
        if job.manual_selector == Some(true) {
            let path = field::child(path, "manualSelector");
            errors.push(Error::not_supported(path, true, &["nil", "false"]));
        }
    }
    let (done, failed) = (spec.successful_jobs_history_limit, spec.failed_jobs_history_limit);
    rules::count("spec.successfulJobsHistoryLimit", done, errors);
    rules::count("spec.failedJobsHistoryLimit", failed, errors);
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
    schedule: String,
    time_zone: String,
    suspend: bool,
    job_template: JobTemplateView,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JobTemplateView {
    spec: JobSpecView,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JobSpecView {
    selector: cells::SelectorView,
    template: cells::TemplateView,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusView {
    active: Vec<IgnoredAny>,
    last_schedule_time: Option<Timestamp>,
}

fn row_cells(object: &Object, now: Timestamp) -> Vec<Cell> {
    let View { spec, status } = cells::view(object);
    let job = spec.job_template.spec;
    let [containers, images] = job.template.cells();
    let last = status.last_schedule_time.map(|at| duration::since(Some(at), now));
    vec![
        cells::name(object),
        Cell::Text(spec.schedule),
        cells::or_none(&spec.time_zone),
        cells::truth(spec.suspend),
        cells::count(&status.active),
        cells::or_none(&last.unwrap_or_default()),
        cells::age(object, now),
        containers,
        images,
        job.selector.cell(),
    ]
}
