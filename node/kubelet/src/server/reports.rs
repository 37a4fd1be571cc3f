//! `/pods`, `/runningpods/`, `/metrics`, `/configz`.

use super::stats;
use crate::Kubelet;
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
#[serde(rename_all = "camelCase")]
struct PodList {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    items: Vec<Running>,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Running {
    metadata: Metadata,
    spec: Spec,
    status: Empty,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    namespace: String,
    uid: String,
    creation_timestamp: Option<String>,
}

#[derive(Serialize)]
struct Spec {
    containers: Vec<Container>,
}

#[derive(Serialize)]
struct Container {
    name: String,
    image: String,
    resources: Empty,
}

/// A PodList of what the runtime runs, in few words.
pub(super) async fn running(kubelet: &Kubelet) -> Result<Vec<u8>, Status> {
    let runtime = &kubelet.shared.runtime;
    let containers = runtime.containers(None).await.map_err(Status::internal)?;
    let sandboxes = runtime.sandboxes().await.map_err(Status::internal)?;
    let items = sandboxes.into_iter().filter(|s| s.ready).map(|sandbox| {
        let inside = containers.iter().filter(|c| c.sandbox == sandbox.id);
        let inside = inside.filter(|c| c.state == runtime::ContainerState::Running);
        Running {
            metadata: Metadata {
                name: sandbox.name,
                namespace: sandbox.namespace,
                uid: sandbox.uid,
                creation_timestamp: None,
            },
            spec: Spec {
                containers: inside
                    .map(|c| Container {
                        name: c.name.clone(),
                        image: c.image_id.clone(),
                        resources: Empty {},
                    })
                    .collect(),
            },
            status: Empty {},
        }
    });
    let list = PodList {
        kind: "PodList",
        api_version: "v1",
        metadata: Empty {},
        items: items.collect(),
    };
    serde_json::to_vec(&list).map_err(Status::internal)
}

/// The kubelet's metrics: what runs.
pub(super) async fn metrics(kubelet: &Kubelet) -> Result<String, Status> {
    let (pods, containers) = stats::counts(kubelet).await?;
    let mut out = String::new();
    for (name, help, labels, value) in [
        (
            "kubelet_running_pods",
            "Number of pods that have a running pod sandbox",
            "",
            pods,
        ),
        (
            "kubelet_running_containers",
            "Number of containers currently running",
            "{container_state=\"running\"}",
            containers,
        ),
    ] {
        writeln!(
            out,
            "# HELP {name} {help}\n# TYPE {name} gauge\n{name}{labels} {value}"
        )
        .map_err(Status::internal)?;
    }
    Ok(out)
}

#[derive(Serialize)]
struct Configz {
    kubeletconfig: Configuration,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Configuration {
    port: u16,
    #[serde(rename = "clusterDNS")]
    cluster_dns: Vec<String>,
    cluster_domain: String,
    max_pods: u32,
    pod_pids_limit: i64,
    container_log_max_size: String,
    container_log_max_files: usize,
    static_pod_path: String,
    allowed_unsafe_sysctls: Vec<String>,
}

/// The settings in use, as a KubeletConfiguration names them.
pub(super) fn configz(kubelet: &Kubelet) -> Result<Vec<u8>, Status> {
    let config = &kubelet.shared.config;
    let path = config.static_pod_path.as_ref();
    let kubeletconfig = Configuration {
        port: config.port,
        cluster_dns: config.cluster_dns.clone(),
        cluster_domain: config.cluster_domain.clone(),
        max_pods: config.max_pods,
        pod_pids_limit: match config.pod_pids_limit {
            0 => -1,
            limit => limit,
        },
        container_log_max_size: config.log_max_size.to_string(),
        container_log_max_files: config.log_max_files,
        static_pod_path: path.map(|p| p.display().to_string()).unwrap_or_default(),
        allowed_unsafe_sysctls: config.allowed_unsafe_sysctls.clone(),
    };
    serde_json::to_vec(&Configz { kubeletconfig }).map_err(Status::internal)
}
