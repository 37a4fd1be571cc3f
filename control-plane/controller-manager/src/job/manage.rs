//! How many pods run, and which.

use super::look::{FAILURES, IGNORED, INDEX, Look, number};
use crate::{
    views::{Pod, Seen},
    workloads::{
        fields::Fields,
        pods::{self, BURST, NewPod},
    },
};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{collections::BTreeSet, time::Duration};

/// What is to be done to pods.
#[derive(Default)]
pub(super) struct Work<'a> {
    pub delete: Vec<&'a Seen<Pod>>,
    pub create: Vec<NewPod>,
    pub again_after: Option<Duration>,
}

/// Brings the number of running pods to what the Job wants; deletes or creates, never both at once.
pub(super) fn manage<'a>(look: &Look<'a>) -> Work<'a> {
    let spec = look.spec();
    let active = i32::try_from(look.active.len()).unwrap_or(i32::MAX);
    let parallelism = spec.parallelism.unwrap_or(1);
    let wanted = match spec.completions {
        _ if spec.suspend => 0,
        None if look.succeeded > 0 => active,
        None => parallelism,
        Some(completions) => (completions - look.succeeded).min(parallelism).max(0),
    };
    let delete = too_many(look, usize::try_from(active - wanted).unwrap_or(0));
    if !delete.is_empty() {
        return Work {
            delete,
            ..Work::default()
        };
    }
    let going = if spec.replaces_only_failed() {
        look.terminating
    } else {
        0
    };
    let missing = usize::try_from(wanted - active - going).unwrap_or(0).min(BURST);
    if missing == 0 || spec.suspend {
        return Work::default();
    }
    create(look, missing)
}

/// Pods to delete: those whose index another has or the Job has not, then as many as are too many.
fn too_many<'a>(look: &Look<'a>, excess: usize) -> Vec<&'a Seen<Pod>> {
    let mut left = look.active.clone();
    left.sort_by_cached_key(|pod| pods::rank(pod, 0, look.now));
    let mut delete = Vec::new();
    if look.spec().is_indexed() {
        let mut taken = BTreeSet::new();
        // Of several with an index the one that would go last stays.
        let (keep, wrong): (Vec<_>, Vec<_>) = left
            .into_iter()
            .rev()
            .partition(|pod| look.index(pod).is_some_and(|index| taken.insert(index)));
        delete = wrong;
        left = keep.into_iter().rev().collect();
    }
    let more = excess.saturating_sub(delete.len());
    delete.extend(left.into_iter().take(more));
    delete.truncate(BURST);
    delete
}

fn create<'a>(look: &Look<'a>, missing: usize) -> Work<'a> {
    let mut work = Work::default();
    let spec = look.spec();
    let by_index = spec.backoff_limit_per_index.is_some();
    let wait = if by_index { Duration::ZERO } else { look.backoff() };
    if !wait.is_zero() {
        work.again_after = Some(wait);
        return work;
    }
    let pod = pod(look);
    if !spec.is_indexed() {
        work.create = vec![pod; missing];
        return work;
    }
    let mut waits = Vec::new();
    for index in pending(look, missing) {
        match look.index_backoff(index) {
            wait if by_index && !wait.is_zero() => waits.push(wait),
            _ => work.create.push(with_index(look, &pod, index)),
        }
    }
    work.again_after = waits.into_iter().min();
    work
}

/// The lowest indexes that have neither a pod nor an end.
fn pending(look: &Look<'_>, count: usize) -> Vec<i32> {
    let going = |pod: &&&Seen<Pod>| {
        look.spec().replaces_only_failed() && pod.object.deletion_timestamp().is_some() && !pod.is_finished()
    };
    let pods = look.active.iter().chain(look.own.iter().filter(going));
    let taken: BTreeSet<i32> = pods.filter_map(|pod| look.index(pod)).collect();
    let failed = |index: i32| {
        look.failed_indexes
            .as_ref()
            .is_some_and(|failed| failed.has(index))
    };
    (0..look.spec().completions.unwrap_or(0))
        .filter(|index| !taken.contains(index) && !look.succeeded_indexes.has(*index) && !failed(*index))
        .take(count)
        .collect()
}

fn pod(look: &Look<'_>) -> NewPod {
    let mut pod = NewPod::of(&look.job.object, &look.spec().template);
    let finalizers = &mut pod.metadata.finalizers;
    if !finalizers.iter().any(|finalizer| finalizer == super::FINALIZER) {
        finalizers.push(super::FINALIZER.to_owned());
    }
    if look.spec().is_indexed() {
        pod.spec = with_variable(&pod.spec);
    }
    pod
}

fn with_index(look: &Look<'_>, pod: &NewPod, index: i32) -> NewPod {
    const MOST: usize = 58;
    let mut pod = pod.clone();
    let name = look.job.object.name();
    let suffix = format!("-{index}-");
    let room = MOST.saturating_sub(suffix.len()).min(name.len());
    pod.metadata.generate_name = format!("{}{suffix}", &name[..room]);
    pod.metadata
        .annotations
        .insert(INDEX.to_owned(), index.to_string());
    pod.metadata.labels.insert(INDEX.to_owned(), index.to_string());
    let mut spec = Fields::of(&pod.spec);
    spec.set("hostname", &format!("{name}-{index}"));
    pod.spec = spec.text();
    if look.spec().backoff_limit_per_index.is_some() {
        let (mut failures, mut ignored) = (0, 0);
        if let Some(last) = look.replaced.get(&index) {
            (failures, ignored) = (number(last, FAILURES), number(last, IGNORED));
            if look.judge(last).ignored {
                ignored += 1;
            } else {
                failures += 1;
            }
        }
        let annotations = &mut pod.metadata.annotations;
        annotations.insert(FAILURES.to_owned(), failures.to_string());
        if ignored > 0 {
            annotations.insert(IGNORED.to_owned(), ignored.to_string());
        }
    }
    pod
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ValueFrom {
    field_ref: FieldRef,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FieldRef {
    field_path: String,
}

/// Each container gets `JOB_COMPLETION_INDEX`, unless it sets that itself.
fn with_variable(spec: &RawValue) -> Box<RawValue> {
    const NAME: &str = "JOB_COMPLETION_INDEX";
    let mut spec = Fields::of(spec);
    for list in ["initContainers", "containers"] {
        let mut containers: Vec<Fields> = spec.get(list);
        for container in &mut containers {
            let mut variables: Vec<Fields> = container.get("env");
            if variables
                .iter()
                .any(|variable| variable.get::<String>("name") == NAME)
            {
                continue;
            }
            let field_ref = FieldRef {
                field_path: format!("metadata.annotations['{INDEX}']"),
            };
            let mut variable = Fields::default();
            variable.set("name", &NAME);
            variable.set("valueFrom", &ValueFrom { field_ref });
            variables.push(variable);
            container.set("env", &variables);
        }
        if !containers.is_empty() {
            spec.set(list, &containers);
        }
    }
    spec.text()
}
