//! Tasks: memory and CPU, quality of service, node selection.

use anyhow::Result;
use e2e::cluster::Cluster;

use super::{until_described, until_ready, until_status};
use crate::expect::{has, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    memory_requests_and_limits,
    memory_over_the_limit_ends_the_container,
    more_memory_than_the_node_has,
    more_cpus_than_the_node_has,
    classes_of_service,
    a_pod_goes_to_labelled_nodes_only,
    preferences_do_not_bind,
];

/// A pod of the image that uses memory, as the task has it.
fn stress(name: &str, request: &str, limit: &str, used: &str) -> String {
    format!(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec:
  containers:
  - name: {name}-ctr
    image: polinux/stress
    resources:
      requests:
        memory: \"{request}\"
      limits:
        memory: \"{limit}\"
    command: [\"stress\"]
    args: [\"--vm\", \"1\", \"--vm-bytes\", \"{used}\", \"--vm-hang\", \"1\"]
"
    )
}

fn memory_requests_and_limits(c: &mut Cluster) -> Result<()> {
    c.apply(&stress("memory-demo", "100Mi", "200Mi", "150M"))?;
    until_ready(c, "memory-demo")?;
    same(
        c.value("pod memory-demo", ".spec.containers[0].resources")?,
        r#"{"limits":{"memory":"200Mi"},"requests":{"memory":"100Mi"}}"#,
    )?;
    same(c.value("pod memory-demo", ".status.qosClass")?, "Burstable")
}

fn memory_over_the_limit_ends_the_container(c: &mut Cluster) -> Result<()> {
    c.apply(&stress("memory-demo-2", "50Mi", "100Mi", "250M"))?;
    until_status(c, "memory-demo-2", "CrashLoopBackOff")?;
    let last = ".status.containerStatuses[0].lastState.terminated";
    same(
        c.value("pod memory-demo-2", &format!("{last}.reason"))?,
        "OOMKilled",
    )?;
    until_described(c, "memory-demo-2", &["Back-off restarting failed container"])
}

fn more_memory_than_the_node_has(c: &mut Cluster) -> Result<()> {
    c.apply(&stress("memory-demo-3", "1000Gi", "1000Gi", "150M"))?;
    until_described(
        c,
        "memory-demo-3",
        &[
            "FailedScheduling",
            "0/1 nodes are available: 1 Insufficient memory.",
        ],
    )?;
    until_status(c, "memory-demo-3", "Pending")
}

fn more_cpus_than_the_node_has(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: cpu-demo-2
spec:
  containers:
  - name: cpu-demo-ctr-2
    image: busybox
    resources:
      limits:
        cpu: \"100\"
      requests:
        cpu: \"100\"
",
    )?;
    until_described(
        c,
        "cpu-demo-2",
        &["FailedScheduling", "0/1 nodes are available: 1 Insufficient cpu."],
    )
}

fn classes_of_service(c: &mut Cluster) -> Result<()> {
    let pod = |name: &str, resources: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  containers:\n  - name: {name}-ctr\n    \
             image: nginx\n    resources: {resources}\n"
        )
    };
    for (name, resources, class) in [
        (
            "qos-demo",
            "{limits: {memory: 200Mi, cpu: 100m}, requests: {memory: 200Mi, cpu: 100m}}",
            "Guaranteed",
        ),
        (
            "qos-demo-2",
            "{limits: {memory: 200Mi}, requests: {memory: 100Mi}}",
            "Burstable",
        ),
        ("qos-demo-3", "{}", "BestEffort"),
    ] {
        c.apply(&pod(name, resources))?;
        same(c.value(&format!("pod {name}"), ".status.qosClass")?, class)?;
    }
    has(
        &c.kubectl("describe pod qos-demo")?,
        &["QoS Class:                   Guaranteed"],
    )
}

fn a_pod_goes_to_labelled_nodes_only(c: &mut Cluster) -> Result<()> {
    let node = c.value("nodes", ".items[0].metadata.name")?;
    let key = format!("disktype-{}", c.namespace);
    let manifest = format!(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: nginx
  labels:
    env: test
spec:
  containers:
  - name: nginx
    image: nginx
    imagePullPolicy: IfNotPresent
  nodeSelector:
    {key}: ssd
---
apiVersion: v1
kind: Pod
metadata:
  name: nginx-affinity
spec:
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms:
        - matchExpressions:
          - key: {key}
            operator: In
            values:
            - ssd
  containers:
  - name: nginx
    image: nginx
    imagePullPolicy: IfNotPresent
"
    );
    c.apply(&manifest)?;
    for pod in ["nginx", "nginx-affinity"] {
        until_described(
            c,
            pod,
            &["0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."],
        )?;
    }
    same(
        c.kubectl(&format!("label nodes {node} {key}=ssd"))?,
        format!("node/{node} labeled\n"),
    )?;
    until_ready(c, "nginx")?;
    until_ready(c, "nginx-affinity")?;
    same(
        c.kubectl(&format!("label nodes {node} {key}-"))?,
        format!("node/{node} unlabeled\n"),
    )
}

fn preferences_do_not_bind(c: &mut Cluster) -> Result<()> {
    c.apply(
        "\
apiVersion: v1
kind: Pod
metadata:
  name: with-node-affinity
spec:
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        nodeSelectorTerms:
        - matchExpressions:
          - key: kubernetes.io/os
            operator: In
            values:
            - linux
      preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 1
        preference:
          matchExpressions:
          - key: another-node-label-key
            operator: In
            values:
            - another-node-label-value
  containers:
  - name: with-node-affinity
    image: registry.k8s.io/pause:3.8
",
    )?;
    until_ready(c, "with-node-affinity")
}
