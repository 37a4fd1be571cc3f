//! What a look at a Job counts.

use super::{
    indexes::Indexes,
    is_held, policy,
    view::{Job, JobSpec, JobStatus},
};
use crate::{
    views::{Pod, Seen},
    workloads::pods,
};
use jiff::Timestamp;
use std::{collections::BTreeMap, time::Duration};

pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";
pub(super) const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
pub(super) const IGNORED: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// A Job and its pods, counted.
pub(super) struct Look<'a> {
    pub job: &'a Seen<Job>,
    pub own: Vec<&'a Seen<Pod>>,
    pub active: Vec<&'a Seen<Pod>>,
    /// Pods that are being deleted and have not ended.
    pub terminating: i32,
    /// With those that the status does not count yet.
    pub succeeded: i32,
    pub failed: i32,
    /// Of an indexed Job: what the status has, and with the pods that are seen.
    pub before: Indexes,
    pub succeeded_indexes: Indexes,
    /// Of a Job that counts failures by index.
    pub failed_indexes: Option<Indexes>,
    /// By index: the failed pod that is held until there is another one that takes over its count.
    pub replaced: BTreeMap<i32, &'a Seen<Pod>>,
    pub now: Timestamp,
}

impl<'a> Look<'a> {
    pub fn new(job: &'a Seen<Job>, own: Vec<&'a Seen<Pod>>, now: Timestamp) -> Self {
        let status = &job.view.status;
        let spec = &job.view.spec;
        let completions = spec.completions.unwrap_or(i32::MAX);
        let active: Vec<_> = own.iter().copied().filter(|pod| pod.is_active()).collect();
        let terminating = pods::count(&own, |pod| {
            pod.object.deletion_timestamp().is_some() && !pod.is_finished()
        });
        let mut look = Self {
            active,
            terminating,
            succeeded: status.succeeded,
            failed: status.failed,
            before: Indexes::parse(&status.completed_indexes, completions),
            succeeded_indexes: Indexes::default(),
            failed_indexes: None,
            replaced: BTreeMap::new(),
            job,
            own,
            now,
        };
        let uncounted = &status.uncounted_terminated_pods;
        let number = |uids: &[String]| i32::try_from(uids.len()).unwrap_or(i32::MAX);
        look.succeeded += number(&uncounted.succeeded) + look.uncounted(&uncounted.succeeded, is_succeeded);
        look.failed += number(&uncounted.failed)
            + look.uncounted(&uncounted.failed, |pod| {
                look.is_failed(pod) && !look.judge(pod).ignored
            });
        if spec.is_indexed() {
            look.count_indexes();
        }
        look
    }

    pub fn spec(&self) -> &'a JobSpec {
        &self.job.view.spec
    }

    pub fn status(&self) -> &'a JobStatus {
        &self.job.view.status
    }

    /// Pods that are held, are not in the status yet, and fit.
    fn uncounted(&self, counted: &[String], fits: impl Fn(&Seen<Pod>) -> bool) -> i32 {
        pods::count(&self.own, |pod| {
            is_held(&pod.object)
                && !counted.iter().any(|uid| uid == pod.object.uid())
                && self.may_count(pod)
                && fits(pod)
        })
    }

    /// A pod of an indexed Job counts only by its index.
    pub fn may_count(&self, pod: &Seen<Pod>) -> bool {
        !self.spec().is_indexed() || self.index(pod).is_some()
    }

    /// The index of a pod, if the Job has it.
    pub fn index(&self, pod: &Seen<Pod>) -> Option<i32> {
        let index: i32 = pod.view.metadata.annotations.get(INDEX)?.parse().ok()?;
        let completions = self.spec().completions.unwrap_or(i32::MAX);
        (0..completions).contains(&index).then_some(index)
    }

    /// Whether a pod has failed, or counts as failed because somebody deletes it.
    pub fn is_failed(&self, pod: &Seen<Pod>) -> bool {
        let phase = pod.view.status.phase.as_str();
        let deleted = pod.object.deletion_timestamp().is_some() && phase != "Succeeded";
        phase == "Failed" || deleted && !self.spec().replaces_only_failed()
    }

    pub fn judge(&self, pod: &Seen<Pod>) -> policy::Judgement {
        policy::judge(self.spec().pod_failure_policy.as_ref(), pod)
    }

    fn count_indexes(&mut self) {
        let held: Vec<_> = self
            .own
            .iter()
            .copied()
            .filter(|pod| is_held(&pod.object))
            .collect();
        self.succeeded_indexes = self.before.clone();
        let succeeded = held.iter().filter(|pod| is_succeeded(pod));
        let succeeded: Vec<i32> = succeeded.filter_map(|pod| self.index(pod)).collect();
        self.succeeded_indexes.0.extend(succeeded);
        self.succeeded = self.succeeded_indexes.total();
        let Some(limit) = self.spec().backoff_limit_per_index else {
            return;
        };
        let completions = self.spec().completions.unwrap_or(i32::MAX);
        let before = self.status().failed_indexes.as_deref().unwrap_or_default();
        let mut failed = Indexes::parse(before, completions);
        let failures = held.into_iter().filter(|pod| self.is_failed(pod));
        let failures: Vec<_> = failures.filter_map(|pod| Some((self.index(pod)?, pod))).collect();
        for (index, pod) in &failures {
            let judgement = self.judge(pod);
            let spent = !judgement.ignored && number(pod, FAILURES) >= limit;
            if judgement.fails_index || spent {
                failed.0.insert(*index);
            }
        }
        let running: Vec<i32> = self.active.iter().filter_map(|pod| self.index(pod)).collect();
        let waiting = failures.into_iter().filter(|(index, _)| {
            !self.succeeded_indexes.has(*index) && !failed.has(*index) && !running.contains(index)
        });
        let mut replaced: BTreeMap<i32, &Seen<Pod>> = BTreeMap::new();
        for (index, pod) in waiting {
            let weight = |pod: &Seen<Pod>| (all_failures(pod), finished_at(pod));
            if replaced
                .get(&index)
                .is_none_or(|last| weight(last) <= weight(pod))
            {
                replaced.insert(index, pod);
            }
        }
        self.replaced = replaced;
        self.failed_indexes = Some(failed);
    }

    /// How long no pod may be made, by the failures since the last success.
    pub fn backoff(&self) -> Duration {
        let of = |fits: &dyn Fn(&Seen<Pod>) -> bool| -> Vec<Timestamp> {
            let pods = self.own.iter().filter(|pod| fits(pod));
            pods.filter_map(|pod| finished_at(pod)).collect()
        };
        let success = of(&is_succeeded).into_iter().max();
        let mut failures = of(&|pod| self.is_failed(pod));
        failures.retain(|at| success.is_none_or(|success| *at > success));
        match failures.iter().max() {
            Some(last) => remaining(failures.len(), *last, self.now),
            None => Duration::ZERO,
        }
    }

    /// The same for one index.
    pub fn index_backoff(&self, index: i32) -> Duration {
        let wait = self.replaced.get(&index).and_then(|pod| {
            let failures = usize::try_from(all_failures(pod)).unwrap_or(0) + 1;
            Some(remaining(failures, finished_at(pod)?, self.now))
        });
        wait.unwrap_or_default()
    }
}

/// Ten seconds after the first failure, doubling to ten minutes.
fn remaining(failures: usize, last: Timestamp, now: Timestamp) -> Duration {
    let doublings = u32::try_from(failures.saturating_sub(1))
        .unwrap_or(u32::MAX)
        .min(16);
    let delay = Duration::from_secs((10_u64 << doublings).min(600));
    let passed = Duration::try_from(now.duration_since(last)).unwrap_or_default();
    delay.saturating_sub(passed)
}

pub(super) fn is_succeeded(pod: &Seen<Pod>) -> bool {
    pod.view.status.phase == "Succeeded"
}

/// A number among the annotations.
pub(super) fn number(pod: &Seen<Pod>, annotation: &str) -> i32 {
    let text = pod.view.metadata.annotations.get(annotation);
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn all_failures(pod: &Seen<Pod>) -> i32 {
    number(pod, FAILURES) + number(pod, IGNORED)
}

/// When a pod ended: with its last container, else when it was not ready any more or deleted.
fn finished_at(pod: &Seen<Pod>) -> Option<Timestamp> {
    let status = &pod.view.status;
    let ended = status
        .container_statuses
        .iter()
        .filter_map(|c| c.state.terminated.as_ref()?.finished_at);
    let ready = status.conditions.iter().find(|c| c.r#type == "Ready");
    ended
        .max()
        .or_else(|| pod.object.deletion_timestamp())
        .or_else(|| ready.and_then(|c| c.last_transition_time))
        .or_else(|| pod.object.creation_timestamp())
}
