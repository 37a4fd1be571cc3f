//! One pod for each node that should have one (upstream `manage`).

use super::{Backoff, Look, OnNode, Work, target};
use crate::views::{Pod, Seen};
use jiff::Timestamp;
use reconcile::{About, Note, Plan};

/// What is to be done so that each node has what it should, whatever the revision.
pub(super) fn manage<'a>(plan: &mut Plan, look: &Look<'a>, backoff: &Backoff, now: Timestamp) -> Work<'a> {
    let mut work = Work::default();
    for (name, on) in &look.nodes {
        if on.fit.run && on.pods.is_empty() {
            work.create.push(name);
        } else if on.fit.stay {
            keep_one(plan, look, (name, on), backoff, &mut work, now);
        } else {
            let there = on.pods.iter().filter(|pod| !is_going(pod));
            work.delete.extend(there);
        }
    }
    // Pods that wait for a node that is no more.
    let lost = look.own.iter().filter(|pod| {
        pod.view.spec.node_name.is_empty()
            && !is_going(pod)
            && target(pod).is_some_and(|name| !look.nodes.contains_key(name))
    });
    work.delete.extend(lost);
    work
}

fn is_going(pod: &Seen<Pod>) -> bool {
    pod.object.deletion_timestamp().is_some()
}

/// Finished pods go, failed ones after a while; of several the oldest stays, or an old and a new one while the set may
/// surge.
fn keep_one<'a>(
    plan: &mut Plan,
    look: &Look<'a>,
    (name, on): (&str, &OnNode<'a>),
    backoff: &Backoff,
    work: &mut Work<'a>,
    now: Timestamp,
) {
    let mut running = Vec::new();
    for pod in on.pods.iter().copied().filter(|pod| !is_going(pod)) {
        let about = About::object(&look.set.object);
        let (namespace, pod_name) = (pod.object.namespace(), pod.object.name());
        match pod.view.status.phase.as_str() {
            "Failed" => match backoff.failed(look.set.object.uid(), name, now) {
                Err(wait) => plan.again_after(wait),
                Ok(()) => {
                    let text = format!(
                        "Found failed daemon pod {namespace}/{pod_name} on node {name}, will try to kill it"
                    );
                    plan.event(Note::warning(about, "FailedDaemonPod", text));
                    work.delete.push(pod);
                }
            },
            "Succeeded" => {
                let text = format!(
                    "Found succeeded daemon pod {namespace}/{pod_name} on node {name}, will try to delete it"
                );
                plan.event(Note::normal(about, "SucceededDaemonPod", text));
                work.delete.push(pod);
            }
            _ => running.push(pod),
        }
    }
    running.sort_by_key(|pod| (pod.object.creation_timestamp(), pod.object.name()));
    if look.limits().0 == 0 {
        work.delete.extend(running.into_iter().skip(1));
        return;
    }
    let (new, old): (Vec<_>, Vec<_>) = running.into_iter().partition(|pod| look.is_updated(pod));
    if let (Some(newest), Some(oldest)) = (new.first(), old.first())
        && look.is_available(newest, now)
    {
        work.delete.push(oldest);
    }
    work.delete.extend(new.into_iter().skip(1));
    work.delete.extend(old.into_iter().skip(1));
}
