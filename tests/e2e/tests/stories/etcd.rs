//! The store over the wire: API servers on an etcd that is not ours, and on ours alone, with etcd's own command.

use std::fs::{self, File};
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use e2e::cluster::Cluster;
use e2e::lab::NODE;
use e2e::{kernel, process, wait};
use rustix::process::{Pid, Signal};

use crate::deployments::roll_out;
use crate::expect::{has, same};
use crate::parts::{LIMIT, Papers, Parts, api_server, start_all, words};
use crate::services::{client_until, start_client};
use crate::{Story, stories};

pub const STORIES: &[Story] = stories![
    several_api_servers_share_an_etcd,
    the_store_runs_alone,
    pods_run_on_while_the_store_is_down,
];

const URL: &str = "http://127.0.0.1:23790";

/// An etcd in the lab: Debian's, or ours.
struct Etcd {
    is_ours: bool,
    folder: String,
    child: Child,
}

impl Etcd {
    fn start(c: &Cluster, folder: String, is_ours: bool) -> Result<Etcd> {
        let mut command = if is_ours {
            c.ferrokube(&["etcd"])
        } else {
            let program = process::find("etcd").context("etcd of Debian's package etcd-server")?;
            c.lab.command(program)
        };
        command
            .arg(format!("--data-dir={folder}/etcd"))
            .arg(format!("--listen-client-urls={URL}"))
            .arg(format!("--advertise-client-urls={URL}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(format!("{folder}/etcd.log"))?);
        let child = command.spawn()?;
        Ok(Etcd {
            is_ours,
            folder,
            child,
        })
    }

    fn kill(&mut self) -> Result<()> {
        if let Some(pid) = kernel::child_of(self.child.id()) {
            let pid = Pid::from_raw(i32::try_from(pid)?).context("a pid is not 0")?;
            rustix::process::kill_process(pid, Signal::KILL)?;
        }
        self.child.wait()?;
        Ok(())
    }

    fn restart(&mut self, c: &Cluster) -> Result<()> {
        self.kill()?;
        let again = Etcd::start(c, self.folder.clone(), self.is_ours)?;
        *self = again;
        Ok(())
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // The lab ends what does not end by itself.
        let _ = self.kill();
    }
}

fn folder(c: &Cluster, name: &str) -> Result<std::path::PathBuf> {
    let folder = c.lab.folder().join(name);
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Flags of an API server at a port, on the etcd.
fn on_etcd(papers: &Papers, port: &str, address: &str) -> Result<Vec<String>> {
    let mut flags = api_server(papers)?;
    flags.retain(|flag| !flag.starts_with("--store-dir") && !flag.starts_with("--advertise-address"));
    let more = [
        ("etcd-servers", URL),
        ("secure-port", port),
        ("advertise-address", address),
    ];
    flags.extend(words(&more));
    Ok(flags)
}

/// kubectl at the server of a port.
fn at(c: &Cluster, port: &str, line: &str) -> Result<String> {
    let server = format!("--server=https://{NODE}:{port}");
    // The store is empty: the namespace of the story is not in it.
    let mut all = vec![server.as_str(), "--namespace=default"];
    all.extend(line.split_whitespace());
    c.kubectl_words(&all, "")
}

fn until_ready(c: &Cluster, port: &str) -> Result<()> {
    wait::until(&format!("the API server at {port}"), LIMIT, || {
        at(c, port, "get --raw /readyz").map(Some)
    })
    .map(drop)
}

fn admin(c: &Cluster, papers: &Papers) -> Result<()> {
    fs::copy(
        papers.kubeconfig("admin", "admin", &["system:masters"])?,
        c.kubeconfig(),
    )?;
    Ok(())
}

fn several_api_servers_share_an_etcd(c: &mut Cluster) -> Result<()> {
    same(c.stop()?, 0)?;
    let folder = folder(c, "shared-etcd")?;
    let papers = Papers::new(folder.clone())?;
    let mut etcd = Etcd::start(c, folder.display().to_string(), false)?;
    let mut parts = Parts::new(folder);
    parts.start_as(
        c,
        "one",
        "kube-apiserver",
        &on_etcd(&papers, "6443", "10.99.0.2")?,
    )?;
    parts.start_as(
        c,
        "two",
        "kube-apiserver",
        &on_etcd(&papers, "6444", "10.99.0.3")?,
    )?;
    admin(c, &papers)?;
    let told = share(c, &mut parts, &mut etcd);
    told.map_err(|error| anyhow!("{error:#}\n{}", parts.logs()))?;
    parts.stop()
}

fn share(c: &Cluster, parts: &mut Parts, etcd: &mut Etcd) -> Result<()> {
    let ports = ["6443", "6444"];
    for port in ports {
        until_ready(c, port)?;
    }
    // What one acknowledged, the other shows.
    for n in 0..10 {
        let (here, there) = (ports[n % 2], ports[(n + 1) % 2]);
        at(
            c,
            here,
            &format!("create configmap seen-{n} --from-literal=n={n}"),
        )?;
        at(c, there, &format!("get configmap seen-{n} --output name"))?;
        at(c, there, &format!("delete configmap seen-{n}"))?;
        has(
            &c.refused(
                &[
                    &format!("--server=https://{NODE}:{here}"),
                    "get",
                    "configmap",
                    &format!("seen-{n}"),
                ],
                "",
            )?,
            &["not found"],
        )?;
    }
    let addresses = || {
        at(
            c,
            "6443",
            "get endpoints kubernetes --output jsonpath={.subsets[*].addresses[*].ip}",
        )
    };
    let both = "10.99.0.2 10.99.0.3";
    wait::until("both servers behind the Service", LIMIT, || {
        Ok((addresses()? == both).then_some(()))
    })?;

    let health = "get --raw /readyz/etcd";
    same(at(c, "6443", health)?, "ok")?;
    etcd.restart(c)?;
    wait::until("the API server to find etcd again", LIMIT, || {
        at(c, "6443", health).map(Some)
    })?;
    at(c, "6444", "create configmap after --from-literal=a=b")?;
    at(c, "6443", "get configmap after")?;

    parts.kill_last()?;
    at(c, "6443", "create configmap alone --from-literal=a=b")?;
    wait::until(
        "the server that was killed to go",
        Duration::from_secs(90),
        || Ok((addresses()? == "10.99.0.2").then_some(())),
    )
}

fn the_store_runs_alone(c: &mut Cluster) -> Result<()> {
    same(c.stop()?, 0)?;
    let folder = folder(c, "own-etcd")?;
    let papers = Papers::new(folder.clone())?;
    let mut parts = Parts::new(folder.clone());
    let data = folder.join("etcd").display().to_string();
    let flags = [
        ("data-dir", data.as_str()),
        ("listen-client-urls", URL),
        ("advertise-client-urls", URL),
    ];
    parts.start_as(c, "etcd", "etcd", &words(&flags))?;
    parts.start_as(c, "api", "kube-apiserver", &on_etcd(&papers, "6443", NODE)?)?;
    admin(c, &papers)?;
    let told = see_that_it_keeps(c);
    told.map_err(|error| anyhow!("{error:#}\n{}", parts.logs()))?;
    parts.stop()
}

fn see_that_it_keeps(c: &Cluster) -> Result<()> {
    until_ready(c, "6443")?;
    at(c, "6443", "create configmap kept --from-literal=a=b")?;
    let etcdctl = process::find("etcdctl").context("etcdctl of Debian's package etcd-client")?;
    let ctl = |args: &[&str]| {
        let mut command = c.lab.command(&etcdctl);
        command
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints={URL}"))
            .args(args);
        process::output(&mut command)
    };
    let key = "/registry/configmaps/default/kept";
    has(&ctl(&["get", key])?, &[key, r#""data":{"a":"b"}"#])?;
    same(ctl(&["del", key])?, "1\n")?;
    wait::until("the API server to see it", LIMIT, || {
        Ok(at(c, "6443", "get configmap kept").is_err().then_some(()))
    })
}

/// How long the store is down.
const OUTAGE: Duration = Duration::from_secs(15);

fn pods_run_on_while_the_store_is_down(c: &mut Cluster) -> Result<()> {
    same(c.stop()?, 0)?;
    let folder = folder(c, "outage")?;
    let papers = Papers::new(folder.clone())?;
    let mut etcd = Etcd::start(c, folder.display().to_string(), true)?;
    let mut parts = Parts::new(folder);
    let api = on_etcd(&papers, "6443", NODE)?;
    // Nobody starts those again that lost their Lease.
    let told = start_all(c, &papers, &mut parts, &api, &[("leader-elect", "false")])
        .and_then(|()| outage(c, &mut etcd));
    told.map_err(|error| anyhow!("{error:#}\n{}", parts.logs()))?;
    parts.stop()
}

/// The process of the client pod.
fn client_process() -> Result<u32> {
    let mut all = kernel::processes().into_iter();
    all.find(|pid| kernel::command_line(*pid) == "sleep 3600")
        .context("the client pod runs")
}

/// What tells whether all pods are as they were.
fn containers(c: &Cluster) -> Result<String> {
    let path = "{range .items[*]}{.metadata.uid} {.status.containerStatuses[*].containerID} \
                {.status.containerStatuses[*].restartCount}{\"\\n\"}{end}";
    c.kubectl_words(&["get", "pods", "--output", &format!("jsonpath={path}")], "")
}

fn outage(c: &mut Cluster, etcd: &mut Etcd) -> Result<()> {
    c.namespace = "default".to_owned();
    wait::until("the node", LIMIT, || c.kubectl("get node alone").map(Some))?;
    c.kubectl("wait --for=condition=Ready node/alone --timeout=60s")?;
    wait::until("the service account", LIMIT, || {
        c.kubectl("get serviceaccount default").map(Some)
    })?;
    roll_out(c)?;
    c.kubectl("expose deployment/nginx-deployment --name=my-nginx --port=80")?;
    start_client(c)?;
    let service = c.value("service my-nginx", ".spec.clusterIP")?;
    client_until(
        c,
        &format!("timeout 5 wget -qO- http://{service}"),
        "Welcome to nginx!",
    )?;
    let (before, client) = (containers(c)?, client_process()?);

    etcd.kill()?;
    wait::until("the API server to miss its store", LIMIT, || {
        Ok(c.kubectl("get --raw /readyz/etcd").is_err().then_some(()))
    })?;
    c.refused(&["create", "configmap", "lost"], "")?;
    let clock = component::Clock::system();
    let until = clock.now() + OUTAGE;
    while clock.now() < until {
        // In the pod's namespaces: the API server could not take a command there.
        let mut command = std::process::Command::new("nsenter");
        let pid = client.to_string();
        command.args(["--target", &pid, "--net", "--mount", "--root"]);
        command.args(["timeout", "5", "wget", "-qO-"]);
        has(
            &process::output(command.arg(format!("http://{service}")))?,
            &["Welcome to nginx!"],
        )?;
    }

    *etcd = Etcd::start(c, etcd.folder.clone(), true)?;
    wait::until("the API server to find its store again", LIMIT, || {
        c.kubectl("get --raw /readyz/etcd").map(Some)
    })?;
    c.kubectl("wait --for=condition=Ready node/alone --timeout=60s")?;
    same(containers(c)?, before)?;
    same(client_process()?, client)?;
    c.kubectl("scale deployment/nginx-deployment --replicas=3")?;
    c.kubectl("rollout status deployment/nginx-deployment --timeout=60s")?;
    c.kubectl("delete deployment/nginx-deployment service/my-nginx pod/client --timeout=60s")
        .map(drop)
}
