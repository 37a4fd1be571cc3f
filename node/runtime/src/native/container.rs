//! Containers: made, started, stopped, removed, looked at.

use super::{Native, internal, link, sandbox::pod_cgroup, sandbox::remove_dir};
use crate::{
    edge::{
        ContainerConfig, ContainerId, ContainerState, ContainerStats, ContainerStatus, Error, Resources,
        Result, RuntimeEvent, SandboxId,
    },
    images::ImageRecord,
    protocol::{Command, Reply, Start},
    record::{self, CONTAINER, ContainerRecord, EXIT, ExitRecord, SANDBOX, SPEC, START, StartRecord},
};
use jiff::Timestamp;
use nix::sys::signal::Signal;
use std::{collections::BTreeSet, fs, io, path::PathBuf, time::Duration};
use tokio::sync::broadcast::{Receiver, error::RecvError};

/// How long a killed container may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(60);

impl Native {
    pub(super) async fn make_container(&self, sandbox: &str, config: ContainerConfig) -> Result<ContainerId> {
        let pod = self.pod(sandbox)?;
        if !pod.alive || pod.record.stopped {
            return Err(Error::Invalid(format!("sandbox {sandbox:?} is not ready")));
        }
        let same = |c: &&ContainerRecord| c.config.name == config.name && c.config.attempt == config.attempt;
        if let Some(known) = pod.containers.values().find(same) {
            let (name, attempt) = (&config.name, config.attempt);
            return Err(Error::Invalid(format!(
                "container {name:?} attempt {attempt} is there already as {:?}",
                known.id
            )));
        }
        let image = self.images.find(&config.image);
        let image = image.ok_or_else(|| Error::NotFound(format!("image {:?} not found", config.image)))?;
        let spec = self.spec(&pod.record, &config, &image)?;
        let id = self.new_id();
        let log_path = match config.log_path.as_str() {
            "" => PathBuf::new(),
            name => PathBuf::from(&pod.record.config.log_directory).join(name),
        };
        let record = ContainerRecord {
            id: id.clone(),
            created_at: self.env.clock.wall(),
            image_id: image.name_with_digest(&config.image_ref).to_owned(),
            layers: spec.all_layers(),
            log_path,
            stop_signal: stop_signal(&config, &image)?,
            cgroup: format!("{}/{id}", pod_cgroup(&pod.record)),
            config,
        };
        let dir = self.container_dir(sandbox, &id);
        let make = || {
            for part in ["upper", "work", "rootfs"] {
                fs::create_dir_all(dir.join(part))?;
            }
            self.cgroups.create(&record.cgroup, &record.config.resources)?;
            if !record.config.security.privileged {
                self.cgroups.restrict_devices(&record.cgroup)?;
            }
            record::write(&dir.join(SPEC), &spec)?;
            record::write(&dir.join(CONTAINER), &record)
        };
        if let Err(error) = make() {
            let _ = remove_dir(&dir);
            let _ = self.cgroups.remove(&record.cgroup);
            return Err(internal("failed to create container")(error));
        }
        self.with_pod(sandbox, |pod| pod.containers.insert(id.clone(), record));
        Ok(ContainerId(id))
    }

    pub(super) async fn begin_container(&self, id: &str) -> Result<()> {
        let (sandbox, record) = self.container(id)?;
        let dir = self.container_dir(&sandbox, id);
        if dir.join(START).exists() || dir.join(EXIT).exists() {
            return Err(Error::Invalid(format!("container {id:?} was started before")));
        }
        let config = &record.config;
        let start = Start {
            container: id.to_owned(),
            dir,
            log_path: record.log_path.clone(),
            cgroups: self.cgroups.dirs(&record.cgroup),
            tty: config.tty,
            stdin: config.stdin,
            stdin_once: config.stdin_once,
            host_pid: self.pod(&sandbox)?.record.config.host_pid,
            target: config.target.as_ref().map(|target| target.0.clone()),
        };
        match link::request(&self.socket(&sandbox), Command::Start(start))
            .await?
            .0
        {
            Reply::Started { warnings, .. } => {
                for warning in warnings {
                    tracing::warn!(container = id, name = config.name, "{warning}");
                }
                Ok(())
            }
            Reply::Failed { message } => Err(Error::CannotRun(format!(
                "failed to start container {id:?}: unable to start container process: {message}"
            ))),
            other => Err(Error::Internal(format!("supervisor answered {other:?}"))),
        }
    }

    pub(super) async fn end_container(&self, id: &str, grace: Duration) -> Result<()> {
        let Ok((sandbox, record)) = self.container(id) else {
            return Ok(());
        };
        let mut events = self.events.subscribe();
        if !self.runs(&sandbox, id) {
            return Ok(());
        }
        let signal = |signal| Command::Signal {
            container: id.to_owned(),
            signal,
        };
        if !grace.is_zero() {
            link::request(&self.socket(&sandbox), signal(record.stop_signal)).await?;
            if self
                .env
                .clock
                .timeout(grace, self.gone(&mut events, &sandbox, id))
                .await
                .is_some()
            {
                return Ok(());
            }
        }
        link::request(&self.socket(&sandbox), signal(Signal::SIGKILL as i32)).await?;
        let gone = self
            .env
            .clock
            .timeout(KILL_LIMIT, self.gone(&mut events, &sandbox, id))
            .await;
        gone.ok_or_else(|| Error::Internal(format!("container {id:?} does not end though it was killed")))
    }

    pub(super) fn limit_container(&self, id: &str, resources: Resources) -> Result<()> {
        let (sandbox, mut record) = self.container(id)?;
        let failed = || internal("change the container's limits");
        self.cgroups
            .update(&record.cgroup, &resources)
            .map_err(failed())?;
        record.config.resources = resources;
        let path = self.container_dir(&sandbox, id).join(CONTAINER);
        record::write(&path, &record).map_err(failed())?;
        self.with_pod(&sandbox, |pod| pod.containers.insert(id.to_owned(), record));
        Ok(())
    }

    pub(super) fn limit_sandbox(&self, id: &str, resources: Resources) -> Result<()> {
        let mut record = self.pod(id)?.record;
        let failed = || internal("change the sandbox's limits");
        self.cgroups
            .update(&pod_cgroup(&record), &resources)
            .map_err(failed())?;
        record.config.resources = resources;
        record::write(&self.pod_dir(id).join(SANDBOX), &record).map_err(failed())?;
        self.with_pod(id, |pod| pod.record = record);
        Ok(())
    }

    fn runs(&self, sandbox: &str, id: &str) -> bool {
        let dir = self.container_dir(sandbox, id);
        dir.join(START).exists() && !dir.join(EXIT).exists()
    }

    /// Waits until a container has ended.
    async fn gone(&self, events: &mut Receiver<RuntimeEvent>, sandbox: &str, id: &str) {
        while self.runs(sandbox, id) {
            if let Err(RecvError::Closed) = events.recv().await {
                return;
            }
        }
    }

    pub(super) async fn unmake_container(&self, id: &str) -> Result<()> {
        let Ok((sandbox, record)) = self.container(id) else {
            return Ok(());
        };
        self.end_container(id, Duration::ZERO).await?;
        self.remove_cgroup(&record.cgroup).await?;
        let dir = self.container_dir(&sandbox, id);
        let removed = self.env.tasks.blocking(move || remove_dir(&dir)).await;
        removed
            .unwrap_or(Ok(()))
            .map_err(internal("remove the container's folder"))?;
        self.with_pod(&sandbox, |pod| pod.containers.remove(id));
        self.sweep_layers();
        Ok(())
    }

    /// Removes layers that no image and no container has.
    pub(super) fn sweep_layers(&self) {
        let used: BTreeSet<String> = self
            .pods()
            .values()
            .flat_map(|pod| pod.containers.values())
            .flat_map(|c| c.layers.clone())
            .collect();
        if let Err(error) = self.images.sweep(used) {
            tracing::warn!(%error, "sweep image layers");
        }
    }

    pub(super) fn container_statuses(&self, sandbox: Option<&str>) -> Result<Vec<ContainerStatus>> {
        let pods = self.pods().clone();
        let chosen = pods
            .iter()
            .filter(|(id, _)| sandbox.is_none_or(|wanted| wanted == id.as_str()));
        let containers = chosen.flat_map(|(id, pod)| pod.containers.values().map(move |c| (id, c)));
        containers
            .map(|(id, container)| {
                self.container_status(id, container)
                    .map_err(internal("read a container's records"))
            })
            .collect()
    }

    fn container_status(&self, sandbox: &str, record: &ContainerRecord) -> io::Result<ContainerStatus> {
        let dir = self.container_dir(sandbox, &record.id);
        let exit = record::read::<ExitRecord>(&dir.join(EXIT))?;
        let start = record::read::<StartRecord>(&dir.join(START))?;
        let state = match (&start, &exit) {
            (_, Some(_)) => ContainerState::Exited,
            (Some(_), None) => ContainerState::Running,
            (None, None) => ContainerState::Created,
        };
        let exit = exit.unwrap_or_else(|| ExitRecord {
            code: 0,
            finished_at: Timestamp::UNIX_EPOCH,
            reason: String::new(),
            message: String::new(),
        });
        Ok(ContainerStatus {
            id: ContainerId(record.id.clone()),
            sandbox: SandboxId(sandbox.to_owned()),
            name: record.config.name.clone(),
            attempt: record.config.attempt,
            state,
            created_at: record.created_at,
            started_at: start.map(|start| start.started_at).unwrap_or_default(),
            finished_at: exit.finished_at,
            exit_code: exit.code,
            reason: exit.reason,
            message: exit.message,
            image: record.config.image_ref.clone(),
            image_id: record.image_id.clone(),
            log_path: record.log_path.display().to_string(),
            labels: record.config.labels.clone(),
            annotations: record.config.annotations.clone(),
            resources: Some(record.config.resources.clone()),
        })
    }

    pub(super) fn container_stats(&self) -> Vec<ContainerStats> {
        let pods = self.pods().clone();
        let running = pods
            .iter()
            .flat_map(|(id, pod)| pod.containers.values().map(move |c| (id, c)));
        let stats = running
            .filter(|(sandbox, c)| self.runs(sandbox, &c.id))
            .filter_map(|(_, container)| {
                // One that ends meanwhile has none.
                let usage = self.cgroups.usage(&container.cgroup).ok()?;
                Some(ContainerStats {
                    id: ContainerId(container.id.clone()),
                    cpu_nanos: usage.cpu_nanos,
                    memory_working_set: usage.memory_working_set,
                    memory_rss: usage.memory_rss,
                })
            });
        stats.collect()
    }
}

fn stop_signal(config: &ContainerConfig, image: &ImageRecord) -> Result<i32> {
    let wanted = [&config.stop_signal, &image.config.config.stop_signal];
    let Some(name) = wanted.into_iter().find(|name| !name.is_empty()) else {
        return Ok(Signal::SIGTERM as i32);
    };
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("SIG") {
        upper
    } else {
        format!("SIG{upper}")
    };
    let by_number = name
        .parse::<i32>()
        .ok()
        .filter(|number| (1..=64).contains(number));
    // Real-time signals have names by their distance from the first, which is 34 to the C library.
    let real_time = full
        .strip_prefix("SIGRTMIN+")
        .and_then(|n| n.parse::<i32>().ok())
        .map(|n| 34 + n);
    by_number
        .or(real_time)
        .or_else(|| full.parse::<Signal>().ok().map(|signal| signal as i32))
        .ok_or_else(|| Error::Invalid(format!("unknown stop signal {name:?}")))
}
