//! `ferrokube up`: a one-node cluster in this process.

use crate::{
    certificates,
    cli::UpArgs,
    control_plane::{self, ControlPlane},
    dial::MemoryDial,
    kubectl, node,
    place::{Place, Running},
    progress,
    settings::Settings,
    threads,
};
use anyhow::{Context, Result, bail};
use component::Env;
use std::{
    fs::File,
    io::{BufRead, BufReader, Seek, SeekFrom},
    path::Path,
    pin::Pin,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};

/// How long the parts may take to finish what they are at.
const DRAIN: Duration = Duration::from_secs(10);

/// Starts the cluster and runs until it is told to stop.
pub fn run(args: UpArgs) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("a node needs root: namespaces, mounts and cgroups are made; try sudo");
    }
    if args.detach {
        return detach(&args.data_dir);
    }
    logging();
    let settings = Settings::from_args(&args)?;
    let mut place = Place::open(&settings.data_dir)?;
    let target = kubectl::Target::choose(args.kubeconfig.as_deref())?;
    place.tell(&Running {
        pid: i32::try_from(std::process::id())?,
        run_dir: settings.run_dir.clone(),
        kubelet_dir: settings.kubelet_dir.clone(),
        log_dir: settings.log_dir.clone(),
        kubeconfig: target.path.clone(),
    })?;
    // A runtime each: what a node does never takes workers from the API, nor the other way round.
    let (plane, node) = (threads::runtime("control-plane")?, threads::runtime("node")?);
    let done = plane.block_on(serve(&settings, &target, &node));
    node.shutdown_timeout(Duration::from_secs(2));
    plane.shutdown_timeout(Duration::from_secs(2));
    done
}

fn logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("FERROKUBE_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}

async fn serve(settings: &Settings, target: &kubectl::Target, node_runtime: &Runtime) -> Result<()> {
    let mut stop = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let asked = async {
        tokio::select! {
            _ = stop.0.recv() => {}
            _ = stop.1.recv() => {}
        }
    };
    tokio::pin!(asked);
    // A panic ends the branch it happened in: the node starts again alone, the control plane with all that hangs on it.
    while let Ended::Broken = live(settings, target, node_runtime, asked.as_mut()).await? {
        tracing::warn!("the control plane starts again");
    }
    Ok(())
}

/// Why a cluster ended that had no error.
enum Ended {
    /// It was told to.
    Asked,
    /// A task of the control plane panicked, or the cluster's CA is another one.
    Broken,
}

/// One life of the cluster: up, until it is told to stop or the control plane breaks, and down.
async fn live(
    settings: &Settings,
    target: &kubectl::Target,
    node_runtime: &Runtime,
    mut asked: Pin<&mut impl Future<Output = ()>>,
) -> Result<Ended> {
    let root = Env::system();
    let (store_env, plane_env) = (root.child(), root.child());
    let mut node_env = root.child();
    let start = root.clock.now();
    let started = tokio::select! {
        started = bring_up(settings, target, &plane_env, &store_env, &node_env, node_runtime, start) => Some(started),
        () = &mut asked => None,
    };
    let mut ended = Ok(Ended::Asked);
    let mut up = None;
    match started {
        Some(Ok((plane, dial))) => {
            let plane = up.insert(plane);
            loop {
                tokio::select! {
                    () = &mut asked => {}
                    () = plane_env.tasks.stopping() => ended = Ok(Ended::Broken),
                    () = node_env.tasks.stopping() => {
                        tracing::error!("the node starts again after a panic");
                        node_env.tasks.drain(DRAIN).await;
                        node_env = root.child();
                        match start_node(settings, plane, &node_env, &dial, node_runtime).await {
                            Ok(()) => continue,
                            Err(error) => ended = Err(error),
                        }
                    }
                }
                break;
            }
        }
        Some(Err(error)) => ended = Err(error),
        None => {}
    }
    // The node first, while it can still say what became of its pods; the store last.
    node_env.tasks.drain(DRAIN).await;
    plane_env.tasks.drain(DRAIN).await;
    if let Some(plane) = up {
        plane.store.close().await;
    }
    store_env.tasks.drain(DRAIN).await;
    ended
}

/// Starts the node on its own runtime.
async fn start_node(
    settings: &Settings,
    plane: &Arc<ControlPlane>,
    env: &Env,
    dial: &Arc<MemoryDial>,
    runtime: &Runtime,
) -> Result<()> {
    let (settings, plane, env, dial) = (settings.clone(), plane.clone(), env.clone(), dial.clone());
    let node = runtime.spawn(async move { node::start(&settings, &plane, &env, &dial).await });
    node.await.context("the node's start panicked")?
}

async fn bring_up(
    settings: &Settings,
    target: &kubectl::Target,
    plane_env: &Env,
    store_env: &Env,
    node_env: &Env,
    node_runtime: &Runtime,
    start: tokio::time::Instant,
) -> Result<(Arc<ControlPlane>, Arc<MemoryDial>)> {
    let (ready, clock) = (plane_env.ready.clone(), plane_env.clock.clone());
    let lines = plane_env.tasks.child();
    let (shown, seen) = tokio::sync::oneshot::channel();
    lines.spawn("progress", async move {
        // The receiver is gone when the start has failed already.
        let _ = shown.send(progress::show(&ready, start, &clock).await);
    });
    let dial = Arc::new(MemoryDial::default());
    let plane = Arc::new(control_plane::start(settings, plane_env, store_env, dial.clone()).await?);
    kubectl::write(target, settings, &plane.authority, plane_env.clock.wall())?;
    let (to, of, authority, clock) = (
        target.clone(),
        settings.clone(),
        plane.authority.clone(),
        plane_env.clock.clone(),
    );
    let written = move || kubectl::write(&to, &of, &authority, clock.wall());
    plane_env.tasks.spawn(
        "kubeconfig",
        certificates::keep(Vec::new(), written, plane_env.clone()),
    );
    start_node(settings, &plane, node_env, &dial, node_runtime).await?;
    seen.await
        .context("the process is stopping")?
        .map_err(anyhow::Error::msg)?;
    println!(
        "ready in {:.2} s\n\nTry:\n  kubectl{1} get nodes\n  kubectl{1} create deployment web --image=nginx\n  kubectl{1} get pods --watch",
        (plane_env.clock.now() - start).as_secs_f64(),
        target.flag()
    );
    Ok((plane, dial))
}

/// Starts this program again in the background and waits until it is ready. What it says later is in the data directory.
fn detach(data_dir: &Path) -> Result<()> {
    use std::os::unix::{fs::OpenOptionsExt, process::CommandExt};
    drop(Place::open(data_dir)?);
    let path = data_dir.join("ferrokube.log");
    let log = File::options().create(true).append(true).mode(0o600).open(&path);
    let log = log.with_context(|| format!("cannot write {}", path.display()))?;
    let before = log.metadata()?.len();
    let args = std::env::args_os()
        .skip(1)
        .filter(|a| a != "-d" && a != "--detach");
    let mut child = Command::new(std::env::current_exe()?)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .process_group(0)
        .spawn()
        .context("cannot start in the background")?;
    let Some(out) = child.stdout.take() else {
        bail!("the cluster's output is not there")
    };
    let mut ready = false;
    for line in BufReader::new(out).lines() {
        let line = line?;
        println!("{line}");
        ready |= line.starts_with("ready ");
        if ready && line.contains("--watch") {
            return Ok(());
        }
    }
    let status = child.wait()?;
    let mut log = File::open(&path)?;
    log.seek(SeekFrom::Start(before))?;
    let said = std::io::read_to_string(log)?;
    let why = said
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("ferrokube: "));
    bail!(
        "{}",
        why.map_or_else(
            || format!("it ended with {status}; see {}", path.display()),
            str::to_owned
        )
    )
}
