//! Jobs that are deleted some time after their end (upstream `pkg/controller/ttlafterfinished`).

use super::view::{JOBS, Job};
use crate::views::{Seen, see};
use api::{Gvr, Key};
use client::{Caches, DeleteOptions, Target, Write};
use jiff::{SignedDuration, Timestamp};
use reconcile::{Controller, LastOutcome, Plan, PlannedWrite, Watch, own_key};
use std::time::Duration;

/// The controller of `ttlSecondsAfterFinished`.
#[derive(Debug)]
pub struct TtlAfterFinishedController;

/// A finished Job.
#[derive(Debug)]
pub struct Observed(Seen<Job>);

impl Controller for TtlAfterFinishedController {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        "ttl-after-finished-controller"
    }

    fn queue(&self) -> &'static str {
        "ttl_jobs_to_delete"
    }

    fn primary(&self) -> Gvr {
        JOBS
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::all(JOBS, own_key)]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Observed> {
        let job: Seen<Job> = see(caches.all(&JOBS).get(key)?)?;
        let is_going = job.object.deletion_timestamp().is_some();
        (!is_going && job.view.status.finished().is_some()).then_some(Observed(job))
    }

    fn reconcile(&self, Observed(job): &Observed, _: &LastOutcome, now: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let finished = job.view.status.finished().and_then(|c| c.last_transition_time);
        let (Some(finished), Some(ttl)) = (finished, job.view.spec.ttl_seconds_after_finished) else {
            return plan;
        };
        let end = finished + SignedDuration::from_secs(ttl);
        if let Ok(left) = Duration::try_from(end.duration_since(now))
            && !left.is_zero()
        {
            plan.again_after(left);
            return plan;
        }
        let options = DeleteOptions {
            uid: Some(job.object.uid().to_owned()),
            resource_version: Some(job.object.resource_version()),
            propagation_policy: Some("Foreground"),
            ..DeleteOptions::default()
        };
        plan.writes.push(PlannedWrite {
            target: Target::object(&JOBS, &job.object.key()),
            write: Write::Delete(options),
            label: "delete-job",
            done: None,
            refused: None,
        });
        plan
    }
}
