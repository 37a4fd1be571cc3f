//! CronJob.

use super::job;
use crate::{
    Cell, Row, STATUS, WriteRequest, cells, duration, encode,
    write::{Kind, write},
};
use api::Object;
use jiff::Timestamp;
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
