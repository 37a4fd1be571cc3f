//! Pressure on memory and disk: the node says so, unused images go, then pods (upstream: `pkg/kubelet/eviction`, its hard
//! thresholds).

use crate::{
    about,
    threshold::Signal,
    view::{Container, Pod},
    worker::Shared,
};
use api::Quantity;
use client::Severity;
use runtime::ContainerStats;
use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};
use tokio::time::Instant;

const PERIOD: Duration = Duration::from_secs(10);
const STORAGE: &str = "ephemeral-storage";
/// Pods of this priority are never evicted (upstream: `SystemCriticalPriority`).
const CRITICAL: i32 = 2_000_000_000;

/// What is short on the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pressure {
    /// Memory.
    pub memory: bool,
    /// Disk.
    pub disk: bool,
}

/// A threshold that is met.
#[derive(Debug)]
struct Short {
    resource: &'static str,
    threshold: String,
    available: u64,
}

/// What a pod uses of what is short, by its containers where that is known.
struct Usage {
    pod: Arc<Pod>,
    used: u64,
    requested: u64,
    containers: Vec<(String, u64, u64)>,
}

/// Looks at memory and disk now and then.
pub(crate) async fn watch(shared: Arc<Shared>) {
    let (mut memory, mut disk): (Option<Instant>, Option<Instant>) = (None, None);
    loop {
        let now = shared.env.clock.now();
        let short = shortages(&shared);
        for found in &short {
            let seen = if found.resource == "memory" {
                &mut memory
            } else {
                &mut disk
            };
            *seen = Some(now);
        }
        let holds =
            |seen: Option<Instant>| seen.is_some_and(|at| now - at < shared.config.eviction_transition);
        let pressure = Pressure {
            memory: holds(memory),
            disk: holds(disk),
        };
        let news = shared.pressure.send_replace(pressure) != pressure;
        if let Some(found) = short.first() {
            reclaim(&shared, found, news).await;
        }
        shared.env.clock.sleep(PERIOD).await;
    }
}

/// The thresholds that are met, memory first.
fn shortages(shared: &Shared) -> Vec<Short> {
    let mut short = Vec::new();
    for (signal, least) in shared.config.eviction_hard.signals() {
        let (resource, disk) = match signal {
            Signal::Memory => ("memory", shared.machine.memory()),
            Signal::Node => (STORAGE, shared.machine.disk(&shared.config.root_dir)),
            Signal::Images => (STORAGE, shared.machine.disk(&shared.runtime.image_root())),
        };
        let Ok(disk) = disk else { continue };
        let least = least(disk.capacity);
        if disk.capacity > 0 && disk.available < least {
            short.push(Short {
                resource,
                threshold: whole(least),
                available: disk.available,
            });
        }
    }
    short
}

fn whole(bytes: u64) -> String {
    Quantity::from_bytes(i64::try_from(bytes).unwrap_or(i64::MAX)).to_string()
}

async fn reclaim(shared: &Shared, short: &Short, news: bool) {
    if news {
        let node = about::node(&shared.config.node_name);
        let message = format!("Attempting to reclaim {}", short.resource);
        shared
            .recorder
            .record(node, Severity::Warning, "EvictionThresholdMet", message);
    }
    if short.resource != "memory" && news {
        // The images first: the next look sees whether that was enough.
        shared.disk_low.notify_one();
        return;
    }
    if let Some(worst) = worst(shared, short.resource).await {
        let mut message = format!(
            "The node was low on resource: {}. Threshold quantity: {}, available: {}. ",
            short.resource,
            short.threshold,
            whole(short.available)
        );
        for (name, used, requested) in worst
            .containers
            .iter()
            .filter(|(_, used, requested)| used > requested)
        {
            message += &format!(
                "Container {name} was using {}, request is {}, has larger consumption of {}. ",
                whole(*used),
                whole(*requested),
                short.resource
            );
        }
        tracing::warn!(pod = worst.pod.full_name(), message, "evicted");
        shared.registry.evict(&worst.pod.metadata.uid, &message);
    }
}

/// The pod to evict: of those that use more than they asked for, the least important, which uses most.
async fn worst(shared: &Shared, resource: &str) -> Option<Usage> {
    let stats = if resource == "memory" {
        stats_by_pod(shared).await
    } else {
        BTreeMap::new()
    };
    let critical = |pod: &Pod| pod.spec.priority.is_some_and(|priority| priority >= CRITICAL);
    let inputs = shared.registry.pods().into_iter();
    let candidates = inputs.filter(|i| {
        !i.is_static && !i.gone && i.evicted.is_empty() && !i.pod.status.is_over() && !critical(&i.pod)
    });
    let usages = candidates.map(|input| {
        let pod = input.pod;
        let of = |c: &Container| {
            c.resources
                .requests
                .get(resource)
                .map_or(0, |q| u64::try_from(q.value()).unwrap_or(0))
        };
        let used = |c: &Container| {
            stats
                .get(&(pod.metadata.uid.clone(), c.name.clone()))
                .copied()
                .unwrap_or(0)
        };
        let containers: Vec<_> = pod
            .all_containers()
            .map(|c| (c.name.clone(), used(c), of(c)))
            .collect();
        let folder = shared.volumes.pod_dir(&pod.metadata.uid);
        Usage {
            used: match resource {
                "memory" => containers.iter().map(|(_, used, _)| used).sum(),
                _ => weight(shared, &folder),
            },
            requested: containers.iter().map(|(.., requested)| requested).sum(),
            containers,
            pod,
        }
    });
    usages.max_by_key(|u| {
        let priority = std::cmp::Reverse(u.pod.spec.priority.unwrap_or(0));
        (u.used > u.requested, priority, u.used.saturating_sub(u.requested))
    })
}

/// Bytes of memory by pod and container.
async fn stats_by_pod(shared: &Shared) -> BTreeMap<(String, String), u64> {
    let runtime = &shared.runtime;
    let (Ok(stats), Ok(containers), Ok(sandboxes)) = (
        runtime.stats().await,
        runtime.containers(None).await,
        runtime.sandboxes().await,
    ) else {
        return BTreeMap::new();
    };
    let of = |stat: &ContainerStats| {
        let container = containers.iter().find(|c| c.id == stat.id)?;
        let sandbox = sandboxes.iter().find(|s| s.id == container.sandbox)?;
        Some((
            (sandbox.uid.clone(), container.name.clone()),
            stat.memory_working_set,
        ))
    };
    stats.iter().filter_map(of).collect()
}

/// Bytes of the files in a folder.
fn weight(shared: &Shared, folder: &Path) -> u64 {
    let machine = &shared.machine;
    let of = |name: String| {
        let path = folder.join(name);
        match machine.is_dir(&path) {
            Ok(true) => weight(shared, &path),
            _ => machine.size(&path),
        }
    };
    machine.children(folder).into_iter().map(of).sum()
}
