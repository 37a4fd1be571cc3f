//! Single pods of a set.

use super::{Look, claims, identity};
use crate::{
    views::{PODS, Pod, Seen},
    workloads::pods,
};
use client::Patch;
use reconcile::{About, Note, Plan};

fn notes(look: &Look<'_>, verb: &'static str, pod: &str) -> (Option<Note>, Option<Note>) {
    let set = look.set.object.name();
    let about = About::object(&look.set.object);
    let (done, refused) = match verb {
        "create" => ("SuccessfulCreate", "FailedCreate"),
        _ => ("SuccessfulDelete", "FailedDelete"),
    };
    let text = format!("{verb} Pod {pod} in StatefulSet {set}");
    (
        Some(Note::normal(about.clone(), done, format!("{text} successful"))),
        Some(Note::warning(
            about,
            refused,
            format!("{text} failed error: {{error}}"),
        )),
    )
}

/// Deletes a pod.
pub(super) fn delete(plan: &mut Plan, look: &Look<'_>, pod: &Seen<Pod>) {
    plan.delete(pods::DELETE, &PODS, &pod.object);
    let (done, refused) = notes(look, "delete", pod.object.name());
    plan.noting(done, refused);
}

/// Creates the pod of an ordinal, its claims first.
pub(super) fn create(plan: &mut Plan, look: &Look<'_>, ordinal: i64) {
    claims::create_missing(plan, look, ordinal);
    let pod = identity::pod(look, ordinal);
    plan.create(pods::CREATE, &PODS, look.set.object.namespace(), &pod);
    let (done, refused) = notes(look, "create", &pod.metadata.name);
    plan.noting(done, refused);
}

/// Gives a pod what its ordinal must have.
pub(super) fn mend(plan: &mut Plan, look: &Look<'_>, ordinal: i64, pod: &Seen<Pod>) {
    if let Some(patch) = identity::missing_labels(&pod.object, ordinal) {
        plan.patch("label-pod", &PODS, &pod.object.key(), "", Patch::Merge, &patch);
    }
    claims::match_retention(plan, look, ordinal, pod);
}
