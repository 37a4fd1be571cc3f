//! CronJob: Jobs by the calendar (upstream `pkg/controller/cronjob`).

mod missed;
mod view;

use crate::{
    job::{JOBS, Job},
    memo::Memo,
    views::{Meta, Seen, controller_ref, see},
    workloads::status,
};
use api::schedule::{self, Schedule};
use api::{Gvr, Key};
use client::Caches;
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use missed::Due;
use reconcile::{About, Controller, LastOutcome, Note, Plan, Watch, own_key, owner_key};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{sync::Arc, time::Duration};
use view::{CRON_JOBS, CronJob, CronJobStatus, Reference};

const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";

/// The CronJob controller.
#[derive(Debug, Default)]
pub struct CronJobController {
    jobs: Memo<Job>,
}

/// A CronJob and its Jobs.
#[derive(Debug)]
pub struct Observed {
    cron: Seen<CronJob>,
    jobs: Vec<Arc<Seen<Job>>>,
}

impl Controller for CronJobController {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        "cronjob-controller"
    }

    fn primary(&self) -> Gvr {
        CRON_JOBS
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::all(CRON_JOBS, own_key),
            Watch::all(JOBS, |change, _| owner_key(change, "CronJob")),
        ]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Observed> {
        let cron: Seen<CronJob> = see(caches.all(&CRON_JOBS).get(key)?)?;
        let jobs = caches.all(&JOBS).owned_by(cron.object.uid()).into_iter();
        Some(Observed {
            jobs: jobs.filter_map(|job| self.jobs.see(job)).collect(),
            cron,
        })
    }

    fn reconcile(&self, observed: &Observed, _: &LastOutcome, now: Timestamp) -> Plan {
        let mut look = Look {
            plan: Plan::nothing(),
            cron: &observed.cron,
            jobs: observed.jobs.iter().map(Arc::as_ref).collect(),
            status: observed.cron.view.status.clone(),
            now,
        };
        look.follow_jobs();
        look.clean_up();
        if observed.cron.object.deletion_timestamp().is_none() && !observed.cron.view.spec.suspend {
            look.follow_schedule();
        }
        let old = &observed.cron.view.status;
        status::write_on(
            &mut look.plan,
            &CRON_JOBS,
            &observed.cron.object,
            old,
            &look.status,
        );
        look.plan
    }
}

/// What a look at a CronJob sees, and what comes of it.
struct Look<'a> {
    plan: Plan,
    cron: &'a Seen<CronJob>,
    jobs: Vec<&'a Seen<Job>>,
    status: CronJobStatus,
    now: Timestamp,
}

impl Look<'_> {
    fn normal(&mut self, reason: &'static str, message: String) {
        self.plan
            .event(Note::normal(About::object(&self.cron.object), reason, message));
    }

    fn warning(&mut self, reason: &'static str, message: String) {
        self.plan
            .event(Note::warning(About::object(&self.cron.object), reason, message));
    }

    /// The list of running Jobs and the time of the last success.
    fn follow_jobs(&mut self) {
        for job in self.jobs.clone() {
            let (name, uid) = (job.object.name(), job.object.uid());
            let listed = self.status.active.iter().any(|active| active.uid == uid);
            let end = job.view.status.finished();
            match end {
                None if !listed && job.object.deletion_timestamp().is_none() => {
                    // Made by this controller, which ended before it could say so, or by somebody else.
                    if self.made(job) {
                        self.status.active.push(reference(job));
                    } else {
                        let text = format!("Saw a job that the controller did not create or forgot: {name}");
                        self.warning("UnexpectedJob", text);
                    }
                }
                Some(end) if listed => {
                    self.status.active.retain(|active| active.uid != uid);
                    let text = format!("Saw completed job: {name}, condition: {}", end.r#type);
                    self.normal("SawCompletedJob", text);
                }
                _ => {}
            }
            let success = end.filter(|end| end.r#type == "Complete");
            let time = success.and(job.view.status.completion_time);
            self.status.last_successful_time = self.status.last_successful_time.max(time);
        }
        let missing = |active: &Reference| !self.jobs.iter().any(|job| job.object.uid() == active.uid);
        let (gone, there) = std::mem::take(&mut self.status.active)
            .into_iter()
            .partition(missing);
        self.status.active = there;
        let gone: Vec<Reference> = gone;
        for active in gone {
            self.normal("MissingJob", format!("Active job went missing: {}", active.name));
        }
    }

    /// Whether a Job has the name and the time that this controller gives.
    fn made(&self, job: &Seen<Job>) -> bool {
        let time = job
            .object
            .annotation(SCHEDULED)
            .and_then(|text| text.parse::<Timestamp>().ok());
        time.is_some_and(|time| job.object.name() == name(self.cron, time))
    }

    /// Deletes the oldest finished Jobs beyond the limits.
    fn clean_up(&mut self) {
        let spec = &self.cron.view.spec;
        let limits = [
            ("Complete", spec.successful_jobs_history_limit),
            ("Failed", spec.failed_jobs_history_limit),
        ];
        for (end, limit) in limits {
            let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else {
                continue;
            };
            let ended = |job: &&Seen<Job>| job.view.status.finished().is_some_and(|c| c.r#type == end);
            let mut jobs: Vec<_> = self.jobs.iter().copied().filter(ended).collect();
            jobs.sort_by_key(|job| (job.view.status.start_time, job.object.name()));
            let excess = jobs.len().saturating_sub(limit);
            for job in jobs.into_iter().take(excess) {
                self.delete(job);
            }
        }
    }

    fn delete(&mut self, job: &Seen<Job>) {
        if job.object.deletion_timestamp().is_some() {
            return;
        }
        let about = About::object(&self.cron.object);
        self.plan.delete("delete-job", &JOBS, &job.object);
        let done = format!("Deleted job {}", job.object.name());
        self.plan.noting(
            Some(Note::normal(about.clone(), "SuccessfulDelete", done)),
            Some(Note::warning(about, "FailedDelete", "Deleted job: {error}")),
        );
    }

    fn follow_schedule(&mut self) {
        let spec = &self.cron.view.spec;
        let named = spec.time_zone.as_deref();
        let Some(zone) = named.map_or(Some(TimeZone::UTC), schedule::zone) else {
            let name = named.unwrap_or_default();
            return self.warning(
                "UnknownTimeZone",
                format!("invalid timeZone: {name:?}: unknown time zone {name}"),
            );
        };
        let schedule = match Schedule::parse(&spec.schedule, zone.clone()) {
            Ok(schedule) => schedule,
            Err(error) => {
                let text = format!("unparseable schedule: {:?} : {error}", spec.schedule);
                return self.warning("UnparseableSchedule", text);
            }
        };
        let due = match missed::due(&schedule, self.earliest(), self.now) {
            Ok(due) => due,
            Err(error) => {
                let text = format!("invalid schedule: {} : {error}", spec.schedule);
                return self.warning("InvalidSchedule", text);
            }
        };
        if due.too_many {
            let text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            self.warning("TooManyMissedTimes", text.to_owned());
        }
        self.start(due, &zone);
        if let Some(next) = schedule.next(self.now) {
            // A little later, so that the clock is surely past it.
            let wait = Duration::try_from(next.duration_since(self.now)).unwrap_or_default();
            self.plan.again_after(wait + Duration::from_millis(100));
        }
    }

    /// From when on times count.
    fn earliest(&self) -> Timestamp {
        let made = self.cron.object.creation_timestamp();
        let earliest = self.status.last_schedule_time.or(made).unwrap_or(self.now);
        match self.cron.view.spec.starting_deadline_seconds {
            Some(deadline) => earliest.max(self.now - SignedDuration::from_secs(deadline)),
            None => earliest,
        }
    }

    /// Starts the Job that is due, if it may.
    fn start(&mut self, due: Due, zone: &TimeZone) {
        let Some(time) = due.time else { return };
        let spec = &self.cron.view.spec;
        let deadline = spec.starting_deadline_seconds.map(SignedDuration::from_secs);
        if deadline.is_some_and(|deadline| time + deadline < self.now) {
            let time = time.strftime("%a, %d %b %Y %H:%M:%S +0000");
            return self.warning(
                "MissSchedule",
                format!("Missed scheduled time to start a job: {time}"),
            );
        }
        if self.status.last_schedule_time == Some(time) {
            return;
        }
        let name = name(self.cron, time);
        if self.jobs.iter().any(|job| job.object.name() == name) {
            // An answer was lost: it is there already.
            self.status.last_schedule_time = Some(time);
            return;
        }
        if !self.status.active.is_empty() && spec.concurrency_policy == "Forbid" {
            let text = "Not starting job because prior execution is running and concurrency policy is Forbid";
            return self.normal("JobAlreadyActive", text.to_owned());
        }
        if spec.concurrency_policy == "Replace" {
            let active = std::mem::take(&mut self.status.active);
            let running = |job: &&Seen<Job>| active.iter().any(|active| active.uid == job.object.uid());
            let running: Vec<_> = self.jobs.iter().copied().filter(running).collect();
            running.into_iter().for_each(|job| self.delete(job));
        }
        self.create(&name, time, zone);
        self.status.last_schedule_time = Some(time);
    }

    fn create(&mut self, name: &str, time: Timestamp, zone: &TimeZone) {
        let cron = &self.cron.object;
        let template = &self.cron.view.spec.job_template;
        let mut annotations = template.metadata.annotations.clone();
        let at = time.to_zoned(zone.clone());
        let text = match zone == &TimeZone::UTC {
            true => time.to_string(),
            false => at.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        };
        annotations.insert(SCHEDULED.to_owned(), text);
        let job = NewJob {
            api_version: "batch/v1",
            kind: "Job",
            metadata: Meta {
                name: name.to_owned(),
                namespace: cron.namespace().to_owned(),
                labels: template.metadata.labels.clone(),
                annotations,
                owner_references: vec![controller_ref(cron)],
                ..Meta::default()
            },
            spec: &template.spec,
        };
        self.plan.create("create-job", &JOBS, cron.namespace(), &job);
        let about = About::object(cron);
        self.plan.noting(
            Some(Note::normal(
                about.clone(),
                "SuccessfulCreate",
                "Created job {name}",
            )),
            Some(Note::warning(
                about,
                "FailedCreate",
                "Error creating job: {error}",
            )),
        );
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewJob<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Meta,
    spec: &'a RawValue,
}

/// The name of the Job of a time, so that no time has two.
fn name(cron: &Seen<CronJob>, time: Timestamp) -> String {
    format!("{}-{}", cron.object.name(), time.as_second() / 60)
}

fn reference(job: &Seen<Job>) -> Reference {
    Reference {
        api_version: "batch/v1".to_owned(),
        kind: "Job".to_owned(),
        name: job.object.name().to_owned(),
        namespace: job.object.namespace().to_owned(),
        resource_version: job.object.resource_version().to_string(),
        uid: job.object.uid().to_owned(),
    }
}
