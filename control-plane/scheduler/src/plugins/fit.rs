//! NodeResourcesFit and NodeResourcesBalancedAllocation.

use super::Rejection;
use crate::{
    snapshot::{Node, Snapshot},
    views::Pod,
};
use api::decision::Reason;

/// What upstream counts for a container without requests, when scoring: 100m and 200 MB.
const DEFAULT_CPU: i64 = 100;
const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

pub(super) fn filter(pod: &Pod, node: &Node, _: &Snapshot, out: &mut Vec<Rejection>) {
    let slots = node.allocatable.get("pods").copied().unwrap_or(0);
    let used = i64::try_from(node.pods.len()).unwrap_or(i64::MAX);
    if used + 1 > slots {
        let reason = Reason::new("TooManyPods").with("capacity", slots);
        out.push(Rejection::new("Too many pods", reason, slots > 0));
    }
    for (resource, wanted) in &pod.requests {
        let free = node.free(resource);
        if *wanted > 0 && *wanted > free {
            let allocatable = node.allocatable.get(resource).copied().unwrap_or(0);
            let reason = Reason::new("InsufficientResource")
                .with("resource", resource)
                .with("requested", wanted)
                .with("free", free)
                .with("allocatable", allocatable);
            // More than the whole node has is not to be had by eviction.
            out.push(Rejection::new(
                format!("Insufficient {resource}"),
                reason,
                *wanted <= allocatable,
            ));
        }
    }
}

/// CPU and memory with the pod on the node, as shares of 1000; those the node does not have are left out.
fn shares(pod: &Pod, node: &Node) -> Vec<i64> {
    let share = |resource: &str, default: i64| {
        let allocatable = node.allocatable.get(resource).copied().filter(|n| *n > 0)?;
        let counted = |p: &Pod| {
            p.requests
                .get(resource)
                .copied()
                .filter(|n| *n > 0)
                .unwrap_or(default)
        };
        let used = node.pods.values().map(|p| counted(p)).sum::<i64>() + counted(pod);
        Some((i128::from(used) * 1000 / i128::from(allocatable)).min(1000))
    };
    let shares = [share("cpu", DEFAULT_CPU), share("memory", DEFAULT_MEMORY)];
    shares
        .into_iter()
        .flatten()
        .filter_map(|s| i64::try_from(s).ok())
        .collect()
}

/// The emptier the better.
pub(super) fn least_allocated(pod: &Pod, node: &Node, _: &Snapshot) -> i64 {
    let shares = shares(pod, node);
    let count = i64::try_from(shares.len().max(1)).unwrap_or(1);
    shares.iter().map(|s| (1000 - s) / 10).sum::<i64>() / count
}

/// The closer CPU and memory are in use to each other the better.
pub(super) fn balanced(pod: &Pod, node: &Node, _: &Snapshot) -> i64 {
    match shares(pod, node).as_slice() {
        [cpu, memory] => 100 - (cpu - memory).abs() / 20,
        _ => 100,
    }
}
