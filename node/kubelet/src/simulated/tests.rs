//! Stories of a whole kubelet on a simulated node, under a paused clock.
#![expect(clippy::disallowed_types, reason = "tests look into objects as values")]

use super::{Paper, Simulated, api::FakeApi};
use crate::{Config, Kubelet, machine::Linux};
use component::Env;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

pub(super) struct Node {
    pub api: Arc<FakeApi>,
    pub runtime: Arc<Simulated>,
    pub kubelet: Arc<Kubelet>,
    pub env: Env,
}

impl Node {
    pub fn start() -> Self {
        let env = Env::simulated(7);
        let runtime = Arc::new(Simulated::new(env.clock.clone(), env.random.clone(), "10.244.0."));
        Self::over(FakeApi::new(), runtime, env)
    }

    /// With other settings than usual.
    fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::made(Arc::new(Paper::default()), change)
    }

    fn made(machine: Arc<dyn crate::machine::Machine>, change: impl FnOnce(&mut Config)) -> Self {
        let env = Env::simulated(7);
        let runtime = Arc::new(Simulated::new(env.clock.clone(), env.random.clone(), "10.244.0."));
        let (api, mut config) = (FakeApi::new(), Config::new("node-1", "192.0.2.1"));
        change(&mut config);
        let kubelet = Kubelet::start(config, api.client(), runtime.clone(), machine, env.clone());
        Self {
            api,
            runtime,
            kubelet,
            env,
        }
    }

    /// With logs in a real folder.
    pub fn with_logs(logs: &std::path::Path) -> Self {
        Self::with(|config| config.log_dir = logs.to_owned())
    }

    /// On the network.
    pub fn listening(
        address: std::net::SocketAddr,
        tls: Arc<rustls::ServerConfig>,
        authorize: crate::Authorize,
    ) -> Self {
        Self::with(|config| {
            config.listen = Some((address, tls));
            config.authorize = authorize;
        })
    }

    pub fn over(api: Arc<FakeApi>, runtime: Arc<Simulated>, env: Env) -> Self {
        let mut config = Config::new("node-1", "192.0.2.1");
        config.cluster_dns = vec!["10.96.0.10".to_owned()];
        let kubelet = Kubelet::start(
            config,
            api.client(),
            runtime.clone(),
            Arc::new(Paper::default()),
            env.clone(),
        );
        Self {
            api,
            runtime,
            kubelet,
            env,
        }
    }

    pub fn pod(&self, name: &str, spec: &str) {
        self.api.put("pods", pod(name, spec));
    }

    pub async fn phase(&self, name: &str, phase: &str) -> Value {
        self.api
            .wait(&format!("{name} {phase}"), "pods", name, |p| {
                p["status"]["phase"] == phase
            })
            .await
    }

    pub async fn waiting(&self, name: &str, reason: &str) -> Value {
        let seen = |p: &Value| p["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == reason;
        self.api
            .wait(&format!("{name} {reason}"), "pods", name, seen)
            .await
    }

    pub async fn delete(&self, name: &str) {
        self.delete_in(name, 30).await;
    }

    /// Deletes a pod with that grace and waits until it is gone.
    pub async fn delete_in(&self, name: &str, grace: i64) {
        self.start_delete(name, grace).await;
        self.api.wait("the pod gone", "pods", name, Value::is_null).await;
    }

    pub async fn start_delete(&self, name: &str, grace: i64) {
        let key = api::Key::new("shop", name);
        let options = client::DeleteOptions {
            grace_period_seconds: Some(grace),
            ..client::DeleteOptions::default()
        };
        let deleted = self
            .api
            .client()
            .delete(&crate::resources::PODS, &key, options)
            .await;
        deleted.unwrap();
    }

    /// On a machine with disks, with other settings than usual.
    pub fn on(machine: Arc<dyn crate::machine::Machine>, change: impl FnOnce(&mut Config)) -> Self {
        Self::made(machine, change)
    }
}

pub(super) fn pod(name: &str, spec: &str) -> Value {
    let mut spec: Value = serde_saphyr::from_str(spec).unwrap();
    spec["nodeName"] = json!("node-1");
    json!({
        "apiVersion": "v1", "kind": "Pod", "spec": spec,
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-of-{name}"), "generation": 1}
    })
}

pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    let all = object["status"]["conditions"].as_array();
    let found = all.and_then(|all| all.iter().find(|c| c["type"] == kind));
    found.unwrap_or(&Value::Null)
}

pub(super) const WEB: &str = "{containers: [{name: web, image: 'nginx:1.14.2'}]}";

#[tokio::test(start_paused = true)]
async fn a_pod_runs_and_says_so() {
    let node = Node::start();
    node.pod("web", WEB);
    let pod = node.phase("web", "Running").await;
    let status = &pod["status"];
    for kind in [
        "PodReadyToStartContainers",
        "Initialized",
        "Ready",
        "ContainersReady",
        "PodScheduled",
    ] {
        assert_eq!(condition(&pod, kind)["status"], "True", "{kind}");
    }
    assert_eq!(
        (&status["hostIP"], &status["podIP"], &status["qosClass"]),
        (&json!("192.0.2.1"), &json!("10.244.0.2"), &json!("BestEffort"))
    );
    assert_eq!(status["observedGeneration"], 1);
    let container = &status["containerStatuses"][0];
    assert!(
        container["containerID"]
            .as_str()
            .unwrap()
            .starts_with("simulated://")
    );
    assert_eq!(
        (
            &container["ready"],
            &container["started"],
            &container["restartCount"]
        ),
        (&json!(true), &json!(true), &json!(0))
    );
    for (reason, message) in [
        ("Pulling", "Pulling image \"nginx:1.14.2\""),
        (
            "Pulled",
            "Successfully pulled image \"nginx:1.14.2\" in 0s (0s including waiting). Image size: 1000 bytes.",
        ),
        ("Created", "Container created"),
        ("Started", "Container started"),
    ] {
        assert_eq!(
            node.api.event(reason, message).await["involvedObject"]["fieldPath"],
            "spec.containers{web}"
        );
    }
    let writes = node.api.writes();
    node.env.clock.sleep(Duration::from_secs(95)).await;
    assert!(
        node.api.writes() - writes <= 10,
        "only leases are written while nothing happens"
    );
}

#[tokio::test(start_paused = true)]
async fn a_crash_loop_backs_off() {
    let node = Node::start();
    node.pod("web", WEB);
    node.phase("web", "Running").await;
    assert!(node.runtime.exit("web", "web", 3));
    let restarted = |n: u64| {
        move |p: &Value| {
            let c = &p["status"]["containerStatuses"][0];
            c["restartCount"] == n && !c["state"]["running"].is_null()
        }
    };
    node.api
        .wait("the first restart", "pods", "web", restarted(1))
        .await;
    let before = node.env.clock.now();
    assert!(node.runtime.exit("web", "web", 3));
    let pod = node.waiting("web", "CrashLoopBackOff").await;
    let container = &pod["status"]["containerStatuses"][0];
    assert_eq!(
        container["state"]["waiting"]["message"],
        "back-off 10s restarting failed container=web pod=web_shop(uid-of-web)"
    );
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 3);
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(condition(&pod, "Ready")["reason"], "ContainersNotReady");
    node.api
        .wait("the second restart", "pods", "web", restarted(2))
        .await;
    assert_eq!((node.env.clock.now() - before).as_secs(), 10);
    node.api
        .event(
            "BackOff",
            "Back-off restarting failed container web in pod web_shop(uid-of-web)",
        )
        .await;
}

#[tokio::test(start_paused = true)]
async fn deletion_leaves_nothing() {
    let node = Node::start();
    node.pod("web", WEB);
    node.phase("web", "Running").await;
    node.delete("web").await;
    node.api.event("Killing", "Stopping container web").await;
    assert!(
        runtime::Runtime::sandboxes(&*node.runtime)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(
        runtime::Runtime::containers(&*node.runtime, None)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_succeeds_and_another_fails() {
    let node = Node::start();
    node.pod(
        "good",
        "{restartPolicy: Never, containers: [{name: job, image: 'busybox:1.28'}]}",
    );
    node.pod(
        "bad",
        "{restartPolicy: Never, containers: [{name: job, image: 'busybox:1.28'}]}",
    );
    node.phase("good", "Running").await;
    node.phase("bad", "Running").await;
    node.runtime.exit("good", "job", 0);
    node.runtime.exit("bad", "job", 1);
    let good = node.phase("good", "Succeeded").await;
    assert_eq!(condition(&good, "Ready")["reason"], "PodCompleted");
    assert_eq!(
        good["status"]["containerStatuses"][0]["state"]["terminated"]["reason"],
        "Completed"
    );
    let bad = node.phase("bad", "Failed").await;
    assert_eq!(
        bad["status"]["containerStatuses"][0]["state"]["terminated"]["reason"],
        "Error"
    );
}

#[tokio::test(start_paused = true)]
async fn init_containers_come_first() {
    let node = Node::start();
    node.pod("web", "{initContainers: [{name: init, image: 'busybox:1.28'}], containers: [{name: web, image: 'nginx:1'}]}");
    let seen = |p: &Value| !p["status"]["initContainerStatuses"][0]["state"]["running"].is_null();
    let pod = node.api.wait("init runs", "pods", "web", seen).await;
    assert_eq!(pod["status"]["phase"], "Pending");
    assert_eq!(
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"],
        "PodInitializing"
    );
    assert_eq!(
        condition(&pod, "Initialized")["message"],
        "containers with incomplete status: [init]"
    );
    node.runtime.exit("web", "init", 0);
    let pod = node.phase("web", "Running").await;
    assert_eq!(condition(&pod, "Initialized")["status"], "True");
}

#[tokio::test(start_paused = true)]
async fn a_missing_config_map_holds_a_container_back() {
    let node = Node::start();
    node.pod(
        "web",
        "{containers: [{name: web, image: 'nginx:1', envFrom: [{configMapRef: {name: settings}}]}]}",
    );
    let pod = node.waiting("web", "CreateContainerConfigError").await;
    let waiting = &pod["status"]["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(waiting["message"], "configmap \"settings\" not found");
    node.api
        .event("Failed", "Error: configmap \"settings\" not found")
        .await;
    node.api.put("configmaps", json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop"}, "data": {"A": "b"}
    }));
    node.phase("web", "Running").await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_volume_holds_the_pod_back() {
    let node = Node::start();
    node.pod(
        "web",
        "{containers: [{name: web, image: 'nginx:1', volumeMounts: [{name: v, mountPath: /v}]}],
          volumes: [{name: v, secret: {secretName: login}}]}",
    );
    node.api
        .event(
            "FailedMount",
            "MountVolume.SetUp failed for volume \"v\" : secret \"login\" not found",
        )
        .await;
    let pod = node.waiting("web", "ContainerCreating").await;
    assert_eq!(pod["status"]["phase"], "Pending");
    node.api.put("secrets", json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login", "namespace": "shop"}, "data": {"a": "YQ=="}
    }));
    node.phase("web", "Running").await;
}

#[tokio::test(start_paused = true)]
async fn a_bad_image_backs_off_until_it_is_there() {
    let node = Node::start();
    node.runtime.break_image("nginx:none", Some("manifest unknown"));
    node.pod("web", "{containers: [{name: web, image: 'nginx:none'}]}");
    let pod = node.waiting("web", "ErrImagePull").await;
    assert_eq!(
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"],
        "manifest unknown"
    );
    let pod = node.waiting("web", "ImagePullBackOff").await;
    assert_eq!(
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"],
        "Back-off pulling image \"nginx:none\": ErrImagePull: manifest unknown"
    );
    node.api
        .event("Failed", "Failed to pull image \"nginx:none\": manifest unknown")
        .await;
    node.runtime.break_image("nginx:none", None);
    node.phase("web", "Running").await;
    node.pod(
        "never",
        "{containers: [{name: c, image: 'other:1', imagePullPolicy: Never}]}",
    );
    node.waiting("never", "ErrImageNeverPull").await;
    node.pod("odd", "{containers: [{name: c, image: 'Not An Image'}]}");
    node.waiting("odd", "InvalidImageName").await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_sandbox_is_replaced() {
    let node = Node::start();
    node.pod("web", WEB);
    let pod = node.phase("web", "Running").await;
    let first = pod["status"]["podIP"].clone();
    node.runtime.lose_sandbox("web");
    let seen = |p: &Value| {
        p["status"]["podIP"] != first
            && p["status"]["containerStatuses"][0]["restartCount"] == 1
            && condition(p, "Ready")["status"] == "True"
    };
    let pod = node.api.wait("a new address", "pods", "web", seen).await;
    assert_eq!(pod["status"]["podIPs"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn probes_gate_readiness_and_restart() {
    let node = Node::start();
    node.pod(
        "web",
        "{containers: [{name: web, image: 'nginx:1', readinessProbe: {tcpSocket: {port: 80}, initialDelaySeconds: 5},
           startupProbe: {exec: {command: [ls]}}, livenessProbe: {grpc: {port: 9}, initialDelaySeconds: 60, failureThreshold: 2, periodSeconds: 3}}]}",
    );
    let before = node.env.clock.now();
    let ready = |p: &Value| p["status"]["phase"] == "Running" && condition(p, "Ready")["status"] == "True";
    node.api.wait("ready", "pods", "web", ready).await;
    assert!((node.env.clock.now() - before).as_secs() >= 5);
    node.api
        .event(
            "Killing",
            "Container web failed liveness probe, will be restarted",
        )
        .await;
    node.api
        .wait("restarted", "pods", "web", |p| {
            p["status"]["containerStatuses"][0]["restartCount"] == 1
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn the_node_registers_and_keeps_its_lease() {
    let node = Node::start();
    let ready = |n: &Value| n.is_object() && condition(n, "Ready")["status"] == "True";
    let object = node.api.wait("the node", "nodes", "node-1", ready).await;
    assert_eq!(object["metadata"]["labels"]["kubernetes.io/hostname"], "node-1");
    assert_eq!(object["status"]["allocatable"]["pods"], "110");
    assert_eq!(condition(&object, "Ready")["reason"], "KubeletReady");
    assert_eq!(object["spec"]["taints"][0]["key"], "node.kubernetes.io/not-ready");
    for told in [
        "NodeHasSufficientMemory",
        "NodeHasNoDiskPressure",
        "NodeHasSufficientPID",
        "NodeReady",
    ] {
        node.api
            .event(told, &format!("Node node-1 status is now: {told}"))
            .await;
    }
    node.env.clock.sleep(Duration::from_secs(1)).await;
    let lease = node.api.get_value("leases", "kube-node-lease", "node-1").unwrap();
    assert_eq!(lease["metadata"]["ownerReferences"][0]["kind"], "Node");
    node.runtime
        .break_runtime(Some("container runtime network not ready"));
    let unready = |n: &Value| condition(n, "Ready")["status"] == "False";
    let object = node.api.wait("not ready", "nodes", "node-1", unready).await;
    node.api
        .event("NodeNotReady", "Node node-1 status is now: NodeNotReady")
        .await;
    assert_eq!(
        condition(&object, "Ready")["message"],
        "container runtime network not ready"
    );
    let renewed = node.api.get_value("leases", "kube-node-lease", "node-1").unwrap();
    assert_ne!(renewed["spec"]["renewTime"], lease["spec"]["renewTime"]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_a_pod() {
    let node = Node::start();
    node.pod(
        "web",
        "{activeDeadlineSeconds: 20, containers: [{name: web, image: 'nginx:1'}]}",
    );
    let pod = node.phase("web", "Failed").await;
    assert_eq!(pod["status"]["reason"], "DeadlineExceeded");
}

#[tokio::test(start_paused = true)]
async fn volumes_lie_on_disk_and_follow_their_objects() {
    let dir = tempfile::tempdir().unwrap();
    let env = Env::simulated(7);
    let runtime = Arc::new(Simulated::new(env.clock.clone(), env.random.clone(), "10.244.0."));
    let fake = FakeApi::new();
    let mut config = Config::new("node-1", "192.0.2.1");
    config.root_dir = dir.path().join("kubelet");
    config.log_dir = dir.path().join("logs");
    let stale = config.log_dir.join("shop_old_uid-of-old");
    std::fs::create_dir_all(&stale).unwrap();
    let linux = Arc::new(Linux::new("/", "/etc/resolv.conf"));
    let kubelet = Kubelet::start(config, fake.client(), runtime.clone(), linux, env.clone());
    let node = Node {
        api: fake,
        runtime,
        kubelet,
        env,
    };
    let map = |value: &str| {
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop"}, "data": {"color": value}
        })
    };
    node.api.put("configmaps", map("red"));
    node.pod(
        "web",
        "{serviceAccountName: default, containers: [{name: web, image: 'nginx:1', volumeMounts: [{name: all, mountPath: /v}]}],
          volumes: [{name: all, projected: {sources: [{configMap: {name: settings}}, {serviceAccountToken: {path: token}},
            {downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}}]}},
            {name: scratch, emptyDir: {medium: Memory, sizeLimit: 1Mi}}]}",
    );
    let pod_dir = dir.path().join("kubelet/pods/uid-of-web");
    let guard = Unmount(pod_dir.clone());
    node.phase("web", "Running").await;
    assert!(!stale.exists(), "the logs of a pod that was deleted meanwhile");
    let volume = pod_dir.join("volumes/kubernetes.io~projected/all");
    let read = |name: &str| std::fs::read_to_string(volume.join(name)).unwrap();
    assert_eq!(
        (read("color"), read("name")),
        ("red".to_owned(), "web".to_owned())
    );
    let token = read("token");
    assert!(token.starts_with("token-"));
    assert!(
        std::fs::read_to_string(pod_dir.join("etc-hosts"))
            .unwrap()
            .contains("10.244.0.2\tweb")
    );
    node.api.put("configmaps", map("blue"));
    node.env.clock.sleep(Duration::from_secs(1)).await;
    assert_eq!(read("color"), "blue");
    node.env.clock.sleep(Duration::from_secs(3600)).await;
    assert_ne!(read("token"), token, "renewed before it ends");
    node.delete("web").await;
    assert!(!pod_dir.exists());
    drop(guard);
}

struct Unmount(std::path::PathBuf);
impl Drop for Unmount {
    fn drop(&mut self) {
        let _ = crate::machine::Machine::remove_tree(&Linux::new("/", "/etc/resolv.conf"), &self.0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_that_is_not_there() {
    let node = Node::start();
    node.runtime
        .break_program("job", Some("exec: \"nope\": executable file not found in $PATH"));
    node.pod(
        "once",
        "{restartPolicy: Never, containers: [{name: job, image: 'busybox:1.28'}]}",
    );
    node.pod("again", "{containers: [{name: job, image: 'busybox:1.28'}]}");
    let pod = node.phase("once", "Failed").await;
    let terminated = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!(
        (&terminated["reason"], &terminated["exitCode"]),
        (&json!("StartError"), &json!(128))
    );
    let pod = node.waiting("again", "CrashLoopBackOff").await;
    assert_eq!(
        pod["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"],
        "StartError"
    );
    node.runtime.break_program("job", None);
    node.phase("again", "Running").await;
}

async fn story() -> Vec<String> {
    let node = Node::start();
    for name in ["a", "b", "c"] {
        node.pod(name, WEB);
    }
    node.phase("c", "Running").await;
    node.runtime.exit("b", "web", 1);
    node.env.clock.sleep(Duration::from_secs(30)).await;
    node.delete("a").await;
    node.env.clock.sleep(Duration::from_secs(30)).await;
    node.api.history()
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_tells_the_same_story() {
    let (first, second) = (story().await, story().await);
    assert!(first.len() > 20);
    // Virtual time goes on between the two, so the clock's origin differs by nothing else than the runtime's start.
    assert_eq!(first, second);
}
