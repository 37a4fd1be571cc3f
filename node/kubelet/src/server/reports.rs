//! `/pods`, `/stats/summary`, `/metrics`.

use crate::{Kubelet, pod::timestamp};
use api::Status;
use serde::Serialize;
use std::fmt::Write;

/// A PodList of this node.
pub(super) fn pods(kubelet: &Kubelet) -> Vec<u8> {
    let mut out = br#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":["#.to_vec();
    for (index, pod) in kubelet.pods().iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        pod.write_json(None, &mut out);
    }
    out.extend_from_slice(b"]}");
    out
}

#[derive(Serialize)]
struct Summary {
    node: NodeStats,
    pods: Vec<PodStats>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NodeStats {
    node_name: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PodStats {
    pod_ref: PodRef,
    containers: Vec<ContainerStats>,
}

#[derive(Serialize)]
struct PodRef {
    name: String,
    namespace: String,
    uid: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStats {
    name: String,
    start_time: String,
    cpu: Cpu,
    memory: Memory,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cpu {
    time: String,
    usage_core_nano_seconds: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    time: String,
    working_set_bytes: u64,
    rss_bytes: u64,
}

async fn gather(kubelet: &Kubelet) -> Result<Vec<PodStats>, Status> {
    let runtime = &kubelet.shared.runtime;
    let time = timestamp(kubelet.shared.env.clock.wall());
    let stats = runtime.stats().await.map_err(Status::internal)?;
    let containers = runtime.containers(None).await.map_err(Status::internal)?;
    let sandboxes = runtime.sandboxes().await.map_err(Status::internal)?;
    let of = |sandbox: &runtime::SandboxStatus| {
        let inside = containers.iter().filter(|c| c.sandbox == sandbox.id);
        let containers = inside.filter_map(|c| {
            let used = stats.iter().find(|s| s.id == c.id)?;
            Some(ContainerStats {
                name: c.name.clone(),
                start_time: timestamp(c.started_at),
                cpu: Cpu {
                    time: time.clone(),
                    usage_core_nano_seconds: used.cpu_nanos,
                },
                memory: Memory {
                    time: time.clone(),
                    working_set_bytes: used.memory_working_set,
                    rss_bytes: used.memory_rss,
                },
            })
        });
        PodStats {
            pod_ref: PodRef {
                name: sandbox.name.clone(),
                namespace: sandbox.namespace.clone(),
                uid: sandbox.uid.clone(),
            },
            containers: containers.collect(),
        }
    };
    Ok(sandboxes.iter().filter(|s| s.ready).map(of).collect())
}

/// What pods use.
pub(super) async fn summary(kubelet: &Kubelet) -> Result<Vec<u8>, Status> {
    let summary = Summary {
        node: NodeStats {
            node_name: kubelet.node_name().to_owned(),
        },
        pods: gather(kubelet).await?,
    };
    serde_json::to_vec(&summary).map_err(Status::internal)
}

/// The kubelet's metrics: what runs.
pub(super) async fn metrics(kubelet: &Kubelet) -> Result<String, Status> {
    let pods = gather(kubelet).await?;
    let containers: usize = pods.iter().map(|p| p.containers.len()).sum();
    let mut out = String::new();
    for (name, help, value) in [
        (
            "kubelet_running_pods",
            "Number of pods that have a running pod sandbox",
            pods.len(),
        ),
        (
            "kubelet_running_containers",
            "Number of containers currently running",
            containers,
        ),
    ] {
        let labels = if name.ends_with("containers") {
            "{container_state=\"running\"}"
        } else {
            ""
        };
        writeln!(
            out,
            "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{labels} {value}"
        )
        .map_err(Status::internal)?;
    }
    Ok(out)
}
