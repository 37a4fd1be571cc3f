//! Sandboxes: made, stopped, removed, buried when their supervisor died.

use super::{Native, Pod, internal, link};
use crate::{
    cgroup,
    edge::{DnsConfig, Error, Resources, Result, SandboxConfig, SandboxId, SandboxStatus},
    protocol::{Command, Reply},
    record::{self, EXIT, ExitRecord, SANDBOX, START, SUPERVISOR, SandboxRecord, SupervisorRecord},
};
use nix::mount::{MntFlags, umount2};
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// Cgroup of all supervisors, outside of every pod's, so that no pod's limit hits them.
const SUPERVISORS: &str = "supervisors";

/// How long killed processes may take to leave a cgroup.
const EMPTY_LIMIT: Duration = Duration::from_secs(10);

impl Native {
    pub(super) async fn make_sandbox(&self, config: SandboxConfig) -> Result<SandboxId> {
        let key = |c: &SandboxConfig| (c.namespace.clone(), c.name.clone(), c.uid.clone(), c.attempt);
        let known = self
            .pods()
            .iter()
            .find(|(_, p)| key(&p.record.config) == key(&config))
            .map(|(id, _)| id.clone());
        if let Some(id) = known {
            let name = format!("{}/{}", config.namespace, config.name);
            return Err(Error::Invalid(format!(
                "sandbox {name} attempt {} is there already as {id:?}",
                config.attempt
            )));
        }
        if !config.runtime_handler.is_empty() {
            let handler = &config.runtime_handler;
            return Err(Error::Invalid(format!(
                "no runtime for {handler:?} is configured"
            )));
        }
        let id = self.new_id();
        let netns = (!config.host_network).then(|| self.config.run_dir.join("netns").join(&id));
        let record = SandboxRecord {
            id: id.clone(),
            created_at: self.env.clock.wall(),
            ips: Vec::new(),
            netns,
            stopped: false,
            config,
        };
        self.pods().insert(
            id.clone(),
            Pod {
                record,
                alive: false,
                containers: BTreeMap::new(),
            },
        );
        match self.build(&id).await {
            Ok(()) => Ok(SandboxId(id)),
            Err(error) => {
                if let Err(more) = self.unmake(&id).await {
                    tracing::warn!(sandbox = id, error = %more, "clean-up after a failed sandbox");
                }
                Err(error)
            }
        }
    }

    async fn build(&self, id: &str) -> Result<()> {
        let mut record = self.pod(id)?.record;
        let config = &record.config;
        let dir = self.pod_dir(id);
        let prepare = || {
            fs::create_dir_all(dir.join("containers"))?;
            record::write(&dir.join(SANDBOX), &record)?;
            fs::write(dir.join("resolv.conf"), resolv_conf(config.dns.as_ref())?)?;
            let hostname = if config.hostname.is_empty() {
                host_name()?
            } else {
                config.hostname.clone()
            };
            fs::write(dir.join("hostname"), format!("{hostname}\n"))?;
            self.cgroups.create(&pod_cgroup(&record), &config.resources)?;
            self.cgroups.create(SUPERVISORS, &Resources::default())?;
            let supervisor = SupervisorRecord {
                socket: self.socket(id),
                netns: record.netns.clone(),
                host_ipc: config.host_ipc,
                share_process_namespace: config.share_process_namespace && !config.host_pid,
                hostname: if config.host_network {
                    String::new()
                } else {
                    config.hostname.clone()
                },
                sysctls: config.sysctls.clone().into_iter().collect(),
                shm: (!config.host_ipc).then(|| dir.join("shm")),
                cgroups: self.cgroups.dirs(SUPERVISORS),
            };
            record::write(&dir.join(SUPERVISOR), &supervisor)
        };
        prepare().map_err(internal("failed to create sandbox"))?;
        self.start_supervisor(&dir).await?;
        let link = link::Link::open(&self.socket(id)).map_err(internal("connect to the supervisor"))?;
        self.with_pod(id, |pod| pod.alive = true);
        self.watch(id.to_owned(), link);
        if record.netns.is_some() {
            let assigned = self.config.cni.add(&attachment(&record)).await;
            let assigned = assigned.map_err(|error| {
                Error::Internal(format!("failed to setup network for sandbox {id:?}: {error}"))
            })?;
            record.ips = assigned.ips;
        }
        self.save(&record)
    }

    async fn start_supervisor(&self, dir: &Path) -> Result<()> {
        let mut command = std::process::Command::new(self.program.path());
        command
            .arg0("ferrokube-pod")
            .arg(dir)
            .env_clear()
            .stdin(std::process::Stdio::null());
        let output = tokio::process::Command::from(command).output().await;
        let output = output.map_err(internal("start the supervisor"))?;
        if output.status.success() {
            return Ok(());
        }
        let why = String::from_utf8_lossy(&output.stderr);
        Err(Error::Internal(format!(
            "failed to create sandbox: {}",
            why.trim()
        )))
    }

    fn save(&self, record: &SandboxRecord) -> Result<()> {
        record::write(&self.pod_dir(&record.id).join(SANDBOX), record)
            .map_err(internal("write the sandbox's record"))?;
        self.with_pod(&record.id, |pod| pod.record = record.clone());
        Ok(())
    }

    /// Ends a sandbox: its containers, its network, its supervisor. Its records stay.
    pub(super) async fn end_sandbox(&self, id: &str) -> Result<()> {
        let Ok(pod) = self.pod(id) else { return Ok(()) };
        let mut record = pod.record;
        if record.stopped {
            return Ok(());
        }
        // From here on the supervisor's end is our will.
        self.with_pod(id, |pod| pod.record.stopped = true);
        let ended = match link::request(&self.socket(id), Command::Shutdown).await {
            Ok((Reply::Done, _)) => Ok(()),
            Ok((other, _)) => Err(Error::Internal(format!("supervisor answered {other:?}"))),
            Err(_) => {
                self.bury(id);
                Ok(())
            }
        };
        let detached = match record.netns {
            Some(_) => self.config.cni.del(&attachment(&record)).await.map_err(|error| {
                Error::Internal(format!("failed to destroy network for sandbox {id:?}: {error}"))
            }),
            None => Ok(()),
        };
        let unmounted = record.netns.iter().try_for_each(|netns| {
            unmount(netns)?;
            remove_file(netns)
        });
        let unmounted = unmounted.and_then(|()| unmount(&self.pod_dir(id).join("shm")));
        let _ = fs::remove_file(self.socket(id));
        let result = ended.and(detached).and(unmounted.map_err(internal("unmount")));
        if result.is_err() {
            self.with_pod(id, |pod| pod.record.stopped = false);
            return result;
        }
        record.stopped = true;
        if self.pod_dir(id).exists() {
            self.save(&record)
        } else {
            Ok(())
        }
    }

    /// Removes a sandbox with all it had.
    pub(super) async fn unmake(&self, id: &str) -> Result<()> {
        self.end_sandbox(id).await?;
        let Ok(pod) = self.pod(id) else { return Ok(()) };
        for container in pod.containers.values() {
            self.remove_cgroup(&container.cgroup).await?;
        }
        self.remove_cgroup(&pod_cgroup(&pod.record)).await?;
        let dir = self.pod_dir(id);
        let removed = self.env.tasks.blocking(move || remove_dir(&dir)).await;
        removed
            .unwrap_or(Ok(()))
            .map_err(internal("remove the sandbox's folder"))?;
        self.pods().remove(id);
        self.sweep_layers();
        Ok(())
    }

    /// Removes a cgroup, waiting for those who were killed in it.
    pub(super) async fn remove_cgroup(&self, path: &str) -> Result<()> {
        let deadline = self.env.clock.now() + EMPTY_LIMIT;
        loop {
            match self.cgroups.remove(path) {
                // The kernel has no event for version 1 groups that become empty.
                Err(error)
                    if error.kind() == io::ErrorKind::ResourceBusy && self.env.clock.now() < deadline =>
                {
                    cgroup::kill(&self.cgroups.dirs(path));
                    self.env.clock.sleep(Duration::from_millis(5)).await;
                }
                other => return other.map_err(internal("remove cgroup")),
            }
        }
    }

    /// Removes the empty cgroups under our root. A supervisor says that it is done just before it leaves its own.
    async fn prune_cgroups(&self) {
        let deadline = self.env.clock.now() + Duration::from_secs(1);
        while !self.cgroups.prune() && self.env.clock.now() < deadline {
            self.env.clock.sleep(Duration::from_millis(5)).await;
        }
    }

    /// Kills what a dead supervisor left and records its end.
    pub(super) fn bury(&self, id: &str) {
        let Ok(pod) = self.pod(id) else { return };
        for container in pod.containers.values() {
            cgroup::kill(&self.cgroups.dirs(&container.cgroup));
            let dir = self.container_dir(id, &container.id);
            if dir.join(START).exists() && !dir.join(EXIT).exists() {
                let exit = ExitRecord {
                    code: 255,
                    finished_at: self.env.clock.wall(),
                    reason: "Unknown".to_owned(),
                    message: "the sandbox's supervisor died".to_owned(),
                };
                if let Err(error) = record::write(&dir.join(EXIT), &exit) {
                    tracing::warn!(container = container.id, %error, "record of an end");
                }
            }
        }
        cgroup::kill(&self.cgroups.dirs(&pod_cgroup(&pod.record)));
    }

    pub(super) fn sandbox_statuses(&self) -> Vec<SandboxStatus> {
        self.pods()
            .values()
            .map(|pod| {
                let (record, config) = (&pod.record, &pod.record.config);
                SandboxStatus {
                    id: SandboxId(record.id.clone()),
                    name: config.name.clone(),
                    namespace: config.namespace.clone(),
                    uid: config.uid.clone(),
                    attempt: config.attempt,
                    ready: pod.alive && !record.stopped,
                    created_at: record.created_at,
                    ips: record.ips.clone(),
                    labels: config.labels.clone(),
                    annotations: config.annotations.clone(),
                }
            })
            .collect()
    }

    /// Removes everything that this data dir made: sandboxes, also those whose supervisors are dead, images, mounts,
    /// cgroups, sockets, and the folders themselves.
    pub async fn purge(&self) -> Result<()> {
        let ids: Vec<String> = self.pods().keys().cloned().collect();
        let mut result = Ok(());
        for id in ids {
            result = result.and(self.unmake(&id).await);
        }
        let dirs = [
            self.config.data_dir.join("pods"),
            self.config.run_dir.join("pods"),
            self.config.run_dir.join("netns"),
        ];
        for mount in mounts_under(&dirs) {
            result = result.and(unmount(&mount).map_err(internal("unmount")));
        }
        result?;
        self.prune_cgroups().await;
        let images = self.config.data_dir.join("images");
        dirs.iter()
            .chain([&images])
            .try_for_each(|dir| remove_dir(dir))
            .map_err(internal("remove folders"))
    }
}

/// The cgroup of a pod.
pub(super) fn pod_cgroup(record: &SandboxRecord) -> String {
    match record.config.cgroup_parent.trim_matches('/') {
        "" => format!("pods/{}", record.id),
        parent => parent.to_owned(),
    }
}

fn attachment(record: &SandboxRecord) -> cni::Attachment {
    let config = &record.config;
    let ports = config.port_mappings.iter().map(|port| cni::PortMapping {
        protocol: port.protocol.to_ascii_lowercase(),
        container_port: port.container_port,
        host_port: port.host_port,
        host_ip: port.host_ip.clone(),
    });
    cni::Attachment {
        container_id: record.id.clone(),
        netns_path: record.netns.clone().unwrap_or_default(),
        ifname: "eth0".to_owned(),
        pod_namespace: config.namespace.clone(),
        pod_name: config.name.clone(),
        pod_uid: config.uid.clone(),
        port_mappings: ports.collect(),
    }
}

fn resolv_conf(dns: Option<&DnsConfig>) -> io::Result<String> {
    let Some(dns) = dns else {
        return fs::read_to_string("/etc/resolv.conf").or_else(absent);
    };
    let mut text: String = dns
        .servers
        .iter()
        .map(|server| format!("nameserver {server}\n"))
        .collect();
    for (word, values) in [("search", &dns.searches), ("options", &dns.options)] {
        if !values.is_empty() {
            text.push_str(&format!("{word} {}\n", values.join(" ")));
        }
    }
    Ok(text)
}

fn absent<T: Default>(error: io::Error) -> io::Result<T> {
    if error.kind() == io::ErrorKind::NotFound {
        Ok(T::default())
    } else {
        Err(error)
    }
}

pub(super) fn host_name() -> io::Result<String> {
    Ok(nix::unistd::gethostname()?.to_string_lossy().into_owned())
}

/// Unmounts what is mounted at `path`, all of it; nothing there is well.
fn unmount(path: &Path) -> io::Result<()> {
    loop {
        match umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            Err(nix::Error::EINVAL | nix::Error::ENOENT) => return Ok(()),
            Err(error) => return Err(io::Error::other(format!("{}: {error}", path.display()))),
        }
    }
}

fn remove_file(path: &Path) -> io::Result<()> {
    fs::remove_file(path).or_else(absent)
}

pub(super) fn remove_dir(path: &Path) -> io::Result<()> {
    fs::remove_dir_all(path).or_else(absent)
}

/// Mount points under `dirs`, the innermost first.
fn mounts_under(dirs: &[PathBuf]) -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = text
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(PathBuf::from);
    let mut points: Vec<PathBuf> = points
        .filter(|point| dirs.iter().any(|dir| point.starts_with(dir)))
        .collect();
    points.reverse();
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolv_conf_in_parts() {
        let dns = DnsConfig {
            servers: vec!["10.96.0.10".to_owned()],
            searches: vec!["a.svc".to_owned(), "svc".to_owned()],
            options: vec!["ndots:5".to_owned()],
        };
        assert_eq!(
            resolv_conf(Some(&dns)).unwrap(),
            "nameserver 10.96.0.10\nsearch a.svc svc\noptions ndots:5\n"
        );
    }
}
