//! Stories of the life of pods: side-cars, hooks, ephemeral containers, static pods, logs.
#![expect(clippy::disallowed_types, reason = "tests look into objects as values")]

use super::{
    Paper,
    tests::{Node, condition},
};
use crate::machine::Linux;
use serde_json::{Value, json};
use std::{path::Path, sync::Arc, time::Duration};

/// A status of a container by list and name.
fn status<'a>(pod: &'a Value, list: &str, name: &str) -> &'a Value {
    let found = pod["status"][list]
        .as_array()
        .and_then(|all| all.iter().find(|c| c["name"] == name));
    found.unwrap_or(&Value::Null)
}

fn runs(pod: &Value, list: &str, name: &str) -> bool {
    status(pod, list, name)["state"]["running"].is_object()
}

const SIDECARS: &str = "{restartPolicy: Never, terminationGracePeriodSeconds: 30,
  initContainers: [{name: one, image: 'i:1', restartPolicy: Always,
                    startupProbe: {exec: {command: [ready]}, periodSeconds: 1}},
                   {name: two, image: 'i:1', restartPolicy: Always}, {name: setup, image: 'i:1'}],
  containers: [{name: job, image: 'i:1'}]}";

#[tokio::test(start_paused = true)]
async fn sidecars_start_in_order_and_end_with_the_job() {
    let node = Node::start();
    node.runtime.set_exec("ready", Some((1, "not yet")));
    node.pod("job", SIDECARS);
    let pod = node
        .api
        .wait("one runs", "pods", "job", |p| {
            runs(p, "initContainerStatuses", "one")
        })
        .await;
    assert_eq!(status(&pod, "initContainerStatuses", "one")["started"], false);
    node.api.event("Unhealthy", "Startup probe failed: not yet").await;
    let pod = node.api.get_value("pods", "shop", "job").unwrap();
    assert!(
        !runs(&pod, "initContainerStatuses", "two"),
        "held back until one has started"
    );
    assert_eq!(
        condition(&pod, "Initialized")["message"],
        "containers with incomplete status: [one two setup]"
    );
    node.runtime.set_exec("ready", None);
    node.api
        .wait("setup runs", "pods", "job", |p| {
            runs(p, "initContainerStatuses", "setup")
        })
        .await;
    node.runtime.exit("job", "setup", 0);
    let pod = node.phase("job", "Running").await;
    assert_eq!(
        status(&pod, "initContainerStatuses", "setup")["state"]["terminated"]["reason"],
        "Completed"
    );
    // A side-car that ends is started again, though the pod is not to be.
    node.runtime.exit("job", "one", 3);
    let again = |p: &Value| status(p, "initContainerStatuses", "one")["restartCount"] == 1;
    node.api.wait("one again", "pods", "job", again).await;
    node.runtime.exit("job", "job", 0);
    let pod = node.phase("job", "Succeeded").await;
    assert_eq!(node.runtime.ended(), ["setup", "one", "job", "two", "one"]);
    assert_eq!(condition(&pod, "Initialized")["reason"], "PodCompleted");
}

#[tokio::test(start_paused = true)]
async fn sidecars_end_last_within_the_same_grace() {
    let node = Node::start();
    node.runtime.slow_down("job", Duration::from_secs(6));
    node.runtime.slow_down("two", Duration::from_secs(3));
    node.pod(
        "job",
        &SIDECARS.replace("GracePeriodSeconds: 30", "GracePeriodSeconds: 10"),
    );
    node.api
        .wait("setup runs", "pods", "job", |p| {
            runs(p, "initContainerStatuses", "setup")
        })
        .await;
    node.runtime.exit("job", "setup", 0);
    node.phase("job", "Running").await;
    let before = node.env.clock.now();
    node.delete_in("job", 10).await;
    assert_eq!(node.runtime.ended(), ["setup", "job", "two", "one"]);
    // Six for the job, three for `two`; `one` ends at once.
    assert_eq!((node.env.clock.now() - before).as_secs(), 9);
}

#[tokio::test(start_paused = true)]
async fn a_container_has_a_restart_policy_of_its_own() {
    let node = Node::start();
    node.pod(
        "web",
        "{restartPolicy: Never, containers: [{name: log, image: 'i:1'}, {name: web, image: 'i:1', restartPolicy: Never,
          restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]}]}",
    );
    node.phase("web", "Running").await;
    node.runtime.exit("web", "log", 0);
    node.runtime.exit("web", "web", 42);
    let again = |p: &Value| status(p, "containerStatuses", "web")["restartCount"] == 1;
    let pod = node.api.wait("web again", "pods", "web", again).await;
    assert_eq!(pod["status"]["phase"], "Running");
    node.runtime.exit("web", "web", 1);
    node.phase("web", "Failed").await;
}

#[tokio::test(start_paused = true)]
async fn hooks_come_first_and_take_of_the_grace() {
    let node = Node::start();
    node.pod(
        "web",
        "{terminationGracePeriodSeconds: 20, containers: [{name: web, image: 'i:1', lifecycle: {
          postStart: {sleep: {seconds: 5}}, preStop: {sleep: {seconds: 7}}}}, {name: log, image: 'i:1'}]}",
    );
    let before = node.env.clock.now();
    let seen = |p: &Value| status(p, "containerStatuses", "web")["containerID"].is_string();
    let pod = node.api.wait("the container", "pods", "web", seen).await;
    let state = &status(&pod, "containerStatuses", "web")["state"];
    assert_eq!(
        state["waiting"]["reason"], "ContainerCreating",
        "not before its hook is over"
    );
    assert!(!status(&pod, "containerStatuses", "log")["containerID"].is_string());
    node.phase("web", "Running").await;
    assert_eq!((node.env.clock.now() - before).as_secs(), 5);
    node.runtime.slow_down("web", Duration::from_secs(60));
    let before = node.env.clock.now();
    node.delete_in("web", 20).await;
    assert_eq!((node.env.clock.now() - before).as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn hooks_that_fail_are_told() {
    let node = Node::start();
    node.runtime.set_exec("start", Some((1, "secret")));
    node.runtime.set_exec("stop", Some((1, "secret")));
    node.pod(
        "web",
        "{containers: [{name: web, image: 'i:1', lifecycle: {postStart: {exec: {command: [start]}}}}]}",
    );
    let event = node
        .api
        .event("FailedPostStartHook", "PostStartHook failed")
        .await;
    assert_eq!(event["type"], "Warning");
    node.api.event("Killing", "FailedPostStartHook").await;
    let pod = node.waiting("web", "CrashLoopBackOff").await;
    assert!(status(&pod, "containerStatuses", "web")["lastState"]["terminated"].is_object());
    node.pod(
        "end",
        "{containers: [{name: web, image: 'i:1', lifecycle: {preStop: {exec: {command: [stop]}}}}]}",
    );
    node.phase("end", "Running").await;
    node.delete("end").await;
    node.api.event("FailedPreStopHook", "PreStopHook failed").await;
    assert!(
        node.api
            .all("events")
            .iter()
            .all(|e| !e["message"].as_str().unwrap().contains("secret"))
    );
}

#[tokio::test(start_paused = true)]
async fn an_ephemeral_container_joins_and_is_told_of() {
    let node = Node::start();
    node.pod("web", "{containers: [{name: web, image: 'i:1'}]}");
    let mut pod = node.phase("web", "Running").await;
    pod["spec"]["ephemeralContainers"] = json!([{"name": "debugger", "image": "busybox:1.28", "targetContainerName": "web", "stdin": true, "tty": true}]);
    node.api.put("pods", pod);
    let seen = |p: &Value| runs(p, "ephemeralContainerStatuses", "debugger");
    let pod = node.api.wait("the debugger", "pods", "web", seen).await;
    let told = status(&pod, "ephemeralContainerStatuses", "debugger");
    assert_eq!(
        (&told["ready"], &told["started"], &told["restartCount"]),
        (&json!(false), &json!(null), &json!(0))
    );
    assert_eq!(condition(&pod, "Ready")["status"], "True");
    node.runtime.exit("web", "debugger", 1);
    let over = |p: &Value| {
        status(p, "ephemeralContainerStatuses", "debugger")["state"]["terminated"]["exitCode"] == 1
    };
    node.api.wait("its end", "pods", "web", over).await;
    node.env.clock.sleep(Duration::from_secs(400)).await;
    let pod = node.api.get_value("pods", "shop", "web").unwrap();
    assert!(over(&pod), "it is not started again");
    assert_eq!(pod["status"]["phase"], "Running");
}

#[tokio::test(start_paused = true)]
async fn a_container_that_just_started_is_not_called_unhealthy() {
    let node = Node::start();
    for command in ["ready", "alive"] {
        node.runtime.set_exec(command, Some((1, "not up yet")));
    }
    node.pod(
        "web",
        "{containers: [{name: web, image: 'i:1', readinessProbe: {exec: {command: [ready]}, periodSeconds: 100},
          livenessProbe: {exec: {command: [alive]}}}]}",
    );
    node.phase("web", "Running").await;
    node.env.clock.sleep(Duration::from_millis(500)).await;
    for command in ["ready", "alive"] {
        node.runtime.set_exec(command, None);
    }
    let before = node.env.clock.now();
    let ready = |p: &Value| condition(p, "Ready")["status"] == "True";
    node.api.wait("ready", "pods", "web", ready).await;
    assert!(
        node.env.clock.now() - before < Duration::from_secs(1),
        "it is looked at again soon, whatever its period"
    );
    node.env.clock.sleep(Duration::from_secs(60)).await;
    assert!(!node.api.all("events").iter().any(|e| e["reason"] == "Unhealthy"));
    assert_eq!(
        node.api.get_value("nodes", "", "node-1").unwrap()["status"]["images"],
        json!([{"names": ["i:1"], "sizeBytes": 1000}])
    );
}

#[tokio::test(start_paused = true)]
async fn readiness_goes_on_while_a_container_ends() {
    let node = Node::start();
    node.runtime.set_exec("ready", Some((1, "no")));
    node.runtime.slow_down("web", Duration::from_secs(20));
    node.pod(
        "web",
        "{containers: [{name: web, image: 'i:1', readinessProbe: {exec: {command: [ready]}, periodSeconds: 1},
          livenessProbe: {exec: {command: [alive]}, periodSeconds: 1, failureThreshold: 1}}]}",
    );
    let pod = node.phase("web", "Running").await;
    assert_eq!(status(&pod, "containerStatuses", "web")["ready"], false);
    node.start_delete("web", 30).await;
    node.runtime.set_exec("alive", Some((1, "no")));
    node.env.clock.sleep(Duration::from_secs(10)).await;
    let pod = node.api.get_value("pods", "shop", "web").unwrap();
    assert_eq!(
        status(&pod, "containerStatuses", "web")["ready"],
        false,
        "still not ready"
    );
    assert!(runs(&pod, "containerStatuses", "web"));
    node.api.wait("the pod gone", "pods", "web", Value::is_null).await;
    let unhealthy = |e: &Value| e["message"].as_str().unwrap().starts_with("Liveness");
    assert!(
        !node.api.all("events").iter().any(unhealthy),
        "liveness is over once it ends"
    );
}

#[tokio::test(start_paused = true)]
async fn readiness_gates_say_what_they_miss() {
    let node = Node::start();
    node.pod(
        "web",
        "{containers: [{name: web, image: 'i:1'}], readinessGates: [{conditionType: example.com/up}]}",
    );
    let told = |p: &Value| condition(p, "Ready")["reason"] == "ReadinessGatesNotReady";
    let mut pod = node.api.wait("the gate", "pods", "web", told).await;
    assert_eq!(
        condition(&pod, "Ready")["message"],
        "corresponding condition of pod readiness gate \"example.com/up\" does not exist."
    );
    let gate = |status: &str| json!({"type": "example.com/up", "status": status});
    pod["status"]["conditions"]
        .as_array_mut()
        .unwrap()
        .push(gate("False"));
    node.api.put("pods", pod);
    let closed = "the status of pod readiness gate \"example.com/up\" is not \"True\", but False";
    let told = |p: &Value| condition(p, "Ready")["message"] == closed;
    let mut pod = node.api.wait("the gate closed", "pods", "web", told).await;
    *pod["status"]["conditions"]
        .as_array_mut()
        .unwrap()
        .last_mut()
        .unwrap() = gate("True");
    node.api.put("pods", pod);
    node.api
        .wait("ready", "pods", "web", |p| {
            condition(p, "Ready")["status"] == "True"
        })
        .await;
}

const STATIC: &str = "{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: shop}, spec: {containers: [{name: web, image: 'i:1'}]}}";

fn manifest(folder: &Path, text: Option<&str>) {
    let file = folder.join("web.yaml");
    match text {
        Some(text) => std::fs::write(file, text).unwrap(),
        None => std::fs::remove_file(file).unwrap(),
    }
}

fn static_node(folder: &Path) -> Node {
    let path = folder.to_owned();
    let machine = Arc::new(Linux::new("/", "/etc/resolv.conf"));
    Node::on(machine, |config| {
        config.root_dir = path.join("kubelet");
        config.log_dir = path.join("logs");
        config.static_pod_path = Some(path.join("manifests"));
    })
}

#[tokio::test(start_paused = true)]
async fn static_pods_follow_their_files_and_have_mirrors() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("manifests");
    std::fs::create_dir(&folder).unwrap();
    manifest(&folder, Some(STATIC));
    let node = static_node(dir.path());
    let running = |p: &Value| p["status"]["phase"] == "Running";
    let first = node.api.wait("the mirror", "pods", "web-node-1", running).await;
    let hash = first["metadata"]["annotations"]["kubernetes.io/config.mirror"].clone();
    assert_eq!(
        first["metadata"]["annotations"]["kubernetes.io/config.hash"],
        hash
    );
    assert_eq!(
        first["metadata"]["annotations"]["kubernetes.io/config.source"],
        "file"
    );
    assert_eq!(first["metadata"]["ownerReferences"][0]["kind"], "Node");
    assert_eq!(condition(&first, "Ready")["status"], "True");
    // The mirror is only a mirror: who deletes it gets another, and the pod goes on.
    node.start_delete("web-node-1", 30).await;
    let other = |p: &Value| running(p) && p["metadata"]["uid"] != first["metadata"]["uid"];
    let second = node.api.wait("another mirror", "pods", "web-node-1", other).await;
    let id = |p: &Value| status(p, "containerStatuses", "web")["containerID"].clone();
    assert_eq!(id(&second), id(&first));
    manifest(&folder, Some(&STATIC.replace("i:1", "i:2")));
    let changed = |p: &Value| running(p) && status(p, "containerStatuses", "web")["image"] == "i:2";
    let third = node.api.wait("the change", "pods", "web-node-1", changed).await;
    assert_ne!(
        third["metadata"]["annotations"]["kubernetes.io/config.mirror"],
        hash
    );
    assert_eq!(node.runtime.ended(), ["web"]);
    manifest(&folder, None);
    node.api
        .wait("the mirror gone", "pods", "web-node-1", Value::is_null)
        .await;
    assert_eq!(node.runtime.ended(), ["web", "web"]);
    assert!(
        runtime::Runtime::sandboxes(&*node.runtime)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn static_pods_need_no_api_server() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("manifests");
    std::fs::create_dir(&folder).unwrap();
    manifest(&folder, Some(STATIC));
    let node = static_node(dir.path());
    node.api.cut(true);
    let waiting = async {
        while runtime::Runtime::containers(&*node.runtime, None)
            .await
            .unwrap()
            .is_empty()
        {
            node.env.clock.sleep(Duration::from_millis(10)).await;
        }
    };
    let runs = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    assert!(runs.is_ok(), "waited for the container of the static pod");
    node.api.cut(false);
    let running = |p: &Value| p["status"]["phase"] == "Running";
    node.api.wait("the mirror", "pods", "web-node-1", running).await;
}

#[tokio::test(start_paused = true)]
async fn logs_are_rotated_and_the_oldest_go() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    let path = dir.path().to_owned();
    let machine = Arc::new(Linux::new("/", "/etc/resolv.conf"));
    let node = Node::on(machine, |config| {
        config.root_dir = path.join("kubelet");
        config.log_dir = path.join("logs");
        (config.log_max_size, config.log_max_files) = (100, 3);
    });
    node.pod("web", "{containers: [{name: web, image: 'i:1'}]}");
    node.phase("web", "Running").await;
    let folder = logs.join("shop_web_uid-of-web/web");
    std::fs::create_dir_all(&folder).unwrap();
    let log = folder.join("0.log");
    for round in 1..=5 {
        std::fs::write(&log, "x".repeat(if round == 5 { 50 } else { 101 })).unwrap();
        node.env.clock.sleep(Duration::from_secs(31)).await;
        assert_eq!(
            node.runtime.reopened(),
            round.min(4),
            "a log under its size is left alone"
        );
    }
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 3, "{names:?}");
    assert_eq!(names[0], "0.log");
    assert!(names[1].starts_with("0.log.") && names[2] > names[1]);
}

#[tokio::test(start_paused = true)]
async fn resources_change_while_a_pod_runs() {
    let node = Node::start();
    let spec = |cpu: &str, memory: &str| {
        format!(
            "{{containers: [{{name: web, image: 'i:1', resizePolicy: [{{resourceName: memory, restartPolicy: RestartContainer}}],
               resources: {{requests: {{cpu: {cpu}, memory: {memory}}}, limits: {{cpu: {cpu}, memory: {memory}}}}}}}]}}"
        )
    };
    node.pod("web", &spec("100m", "64Mi"));
    let pod = node.phase("web", "Running").await;
    let told = status(&pod, "containerStatuses", "web");
    assert_eq!(
        told["allocatedResources"],
        json!({"cpu": "100m", "memory": "64Mi"})
    );
    assert_eq!(told["resources"]["limits"]["cpu"], "100m");
    let change = |cpu: &str, memory: &str| {
        let mut pod = node.api.get_value("pods", "shop", "web").unwrap();
        let fresh: Value = serde_saphyr::from_str(&spec(cpu, memory)).unwrap();
        pod["spec"]["containers"] = fresh["containers"].clone();
        node.api.put("pods", pod);
    };
    change("200m", "64Mi");
    let cpu = |p: &Value| status(p, "containerStatuses", "web")["resources"]["limits"]["cpu"] == "200m";
    let pod = node.api.wait("more CPU", "pods", "web", cpu).await;
    assert_eq!(status(&pod, "containerStatuses", "web")["restartCount"], 0);
    let real = runtime::Runtime::containers(&*node.runtime, None).await.unwrap();
    assert_eq!(real[0].resources.as_ref().unwrap().cpu_quota, 20_000);
    // More than the node has.
    change("100", "64Mi");
    let pending = |p: &Value| condition(p, "PodResizePending")["status"] == "True";
    let pod = node.api.wait("the refusal", "pods", "web", pending).await;
    let told = condition(&pod, "PodResizePending");
    assert_eq!(told["reason"], "Infeasible");
    assert_eq!(
        told["message"],
        "Node didn't have enough capacity: cpu, requested: 100000, capacity: 8000"
    );
    assert!(cpu(&pod), "as before");
    change("200m", "128Mi");
    node.api
        .event("Killing", "Container web resize requires restart")
        .await;
    let memory = |p: &Value| {
        let web = status(p, "containerStatuses", "web");
        web["resources"]["limits"]["memory"] == "128Mi" && web["restartCount"] == 1 && !pending(p)
    };
    node.api.wait("more memory", "pods", "web", memory).await;
}

#[tokio::test(start_paused = true)]
async fn unused_images_go_when_the_disk_fills_up() {
    // Of 100 GiB 10 are left; each image has 1000 bytes.
    let machine = Arc::new(Paper::default().with_room(10 << 30));
    let node = Node::on(machine, |_| {});
    for (pod, image) in [("old", "old:1"), ("web", "web:1")] {
        node.pod(pod, &format!("{{containers: [{{name: c, image: '{image}'}}]}}"));
        node.phase(pod, "Running").await;
    }
    node.delete("old").await;
    let images = || async {
        let all = runtime::Runtime::images(&*node.runtime).await.unwrap();
        all.into_iter().flat_map(|image| image.tags).collect::<Vec<_>>()
    };
    assert_eq!(images().await.len(), 2);
    let missing = (100_u64 << 30) / 5 - (10 << 30);
    let message = format!(
        "Failed to garbage collect required amount of images. Attempted to free {missing} bytes, but only found 1000 bytes eligible to free."
    );
    node.api.event("FreeDiskSpaceFailed", &message).await;
    assert_eq!(images().await, ["web:1"]);
}

#[tokio::test(start_paused = true)]
async fn images_stay_as_long_as_there_is_room() {
    let machine = Arc::new(Paper::default().with_room(20 << 30));
    let node = Node::on(machine, |_| {});
    node.pod("web", "{containers: [{name: c, image: 'web:1'}]}");
    node.phase("web", "Running").await;
    node.delete("web").await;
    node.env.clock.sleep(Duration::from_secs(1000)).await;
    assert_eq!(runtime::Runtime::images(&*node.runtime).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn pods_are_evicted_when_memory_is_short() {
    let machine = Arc::new(Paper::default());
    let node = Node::on(machine.clone(), |_| {});
    // Usage is the length of the name in the simulated runtime.
    node.pod(
        "modest",
        "{containers: [{name: c, image: 'i:1', resources: {requests: {memory: 1Mi}}}]}",
    );
    node.pod(
        "greedy",
        "{terminationGracePeriodSeconds: 300, containers: [{name: longer, image: 'i:1'}]}",
    );
    node.pod(
        "king",
        "{priority: 2000000000, containers: [{name: longest-of-all, image: 'i:1'}]}",
    );
    for name in ["modest", "greedy", "king"] {
        node.phase(name, "Running").await;
    }
    machine.take_memory((32 << 30) - (50 << 20));
    let pressure = |n: &Value| condition(n, "MemoryPressure")["status"] == "True";
    let seen = node.api.wait("pressure", "nodes", "node-1", pressure).await;
    assert_eq!(
        condition(&seen, "MemoryPressure")["reason"],
        "KubeletHasInsufficientMemory"
    );
    let pod = node.phase("greedy", "Failed").await;
    machine.take_memory(0);
    assert_eq!(pod["status"]["reason"], "Evicted");
    let why = "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. Container longer was using 6, request is 0, has larger consumption of memory. ";
    assert_eq!(pod["status"]["message"], why);
    assert_eq!(
        condition(&pod, "DisruptionTarget")["reason"],
        "TerminationByKubelet"
    );
    node.api
        .event("Evicted", "The node was low on resource: memory.")
        .await;
    node.api
        .event("EvictionThresholdMet", "Attempting to reclaim memory")
        .await;
    let before = node.env.clock.now();
    node.api
        .wait("no pressure", "nodes", "node-1", |n| !pressure(n))
        .await;
    assert!(
        (node.env.clock.now() - before).as_secs() >= 280,
        "it stands for five minutes"
    );
    for name in ["modest", "king"] {
        let pod = node.api.get_value("pods", "shop", name).unwrap();
        assert_eq!(pod["status"]["phase"], "Running", "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_told_and_pods_go() {
    let machine = Arc::new(Paper::default().with_room(500 << 20));
    let node = Node::on(machine, |_| {});
    let pressure = |n: &Value| condition(n, "DiskPressure")["status"] == "True";
    let seen = node.api.wait("pressure", "nodes", "node-1", pressure).await;
    assert_eq!(
        condition(&seen, "DiskPressure")["reason"],
        "KubeletHasDiskPressure"
    );
    node.api
        .event("EvictionThresholdMet", "Attempting to reclaim ephemeral-storage")
        .await;
    node.pod("web", "{containers: [{name: c, image: 'web:1'}]}");
    let pod = node.phase("web", "Failed").await;
    let why = "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, available: 500Mi. ";
    assert_eq!(pod["status"]["message"], why);
}
