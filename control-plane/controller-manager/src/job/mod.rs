//! Job: pods that run to their end (upstream `pkg/controller/job`).
//!
//! A finished pod is counted once: its UID goes into the status, then its finalizer goes, then the count goes up.

mod finish;
mod indexes;
mod look;
mod manage;
mod policy;
mod track;
mod ttl;
mod view;

pub use ttl::TtlAfterFinishedController;
pub(crate) use view::{JOBS, Job};

use crate::{
    claim,
    memo::Memo,
    views::{PODS, Pod, Seen, see},
    workloads::pods,
};
use api::{Gvr, Key, Object};
use client::{Caches, Change, Patch};
use jiff::Timestamp;
use look::Look;
use reconcile::{Controller, LastOutcome, Plan, Watch, own_key, owner_key};
use serde::Serialize;
use std::sync::Arc;

/// Held by each pod that is not counted yet.
const FINALIZER: &str = "batch.kubernetes.io/job-tracking";

/// The Job controller.
#[derive(Debug, Default)]
pub struct JobController {
    pods: Memo<Pod>,
}

/// A Job, if it is still there, its pods, and pods that are held for a Job that is gone.
#[derive(Debug)]
pub struct Observed {
    job: Option<Seen<Job>>,
    pods: Vec<Arc<Seen<Pod>>>,
    strays: Vec<Arc<Object>>,
}

impl Controller for JobController {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        "job-controller"
    }

    fn primary(&self) -> Gvr {
        JOBS
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::all(JOBS, own_key), Watch::all(PODS, pod_keys)]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Observed> {
        let cache = caches.all(&PODS);
        let Some(job) = caches.all(&JOBS).get(key) else {
            let all = cache.in_namespace(&key.namespace).into_iter();
            let strays: Vec<_> = all.filter(|pod| is_held(pod) && is_of(pod, &key.name)).collect();
            let gone = Observed {
                job: None,
                pods: Vec::new(),
                strays,
            };
            return (!gone.strays.is_empty()).then_some(gone);
        };
        let job: Seen<Job> = see(job)?;
        let selector = job.view.spec.selector.as_ref()?.selector().ok()?;
        let pods = claim::children(&cache, &job.object, &selector).into_iter();
        let orphans = cache.orphans_in(&key.namespace).into_iter();
        let strays = orphans.filter(|pod| is_held(pod) && !claim::concerns(pod, &job.object, &selector));
        Some(Observed {
            pods: pods.filter_map(|pod| self.pods.see(pod)).collect(),
            strays: strays.collect(),
            job: Some(job),
        })
    }

    fn reconcile(&self, observed: &Observed, last: &LastOutcome, now: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        for pod in &observed.strays {
            release(&mut plan, pod);
        }
        let Some(job) = &observed.job else {
            return plan;
        };
        let other = |by: &String| by != "kubernetes.io/job-controller";
        if job.view.spec.managed_by.as_ref().is_some_and(other) {
            return plan;
        }
        let selector = job.view.spec.selector.as_ref().and_then(|s| s.selector().ok());
        let Some(selector) = selector else {
            return plan;
        };
        if job.view.status.finished().is_some() {
            observed
                .pods
                .iter()
                .filter(|pod| is_held(&pod.object))
                .for_each(|pod| release(&mut plan, &pod.object));
            return plan;
        }
        let own = claim::claim_held(&mut plan, &job.object, &selector, &observed.pods, FINALIZER);
        let look = Look::new(job, own, now);
        let refused = last
            .refused(pods::CREATE)
            .or(last.refused(pods::DELETE))
            .is_some();
        track::carry_out(&mut plan, &look, refused);
        plan
    }
}

fn is_held(pod: &Object) -> bool {
    pod.finalizers().any(|finalizer| finalizer == FINALIZER)
}

fn is_of(pod: &Object, job: &str) -> bool {
    let owner = pod.controller();
    owner.is_some_and(|owner| owner.kind == "Job" && owner.name == job)
}

#[derive(Serialize)]
struct ReleasePatch<'a> {
    metadata: ReleaseMeta<'a>,
}

#[derive(Serialize)]
struct ReleaseMeta<'a> {
    uid: &'a str,
    #[serde(rename = "$deleteFromPrimitiveList/finalizers")]
    finalizers: [&'static str; 1],
}

/// Lets a pod go.
fn release(plan: &mut Plan, pod: &Object) {
    let patch = ReleasePatch {
        metadata: ReleaseMeta {
            uid: pod.uid(),
            finalizers: [FINALIZER],
        },
    };
    plan.patch("release-pod", &PODS, &pod.key(), "", Patch::Strategic, &patch);
}

fn pod_keys(change: &Change, caches: &Caches) -> Vec<Key> {
    let pod = change.object();
    let mut keys = owner_key(change, "Job");
    if pod.controller().is_none() {
        for job in caches.all(&JOBS).in_namespace(pod.namespace()) {
            let selector = see::<Job>(job.clone()).and_then(|j| j.view.spec.selector?.selector().ok());
            if selector.is_some_and(|s| s.matches(|key| pod.label(key))) {
                keys.push(job.key());
            }
        }
    }
    keys
}
