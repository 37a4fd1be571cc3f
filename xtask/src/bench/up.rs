//! `bench up`: how soon `ferrokube up` serves, how soon a pod runs, and what an idle cluster costs.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::cluster::Cluster;
use e2e::{kernel, wait};
use rustix::process::{Pid, Signal, kill_process};

use super::{Report, Value, percentiles};

/// The cases.
pub const CASES: &[&str] = &[
    "first-start",
    "restart",
    "existing-data-to-running-pod",
    "pod-to-running-p50",
    "pod-to-running-p99",
    "fifty-pods-ready",
    "idle-pss",
    "idle-cpu",
    "idle-disk-writes-per-minute",
    "supervisor-private",
];

/// How long the cluster is left alone before it counts as idle, and how long it is then watched.
const SETTLE: Duration = Duration::from_secs(60);
const WATCH: Duration = Duration::from_secs(60);

/// How many pods are started one after the other.
const PODS: usize = 20;

const MASTER: &str = "nginx: master process";

/// Runs all cases on one cluster.
pub fn run(report: &mut Report) -> Result<()> {
    let mut cluster = Cluster::with_binary(report.binary.clone())?;
    report.ours("first-start", Value::Seconds(cluster.up()?.as_secs_f64()));
    cluster.kubectl("wait --for=condition=Ready node --all --timeout=60s")?;
    cluster.kubectl("create deployment nginx --image=nginx:1.14.2")?;
    cluster.kubectl("rollout status deployment/nginx --timeout=60s")?;
    ensure!(cluster.stop()? == 0, "the cluster did not stop cleanly");
    report.ours("restart", Value::Seconds(cluster.up()?.as_secs_f64()));
    report.ours(
        "existing-data-to-running-pod",
        Value::Seconds(comes_back(&mut cluster)?),
    );
    let mut samples = starts(&cluster)?;
    let (half, most) = percentiles(&mut samples).context("no pod was started")?;
    report.ours("pod-to-running-p50", Value::Seconds(half));
    report.ours("pod-to-running-p99", Value::Seconds(most));
    report.ours("fifty-pods-ready", Value::Seconds(many(&cluster)?));
    idle(&cluster, report)
}

/// The time from the start on existing data until a container runs that was killed while the cluster was down.
fn comes_back(cluster: &mut Cluster) -> Result<f64> {
    let pod = |cluster: &Cluster| {
        let mut found = cluster.lab.containers().into_iter();
        found.find(|pid| kernel::command_line(*pid).starts_with(MASTER))
    };
    ensure!(cluster.stop()? == 0, "the cluster did not stop cleanly");
    let old = pod(cluster).context("the container ended with the cluster")?;
    kill_process(
        Pid::from_raw(i32::try_from(old)?).context("a pid is not 0")?,
        Signal::KILL,
    )?;
    let start = Instant::now();
    cluster.up()?;
    wait::until("the container to run again", Duration::from_secs(60), || {
        Ok(pod(cluster).filter(|pid| *pid != old))
    })?;
    Ok(start.elapsed().as_secs_f64())
}

/// For each of some pods, the time between two events of a watch: that it was written, and that it is running.
fn starts(cluster: &Cluster) -> Result<Vec<f64>> {
    let columns = "custom-columns=NAME:.metadata.name,PHASE:.status.phase";
    let mut watch =
        cluster.kubectl_command(&["get", "pods", "--watch-only", "--no-headers", "--output", columns]);
    let mut watch = watch.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(watch.stdout.take().context("no output")?).lines();
    // The first pod tells that the watch has begun; it is not measured.
    cluster.kubectl_words(&["create", "--filename", "-"], &pod("probe"))?;
    let mut samples = Vec::new();
    let taken = (|| -> Result<()> {
        for number in 0..PODS {
            let name = format!("bench-{number}");
            cluster.kubectl_words(&["create", "--filename", "-"], &pod(&name))?;
            let mut written = None;
            loop {
                let line = lines.next().context("the watch ended")??;
                let mut words = line.split_whitespace();
                if words.next() != Some(&name) {
                    continue;
                }
                let begun = *written.get_or_insert_with(Instant::now);
                if words.next() == Some("Running") {
                    samples.push(begun.elapsed().as_secs_f64());
                    break;
                }
            }
        }
        Ok(())
    })();
    let _ = watch.kill();
    let _ = watch.wait();
    taken?;
    cluster.kubectl("delete pods --selector bench=up --timeout=120s")?;
    Ok(samples)
}

/// From writing a Deployment until all of its fifty pods are ready.
fn many(cluster: &Cluster) -> Result<f64> {
    let start = Instant::now();
    cluster.kubectl("create deployment many --image=nginx:1.14.2 --replicas=50")?;
    cluster.kubectl("rollout status deployment/many --timeout=120s")?;
    let took = start.elapsed().as_secs_f64();
    cluster.kubectl("delete deployment many")?;
    cluster.kubectl("wait --for=delete pod --selector=app=many --timeout=120s")?;
    Ok(took)
}

fn pod(name: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  labels: {{bench: up}}\nspec:\n  \
         terminationGracePeriodSeconds: 0\n  containers:\n  - name: main\n    image: nginx:1.14.2\n"
    )
}

/// What the processes of the cluster cost while nothing happens.
fn idle(cluster: &Cluster, report: &mut Report) -> Result<()> {
    // Supervisors share the pages of their program: of a single one all pages would count as its own.
    cluster.kubectl("scale deployment nginx --replicas=3")?;
    cluster.kubectl("rollout status deployment/nginx --timeout=60s")?;
    std::thread::sleep(SETTLE);
    let processes = cluster.lab.processes();
    let sum = |of: fn(u32) -> Result<u64>| processes.iter().map(|pid| of(*pid)).sum::<Result<u64>>();
    let (ticks, written) = (sum(kernel::cpu_ticks)?, sum(kernel::written)?);
    std::thread::sleep(WATCH);
    let (ticks, written) = (sum(kernel::cpu_ticks)? - ticks, sum(kernel::written)? - written);
    let pss = sum(|pid| kernel::memory(pid).map(|(pss, _)| pss))?;
    let main = cluster.pid()?;
    let supervisors = processes.iter().filter(|pid| **pid != main);
    let private = supervisors.map(|pid| kernel::memory(*pid).map(|(_, private)| private));
    let private = private
        .collect::<Result<Vec<u64>>>()?
        .into_iter()
        .max()
        .context("no supervisor runs")?;
    let seconds = WATCH.as_secs_f64();
    report.ours("idle-pss", Value::Bytes(pss as f64));
    report.ours("idle-cpu", Value::Percent(ticks as f64 / seconds));
    report.ours(
        "idle-disk-writes-per-minute",
        Value::Bytes(written as f64 * 60.0 / seconds),
    );
    report.ours("supervisor-private", Value::Bytes(private as f64));
    Ok(())
}
