//! Containers: commands in them, their logs, how they end and start again, their limits.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::cluster::Cluster;
use e2e::{kernel, process, wait};

use crate::expect::{has, has_not, same};
use crate::pod::until_phase;
use crate::services::{client, start_client};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    exec_runs_commands,
    exec_has_a_terminal,
    logs_are_followed,
    containers_share_a_pod,
    restarts_by_policy,
    backs_off_from_a_crash_loop,
    limits_bind,
    an_end_is_graceful,
    a_container_is_confined,
    security_contexts_bind,
];

/// A pod of one busybox container that runs a script.
pub fn script_pod(name: &str, policy: &str, script: &str) -> String {
    let script = script.replace('\'', "''");
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\nspec:\n  restartPolicy: {policy}\n  \
         terminationGracePeriodSeconds: 5\n  containers:\n  - name: main\n    image: busybox:1.28\n    \
         command: [sh, -c, '{script}']\n"
    )
}

fn exec_runs_commands(c: &mut Cluster) -> Result<()> {
    start_client(c)?;
    same(client(c, "echo hello; echo there >&2")?, "hello\n")?;
    let done = c.try_kubectl(&["exec", "client", "--", "sh", "-c", "echo oh >&2; exit 3"], "")?;
    same((done.code, done.stdout.as_str()), (3, ""))?;
    same(done.stderr, "oh\ncommand terminated with exit code 3\n")?;
    same(
        c.kubectl_words(&["exec", "-i", "client", "--", "cat"], "a line\n")?,
        "a line\n",
    )?;
    let large = "0123456789abcdef\n".repeat(64 * 1024);
    let back = c.kubectl_words(&["exec", "-i", "client", "--", "cat"], &large)?;
    ensure!(
        back == large,
        "{} bytes went in, {} came back",
        large.len(),
        back.len()
    );
    has(&c.refused(&["exec", "client", "--", "nosuch"], "")?, &["nosuch"])?;
    has(
        &c.refused(&["exec", "nosuch", "--", "true"], "")?,
        &["pods \"nosuch\" not found"],
    )?;
    has(
        &c.refused(&["exec", "client", "-c", "nosuch", "--", "true"], "")?,
        &["container"],
    )
}

fn exec_has_a_terminal(c: &mut Cluster) -> Result<()> {
    start_client(c)?;
    let kubectl = c.kubectl_command(&[
        "exec",
        "-it",
        "client",
        "--",
        "sh",
        "-c",
        "'tty; read line; echo said $line'",
    ]);
    // script(1) gives kubectl a terminal.
    let mut script = std::process::Command::new("script");
    script.args([
        "--quiet",
        "--return",
        "--command",
        &process::shown(&kubectl),
        "/dev/null",
    ]);
    script.env("KUBECONFIG", c.kubeconfig());
    let done = process::run(&mut script, "typed\n")?;
    has(&done.stdout, &["/dev/pts/", "said typed"])?;
    same(done.code, 0)
}

fn logs_are_followed(c: &mut Cluster) -> Result<()> {
    let script = "for i in 1 2 3 4 5; do echo line $i; sleep 0.3; done; echo on stderr >&2; sleep 0.3; printf unfinished";
    c.apply(&script_pod("talker", "Never", script))?;
    wait::until("the container to start", Duration::from_secs(60), || {
        let started = c.value("pod talker", ".status.containerStatuses[0].state")?;
        ensure!(
            started.contains("running") || started.contains("terminated"),
            "{started}"
        );
        Ok(Some(()))
    })?;
    let followed = c.kubectl("logs --follow talker")?;
    same(
        followed,
        "line 1\nline 2\nline 3\nline 4\nline 5\non stderr\nunfinished",
    )?;
    until_phase(c, "talker", "Succeeded")?;
    same(c.kubectl("logs talker --tail=2")?, "on stderr\nunfinished")?;
    let stamped = c.kubectl("logs talker --timestamps --tail=6")?;
    let first = stamped.lines().next().context("no line")?;
    ensure!(
        first.starts_with("20") && first.ends_with("Z line 2"),
        "no time stamp: {first}"
    );
    same(c.kubectl("logs talker --limit-bytes=6")?, "line 1")?;
    has(
        &c.refused(&["logs", "talker", "-c", "nosuch"], "")?,
        &["container nosuch is not valid for pod talker"],
    )
}

const PAIR: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: pair
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
  - name: prepare
    image: busybox:1.28
    command: [sh, -c, 'echo prepared > /shared/note']
    volumeMounts: [{name: shared, mountPath: /shared}]
  containers:
  - name: web
    image: nginx:1.14.2
  - name: side
    image: busybox:1.28
    command: [sleep, '3600']
    volumeMounts: [{name: shared, mountPath: /shared}]
  volumes:
  - name: shared
    emptyDir: {}
";

fn containers_share_a_pod(c: &mut Cluster) -> Result<()> {
    c.apply(PAIR)?;
    c.kubectl("wait --for=condition=Ready pod/pair --timeout=60s")?;
    same(&c.table("get pod pair")?.1[0][1], "2/2")?;
    same(c.kubectl("exec pair -c side -- cat /shared/note")?, "prepared\n")?;
    let script = "timeout 5 wget -qO- http://localhost";
    has(
        &c.kubectl_words(&["exec", "pair", "-c", "side", "--", "sh", "-c", script], "")?,
        &["Welcome to nginx!"],
    )?;
    has(&c.kubectl("logs pair -c web")?, &["GET / HTTP/1.1"])?;
    same(c.kubectl("exec pair -c side -- hostname")?, "pair\n")?;
    same(c.kubectl("exec pair -c web -- hostname")?, "pair\n")
}

fn restarts_by_policy(c: &mut Cluster) -> Result<()> {
    c.apply(&script_pod("fails", "Never", "exit 7"))?;
    c.apply(&script_pod("works", "OnFailure", "true"))?;
    c.apply(
        &script_pod(
            "again",
            "OnFailure",
            "test -e /again/x || { touch /again/x; exit 1; }",
        )
        .replace(
            "    command",
            "    volumeMounts: [{name: again, mountPath: /again}]\n    command",
        )
        .replace(
            "  containers:",
            "  volumes: [{name: again, emptyDir: {}}]\n  containers:",
        ),
    )?;
    until_phase(c, "fails", "Failed")?;
    same(
        c.value(
            "pod fails",
            ".status.containerStatuses[0].state.terminated.exitCode",
        )?,
        "7",
    )?;
    same(&c.table("get pod fails")?.1[0][2], "Error")?;
    until_phase(c, "works", "Succeeded")?;
    same(&c.table("get pod works")?.1[0][2], "Completed")?;
    until_phase(c, "again", "Succeeded")?;
    same(
        c.value("pod again", ".status.containerStatuses[0].restartCount")?,
        "1",
    )
}

fn backs_off_from_a_crash_loop(c: &mut Cluster) -> Result<()> {
    c.apply(&script_pod("crashes", "Always", "echo run; exit 1"))?;
    c.until_value(
        "pod crashes",
        ".status.containerStatuses[0].state.waiting.reason",
        "CrashLoopBackOff",
    )?;
    let message = c.value(
        "pod crashes",
        ".status.containerStatuses[0].state.waiting.message",
    )?;
    has(
        &message,
        &["back-off", "restarting failed container=main pod=crashes"],
    )?;
    same(c.kubectl("logs crashes --previous")?, "run\n")?;
    has(
        &c.kubectl("describe pod crashes")?,
        &[
            "BackOff",
            "Back-off restarting failed container main",
            "Last State:",
        ],
    )
}

fn limits_bind(c: &mut Cluster) -> Result<()> {
    let limits = "    resources: {limits: {cpu: 500m, memory: 64Mi}, requests: {cpu: 100m, memory: 32Mi}}\n";
    c.apply(&(script_pod("bound", "Never", "sleep 31415") + limits))?;
    c.kubectl("wait --for=condition=Ready pod/bound --timeout=60s")?;
    same(c.value("pod bound", ".status.qosClass")?, "Burstable")?;
    let pid = c
        .lab
        .containers()
        .into_iter()
        .find(|pid| kernel::command_line(*pid).ends_with("sleep 31415"));
    let pid = pid.context("no such process")?;
    same(
        kernel::cgroup_value(pid, &["memory.limit_in_bytes", "memory.max"])?,
        (64 << 20).to_string(),
    )?;
    let cpu = kernel::cgroup_value(pid, &["cpu.cfs_quota_us", "cpu.max"])?;
    ensure!(
        ["50000", "50000 100000"].contains(&cpu.as_str()),
        "the processor's quota is {cpu}"
    );
    let weight = kernel::cgroup_value(pid, &["cpu.shares", "cpu.weight"])?;
    ensure!(
        ["102", "4", "17"].contains(&weight.as_str()),
        "the processor's share is {weight}"
    );
    c.apply(&(script_pod("eats", "Never", "exec tail /dev/zero") + limits))?;
    wait::until(
        "a container that eats too much to be killed",
        Duration::from_secs(60),
        || {
            let reason = c.value("pod eats", ".status.containerStatuses[0].state.terminated.reason")?;
            ensure!(!reason.is_empty(), "it runs");
            Ok(Some(()))
        },
    )?;
    let script = c.value("pod eats", ".status.containerStatuses[0].state.terminated.reason")?;
    same(script, "OOMKilled")
}

fn an_end_is_graceful(c: &mut Cluster) -> Result<()> {
    let polite = "trap \"echo bye; exit 0\" TERM; echo ready; while true; do sleep 0.1; done";
    c.apply(&script_pod("polite", "Always", polite))?;
    c.kubectl("wait --for=condition=Ready pod/polite --timeout=60s")?;
    let mut follow = c.kubectl_command(&["logs", "--follow", "polite"]);
    let follow = follow.stdout(std::process::Stdio::piped()).spawn()?;
    has(&c.kubectl("delete pod polite")?, &["pod \"polite\" deleted"])?;
    let said = follow.wait_with_output()?;
    has(&String::from_utf8_lossy(&said.stdout), &["ready\nbye\n"])?;
    has(
        &c.refused(&["get", "pod", "polite"], "")?,
        &["pods \"polite\" not found"],
    )?;
    c.apply(&script_pod(
        "deaf",
        "Always",
        "trap \"\" TERM; while true; do sleep 1; done",
    ))?;
    c.kubectl("wait --for=condition=Ready pod/deaf --timeout=60s")?;
    c.kubectl("delete pod deaf --wait=false")?;
    ensure!(
        !c.value("pod deaf", ".metadata.deletionTimestamp")?.is_empty(),
        "it has no time of deletion"
    );
    same(&c.table("get pod deaf")?.1[0][2], "Terminating")?;
    c.kubectl("wait --for=delete pod/deaf --timeout=60s").map(drop)
}

fn a_container_is_confined(c: &mut Cluster) -> Result<()> {
    start_client(c)?;
    let status = client(c, "cat /proc/self/status")?;
    has(&status, &["CapEff:\t00000000a80425fb", "Seccomp:\t2"])?;
    same(
        client(c, "cat /proc/kcore 2>/dev/null | head -c 1 | wc -c")?.trim(),
        "0",
    )?;
    has(&client(c, "mount -t tmpfs x /tmp 2>&1 || true")?, &["ermi"])?;
    has(
        &client(c, "touch /proc/sys/kernel/hostname 2>&1 || true")?,
        &["Read-only file system"],
    )?;
    // The processes of the machine are not those of the container.
    has_not(&client(c, "ps")?, &["ferrokube up"])?;
    same(client(c, "cat /proc/1/cmdline | tr '\\0' ' '")?, "sleep 3600 ")
}

const GUARDED: &str = "    securityContext:
      runAsUser: 1000
      runAsGroup: 3000
      readOnlyRootFilesystem: true
      allowPrivilegeEscalation: false
      capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}
  securityContext: {fsGroup: 2000, supplementalGroups: [4000]}
";

fn security_contexts_bind(c: &mut Cluster) -> Result<()> {
    c.apply(&(script_pod("guarded", "Never", "sleep 3600") + GUARDED))?;
    c.kubectl("wait --for=condition=Ready pod/guarded --timeout=60s")?;
    let inside = |script: &str| c.kubectl_words(&["exec", "guarded", "--", "sh", "-c", script], "");
    same(inside("id -u; id -g")?, "1000\n3000\n")?;
    let status = inside("cat /proc/1/status")?;
    has(
        &status,
        &["CapBnd:\t0000000000000400", "NoNewPrivs:\t1", "Seccomp:\t2"],
    )?;
    let groups = status.lines().find(|line| line.starts_with("Groups:"));
    has(groups.context("no groups")?, &["2000", "4000"])?;
    has(&inside("touch /x 2>&1 || true")?, &["Read-only file system"])?;
    let root = "    securityContext: {runAsNonRoot: true}\n";
    c.apply(&(script_pod("root", "Never", "true") + root))?;
    let waiting = ".status.containerStatuses[0].state.waiting.reason";
    c.until_value("pod root", waiting, "CreateContainerConfigError")?;
    let message = c.value("pod root", &waiting.replace("reason", "message"))?;
    has(
        &message,
        &["container has runAsNonRoot and image will run as root"],
    )
}
