//! Stories of what pods are given: claims, objects that change, local data, and what a node does not take.
#![expect(clippy::disallowed_types, reason = "tests look into objects as values")]

use super::{Simulated, api::FakeApi, tests::Node};
use crate::{
    Config, Kubelet,
    machine::{Linux, Machine},
};
use component::Env;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

/// A node with a real disk under `root`.
struct Disk {
    node: Node,
    root: PathBuf,
}

impl Disk {
    fn at(root: &Path) -> Self {
        let env = Env::simulated(7);
        let runtime = Arc::new(Simulated::new(env.clock.clone(), env.random.clone(), "10.244.0."));
        let api = FakeApi::new();
        let mut config = Config::new("node-1", "192.0.2.1");
        config.root_dir = root.join("kubelet");
        config.log_dir = root.join("logs");
        config.local_path_root = root.join("local-path");
        let linux = Arc::new(Linux::new("/", "/etc/resolv.conf"));
        let kubelet = Kubelet::start(config, api.client(), runtime.clone(), linux, env.clone());
        let node = Node {
            api,
            runtime,
            kubelet,
            env,
        };
        Self {
            node,
            root: root.to_owned(),
        }
    }

    fn claim(&self, name: &str, phase: &str, volume: &str) {
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-of-{name}")},
            "spec": {"volumeName": volume}, "status": {"phase": phase}
        });
        self.node.api.put("persistentvolumeclaims", claim);
    }

    fn volume(&self, name: &str, claim: &str, mut spec: Value) {
        spec["claimRef"] = json!({"uid": format!("uid-of-{claim}")});
        let volume = json!({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec
        });
        self.node.api.put("persistentvolumes", volume);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Linux::new("/", "/etc/resolv.conf").remove_tree(&self.root.join("kubelet"));
    }
}

fn with_claim(claim: &str) -> String {
    format!(
        "{{containers: [{{name: web, image: 'i:1', volumeMounts: [{{name: data, mountPath: /data}}]}}],
          volumes: [{{name: data, persistentVolumeClaim: {{claimName: {claim}}}}}]}}"
    )
}

#[tokio::test(start_paused = true)]
async fn a_claim_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::at(dir.path());
    let api = &disk.node.api;
    disk.node.pod("web", &with_claim("data"));
    let head = "Unable to attach or mount volumes: unmounted volumes=[data], unattached volumes=[], failed to process \
                volumes=[data]: error processing PVC shop/data: ";
    api.event(
        "FailedMount",
        &format!("{head}failed to fetch PVC from API server: "),
    )
    .await;
    disk.claim("data", "Pending", "");
    api.event("FailedMount", &format!("{head}PVC is not bound")).await;
    let path = dir.path().join("local-path/pvc-1");
    let host = json!({"hostPath": {"path": path, "type": "DirectoryOrCreate"}});
    disk.volume("pvc-1", "another", host.clone());
    disk.claim("data", "Bound", "pvc-1");
    let text = format!(
        "{head}found PV object pvc-1 but its pv.Spec.ClaimRef.UID uid-of-another does not point to claim.UID uid-of-data"
    );
    api.event("FailedMount", &text).await;
    assert!(!path.exists());
    disk.volume("pvc-1", "data", host);
    let before = disk.node.env.clock.now();
    disk.node.phase("web", "Running").await;
    assert!(
        disk.node.env.clock.now() - before < Duration::from_secs(3),
        "a claim is asked for again soon"
    );
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o7777, 0o777, "for everyone, below the root of local-path");
}

#[tokio::test(start_paused = true)]
async fn volumes_that_are_not_here_say_so() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::at(dir.path());
    let missing = dir.path().join("missing");
    let cases = [
        (
            json!({"local": {"path": missing}}),
            "FailedMount",
            format!("MountVolume.NewMounter initialization failed for volume \"v0\" : path {missing:?} does not exist"),
        ),
        (
            json!({"csi": {"driver": "disk.example.com"}}),
            "FailedMount",
            "MountVolume.MountDevice failed for volume \"v1\" : kubernetes.io/csi: attacher.MountDevice failed to create \
             newCsiDriverClient: driver name disk.example.com not found in the list of registered CSI drivers"
                .to_owned(),
        ),
        (
            json!({"volumeMode": "Block", "local": {"path": "/dev/null"}}),
            "FailedMount",
            "volume data has volumeMode Block, but is specified in volumeMounts".to_owned(),
        ),
    ];
    for (number, (spec, reason, text)) in cases.into_iter().enumerate() {
        let (claim, volume) = (format!("c{number}"), format!("v{number}"));
        disk.claim(&claim, "Bound", &volume);
        disk.volume(&volume, &claim, spec);
        disk.node.pod(&format!("web{number}"), &with_claim(&claim));
        disk.node.api.event(reason, &text).await;
    }
    disk.claim("raw", "Bound", "raw");
    disk.volume(
        "raw",
        "raw",
        json!({"volumeMode": "Block", "local": {"path": "/dev/null"}}),
    );
    disk.node.pod(
        "raw",
        "{containers: [{name: web, image: 'i:1', volumeDevices: [{name: data, devicePath: /dev/x}]}],
          volumes: [{name: data, persistentVolumeClaim: {claimName: raw}}]}",
    );
    let text = "MapVolume.SetUpDevice failed for volume \"raw\" : raw block volumes are not supported by this kubelet";
    disk.node.api.event("FailedMapVolume", text).await;
}

#[tokio::test(start_paused = true)]
async fn an_ephemeral_claim_must_be_the_pods_own() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::at(dir.path());
    disk.claim("web-data", "Bound", "v");
    disk.volume(
        "v",
        "web-data",
        json!({"hostPath": {"path": dir.path().join("v"), "type": "DirectoryOrCreate"}}),
    );
    let spec = "{containers: [{name: web, image: 'i:1', volumeMounts: [{name: data, mountPath: /data}]}],
                 volumes: [{name: data, ephemeral: {volumeClaimTemplate: {spec: {}}}}]}";
    disk.node.pod("web", spec);
    let text = "PVC shop/web-data was not created for pod shop/web (pod is not owner)";
    disk.node.api.event("FailedMount", text).await;
    let mut claim = disk
        .node
        .api
        .get_value("persistentvolumeclaims", "shop", "web-data")
        .unwrap();
    claim["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "uid-of-web", "controller": true}]);
    disk.node.api.put("persistentvolumeclaims", claim);
    disk.node.phase("web", "Running").await;
}

#[tokio::test(start_paused = true)]
async fn released_data_is_removed_on_its_node() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::at(dir.path());
    let api = &disk.node.api;
    let node = api
        .wait("the node's root", "nodes", "node-1", |n| {
            n["metadata"]["annotations"].is_object()
        })
        .await;
    let root = dir.path().join("local-path");
    assert_eq!(
        node["metadata"]["annotations"]["ferrokube.io/local-path-root"],
        json!(root)
    );
    let (data, precious) = (root.join("pvc-1"), dir.path().join("precious"));
    fs::create_dir_all(data.join("deep/er")).unwrap();
    fs::create_dir_all(&precious).unwrap();
    std::os::unix::fs::symlink(&precious, data.join("link")).unwrap();
    fs::write(precious.join("file"), "x").unwrap();
    let volume = |name: &str, path: &Path, host: &str| {
        json!({
            "apiVersion": "v1", "kind": "PersistentVolume",
            "metadata": {"name": name, "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["ferrokube.io/local-path-data"]},
            "spec": {
                "persistentVolumeReclaimPolicy": "Delete", "hostPath": {"path": path},
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                    {"key": "kubernetes.io/hostname", "operator": "In", "values": [host]}]}]}}
            }
        })
    };
    api.put("persistentvolumes", volume("elsewhere", &data, "node-2"));
    api.put("persistentvolumes", volume("escapes", &precious, "node-1"));
    api.event("VolumeFailedDelete", "is not beneath").await;
    assert!(data.exists(), "it is another node's");
    api.put("persistentvolumes", volume("pvc-1", &data, "node-1"));
    let gone = |api: &FakeApi| {
        let volume = api.get_value("persistentvolumes", "", "pvc-1");
        volume.is_none_or(|v| v["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty))
    };
    for _ in 0..600 {
        if gone(api) {
            break;
        }
        disk.node.env.clock.sleep(Duration::from_millis(100)).await;
    }
    assert!(gone(api) && !data.exists());
    assert_eq!(fs::read_to_string(precious.join("file")).unwrap(), "x");
}

#[tokio::test(start_paused = true)]
async fn what_the_node_does_not_take_is_rejected() {
    let node = Node::start();
    let sysctl = "{securityContext: {sysctls: [{name: kernel.msgmax, value: '1'}]}, containers: [{name: web, image: 'i:1'}]}";
    node.pod("web", sysctl);
    let pod = node.phase("web", "Failed").await;
    assert_eq!(pod["status"]["reason"], "SysctlForbidden");
    let text = "forbidden sysctl: \"kernel.msgmax\" not allowlisted";
    assert_eq!(pod["status"]["message"], format!("Pod was rejected: {text}"));
    node.api.event("SysctlForbidden", text).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_takes_no_more_than_it_has() {
    let node = Node::start();
    let asks = |cpu: &str| {
        format!("{{containers: [{{name: web, image: 'i:1', resources: {{requests: {{cpu: '{cpu}'}}}}}}]}}")
    };
    let known = |n: &Value| n["status"]["allocatable"]["cpu"].is_string();
    let object = node.api.wait("the node", "nodes", "node-1", known).await;
    let cpus: i64 = object["status"]["allocatable"]["cpu"]
        .as_str()
        .unwrap()
        .parse()
        .unwrap();
    node.pod("first", &asks("100m"));
    node.phase("first", "Running").await;
    node.pod("second", &asks(&cpus.to_string()));
    let pod = node.phase("second", "Failed").await;
    assert_eq!(pod["status"]["reason"], "OutOfcpu");
    let wanted = cpus * 1000;
    let text =
        format!("Node didn't have enough resource: cpu, requested: {wanted}, used: 100, capacity: {wanted}");
    assert_eq!(pod["status"]["message"], format!("Pod was rejected: {text}"));
    assert!(
        pod["status"]["containerStatuses"]
            .as_array()
            .is_none_or(Vec::is_empty),
        "{pod}"
    );
    node.api.event("OutOfcpu", &text).await;
    // What was refused asks for nothing.
    node.pod("third", &asks(&format!("{}m", wanted - 100)));
    node.phase("third", "Running").await;
}

#[tokio::test(start_paused = true)]
async fn a_host_port_is_had_by_one_pod() {
    let node = Node::start();
    let spec = "{containers: [{name: web, image: 'i:1', ports: [{containerPort: 80, hostPort: 8080}]}]}";
    node.pod("first", spec);
    node.phase("first", "Running").await;
    node.pod("second", spec);
    let pod = node.phase("second", "Failed").await;
    assert_eq!(pod["status"]["reason"], "NodePorts");
    let text = "Predicate NodePorts failed: node(s) didn't have free ports for the requested pod ports";
    assert_eq!(pod["status"]["message"], format!("Pod was rejected: {text}"));
}

#[tokio::test(start_paused = true)]
async fn a_host_port_is_free_as_soon_as_its_pod_is_told_to_be_over() {
    let node = Node::start();
    let spec = "{restartPolicy: Never, containers: [{name: web, image: 'i:1', ports: [{containerPort: 80, hostPort: 8080}]}]}";
    node.pod("first", spec);
    node.phase("first", "Running").await;
    assert!(node.runtime.exit("first", "web", 1));
    node.phase("first", "Failed").await;
    node.pod("second", spec);
    node.phase("second", "Running").await;
}

#[tokio::test(start_paused = true)]
async fn a_change_is_in_the_volume_within_a_second() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::at(dir.path());
    let map = |value: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop"},
            "data": {"color": value}
        })
    };
    disk.node.api.put("configmaps", map("red"));
    disk.node.pod(
        "web",
        "{containers: [{name: web, image: 'i:1', volumeMounts: [{name: v, mountPath: /v}]}],
          volumes: [{name: v, configMap: {name: settings}}, {name: unused, secret: {secretName: nosuch}}]}",
    );
    disk.node.phase("web", "Running").await;
    let file = dir
        .path()
        .join("kubelet/pods/uid-of-web/volumes/kubernetes.io~configmap/v/color");
    for color in ["green", "blue"] {
        disk.node.env.clock.sleep(Duration::from_secs(30)).await;
        disk.node.api.put("configmaps", map(color));
        disk.node.env.clock.sleep(Duration::from_millis(100)).await;
        assert_eq!(fs::read_to_string(&file).unwrap(), color);
    }
}
