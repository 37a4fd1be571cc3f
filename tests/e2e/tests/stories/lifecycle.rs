//! The process itself: it stops, it crashes, it comes back, it refuses what cannot work, and it removes all it made.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::cluster::Cluster;
use e2e::process;
use e2e::wait;

use crate::deployments::roll_out;
use crate::expect::{has, same};
use crate::services::{client_until, start_client};
use crate::{Story, stories};

/// The last story ends the cluster for good.
pub const STORIES: &[Story] = stories![
    it_says_what_it_does,
    it_keeps_other_contexts,
    it_runs_in_the_background,
    ctrl_c_stops_it,
    a_restart_interrupts_no_container,
    a_crash_loses_nothing,
    changes_while_it_was_down_are_made_up_for,
    a_second_cluster_on_the_same_data_is_refused,
    a_taken_port_is_named,
    it_needs_root,
    bad_settings_are_refused,
    files_are_private,
    secrets_are_encrypted_on_disk,
    rm_leaves_nothing,
];

/// What tells whether a container is still the same: its id, its start, its restarts, and when its first process was born.
fn traces(c: &Cluster) -> Result<Vec<String>> {
    let pods = c.kubectl("get pods --output name")?;
    let of_pod = |pod: &str| -> Result<String> {
        let path = "{.status.containerStatuses[0].containerID} {.status.containerStatuses[0].state.running.startedAt} \
                    {.status.containerStatuses[0].restartCount}";
        let path = format!("jsonpath={path}");
        let status = c.kubectl_words(&["get", pod, "--output", &path], "")?;
        let born = c.kubectl(&format!("exec {pod} -- cat /proc/1/stat"))?;
        Ok(format!(
            "{pod} {status} {}",
            born.split_whitespace().nth(21).unwrap_or_default()
        ))
    };
    pods.lines().map(of_pod).collect()
}

fn until_ready(c: &Cluster) -> Result<()> {
    c.kubectl("wait --for=condition=Ready node --all --timeout=60s")?;
    c.kubectl("rollout status deployment/nginx-deployment --timeout=60s")
        .map(drop)
}

fn it_says_what_it_does(c: &mut Cluster) -> Result<()> {
    let said = fs::read_to_string(c.output())?;
    for part in [
        "store",
        "API server",
        "scheduler",
        "controllers",
        "container runtime",
        "kubelet",
        "proxy",
        "DNS",
    ] {
        ensure!(
            said.lines().any(|line| line.contains(part)),
            "no line on {part}:\n{said}"
        );
    }
    let next = said
        .lines()
        .skip_while(|line| !line.starts_with("ready"))
        .filter(|line| line.contains("kubectl"));
    ensure!(next.count() == 3, "not three commands to go on with:\n{said}");
    Ok(())
}

fn it_keeps_other_contexts(c: &mut Cluster) -> Result<()> {
    same(c.stop()?, 0)?;
    let own = format!(
        "--kubeconfig={}",
        c.lab.folder().join("home/.kube/config").display()
    );
    let kubectl = |line: &str| {
        let words: Vec<&str> = [own.as_str()].into_iter().chain(line.split(' ')).collect();
        c.kubectl_words(&words, "")
    };
    kubectl("config set-context other --cluster=elsewhere --user=somebody")?;
    let registries = c.lab.registries().display().to_string();
    let up = [
        "up",
        "-d",
        "--data-dir",
        &data_dir(c),
        "--registries",
        &registries,
    ];
    process::output(&mut c.ferrokube(&up))?;
    same(
        kubectl("config get-contexts --output name")?,
        "ferrokube\nother\n",
    )?;
    same(kubectl("config current-context")?, "ferrokube\n")?;
    kubectl("get nodes")?;
    c.stop_detached()?;
    c.up().map(drop)
}

fn it_runs_in_the_background(c: &mut Cluster) -> Result<()> {
    same(c.stop()?, 0)?;
    has(&process::output(&mut c.up_command(&["-d"]))?, &["ready"])?;
    c.kubectl("get nodes")?;
    c.stop_detached()?;
    has(
        &c.refused(&["get", "nodes", "--request-timeout=5s"], "")?,
        &["refused"],
    )?;
    c.up()?;
    c.kubectl("get nodes").map(drop)
}

fn ctrl_c_stops_it(c: &mut Cluster) -> Result<()> {
    same(c.interrupt()?, 0)?;
    has(
        &c.refused(&["get", "nodes", "--request-timeout=5s"], "")?,
        &["refused"],
    )?;
    c.up().map(drop)
}

fn a_restart_interrupts_no_container(c: &mut Cluster) -> Result<()> {
    roll_out(c)?;
    c.kubectl("expose deployment/nginx-deployment --name=my-nginx --port=80")?;
    start_client(c)?;
    client_until(c, "timeout 5 wget -qO- http://my-nginx", "Welcome to nginx!")?;
    let before = traces(c)?;
    same(c.stop()?, 0)?;
    let took = c.up()?;
    println!("came back in {:.2} s", took.as_secs_f64());
    until_ready(c)?;
    same(traces(c)?, before)?;
    client_until(c, "timeout 5 wget -qO- http://my-nginx", "Welcome to nginx!")?;
    c.kubectl("exec client -- true")?;
    c.kubectl("logs deployment/nginx-deployment").map(drop)
}

fn a_crash_loses_nothing(c: &mut Cluster) -> Result<()> {
    roll_out(c)?;
    let before = traces(c)?;
    for round in 0..3 {
        // The last write before the crash was acknowledged, so that it is there after it.
        c.kubectl(&format!("create configmap written-{round}"))?;
        c.kill()?;
        c.up()?;
        c.kubectl(&format!("get configmap written-{round}"))?;
    }
    until_ready(c)?;
    same(traces(c)?, before)
}

fn changes_while_it_was_down_are_made_up_for(c: &mut Cluster) -> Result<()> {
    roll_out(c)?;
    same(c.stop()?, 0)?;
    let nginx = |pid: &u32| e2e::kernel::command_line(*pid).starts_with("nginx: master process");
    let containers = c.lab.containers();
    let victim = containers
        .iter()
        .find(|pid| nginx(pid))
        .context("no nginx runs while the cluster is stopped")?;
    let victim = rustix::process::Pid::from_raw(i32::try_from(*victim)?).context("a pid is not 0")?;
    rustix::process::kill_process(victim, rustix::process::Signal::KILL)?;
    c.up()?;
    until_ready(c)?;
    wait::until(
        "the container that died to be started again",
        Duration::from_secs(60),
        || {
            let counts =
                c.kubectl("get pods --output jsonpath={.items[*].status.containerStatuses[0].restartCount}")?;
            ensure!(counts.split(' ').any(|count| count == "1"), "restarts: {counts}");
            Ok(Some(()))
        },
    )?;
    until_ready(c)
}

/// Runs a second `ferrokube`, expects that it ends by itself with exit code 1, and gives what it said.
fn refused(c: &Cluster, arguments: &[&str]) -> Result<String> {
    let binary = c
        .ferrokube(&[])
        .get_args()
        .last()
        .map(|word| word.to_string_lossy().into_owned());
    let binary = binary.context("no binary")?;
    let mut command = c.lab.command("timeout");
    command.args(["30", &binary]).args(arguments);
    let done = process::run(&mut command, "")?;
    ensure!(
        done.code == 1,
        "{arguments:?} ended with {}, having said:\n{}{}",
        done.code,
        done.stdout,
        done.stderr
    );
    Ok(done.stderr + &done.stdout)
}

fn data_dir(c: &Cluster) -> String {
    c.data_dir().display().to_string()
}

fn a_second_cluster_on_the_same_data_is_refused(c: &mut Cluster) -> Result<()> {
    let other = c.lab.folder().join("other").display().to_string();
    let said = refused(c, &["up", "--data-dir", &data_dir(c), "--kubeconfig", &other])?;
    has(&said, &[&data_dir(c)])?;
    c.kubectl("get nodes").map(drop)
}

fn a_taken_port_is_named(c: &mut Cluster) -> Result<()> {
    let folder = c.lab.folder().join("second").display().to_string();
    let (data, run, config) = (
        format!("{folder}/data"),
        format!("{folder}/run"),
        format!("{folder}/config"),
    );
    let said = refused(
        c,
        &[
            "up",
            "--data-dir",
            &data,
            "--run-dir",
            &run,
            "--kubeconfig",
            &config,
        ],
    )?;
    has(&said, &["6443", "in use"])?;
    c.kubectl("get nodes").map(drop)
}

fn it_needs_root(c: &mut Cluster) -> Result<()> {
    let binary = c
        .ferrokube(&[])
        .get_args()
        .last()
        .map(|word| word.to_owned())
        .context("no binary")?;
    let copy = "/run/binary-of-anyone";
    process::output(c.lab.command("cp").arg(&binary).arg(copy))?;
    let mut command = c.lab.command("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", copy, "up"]);
    let done = process::run(&mut command, "")?;
    process::output(c.lab.command("rm").arg(copy))?;
    same(done.code, 1)?;
    has(&done.stderr, &["root"])
}

fn bad_settings_are_refused(c: &mut Cluster) -> Result<()> {
    let mut unknown = c.ferrokube(&["up", "--no-such-flag"]);
    let done = process::run(&mut unknown, "")?;
    ensure!(done.code != 0, "an unknown flag was accepted");
    has(&done.stderr, &["--no-such-flag"])?;
    same(c.stop()?, 0)?;
    let broken = c.lab.folder().join("broken.yaml");
    fs::write(&broken, "mirrors: [")?;
    let data = c.lab.folder().join("third").display().to_string();
    let broken = broken.display().to_string();
    has(
        &refused(c, &["up", "--data-dir", &data, "--registries", &broken])?,
        &["broken.yaml"],
    )?;
    c.up().map(drop)
}

fn secrets_are_encrypted_on_disk(c: &mut Cluster) -> Result<()> {
    same(c.stop()?, 0)?;
    let file = c.lab.folder().join("encryption.yaml");
    fs::write(
        &file,
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: [secrets]\n  \
         providers:\n  - secretbox: {keys: [{name: key1, secret: Ym94LWtleS1vZi10aGlydHktdHdvLWJ5dGVzLWxvbmc=}]}\n  \
         - identity: {}\n",
    )?;
    let file = file.display().to_string();
    process::output(&mut c.up_command(&["-d", "--encryption-provider-config", &file]))?;
    c.kubectl("create secret generic hidden --from-literal=word=unheardof")?;
    c.kubectl("create configmap shown --from-literal=word=readbyall")?;
    same(c.value("secret hidden", ".data.word")?, "dW5oZWFyZG9m")?;
    c.stop_detached()?;
    let found = |word: &str| -> Result<bool> {
        let mut grep = c.lab.command("grep");
        let store = c.lab.folder().join("data/store");
        grep.args(["--recursive", "--quiet", "--text", word]).arg(store);
        Ok(process::run(&mut grep, "")?.code == 0)
    };
    same(
        (
            found("readbyall")?,
            found("dW5oZWFyZG9m")?,
            found("k8s:enc:secretbox:v1:key1:")?,
        ),
        (true, false, true),
    )?;
    // Without the keys it is told that it is there and cannot be read.
    c.up()?;
    has(
        &c.refused(&["get", "secret", "hidden"], "")?,
        &[
            "InternalError",
            "unable to transform key",
            "no matching prefix found",
        ],
    )?;
    same(c.value("configmap shown", ".data.word")?, "readbyall")?;
    c.stop()?;
    process::output(&mut c.up_command(&["-d", "--encryption-provider-config", &file]))?;
    c.kubectl("delete secret hidden")?;
    c.stop_detached()?;
    c.up().map(drop)
}

fn files_are_private(c: &mut Cluster) -> Result<()> {
    let folders = ["pki", "store"].map(|name| c.data_dir().join(name));
    let open = process::output(
        c.lab
            .command("find")
            .args(folders)
            .args(["-type", "f", "-perm", "/077"]),
    )?;
    same(open, "")?;
    use std::os::unix::fs::PermissionsExt as _;
    same(fs::metadata(c.kubeconfig())?.permissions().mode() & 0o777, 0o600)
}

fn rm_leaves_nothing(c: &mut Cluster) -> Result<()> {
    roll_out(c)?;
    c.kubectl("expose deployment/nginx-deployment --port=80")?;
    same(c.stop()?, 0)?;
    ensure!(
        !c.lab.processes().is_empty(),
        "the containers ended with the process"
    );
    process::output(&mut c.ferrokube(&["rm", "--data-dir", &data_dir(c)]))?;
    ensure!(!c.data_dir().exists(), "the data directory is left");
    let none: Vec<String> = Vec::new();
    same(
        c.lab
            .processes()
            .into_iter()
            .map(e2e::kernel::command_line)
            .collect::<Vec<_>>(),
        &none[..],
    )?;
    same(c.lab.mounts(), &none[..])?;
    same(c.lab.links()?, &none[..])?;
    same(c.lab.rules()?, "")?;
    let groups: Vec<String> = c
        .lab
        .cgroups()
        .iter()
        .map(|group| group.display().to_string())
        .collect();
    same(groups, &none[..])?;
    let places =
        "/var/lib/kubelet /run/ferrokube /run/netns /etc/cni /opt/cni /var/log/pods /var/log/containers";
    let left = process::output(
        c.lab
            .command("sh")
            .args(["-c", &format!("find {places} -mindepth 1 2>/dev/null || true")]),
    )?;
    same(left, "")
}
