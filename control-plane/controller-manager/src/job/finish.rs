//! When a Job is at its end.

use super::{look::Look, policy};
use crate::views::Condition;
use std::time::Duration;

/// The condition by which the end is decided: `FailureTarget` or `SuccessCriteriaMet`. The pods that still run are
/// then stopped; once all are gone and counted, `Failed` or `Complete` follows.
pub(super) fn decide(look: &Look<'_>, again_after: &mut Option<Duration>) -> Option<Condition> {
    let status = look.status();
    let known = status
        .holds("SuccessCriteriaMet")
        .or_else(|| status.holds("FailureTarget"));
    if let Some(known) = known {
        return Some(known.clone());
    }
    let failure = by_policy(look)
        .map(|message| ("PodFailurePolicy", message))
        .or_else(|| by_limits(look, again_after).map(|(reason, text)| (reason, text.to_owned())))
        .or_else(|| by_indexes(look).map(|(reason, text)| (reason, text.to_owned())));
    if let Some((reason, message)) = failure {
        return Some(Condition::holds("FailureTarget", reason, &message, look.now));
    }
    let spec = look.spec();
    let completions = spec.completions.unwrap_or(i32::MAX);
    let message = spec
        .is_indexed()
        .then(|| policy::success(spec.success_policy.as_ref(), &look.succeeded_indexes, completions));
    let message = message.flatten()?;
    Some(Condition::holds(
        "SuccessCriteriaMet",
        "SuccessPolicy",
        &message,
        look.now,
    ))
}

fn by_policy(look: &Look<'_>) -> Option<String> {
    look.spec().pod_failure_policy.as_ref()?;
    let mut failed = look.own.iter().filter(|pod| look.is_failed(pod));
    failed.find_map(|pod| look.judge(pod).fails_job)
}

fn by_limits(look: &Look<'_>, again_after: &mut Option<Duration>) -> Option<(&'static str, &'static str)> {
    let spec = look.spec();
    let limit = spec.backoff_limit.unwrap_or(6);
    if look.failed > limit || restarts_exceed(look, limit) {
        return Some((
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit",
        ));
    }
    let start = look.status().start_time.filter(|_| !spec.suspend);
    if let (Some(start), Some(deadline)) = (start, spec.active_deadline_seconds) {
        let end = start + jiff::SignedDuration::from_secs(deadline);
        if look.now >= end {
            return Some((
                "DeadlineExceeded",
                "Job was active longer than specified deadline",
            ));
        }
        *again_after = Duration::try_from(end.duration_since(look.now)).ok();
    }
    None
}

/// Pods that restart their containers themselves fail by the count of restarts.
fn restarts_exceed(look: &Look<'_>, limit: i32) -> bool {
    let spec = crate::workloads::fields::Fields::of(&look.spec().template.spec);
    if spec.get::<String>("restartPolicy") != "OnFailure" {
        return false;
    }
    let alive = |pod: &&&crate::views::Seen<crate::views::Pod>| {
        matches!(pod.view.status.phase.as_str(), "Running" | "Pending")
    };
    let restarts: i32 = look
        .own
        .iter()
        .filter(alive)
        .flat_map(|pod| {
            let status = &pod.view.status;
            status
                .init_container_statuses
                .iter()
                .chain(&status.container_statuses)
        })
        .map(|container| container.restart_count)
        .sum();
    restarts > 0 && restarts >= limit
}

fn by_indexes(look: &Look<'_>) -> Option<(&'static str, &'static str)> {
    let failed = look.failed_indexes.as_ref()?.total();
    let spec = look.spec();
    if spec.max_failed_indexes.is_some_and(|most| failed > most) {
        let text = "Job has exceeded the specified maximal number of failed indexes";
        return Some(("MaxFailedIndexesExceeded", text));
    }
    let all = failed + look.succeeded_indexes.total() >= spec.completions.unwrap_or(i32::MAX);
    (failed > 0 && all).then_some(("FailedIndexes", "Job has failed indexes"))
}
