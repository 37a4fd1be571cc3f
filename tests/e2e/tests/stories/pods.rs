//! The life of pods: side-cars, probes, hooks, last words, debugging, static pods.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::cluster::Cluster;
use e2e::{process, wait};

use crate::expect::{has, same};
use crate::pod::until_event;
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    sidecars_serve_a_job,
    a_policy_and_rules_of_its_own,
    readiness_follows_an_http_probe,
    a_liveness_probe_restarts,
    hooks_run,
    last_words_are_told,
    a_debugger_joins_a_pod,
    resources_are_resized_in_place,
    fifty_pods_get_ready,
    static_pods_have_mirrors,
];

const SIDECARS: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: job}
spec:
  restartPolicy: Never
  volumes: [{name: shared, emptyDir: {}}]
  initContainers:
  - name: one
    image: busybox:1.28
    restartPolicy: Always
    command: [sh, -c, 'trap "echo one >> /shared/ended; exit 0" TERM; sleep 1; touch /shared/up; while true; do sleep 0.1; done']
    startupProbe: {exec: {command: [cat, /shared/up]}, periodSeconds: 1}
    volumeMounts: [{name: shared, mountPath: /shared}]
  - name: two
    image: busybox:1.28
    restartPolicy: Always
    command: [sh, -c, 'trap "echo two >> /shared/ended; exit 0" TERM; test -e /shared/up && echo two came second; while true; do sleep 0.1; done']
    volumeMounts: [{name: shared, mountPath: /shared}]
  - name: check
    image: busybox:1.28
    command: [sh, -c, 'test -e /shared/up && echo set up']
    volumeMounts: [{name: shared, mountPath: /shared}]
  containers:
  - name: job
    image: busybox:1.28
    command: [sh, -c, 'echo working; sleep 1; echo job >> /shared/ended']
    volumeMounts: [{name: shared, mountPath: /shared}]
"#;

fn sidecars_serve_a_job(c: &mut Cluster) -> Result<()> {
    c.apply(SIDECARS)?;
    c.kubectl("wait --for=jsonpath={.status.phase}=Succeeded pod/job --timeout=60s")?;
    same(c.kubectl("logs job -c two")?, "two came second\n")?;
    same(c.kubectl("logs job -c check")?, "set up\n")?;
    let end = |list: &str, at: usize| {
        c.value(
            "pod job",
            &format!(".status.{list}[{at}].state.terminated.exitCode"),
        )
    };
    same(end("initContainerStatuses", 0)?, "0")?;
    same(end("initContainerStatuses", 1)?, "0")?;
    let at = |list: &str, at: usize| {
        c.value(
            "pod job",
            &format!(".status.{list}[{at}].state.terminated.finishedAt"),
        )
    };
    let (job, two, one) = (
        at("containerStatuses", 0)?,
        at("initContainerStatuses", 1)?,
        at("initContainerStatuses", 0)?,
    );
    ensure!(job <= two && two <= one, "ended at {job}, {two}, {one}");
    same(&c.table("get pod job")?.1[0][2], "Completed")
}

fn a_policy_and_rules_of_its_own(c: &mut Cluster) -> Result<()> {
    let pod = "
apiVersion: v1
kind: Pod
metadata: {name: rules}
spec:
  restartPolicy: Never
  volumes: [{name: again, emptyDir: {}}]
  containers:
  - name: main
    image: busybox:1.28
    command: [sh, -c, 'test -e /again/x && exit 3; touch /again/x; exit 42']
    restartPolicy: Never
    restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]
    volumeMounts: [{name: again, mountPath: /again}]
";
    c.apply(pod)?;
    c.kubectl("wait --for=jsonpath={.status.phase}=Failed pod/rules --timeout=60s")?;
    let status = "{.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].lastState.terminated.exitCode} {.status.containerStatuses[0].state.terminated.exitCode}";
    let told = c.kubectl_words(&["get", "pod", "rules", "-o", &format!("jsonpath={status}")], "")?;
    same(told, "1 42 3")
}

fn readiness_follows_an_http_probe(c: &mut Cluster) -> Result<()> {
    let pod = "
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: web
    image: busybox:1.28
    command: [sh, -c, 'mkdir /www; exec httpd -f -p 8080 -h /www']
    ports: [{name: http, containerPort: 8080}]
    readinessProbe: {httpGet: {path: /ready, port: http}, periodSeconds: 1, failureThreshold: 1}
    livenessProbe: {tcpSocket: {port: 8080}, initialDelaySeconds: 3}
";
    c.apply(pod)?;
    until_event(
        c,
        "web",
        &[
            "Unhealthy",
            "Readiness probe failed: HTTP probe failed with statuscode: 404",
        ],
    )?;
    same(
        c.value("pod web", ".status.conditions[?(@.type=='Ready')].reason")?,
        "ContainersNotReady",
    )?;
    same(&c.table("get pod web")?.1[0][1], "0/1")?;
    c.kubectl("exec web -- touch /www/ready")?;
    c.kubectl("wait --for=condition=Ready pod/web --timeout=30s")?;
    c.kubectl("exec web -- rm /www/ready")?;
    c.kubectl("wait --for=condition=Ready=false pod/web --timeout=30s")?;
    same(
        c.value("pod web", ".status.containerStatuses[0].restartCount")?,
        "0",
    )
}

fn a_liveness_probe_restarts(c: &mut Cluster) -> Result<()> {
    let pod = "
apiVersion: v1
kind: Pod
metadata: {name: liveness}
spec:
  containers:
  - name: main
    image: busybox:1.28
    command: [sh, -c, 'touch /tmp/healthy; sleep 2; rm /tmp/healthy; sleep 600']
    livenessProbe:
      exec: {command: [cat, /tmp/healthy]}
      periodSeconds: 1
      terminationGracePeriodSeconds: 1
";
    c.apply(pod)?;
    until_event(c, "liveness", &["Unhealthy", "Liveness probe failed: cat: "])?;
    until_event(
        c,
        "liveness",
        &[
            "Killing",
            "Container main failed liveness probe, will be restarted",
        ],
    )?;
    c.until_value("pod liveness", ".status.containerStatuses[0].restartCount", "1")?;
    same(
        c.value(
            "pod liveness",
            ".status.containerStatuses[0].lastState.terminated.exitCode",
        )?,
        "137",
    )?;
    c.kubectl("delete pod liveness --grace-period=1 --wait=false")
        .map(drop)
}

fn hooks_run(c: &mut Cluster) -> Result<()> {
    let pod = r#"
apiVersion: v1
kind: Pod
metadata: {name: hooks}
spec:
  terminationGracePeriodSeconds: 20
  containers:
  - name: main
    image: busybox:1.28
    command: [sh, -c, 'trap "echo bye; exit 0" TERM; while true; do sleep 0.1; done']
    lifecycle:
      postStart: {exec: {command: [sh, -c, 'echo hello > /proc/1/fd/1']}}
      preStop: {exec: {command: [sh, -c, 'echo going > /proc/1/fd/1; sleep 1']}}
"#;
    c.apply(pod)?;
    c.kubectl("wait --for=condition=Ready pod/hooks --timeout=60s")?;
    same(c.kubectl("logs hooks")?, "hello\n")?;
    let mut follow = c.kubectl_command(&["logs", "--follow", "hooks"]);
    let follow = follow.stdout(std::process::Stdio::piped()).spawn()?;
    c.kubectl("delete pod hooks")?;
    let said = follow.wait_with_output()?;
    same(
        String::from_utf8_lossy(&said.stdout).as_ref(),
        "hello\ngoing\nbye\n",
    )?;
    let fails = pod
        .replace("name: hooks", "name: fails")
        .replace("echo hello > /proc/1/fd/1", "exit 1");
    c.apply(&fails)?;
    until_event(c, "fails", &["FailedPostStartHook", "PostStartHook failed"])?;
    until_event(c, "fails", &["Killing", "FailedPostStartHook"])?;
    c.until_value(
        "pod fails",
        ".status.containerStatuses[0].state.waiting.reason",
        "CrashLoopBackOff",
    )
}

fn last_words_are_told(c: &mut Cluster) -> Result<()> {
    let pod = "
apiVersion: v1
kind: Pod
metadata: {name: words}
spec:
  restartPolicy: Never
  containers:
  - name: file
    image: busybox:1.28
    command: [sh, -c, 'echo from the file > /tmp/my-log; exit 1']
    terminationMessagePath: /tmp/my-log
  - name: logs
    image: busybox:1.28
    command: [sh, -c, 'echo from the logs; exit 1']
    terminationMessagePolicy: FallbackToLogsOnError
  - name: long
    image: busybox:1.28
    command: [sh, -c, 'head -c 5000 /dev/zero | tr \"\\\\0\" x > /dev/termination-log']
";
    c.apply(pod)?;
    c.kubectl("wait --for=jsonpath={.status.phase}=Failed pod/words --timeout=60s")?;
    let message = |name: &str| {
        c.value(
            "pod words",
            &format!(".status.containerStatuses[?(@.name=='{name}')].state.terminated.message"),
        )
    };
    same(message("file")?, "from the file\n")?;
    same(message("logs")?, "from the logs\n")?;
    same(message("long")?, "x".repeat(4096))
}

fn a_debugger_joins_a_pod(c: &mut Cluster) -> Result<()> {
    let pod = "
apiVersion: v1
kind: Pod
metadata: {name: silent}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{name: main, image: 'busybox:1.28', command: [sleep, '4321']}]
";
    c.apply(pod)?;
    c.kubectl("wait --for=condition=Ready pod/silent --timeout=60s")?;
    let words = [
        "debug",
        "silent",
        "--image=busybox:1.28",
        "--target=main",
        "--container=debugger",
        "--attach=false",
        "--",
        "sh",
        "-c",
        "ps; hostname; exit 3",
    ];
    c.kubectl_words(&words, "")?;
    c.until_value(
        "pod silent",
        ".status.ephemeralContainerStatuses[0].state.terminated.exitCode",
        "3",
    )?;
    has(
        &c.kubectl("logs silent -c debugger")?,
        &["sleep 4321", "silent\n"],
    )?;
    has(
        &c.kubectl("describe pod silent")?,
        &["Ephemeral Containers:", "Exit Code:    3"],
    )?;
    same(
        c.value("pod silent", ".status.containerStatuses[0].restartCount")?,
        "0",
    )?;
    let ask = "read line; echo got $line";
    let interactive = [
        "debug",
        "-i",
        "silent",
        "--image=busybox:1.28",
        "--quiet",
        "--",
        "sh",
        "-c",
        ask,
    ];
    has(&c.kubectl_words(&interactive, "typed\n")?, &["got typed"])
}

fn resources_are_resized_in_place(c: &mut Cluster) -> Result<()> {
    let pod = "
apiVersion: v1
kind: Pod
metadata: {name: resized}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox:1.28
    command: [sleep, '3600']
    resources: {requests: {cpu: 100m, memory: 32Mi}, limits: {cpu: 100m, memory: 32Mi}}
";
    c.apply(pod)?;
    c.kubectl("wait --for=condition=Ready pod/resized --timeout=60s")?;
    let patch = |cpu: &str| {
        let resources = format!(r#"{{"requests":{{"cpu":"{cpu}"}},"limits":{{"cpu":"{cpu}"}}}}"#);
        format!(r#"{{"spec":{{"containers":[{{"name":"main","resources":{resources}}}]}}}}"#)
    };
    let resize = ["patch", "pod", "resized", "--subresource", "resize", "--patch"];
    c.kubectl_words(&[&resize[..], &[&patch("200m")]].concat(), "")?;
    c.until_value(
        "pod resized",
        ".status.containerStatuses[0].resources.limits.cpu",
        "200m",
    )?;
    let quota = "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null || cut -d' ' -f1 /sys/fs/cgroup/cpu.max";
    same(
        c.kubectl_words(&["exec", "resized", "--", "sh", "-c", quota], "")?,
        "20000\n",
    )?;
    same(
        c.value("pod resized", ".status.containerStatuses[0].restartCount")?,
        "0",
    )?;
    has(
        &c.refused(&[&resize[..], &[&patch("1000")]].concat(), "")?,
        &["forbidden: Node didn't have enough allocatable resources: cpu, requested: 1000000"],
    )?;
    same(
        c.value("pod resized", ".status.containerStatuses[0].resources.limits.cpu")?,
        "200m",
    )
}

fn fifty_pods_get_ready(c: &mut Cluster) -> Result<()> {
    let deployment = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: fifty}
spec:
  replicas: 50
  selector: {matchLabels: {app: fifty}}
  template:
    metadata: {labels: {app: fifty}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: 'busybox:1.28', command: [sleep, '3600']}]
";
    c.apply(deployment)?;
    c.kubectl("rollout status deployment/fifty --timeout=120s")?;
    same(c.value("deployment fifty", ".status.readyReplicas")?, "50")?;
    c.kubectl("delete deployment fifty")?;
    c.kubectl("wait --for=delete pod -l app=fifty --timeout=120s")
        .map(drop)
}

fn static_pods_have_mirrors(c: &mut Cluster) -> Result<()> {
    let namespace = c.namespace.clone();
    let manifest = |color: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: static, namespace: {namespace}, labels: {{role: myrole}}}}\nspec:\n  \
             terminationGracePeriodSeconds: 1\n  containers:\n  - name: web\n    image: busybox:1.28\n    \
             command: [sh, -c, 'echo {color}; exec sleep 3600']\n"
        )
    };
    let put = |text: &str| {
        let script = "mkdir -p /etc/kubernetes/manifests && cat > /etc/kubernetes/manifests/static.yaml";
        let done = process::run(c.lab.command("sh").args(["-c", script]), text)?;
        same(done.code, 0)
    };
    put(&manifest("red"))?;
    let node = c.kubectl_words(&["get", "nodes", "-o", "jsonpath={.items[0].metadata.name}"], "")?;
    let pod = format!("static-{node}");
    wait::until("the mirror pod", Duration::from_secs(60), || {
        c.kubectl(&format!("wait --for=condition=Ready pod/{pod} --timeout=30s"))
            .map(Some)
    })?;
    until_event(c, &pod, &["Started", "Container started"])?;
    same(c.kubectl(&format!("logs {pod}"))?, "red\n")?;
    has(
        &c.kubectl(&format!("describe pod {pod}"))?,
        &[
            "Controlled By:  Node/",
            "kubernetes.io/config.source: file",
            "role=myrole",
            "Container started",
        ],
    )?;
    let value = |path: &str| c.value(&format!("pod {pod}"), path);
    let (uid, container) = (
        value(".metadata.uid")?,
        value(".status.containerStatuses[0].containerID")?,
    );
    c.kubectl(&format!("delete pod {pod}"))?;
    wait::until("another mirror", Duration::from_secs(30), || {
        ensure!(value(".metadata.uid")? != uid, "it is still the first");
        ensure!(
            value(".status.containerStatuses[0].containerID")? == container,
            "it is another container"
        );
        Ok(Some(()))
    })?;
    put(&manifest("blue"))?;
    wait::until("the change", Duration::from_secs(60), || {
        let said = c.kubectl(&format!("logs {pod}"))?;
        ensure!(said == "blue\n", "it says {said:?}");
        Ok(Some(()))
    })?;
    let removed = process::run(
        c.lab.command("rm").arg("/etc/kubernetes/manifests/static.yaml"),
        "",
    )?;
    same(removed.code, 0)?;
    c.kubectl(&format!("wait --for=delete pod/{pod} --timeout=30s"))
        .map(drop)
}
