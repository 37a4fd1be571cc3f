//! Carrying a look out: the status, the finalizers, the pods.

use super::{
    finish, is_held,
    look::{Look, is_succeeded},
    manage::{Work, manage},
    release,
    view::{JOBS, JobStatus, Uncounted},
};
use crate::{
    views::{Condition, Pod, Seen, seconds},
    workloads::{pods, status},
};
use reconcile::{About, Note, Plan};

/// At most so many pods are uncounted at once, so that the status stays small.
const MOST_UNCOUNTED: usize = 500;

/// Plans what the look asks for. After a refusal the status tells only what is.
pub(super) fn carry_out(plan: &mut Plan, look: &Look<'_>, refused: bool) {
    let mut wait = None;
    let mut end = finish::decide(look, &mut wait);
    let is_going = look.job.object.deletion_timestamp().is_some();
    let work = match &end {
        Some(_) => Work {
            delete: look.active.clone(),
            ..Work::default()
        },
        None if is_going => Work::default(),
        None => manage(look),
    };
    if let Some(delay) = wait.into_iter().chain(work.again_after).min() {
        plan.again_after(delay);
    }
    let mut new = look.status().clone();
    counts(&mut new, look, &work, refused);
    let done = match look.spec().completions {
        None => look.succeeded > 0,
        Some(completions) => look.succeeded >= completions,
    };
    if end.is_none() && done && new.active == 0 {
        end = Some(Condition::holds("SuccessCriteriaMet", "", "", look.now));
    } else if end.is_none() && !is_going {
        suspension(plan, &mut new, look);
    }
    let release = account(&mut new, look, end.as_ref());
    if let Some(end) = &end {
        conclude(plan, &mut new, look, end);
    }
    status::write_on(plan, &JOBS, &look.job.object, look.status(), &new);
    if end.is_some() {
        // What still runs is deleted before it is let go, so that it cannot be forgotten.
        delete(plan, look, &work.delete, false);
    }
    release.iter().for_each(|pod| self::release(plan, &pod.object));
    if end.is_none() {
        delete(plan, look, &work.delete, true);
        work.create
            .iter()
            .for_each(|pod| pod.create(plan, &look.job.object));
    }
}

fn delete(plan: &mut Plan, look: &Look<'_>, pods: &[&Seen<Pod>], release: bool) {
    let held = pods.iter().filter(|pod| release && is_held(&pod.object));
    held.for_each(|pod| self::release(plan, &pod.object));
    for pod in pods {
        pods::delete(plan, &look.job.object, &pod.object);
    }
}

/// What runs, as it will be when the plan is through.
fn counts(new: &mut JobStatus, look: &Look<'_>, work: &Work<'_>, refused: bool) {
    let spec = look.spec();
    if new.start_time.is_none() && !spec.suspend {
        new.start_time = Some(seconds(look.now));
    }
    let number = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    new.active = number(look.active.len());
    new.terminating = Some(look.terminating);
    let ready = |pods: &[&Seen<Pod>]| pods::count(pods, |pod| pod.is_ready());
    new.ready = Some(ready(&look.active));
    if !refused {
        new.active += number(work.create.len()) - number(work.delete.len());
        new.terminating = Some(look.terminating + number(work.delete.len()));
        new.ready = Some(ready(&look.active) - ready(&work.delete));
    }
}

/// The condition Suspended, and the start time, which a resumed Job gets anew.
fn suspension(plan: &mut Plan, new: &mut JobStatus, look: &Look<'_>) {
    let (status, reason, message) = match look.spec().suspend {
        true => ("True", "JobSuspended", "Job suspended"),
        false => ("False", "JobResumed", "Job resumed"),
    };
    let known = new.conditions.iter().position(|c| c.r#type == "Suspended");
    if known.map_or(status == "False", |at| new.conditions[at].status == status) {
        return;
    }
    let condition = Condition {
        status: status.to_owned(),
        ..Condition::holds("Suspended", reason, message, look.now)
    };
    match known {
        Some(at) => new.conditions[at] = condition,
        None => new.conditions.push(condition),
    }
    if status == "False" {
        new.start_time = Some(seconds(look.now));
    }
    let reason = if status == "True" { "Suspended" } else { "Resumed" };
    plan.event(Note::normal(About::object(&look.job.object), reason, message));
}

/// Counts pods that are let go, notes those that have ended, and returns which may be let go now.
fn account<'a>(new: &mut JobStatus, look: &Look<'a>, end: Option<&Condition>) -> Vec<&'a Seen<Pod>> {
    let spec = look.spec();
    let held: Vec<&Seen<Pod>> = look
        .own
        .iter()
        .copied()
        .filter(|pod| is_held(&pod.object))
        .collect();
    let still = |uids: &[String]| -> Vec<String> {
        let held = |uid: &&String| held.iter().any(|pod| pod.object.uid() == *uid);
        uids.iter().filter(held).cloned().collect()
    };
    let gone = |before: &[String], after: &[String]| i32::try_from(before.len() - after.len()).unwrap_or(0);
    let before = std::mem::take(&mut new.uncounted_terminated_pods);
    let mut uncounted = Uncounted {
        succeeded: still(&before.succeeded),
        failed: still(&before.failed),
    };
    new.succeeded += gone(&before.succeeded, &uncounted.succeeded);
    new.failed += gone(&before.failed, &uncounted.failed);
    let failing = end.is_some_and(|end| end.r#type == "FailureTarget");
    let mut release = Vec::new();
    let mut indexes = look.before.clone();
    for pod in &held {
        let uid = pod.object.uid().to_owned();
        let failed = look.is_failed(pod);
        if !may_go(look, pod, failed, end) {
            continue;
        }
        release.push(*pod);
        if is_succeeded(pod) && !uncounted.failed.contains(&uid) {
            match look.index(pod) {
                Some(index) if spec.is_indexed() => _ = indexes.0.insert(index),
                None if spec.is_indexed() => {}
                _ if uncounted.succeeded.contains(&uid) => {}
                _ => uncounted.succeeded.push(uid),
            }
        } else if (failed || failing)
            && look.may_count(pod)
            && !uncounted.failed.contains(&uid)
            && !look.judge(pod).ignored
        {
            uncounted.failed.push(uid);
        }
        if uncounted.succeeded.len() + uncounted.failed.len() >= MOST_UNCOUNTED {
            break;
        }
    }
    if spec.is_indexed() {
        new.succeeded = indexes.total();
        new.completed_indexes = indexes.to_string();
        new.failed_indexes = look.failed_indexes.as_ref().map(ToString::to_string);
    }
    new.uncounted_terminated_pods = uncounted;
    release
}

/// Whether the finalizer of a pod may go.
fn may_go(look: &Look<'_>, pod: &Seen<Pod>, failed: bool, end: Option<&Condition>) -> bool {
    if look.job.object.deletion_timestamp().is_some() || end.is_some() || is_succeeded(pod) {
        return true;
    }
    let awaits_next = look.index(pod).is_some_and(|index| {
        let held = look.replaced.get(&index);
        held.is_some_and(|held| held.object.uid() == pod.object.uid())
    });
    failed && !awaits_next
}

/// The interim condition; and once nothing runs and all is counted, the final one.
fn conclude(plan: &mut Plan, new: &mut JobStatus, look: &Look<'_>, end: &Condition) {
    if new.holds(&end.r#type).is_none() {
        new.conditions.push(end.clone());
        return;
    }
    let uncounted = &new.uncounted_terminated_pods;
    let counted = uncounted.succeeded.is_empty() && uncounted.failed.is_empty();
    let held = look.own.iter().any(|pod| is_held(&pod.object));
    if !counted || held || new.active > 0 || new.terminating.is_some_and(|n| n > 0) {
        return;
    }
    let about = About::object(&look.job.object);
    if end.r#type == "FailureTarget" {
        let condition = Condition::holds("Failed", &end.reason, &end.message, look.now);
        new.conditions.push(condition);
        plan.event(Note::warning(about, reason(&end.reason), end.message.clone()));
        return;
    }
    let condition = Condition::holds("Complete", &end.reason, &end.message, look.now);
    new.completion_time = condition.last_transition_time;
    new.conditions.push(condition);
    if look
        .spec()
        .completions
        .is_some_and(|wanted| new.succeeded > wanted)
    {
        let text = "Too many succeeded pods running after completion count reached";
        plan.event(Note::warning(about.clone(), "TooManySucceededPods", text));
    }
    plan.event(Note::normal(about, "Completed", "Job completed"));
}

/// The reason of an event is one of a few words.
fn reason(text: &str) -> &'static str {
    const ALL: [&str; 5] = [
        "BackoffLimitExceeded",
        "DeadlineExceeded",
        "PodFailurePolicy",
        "MaxFailedIndexesExceeded",
        "FailedIndexes",
    ];
    ALL.into_iter().find(|known| *known == text).unwrap_or("Failed")
}
