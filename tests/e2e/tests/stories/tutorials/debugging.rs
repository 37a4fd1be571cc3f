//! Tasks, "Monitoring, Logging, and Debugging", and access to applications.

use std::io::Read as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::cluster::Cluster;
use e2e::{process, wait};

use super::{inside, until_ready, until_status};
use crate::expect::{has, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    an_ephemeral_debug_container,
    a_copy_of_a_pod_to_debug,
    port_forwarding,
    files_are_copied,
    a_shell_in_a_container,
    run_and_attach,
    the_proxy,
    events_of_a_pod,
    an_image_that_cannot_be_pulled,
    static_pods,
    explained_fields,
];

fn an_ephemeral_debug_container(c: &mut Cluster) -> Result<()> {
    c.kubectl("run ephemeral-demo --image=registry.k8s.io/pause:3.1 --restart=Never")?;
    until_ready(c, "ephemeral-demo")?;
    c.kubectl_words(
        &[
            "debug",
            "ephemeral-demo",
            "--image=busybox:1.28",
            "--target=ephemeral-demo",
            "--container=looker",
            "--profile=general",
            "--",
            "sh",
            "-c",
            "ps; sleep 1000",
        ],
        "",
    )?;
    wait::until(
        "the debug container to see its target",
        Duration::from_secs(60),
        || has(&c.kubectl("logs ephemeral-demo -c looker")?, &["sleep infinity"]).map(Some),
    )?;
    has(
        &c.kubectl("describe pod ephemeral-demo")?,
        &["Ephemeral Containers:", "looker:", "busybox:1.28"],
    )
}

fn a_copy_of_a_pod_to_debug(c: &mut Cluster) -> Result<()> {
    c.kubectl("run myapp --image=busybox:1.28 --restart=Never -- false")?;
    super::until_phase(c, "myapp", "Failed")?;
    c.kubectl_words(
        &[
            "debug",
            "myapp",
            "--copy-to=myapp-debug",
            "--container=myapp",
            "--",
            "sleep",
            "1d",
        ],
        "",
    )?;
    until_ready(c, "myapp-debug")?;
    same(inside(c, "myapp-debug", "echo here")?, "here\n")
}

fn port_forwarding(c: &mut Cluster) -> Result<()> {
    c.kubectl("create deployment redis --image=redis")?;
    c.kubectl("expose deployment redis --port=6379")?;
    c.kubectl("rollout status deployment/redis --timeout=60s")?;
    for (number, target) in ["deployment/redis", "service/redis"].into_iter().enumerate() {
        let port = 7000 + number;
        let mut forward = c
            .kubectl_command(&["port-forward", target, &format!("{port}:6379")])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let asked = forwarded(c, &mut forward, port);
        let _ = forward.kill();
        let _ = forward.wait();
        asked?;
    }
    Ok(())
}

fn forwarded(c: &Cluster, forward: &mut std::process::Child, port: usize) -> Result<()> {
    let mut line = [0; 64];
    let read = forward.stdout.as_mut().context("a pipe")?.read(&mut line)?;
    has(
        &String::from_utf8_lossy(&line[..read]),
        &[&format!("Forwarding from 127.0.0.1:{port} -> 6379")],
    )?;
    for _ in 0..3 {
        let script = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'PING\\r\\n' >&3; head -c 7 <&3");
        let mut ping = c.lab.network_command("timeout");
        same(
            process::output(ping.args(["20", "bash", "-c", &script]))?,
            "+PONG\r\n",
        )?;
    }
    Ok(())
}

fn files_are_copied(c: &mut Cluster) -> Result<()> {
    c.kubectl("run files --image=busybox:1.28 --restart=Never -- sleep 1000")?;
    until_ready(c, "files")?;
    let folder = c.lab.folder().join(format!("cp-{}", c.namespace));
    std::fs::create_dir_all(folder.join("tree/deep"))?;
    std::fs::write(folder.join("tree/deep/file"), "from here\n")?;
    c.kubectl(&format!("cp {}/tree files:/tmp/tree", folder.display()))?;
    same(inside(c, "files", "cat /tmp/tree/deep/file")?, "from here\n")?;
    inside(c, "files", "head -c 3000000 /dev/urandom > /tmp/big")?;
    c.kubectl(&format!("cp files:/tmp/big {}/big", folder.display()))?;
    let sum = inside(c, "files", "sha256sum < /tmp/big")?;
    let mut ours = std::process::Command::new("sh");
    ours.arg("-c")
        .arg(format!("sha256sum < {}/big", folder.display()));
    same(process::output(&mut ours)?, sum)
}

fn a_shell_in_a_container(c: &mut Cluster) -> Result<()> {
    c.kubectl("run shell-demo --image=nginx")?;
    until_ready(c, "shell-demo")?;
    let said = c.kubectl_words(
        &["exec", "-i", "shell-demo", "--", "/bin/bash"],
        "echo 'Hello shell demo' > /usr/share/nginx/html/index.html\ncat /usr/share/nginx/html/index.html\nexit\n",
    )?;
    same(said, "Hello shell demo\n")?;
    has(
        &c.kubectl_words(&["exec", "shell-demo", "--", "env"], "")?,
        &["HOSTNAME=shell-demo", "NGINX_VERSION=", "HOME=/root"],
    )
}

fn run_and_attach(c: &mut Cluster) -> Result<()> {
    let said = c.kubectl_words(
        &[
            "run",
            "once",
            "--rm",
            "-i",
            "--quiet",
            "--image=busybox:1.28",
            "--restart=Never",
            "--",
            "sh",
            "-c",
            "read word; echo got $word",
        ],
        "hello\n",
    )?;
    has(&said, &["got hello"])?;
    let script = "i=0; while true; do i=$((i+1)); echo line $i; sleep 1; done";
    c.kubectl_words(
        &[
            "run",
            "talker",
            "--image=busybox:1.28",
            "--restart=Never",
            "--",
            "sh",
            "-c",
            script,
        ],
        "",
    )?;
    until_ready(c, "talker")?;
    let mut attach = c.kubectl_command(&["attach", "talker"]);
    let mut child = attach.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut heard = [0; 4];
    let read = child.stdout.as_mut().context("a pipe")?.read_exact(&mut heard);
    let _ = child.kill();
    let _ = child.wait();
    read?;
    same(&heard, b"line")
}

fn the_proxy(c: &mut Cluster) -> Result<()> {
    c.kubectl("run web --image=nginx --port=80 --expose")?;
    until_ready(c, "web")?;
    let base = format!("/api/v1/namespaces/{}", c.namespace);
    for path in [
        "pods/web/proxy/",
        "pods/web:80/proxy/",
        "services/web/proxy/",
        "services/http:web:80/proxy/",
    ] {
        wait::until("the proxy to lead to nginx", Duration::from_secs(20), || {
            has(
                &c.kubectl(&format!("get --raw {base}/{path}"))?,
                &["Welcome to nginx!"],
            )
            .map(Some)
        })?;
    }
    let socket = c.lab.folder().join(format!("{}.sock", c.namespace));
    let mut proxy = c.kubectl_command(&["proxy", &format!("--unix-socket={}", socket.display())]);
    let mut child = proxy.stdout(Stdio::null()).spawn()?;
    let asked = wait::until("kubectl proxy", Duration::from_secs(20), || {
        let mut curl = std::process::Command::new("curl");
        curl.args(["--silent", "--unix-socket"])
            .arg(&socket)
            .arg(format!("http://localhost{base}/services/web/proxy/"));
        has(&process::output(&mut curl)?, &["Welcome to nginx!"]).map(Some)
    });
    let _ = child.kill();
    let _ = child.wait();
    asked
}

fn events_of_a_pod(c: &mut Cluster) -> Result<()> {
    c.kubectl("run seen --image=nginx")?;
    until_ready(c, "seen")?;
    let events = c.kubectl("events --for pod/seen")?;
    has(
        &events,
        &[
            "LAST SEEN",
            "Scheduled",
            "Pulling",
            "Pulled",
            "Created",
            "Started",
        ],
    )
    .or_else(|_| {
        has(
            &events,
            &["LAST SEEN", "Scheduled", "Pulled", "Created", "Started"],
        )
    })?;
    has(
        &c.kubectl("get events --field-selector involvedObject.name=seen,type!=Warning")?,
        &["pod/seen"],
    )
}

fn an_image_that_cannot_be_pulled(c: &mut Cluster) -> Result<()> {
    c.kubectl("run nothing --image=nginx:no-such-tag")?;
    until_status(c, "nothing", "ImagePullBackOff")?;
    has(
        &c.kubectl("describe pod nothing")?,
        &[
            "Failed to pull image \"nginx:no-such-tag\"",
            "Error: ErrImagePull",
            "Error: ImagePullBackOff",
            "Back-off pulling image \"nginx:no-such-tag\"",
        ],
    )?;
    c.kubectl("set image pod/nothing nothing=nginx:1.14.2")?;
    until_ready(c, "nothing")
}

fn static_pods(c: &mut Cluster) -> Result<()> {
    let node = c.value("nodes", ".items[0].metadata.name")?;
    let name = format!("static-web-{}", c.namespace);
    let manifest = format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: {}\n  labels:\n    role: myrole\nspec:\n  containers:\n    \
         - name: web\n      image: nginx\n      ports:\n        - name: web\n          containerPort: 80\n          protocol: TCP\n",
        c.namespace
    );
    let on_node = |script: &str| process::output(c.lab.command("sh").args(["-c", script, "sh", &manifest]));
    on_node(&format!(
        "mkdir -p /etc/kubernetes/manifests && printf %s \"$1\" > /etc/kubernetes/manifests/{name}.yaml"
    ))?;
    let mirror = format!("{name}-{node}");
    wait::until("the mirror pod", Duration::from_secs(30), || {
        c.kubectl(&format!("get pod {mirror}")).map(Some)
    })?;
    until_ready(c, &mirror)?;
    has(
        &c.value(&format!("pod {mirror}"), ".metadata.annotations")?,
        &["kubernetes.io/config.mirror", "kubernetes.io/config.source"],
    )?;
    let container = c.value(
        &format!("pod {mirror}"),
        ".status.containerStatuses[0].containerID",
    )?;
    c.kubectl(&format!("delete pod {mirror}"))?;
    wait::until("the mirror pod to come back", Duration::from_secs(30), || {
        c.kubectl(&format!("get pod {mirror}")).map(Some)
    })?;
    until_ready(c, &mirror)?;
    same(
        c.value(
            &format!("pod {mirror}"),
            ".status.containerStatuses[0].containerID",
        )?,
        container,
    )?;
    on_node(&format!("rm /etc/kubernetes/manifests/{name}.yaml"))?;
    c.kubectl(&format!("wait --for=delete pod/{mirror} --timeout=60s"))
        .map(drop)
}

fn explained_fields(c: &mut Cluster) -> Result<()> {
    has(
        &c.kubectl("explain statefulsets.spec.volumeClaimTemplates")?,
        &[
            "KIND:       StatefulSet",
            "VERSION:    v1",
            "FIELD: volumeClaimTemplates <[]PersistentVolumeClaim>",
        ],
    )?;
    has(
        &c.kubectl("explain cronjob --recursive")?,
        &["jobTemplate", "podFailurePolicy", "concurrencyPolicy"],
    )
}
