//! What field management costs, printed: `cargo test --release -p schema apply::cost -- --nocapture`.

use super::{FieldSet, Node, Versions, Writer, update};
use crate::table::type_of;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const TIMES: u32 = if cfg!(debug_assertions) { 100 } else { 20_000 };

fn pod(phase: &str) -> Vec<u8> {
    let env: Vec<Value> = (0..6)
        .map(|n| json!({"name": format!("VARIABLE_{n}"), "value": "some value of it"}))
        .collect();
    let condition = |name: &str| json!({"lastProbeTime": null, "lastTransitionTime": "2026-01-02T03:04:05Z", "status": "True", "type": name});
    let conditions = ["Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"creationTimestamp": "2026-01-02T03:04:05Z", "generateName": "web-", "labels": {"app": "web", "pod-template-hash": "abc"},
            "name": "web-abc", "namespace": "default", "ownerReferences": [{"apiVersion": "apps/v1", "controller": true, "kind": "ReplicaSet", "name": "web", "uid": "u1"}], "uid": "u2"},
        "spec": {"containers": [{"env": env, "image": "registry.example/web:1.2.3", "imagePullPolicy": "IfNotPresent", "name": "web",
            "ports": [{"containerPort": 8080, "name": "http", "protocol": "TCP"}], "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
            "readinessProbe": {"failureThreshold": 3, "httpGet": {"path": "/", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10},
            "terminationMessagePath": "/dev/termination-log", "volumeMounts": [{"mountPath": "/data", "name": "data"}]}],
            "dnsPolicy": "ClusterFirst", "nodeName": "n1", "restartPolicy": "Always", "schedulerName": "default-scheduler",
            "securityContext": {}, "terminationGracePeriodSeconds": 30, "volumes": [{"emptyDir": {}, "name": "data"}]},
        "status": {"conditions": conditions, "phase": phase,
            "podIP": "10.244.0.7", "podIPs": [{"ip": "10.244.0.7"}], "startTime": "2026-01-02T03:04:05Z"}
    });
    pod.to_string().into_bytes()
}

#[expect(clippy::disallowed_methods, reason = "measures")]
fn each(mut work: impl FnMut()) -> Duration {
    let begin = Instant::now();
    (0..TIMES).for_each(|_| work());
    begin.elapsed() / TIMES
}

fn managed(kind: &str, subresource: &str, old: Option<&[u8]>, new: &[u8], live: &[u8]) -> Vec<u8> {
    let versions = Versions {
        node: &|_| type_of("", "v1", kind).map(Node::of),
        convert: &|json, _, _| Ok(json.to_vec()),
    };
    let reset = FieldSet::of(&[if subresource.is_empty() { "status" } else { "spec" }]);
    let writer = Writer {
        name: if subresource.is_empty() {
            "kube-controller-manager"
        } else {
            "kubelet"
        },
        version: "v1",
        subresource,
        now: jiff::Timestamp::UNIX_EPOCH,
        reset: &reset,
    };
    update(versions, writer, old, new, live, b"").unwrap()
}

#[test]
fn the_cost_of_a_write() {
    let data: serde_json::Map<_, _> = (0..8)
        .map(|n| (format!("key-{n}"), json!("x".repeat(110))))
        .collect();
    let map = json!({"apiVersion": "v1", "data": data, "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "default"}});
    let map = map.to_string().into_bytes();
    println!(
        "create of a ConfigMap of {} bytes: {:?}",
        map.len(),
        each(|| drop(managed("ConfigMap", "", None, &map, b"")))
    );

    let (pending, running) = (pod("Pending"), pod("Running"));
    println!(
        "create of a Pod of {} bytes: {:?}",
        pending.len(),
        each(|| drop(managed("Pod", "", None, &pending, b"")))
    );
    let live = managed("Pod", "", None, &pending, b"");
    let live = managed("Pod", "status", Some(&running), &pending, &live);
    assert!(!live.is_empty());
    let patch = || drop(managed("Pod", "status", Some(&pending), &running, &live));
    println!(
        "patch of its status, {} bytes of managed fields: {:?}",
        live.len(),
        each(patch)
    );
    let same = || drop(managed("Pod", "status", Some(&pending), &pending, &live));
    println!("the same without a change: {:?}", each(same));
}
