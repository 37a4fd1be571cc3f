//! What the node, its pods and their containers use, and the forms in which it is told: `/stats/summary`,
//! `/metrics/resource`, `/metrics/cadvisor`.

use crate::{Kubelet, pod::timestamp};
use api::Status;
use jiff::Timestamp;
use serde::Serialize;
use std::{fmt::Write, path::Path};

/// Nanoseconds of a tick, in which `/proc/stat` counts.
const TICK: u64 = 10_000_000;

#[derive(Serialize)]
struct Summary {
    node: Node,
    pods: Vec<Pod>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    node_name: String,
    start_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpu: Option<Cpu>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Memory>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Pod {
    pod_ref: Reference,
    start_time: String,
    containers: Vec<Container>,
    cpu: Cpu,
    memory: Memory,
}

#[derive(Serialize)]
struct Reference {
    name: String,
    namespace: String,
    uid: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    name: String,
    start_time: String,
    cpu: Cpu,
    memory: Memory,
    #[serde(skip)]
    id: String,
    #[serde(skip)]
    image: String,
    #[serde(skip)]
    started: Timestamp,
}

#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cpu {
    time: String,
    usage_core_nano_seconds: u64,
}

#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    available_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_bytes: Option<u64>,
    working_set_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rss_bytes: Option<u64>,
}

async fn gather(kubelet: &Kubelet) -> Result<Summary, Status> {
    let runtime = &kubelet.shared.runtime;
    let time = timestamp(kubelet.shared.env.clock.wall());
    let stats = runtime.stats().await.map_err(Status::internal)?;
    let containers = runtime.containers(None).await.map_err(Status::internal)?;
    let sandboxes = runtime.sandboxes().await.map_err(Status::internal)?;
    let cpu = |nanos: u64| Cpu {
        time: time.clone(),
        usage_core_nano_seconds: nanos,
    };
    let memory = |working_set: u64, rss: u64| Memory {
        time: time.clone(),
        working_set_bytes: working_set,
        rss_bytes: Some(rss),
        ..Memory::default()
    };
    let pod = |sandbox: &runtime::SandboxStatus| {
        let inside = containers.iter().filter(|c| c.sandbox == sandbox.id);
        let used = inside.filter_map(|c| Some((c, stats.iter().find(|s| s.id == c.id)?)));
        let used: Vec<_> = used.collect();
        let sum = |of: fn(&runtime::ContainerStats) -> u64| used.iter().map(|(_, s)| of(s)).sum();
        Pod {
            pod_ref: Reference {
                name: sandbox.name.clone(),
                namespace: sandbox.namespace.clone(),
                uid: sandbox.uid.clone(),
            },
            start_time: timestamp(sandbox.created_at),
            cpu: cpu(sum(|s| s.cpu_nanos)),
            memory: memory(sum(|s| s.memory_working_set), sum(|s| s.memory_rss)),
            containers: used
                .iter()
                .map(|(c, s)| Container {
                    name: c.name.clone(),
                    start_time: timestamp(c.started_at),
                    cpu: cpu(s.cpu_nanos),
                    memory: memory(s.memory_working_set, s.memory_rss),
                    id: c.id.0.clone(),
                    image: c.image.clone(),
                    started: c.started_at,
                })
                .collect(),
        }
    };
    Ok(Summary {
        node: node(kubelet, &time),
        pods: sandboxes.iter().filter(|s| s.ready).map(pod).collect(),
    })
}

/// What the machine uses; a simulated one does not tell.
fn node(kubelet: &Kubelet, time: &str) -> Node {
    let read = |path: &str| {
        let bytes = kubelet.shared.machine.read_tail(Path::new(path), 1 << 20);
        String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
    };
    let (stat, meminfo) = (read("/proc/stat"), read("/proc/meminfo"));
    let booted = stat.lines().find_map(|line| line.strip_prefix("btime "));
    let booted = booted.and_then(|seconds| Timestamp::from_second(seconds.trim().parse().ok()?).ok());
    let cpu = busy(&stat).map(|nanos| Cpu {
        time: time.to_owned(),
        usage_core_nano_seconds: nanos,
    });
    let memory = kilobytes(&meminfo, "MemTotal").zip(kilobytes(&meminfo, "MemAvailable"));
    let memory = memory.map(|(total, available)| Memory {
        time: time.to_owned(),
        available_bytes: Some(available),
        usage_bytes: kilobytes(&meminfo, "MemFree").map(|free| total.saturating_sub(free)),
        working_set_bytes: total.saturating_sub(available),
        rss_bytes: kilobytes(&meminfo, "AnonPages"),
    });
    Node {
        node_name: kubelet.node_name().to_owned(),
        start_time: timestamp(booted.unwrap_or_default()),
        cpu,
        memory,
    }
}

/// Time that the processors were not idle, of `/proc/stat`.
fn busy(stat: &str) -> Option<u64> {
    let numbers = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let numbers: Vec<u64> = numbers
        .split_whitespace()
        .filter_map(|n| n.parse().ok())
        .collect();
    // User, nice, system, idle, waiting for disks, interrupts, soft interrupts, stolen; guests are in user.
    let busy = numbers
        .iter()
        .take(8)
        .enumerate()
        .filter(|(at, _)| !matches!(at, 3 | 4));
    Some(busy.map(|(_, n)| n * TICK).sum())
}

fn kilobytes(meminfo: &str, name: &str) -> Option<u64> {
    let value = meminfo
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let number: u64 = value.trim().trim_end_matches(" kB").parse().ok()?;
    Some(number * 1024)
}

/// `/stats/summary`.
pub(super) async fn summary(kubelet: &Kubelet) -> Result<Vec<u8>, Status> {
    serde_json::to_vec(&gather(kubelet).await?).map_err(Status::internal)
}

/// How many pods and containers run.
pub(super) async fn counts(kubelet: &Kubelet) -> Result<(usize, usize), Status> {
    let pods = gather(kubelet).await?.pods;
    Ok((pods.len(), pods.iter().map(|p| p.containers.len()).sum()))
}

/// Text in Prometheus' form.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    /// A metric: its name, type and help, and its values by labels.
    fn family(
        &mut self,
        (name, kind, help): (&str, &str, &str),
        values: impl Iterator<Item = (String, f64)>,
    ) {
        let mut values = values.peekable();
        if values.peek().is_none() {
            return;
        }
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(self.0, "{name}{labels} {value}");
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating point numbers")]
fn seconds(cpu: &Cpu) -> f64 {
    cpu.usage_core_nano_seconds as f64 / 1e9
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floating point numbers")]
fn bytes(count: u64) -> f64 {
    count as f64
}

fn of_pod(pod: &Pod) -> String {
    let Reference { name, namespace, .. } = &pod.pod_ref;
    format!("{{namespace=\"{namespace}\",pod=\"{name}\"}}")
}

fn of_container((pod, container): &(&Pod, &Container)) -> String {
    let Reference { name, namespace, .. } = &pod.pod_ref;
    format!(
        "{{container=\"{}\",namespace=\"{namespace}\",pod=\"{name}\"}}",
        container.name
    )
}

fn containers(summary: &Summary) -> impl Iterator<Item = (&Pod, &Container)> {
    summary
        .pods
        .iter()
        .flat_map(|pod| pod.containers.iter().map(move |c| (pod, c)))
}

/// `/metrics/resource`, which the metrics server reads.
pub(super) async fn resource(kubelet: &Kubelet) -> Result<String, Status> {
    let summary = gather(kubelet).await?;
    let all = || containers(&summary);
    let mut out = Exposition::default();
    out.family(
        (
            "container_cpu_usage_seconds_total",
            "counter",
            "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
        ),
        all().map(|c| (of_container(&c), seconds(&c.1.cpu))),
    );
    out.family(
        (
            "container_memory_working_set_bytes",
            "gauge",
            "[STABLE] Current working set of the container in bytes",
        ),
        all().map(|c| (of_container(&c), bytes(c.1.memory.working_set_bytes))),
    );
    out.family(
        (
            "container_start_time_seconds",
            "gauge",
            "[STABLE] Start time of the container since unix epoch in seconds",
        ),
        all().map(|c| (of_container(&c), c.1.started.as_duration().as_secs_f64())),
    );
    out.family(
        (
            "node_cpu_usage_seconds_total",
            "counter",
            "[STABLE] Cumulative cpu time consumed by the node in core-seconds",
        ),
        summary.node.cpu.iter().map(|cpu| (String::new(), seconds(cpu))),
    );
    out.family(
        (
            "node_memory_working_set_bytes",
            "gauge",
            "[STABLE] Current working set of the node in bytes",
        ),
        summary
            .node
            .memory
            .iter()
            .map(|m| (String::new(), bytes(m.working_set_bytes))),
    );
    out.family(
        (
            "pod_cpu_usage_seconds_total",
            "counter",
            "[STABLE] Cumulative cpu time consumed by the pod in core-seconds",
        ),
        summary.pods.iter().map(|p| (of_pod(p), seconds(&p.cpu))),
    );
    out.family(
        (
            "pod_memory_working_set_bytes",
            "gauge",
            "[STABLE] Current working set of the pod in bytes",
        ),
        summary
            .pods
            .iter()
            .map(|p| (of_pod(p), bytes(p.memory.working_set_bytes))),
    );
    out.family(
        (
            "resource_scrape_error",
            "gauge",
            "[STABLE] 1 if there was an error while getting container metrics, 0 otherwise",
        ),
        std::iter::once((String::new(), 0.0)),
    );
    Ok(out.0)
}

/// `/metrics/cadvisor`: what is known of what cAdvisor tells.
pub(super) async fn cadvisor(kubelet: &Kubelet) -> Result<String, Status> {
    let summary = gather(kubelet).await?;
    let labels = |(pod, container): (&Pod, &Container)| {
        let Reference { name, namespace, .. } = &pod.pod_ref;
        format!(
            "{{container=\"{}\",image=\"{}\",name=\"{}\",namespace=\"{namespace}\",pod=\"{name}\"}}",
            container.name, container.image, container.id
        )
    };
    let all = || containers(&summary);
    let mut out = Exposition::default();
    out.family(
        (
            "container_cpu_usage_seconds_total",
            "counter",
            "Cumulative cpu time consumed in seconds.",
        ),
        all().map(|c| (labels(c), seconds(&c.1.cpu))),
    );
    out.family(
        ("container_memory_rss", "gauge", "Size of RSS in bytes."),
        all().map(|c| (labels(c), bytes(c.1.memory.rss_bytes.unwrap_or_default()))),
    );
    out.family(
        (
            "container_memory_working_set_bytes",
            "gauge",
            "Current working set in bytes.",
        ),
        all().map(|c| (labels(c), bytes(c.1.memory.working_set_bytes))),
    );
    out.family(
        (
            "container_start_time_seconds",
            "gauge",
            "Start time of the container since unix epoch in seconds.",
        ),
        all().map(|c| (labels(c), c.1.started.as_duration().as_secs_f64())),
    );
    Ok(out.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_numbers_are_read() {
        let stat = "cpu  10 1 5 1000 7 2 3 4 9 0\ncpu0 10 1 5 1000 7 2 3 4 9 0\nbtime 5\n";
        assert_eq!(busy(stat), Some(25 * TICK));
        assert_eq!(busy(""), None);
        let meminfo = "MemTotal:        1000 kB\nMemAvailable:     10 kB\n";
        assert_eq!(kilobytes(meminfo, "MemTotal"), Some(1_024_000));
        assert_eq!(kilobytes(meminfo, "MemFree"), None);
    }
}
