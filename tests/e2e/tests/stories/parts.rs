//! Every part a process of its own, over TLS against the others, with certificates of a CA made here.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use component::Clock;
use component::pki::{Authority, Purpose};
use e2e::cluster::Cluster;
use e2e::lab::NODE;
use e2e::{kernel, wait};
use rustix::process::{Pid, Signal};

use crate::deployments::roll_out;
use crate::expect::{has, same};
use crate::services::{client_until, start_client};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![parts_that_run_alone_make_a_cluster];

pub const LIMIT: Duration = Duration::from_secs(60);

/// Certificates and kubeconfigs in a folder.
pub struct Papers {
    folder: PathBuf,
    authority: Authority,
    clock: Clock,
}

impl Papers {
    pub fn new(folder: PathBuf) -> Result<Papers> {
        let clock = Clock::system();
        let authority = Authority::open(&folder.join("pki"), clock.wall())?;
        authority.signing_key("sa")?;
        Ok(Papers {
            folder,
            authority,
            clock,
        })
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    pub fn leaf(&self, name: &str, purpose: &Purpose) -> Result<()> {
        self.authority.leaf(name, purpose, self.clock.wall())?;
        Ok(())
    }

    /// A kubeconfig of a user, and where it is.
    pub fn kubeconfig(&self, name: &str, user: &str, groups: &[&str]) -> Result<String> {
        self.leaf(name, &Purpose::client(user, groups))?;
        let file = |name: &str| self.path(&format!("pki/{name}"));
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: parts\ncontexts:\n- name: parts\n  context:\n    cluster: parts\n    \
             user: parts\nclusters:\n- name: parts\n  cluster:\n    server: https://{NODE}:6443\n    certificate-authority: {}\n\
             users:\n- name: parts\n  user:\n    client-certificate: {}\n    client-key: {}\n",
            file("ca.crt"),
            file(&format!("{name}.crt")),
            file(&format!("{name}.key")),
        );
        let path = self.path(&format!("{name}.conf"));
        fs::write(&path, text)?;
        Ok(path)
    }
}

/// The processes. What still runs when this is dropped is stopped.
pub struct Parts {
    folder: PathBuf,
    running: Vec<(String, Child)>,
}

impl Parts {
    pub fn new(folder: PathBuf) -> Parts {
        Parts {
            folder,
            running: Vec::new(),
        }
    }

    fn start(&mut self, c: &Cluster, name: &str, flags: &[String]) -> Result<()> {
        self.start_as(c, name, name, flags)
    }

    /// Starts a part under a name of its own.
    pub fn start_as(&mut self, c: &Cluster, name: &str, part: &str, flags: &[String]) -> Result<()> {
        let mut command = c.ferrokube(&[part]);
        let log = File::create(self.folder.join(format!("{name}.log")))?;
        command
            .args(flags)
            .stdin(Stdio::null())
            .stdout(File::create(self.folder.join(format!("{name}.out")))?)
            .stderr(log);
        self.running.push((name.to_owned(), command.spawn()?));
        Ok(())
    }

    /// Kills the one that was started last, as kill -9.
    pub fn kill_last(&mut self) -> Result<()> {
        let (name, mut child) = self.running.pop().context("nothing runs")?;
        let pid = kernel::child_of(child.id()).with_context(|| format!("{name} ended"))?;
        let pid = Pid::from_raw(i32::try_from(pid)?).context("a pid is not 0")?;
        rustix::process::kill_process(pid, Signal::KILL)?;
        child.wait()?;
        Ok(())
    }

    /// Asks each to stop, the last one first, and expects that it ends well.
    pub fn stop(&mut self) -> Result<()> {
        while let Some((name, mut child)) = self.running.pop() {
            let pid = kernel::child_of(child.id())
                .with_context(|| format!("{name} ended:\n{}", self.log(&name)))?;
            let pid = Pid::from_raw(i32::try_from(pid)?).context("a pid is not 0")?;
            rustix::process::kill_process(pid, Signal::TERM)?;
            let status = wait::until(&format!("{name} to end"), LIMIT, || Ok(child.try_wait()?))?;
            ensure!(
                status.success(),
                "{name} ended with {status}:\n{}",
                self.log(&name)
            );
            let printed = fs::read_to_string(self.folder.join(format!("{name}.out")))?;
            same(printed, "")?;
        }
        Ok(())
    }

    fn log(&self, name: &str) -> String {
        let text = fs::read_to_string(self.folder.join(format!("{name}.log"))).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    pub fn logs(&self) -> String {
        let logs = self
            .running
            .iter()
            .map(|(name, _)| format!("--- {name}\n{}", self.log(name)));
        logs.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        // After a failure; the lab ends what does not end by itself.
        let _ = self.stop();
    }
}

pub fn words(flags: &[(&str, &str)]) -> Vec<String> {
    flags
        .iter()
        .map(|(name, value)| format!("--{name}={value}"))
        .collect()
}

fn parts_that_run_alone_make_a_cluster(c: &mut Cluster) -> Result<()> {
    same(c.stop()?, 0)?;
    let folder = c.lab.folder().join("parts");
    fs::create_dir_all(&folder)?;
    let papers = Papers::new(folder.clone())?;
    let mut parts = Parts::new(folder);
    let api = api_server(&papers)?;
    let told = start_all(c, &papers, &mut parts, &api, &[]).and_then(|()| see_that_it_works(c));
    told.map_err(|error| anyhow!("{error:#}\n{}", parts.logs()))?;
    c.kubectl("delete deployment/nginx-deployment service/my-nginx pod/client --timeout=60s")?;
    parts.stop()
}

/// Starts a control plane and a node `alone`: the API server with the flags `api`, those that lead with `more` flags.
pub fn start_all(
    c: &Cluster,
    papers: &Papers,
    parts: &mut Parts,
    api: &[String],
    more: &[(&str, &str)],
) -> Result<()> {
    parts.start(c, "kube-apiserver", api)?;
    fs::copy(
        papers.kubeconfig("admin", "admin", &["system:masters"])?,
        c.kubeconfig(),
    )?;
    wait::until("the API server", LIMIT, || {
        c.kubectl("get --raw /readyz").map(Some)
    })?;

    let ca = papers.path("pki/ca.crt");
    let scheduler = papers.kubeconfig("scheduler", "system:kube-scheduler", &[])?;
    let flags = [&[("kubeconfig", scheduler.as_str())], more].concat();
    parts.start(c, "kube-scheduler", &words(&flags))?;
    let controllers = papers.kubeconfig("controllers", "system:kube-controller-manager", &[])?;
    let flags = [
        ("kubeconfig", controllers.as_str()),
        ("root-ca-file", &ca),
        ("cluster-cidr", "10.244.0.0/16"),
    ];
    let flags = [&flags, more].concat();
    parts.start(c, "kube-controller-manager", &words(&flags))?;
    parts.start(c, "kubelet", &kubelet(c, papers)?)?;
    let proxy = papers.kubeconfig("proxy", "system:kube-proxy", &[])?;
    let flags = [
        ("kubeconfig", proxy.as_str()),
        ("hostname-override", "alone"),
        ("cluster-cidr", "10.244.0.0/16"),
    ];
    parts.start(c, "kube-proxy", &words(&flags))?;
    let dns = papers.kubeconfig("dns", "dns", &["system:masters"])?;
    let listen = format!("{NODE}:53");
    parts.start(
        c,
        "dns",
        &words(&[("kubeconfig", &dns), ("listen", &listen), ("cluster-dns", NODE)]),
    )
}

pub fn api_server(papers: &Papers) -> Result<Vec<String>> {
    let names = [
        "kubernetes",
        "kubernetes.default.svc",
        "localhost",
        "127.0.0.1",
        "10.96.0.1",
        NODE,
    ];
    let names = names.map(str::to_owned).to_vec();
    papers.leaf("apiserver", &Purpose::server("kube-apiserver", names))?;
    papers.leaf(
        "apiserver-kubelet-client",
        &Purpose::client("apiserver-kubelet-client", &["system:masters"]),
    )?;
    let pki = |name: &str| papers.path(&format!("pki/{name}"));
    Ok(words(&[
        ("store-dir", &papers.path("store")),
        ("advertise-address", NODE),
        ("client-ca-file", &pki("ca.crt")),
        ("tls-cert-file", &pki("apiserver.crt")),
        ("tls-private-key-file", &pki("apiserver.key")),
        ("service-account-signing-key-file", &pki("sa.key")),
        ("service-account-issuer", "https://kubernetes.default.svc"),
        ("kubelet-certificate-authority", &pki("ca.crt")),
        ("kubelet-client-certificate", &pki("apiserver-kubelet-client.crt")),
        ("kubelet-client-key", &pki("apiserver-kubelet-client.key")),
    ]))
}

/// Half of its settings come from a configuration file, one of them over from a drop-in.
fn kubelet(c: &Cluster, papers: &Papers) -> Result<Vec<String>> {
    let names = vec!["alone".to_owned(), NODE.to_owned()];
    papers.leaf("kubelet-serving", &Purpose::server("system:node:alone", names))?;
    let pki = |name: &str| papers.path(&format!("pki/{name}"));
    let head = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";
    let text = format!(
        "{head}authentication: {{x509: {{clientCAFile: {}}}}}\ntlsCertFile: {}\ntlsPrivateKeyFile: {}\nclusterDNS: [{NODE}]\n\
         maxPods: 20\n",
        pki("ca.crt"),
        pki("kubelet-serving.crt"),
        pki("kubelet-serving.key"),
    );
    fs::write(papers.path("kubelet.yaml"), text)?;
    let drop_ins = papers.path("kubelet.d");
    fs::create_dir_all(&drop_ins)?;
    fs::write(
        Path::new(&drop_ins).join("10-pods.conf"),
        format!("{head}maxPods: 21\nevictionHard:\n  memory.available: 100Mi\n"),
    )?;
    Ok(words(&[
        ("config", &papers.path("kubelet.yaml")),
        ("config-dir", &drop_ins),
        (
            "kubeconfig",
            &papers.kubeconfig("kubelet", "system:node:alone", &["system:nodes"])?,
        ),
        ("hostname-override", "alone"),
        ("node-ip", NODE),
        ("data-dir", &papers.path("runtime")),
        ("registries", &c.lab.registries().display().to_string()),
    ]))
}

fn see_that_it_works(c: &mut Cluster) -> Result<()> {
    c.namespace = "default".to_owned();
    wait::until("the node", LIMIT, || c.kubectl("get node alone").map(Some))?;
    c.kubectl("wait --for=condition=Ready node/alone --timeout=60s")?;
    same(c.value("node alone", ".status.capacity.pods")?, "21")?;
    wait::until("the service account", LIMIT, || {
        c.kubectl("get serviceaccount default").map(Some)
    })?;
    roll_out(c)?;
    // From kubectl over the API server to the kubelet, with certificates all the way.
    has(
        &c.kubectl("exec deployment/nginx-deployment -- cat /etc/hostname")?,
        &["nginx-deployment-"],
    )?;
    c.kubectl("logs deployment/nginx-deployment")?;
    c.kubectl("expose deployment/nginx-deployment --name=my-nginx --port=80")?;
    start_client(c)?;
    let ip = c.value("service my-nginx", ".spec.clusterIP")?;
    client_until(c, "nslookup my-nginx.default.svc.cluster.local", &ip).context("DNS")?;
    for lease in ["kube-scheduler", "kube-controller-manager"] {
        let holder = c.value(
            &format!("lease {lease} --namespace kube-system"),
            ".spec.holderIdentity",
        )?;
        ensure!(holder.contains('_'), "nobody leads {lease}: {holder:?}");
    }
    see_the_pages(c)
}

/// Health and metrics of the parts that have no other pages, under certificates that they made themselves.
fn see_the_pages(c: &Cluster) -> Result<()> {
    let own = fs::read_to_string(c.kubeconfig())?;
    for (port, counted) in [
        (
            10259,
            "scheduler_schedule_attempts_total{profile=\"default-scheduler\",result=\"scheduled\"}",
        ),
        (10257, "workqueue_adds_total{name=\"deployment\"}"),
    ] {
        let config = own.replace(":6443", &format!(":{port}"));
        let lines = config
            .lines()
            .map(|line| match line.split_once("certificate-authority") {
                Some((indent, _)) => format!("{indent}insecure-skip-tls-verify: true\n"),
                None => format!("{line}\n"),
            });
        let path = c.kubeconfig().with_extension(port.to_string());
        fs::write(&path, lines.collect::<String>())?;
        let config = path.display();
        same(
            c.kubectl(&format!("--kubeconfig={config} get --raw /healthz"))?,
            "ok",
        )?;
        let told = c.kubectl(&format!("--kubeconfig={config} get --raw /metrics"))?;
        has(
            &told,
            &[
                counted,
                "rest_client_requests_total{code=\"200\"",
                "leader_election_master_status{",
            ],
        )?;
    }
    Ok(())
}
