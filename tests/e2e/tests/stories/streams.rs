//! exec, attach, cp, port-forward and proxy, by kubectl of today, which speaks WebSocket, and by kubectl 1.20, which speaks
//! SPDY only.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use e2e::cluster::Cluster;
use e2e::{artifacts, process};

use crate::expect::{has, same};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    every_kubectl_executes,
    every_kubectl_attaches,
    every_kubectl_copies,
    every_kubectl_forwards_ports,
    pods_services_and_nodes_are_proxied,
];

/// A web server that has links, and a shell.
const WEB: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: web
    image: busybox:1.28
    command:
    - sh
    - -c
    - |
      mkdir -p /www/a; echo '<a href=\"/a/\">there</a>' > /www/index.html; echo plain > /www/a/b.txt
      exec httpd -f -p 8080 -h /www
    ports:
    - containerPort: 8080
    readinessProbe:
      tcpSocket: {port: 8080}
      periodSeconds: 1
---
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector: {app: web}
  ports:
  - name: http
    port: 80
    targetPort: 8080
---
apiVersion: v1
kind: Service
metadata:
  name: nobody
spec:
  selector: {app: nobody}
  ports:
  - port: 80
";

fn start_web(c: &Cluster) -> Result<()> {
    c.apply(WEB)?;
    c.kubectl("wait --for=condition=Ready pod/web --timeout=60s")
        .map(drop)
}

fn kubectls() -> [PathBuf; 2] {
    [artifacts::kubectl(), artifacts::tool("kubectl-1.20")]
}

fn every_kubectl_executes(c: &mut Cluster) -> Result<()> {
    start_web(c)?;
    for kubectl in kubectls() {
        let run = |words: &[&str], input: &str| process::run(&mut c.command_of(&kubectl, words), input);
        let script = "echo out; echo err >&2; exit 7";
        let done = run(&["exec", "web", "--", "sh", "-c", script], "")?;
        same((done.code, done.stdout.as_str()), (7, "out\n"))?;
        same(done.stderr, "err\ncommand terminated with exit code 7\n")?;
        let large = "0123456789abcdef".repeat(1 << 21);
        let done = run(&["exec", "-i", "web", "--", "wc", "-c"], &large)?;
        same((done.code, done.stdout.trim()), (0, "33554432"))?;
        let done = run(
            &["exec", "web", "--", "dd", "if=/dev/zero", "bs=1M", "count=32"],
            "",
        )?;
        same((done.code, done.stdout.len()), (0, 32 << 20))?;
        let done = run(&["exec", "web", "--", "nothing-there"], "")?;
        ensure!(done.code != 0, "{done:?}");
        let words = [
            "exec",
            "-it",
            "web",
            "--",
            "sh",
            "-c",
            "'tty; read line; echo said $line; exit 4'",
        ];
        let mut script = Command::new("script");
        let command = process::shown(&c.command_of(&kubectl, &words));
        script.args(["--quiet", "--return", "--command", &command, "/dev/null"]);
        script.env("KUBECONFIG", c.kubeconfig());
        let done = process::run(&mut script, "typed\n")?;
        has(&done.stdout, &["/dev/pts/", "said typed"])?;
        same(done.code, 4)?;
    }
    Ok(())
}

fn every_kubectl_attaches(c: &mut Cluster) -> Result<()> {
    for (number, kubectl) in kubectls().into_iter().enumerate() {
        let name = format!("cat-{number}");
        let words = [
            "run",
            &name,
            "--image=busybox:1.28",
            "--restart=Never",
            "-i",
            "--rm",
            "--",
            "sh",
            "-c",
            "read line; echo got $line; exit 0",
        ];
        let done = process::run(&mut c.command_of(&kubectl, &words), "a line\n")?;
        same(done.code, 0)?;
        has(&done.stdout, &["got a line"])?;
    }
    Ok(())
}

fn every_kubectl_copies(c: &mut Cluster) -> Result<()> {
    start_web(c)?;
    let folder = c.lab.folder().join(format!("copied-{}", c.namespace));
    for (number, kubectl) in kubectls().into_iter().enumerate() {
        let (from, to) = (
            folder.join(format!("from-{number}")),
            folder.join(format!("to-{number}")),
        );
        std::fs::create_dir_all(from.join("sub"))?;
        std::fs::write(from.join("sub/large"), "abcdefgh".repeat(1 << 18))?;
        std::fs::write(from.join("small"), "small")?;
        let remote = format!("web:/tmp/copy-{number}");
        let copy = |from: &str, to: &str| process::output(&mut c.command_of(&kubectl, &["cp", from, to]));
        copy(&from.display().to_string(), &remote)?;
        copy(&remote, &to.display().to_string())?;
        for file in ["sub/large", "small"] {
            ensure!(
                std::fs::read(from.join(file))? == std::fs::read(to.join(file))?,
                "{file} differs"
            );
        }
    }
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

/// A port-forward that runs until this is dropped.
struct Forward(Child);

impl Drop for Forward {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn every_kubectl_forwards_ports(c: &mut Cluster) -> Result<()> {
    start_web(c)?;
    for kubectl in kubectls() {
        for target in ["pod/web", "service/web"] {
            let ports = if target == "pod/web" { ":8080" } else { ":80" };
            let mut command = c.command_of(&kubectl, &["port-forward", target, ports]);
            let mut child = Forward(command.stdout(Stdio::piped()).spawn()?);
            let mut said = BufReader::new(child.0.stdout.take().context("kubectl has an output")?);
            let mut line = String::new();
            said.read_line(&mut line)?;
            let port = line
                .strip_prefix("Forwarding from 127.0.0.1:")
                .and_then(|rest| rest.split(' ').next());
            let port = port.with_context(|| format!("kubectl said {line:?}"))?.to_owned();
            // Many connections at a time, each closed by the server.
            let fetch = format!(
                "import urllib.request as u, concurrent.futures as f\n\
                 get = lambda _: u.urlopen('http://127.0.0.1:{port}/a/b.txt').read().decode()\n\
                 print(''.join(f.ThreadPoolExecutor(16).map(get, range(64))), end='')"
            );
            let said = process::output(c.lab.network_command("python3").args(["-c", &fetch]))?;
            same(said, "plain\n".repeat(64))?;
        }
    }
    Ok(())
}

fn pods_services_and_nodes_are_proxied(c: &mut Cluster) -> Result<()> {
    start_web(c)?;
    let raw = |path: &str| c.kubectl_words(&["get", "--raw", path], "");
    let own = format!("/api/v1/namespaces/{}", c.namespace);
    for target in [
        "pods/web",
        "pods/web:8080",
        "services/web:80",
        "services/web:http",
        "services/http:web:http",
    ] {
        same(raw(&format!("{own}/{target}/proxy/a/b.txt"))?, "plain\n")?;
        let page = raw(&format!("{own}/{target}/proxy/"))?;
        let expected = format!("<a href=\"{own}/{target}/proxy/a/\">there</a>\n");
        same(page, expected)?;
    }
    let refused = |path: String| c.refused(&["get", "--raw", &path], "");
    has(
        &refused(format!("{own}/services/nobody:80/proxy/"))?,
        &["(ServiceUnavailable): no endpoints available for service \"nobody"],
    )?;
    has(
        &refused(format!("{own}/services/web:81/proxy/"))?,
        &["no service port 81 found for service \"web\""],
    )?;
    has(
        &refused(format!("{own}/pods/web:8081/proxy/"))?,
        &[
            "error trying to reach service: dial tcp",
            "connect: connection refused",
        ],
    )?;
    let node = c.value("pod web", ".spec.nodeName")?;
    has(
        &raw(&format!("/api/v1/nodes/{node}/proxy/pods"))?,
        &["\"kind\":\"PodList\""],
    )?;
    same(
        raw(&format!("/api/v1/nodes/{node}:10250/proxy/healthz"))?,
        "ok".to_owned(),
    )?;
    let resources = raw(&format!("/api/v1/nodes/{node}/proxy/metrics/resource"))?;
    has(
        &resources,
        &[
            "node_cpu_usage_seconds_total ",
            "container=\"web\"",
            "resource_scrape_error 0",
        ],
    )?;
    has(&raw(&format!("/api/v1/nodes/{node}/proxy/logs/"))?, &["<pre>"])?;
    has(
        &raw(&format!("/api/v1/nodes/{node}/proxy/configz"))?,
        &["kubeletconfig"],
    )?;
    proxy_of_kubectl(c, &format!("{own}/services/web:80/proxy/a/b.txt"))
}

fn proxy_of_kubectl(c: &Cluster, path: &str) -> Result<()> {
    let mut command = c.kubectl_command(&["proxy", "--port=0"]);
    let mut child = Forward(command.stdout(Stdio::piped()).spawn()?);
    let mut said = BufReader::new(child.0.stdout.take().context("kubectl has an output")?);
    let mut line = String::new();
    said.read_line(&mut line)?;
    let address = line.trim().strip_prefix("Starting to serve on ");
    let address = address.with_context(|| format!("kubectl said {line:?}"))?;
    let fetch = format!(
        "import urllib.request as u; print(u.urlopen('http://{address}{path}').read().decode(), end='')"
    );
    same(
        process::output(c.lab.network_command("python3").args(["-c", &fetch]))?,
        "plain\n".to_owned(),
    )
}
