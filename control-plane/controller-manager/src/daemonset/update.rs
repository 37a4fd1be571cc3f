//! Rolling updates (upstream `rollingUpdate`).

use super::{Look, OnNode, Work};
use crate::views::{Pod, Seen};
use jiff::Timestamp;

/// The new and the old pod of a node; none if there are several of a kind.
type Pair<'a> = (Option<&'a Seen<Pod>>, Option<&'a Seen<Pod>>);

fn pair<'a>(look: &Look<'a>, on: &OnNode<'a>) -> Option<Pair<'a>> {
    let (mut new, mut old) = (None, None);
    let there = on
        .pods
        .iter()
        .filter(|pod| pod.object.deletion_timestamp().is_none());
    for pod in there {
        let place = if look.is_updated(pod) { &mut new } else { &mut old };
        if place.replace(*pod).is_some() {
            return None;
        }
    }
    Some((new, old))
}

/// The next step: no more unavailable, or no more surging, than the set allows.
pub(super) fn roll<'a>(look: &Look<'a>, now: Timestamp) -> Work<'a> {
    let (surge, unavailable) = look.limits();
    if surge > 0 {
        surge_step(look, surge, now)
    } else {
        delete_step(look, unavailable, now)
    }
}

/// Old pods go; the next look fills their places. Those that are not available anyway may all go.
fn delete_step<'a>(look: &Look<'a>, limit: i32, now: Timestamp) -> Work<'a> {
    let mut work = Work::default();
    let mut candidates = Vec::new();
    let mut unavailable = 0;
    for on in look.nodes.values().filter(|on| !on.pods.is_empty()) {
        match pair(look, on) {
            Some((Some(new), None)) => unavailable += i32::from(!look.is_available(new, now)),
            Some((None, Some(old))) if look.is_available(old, now) => candidates.push(old),
            Some((None, Some(old))) => {
                unavailable += 1;
                work.delete.push(old);
            }
            _ => unavailable += 1,
        }
    }
    work.delete
        .extend(candidates.into_iter().take(room(limit, unavailable)));
    work
}

/// New pods come beside the old; once one is available, the old one goes.
fn surge_step<'a>(look: &Look<'a>, limit: i32, now: Timestamp) -> Work<'a> {
    let mut work = Work::default();
    let mut candidates = Vec::new();
    let mut surging = 0;
    for (name, on) in look.nodes.iter().filter(|(_, on)| !on.pods.is_empty()) {
        match pair(look, on) {
            None => surging += 1,
            Some((_, None)) => {}
            Some((None, Some(old))) if !on.fit.run => work.delete.push(old),
            Some((None, Some(old))) if look.is_available(old, now) => candidates.push(*name),
            Some((None, Some(_))) => work.create.push(name),
            Some((Some(new), Some(old))) if look.is_available(new, now) => work.delete.push(old),
            Some((Some(_), Some(_))) => surging += 1,
        }
    }
    work.create
        .extend(candidates.into_iter().take(room(limit, surging)));
    work
}

fn room(limit: i32, taken: i32) -> usize {
    usize::try_from(limit - taken).unwrap_or(0)
}
