//! The edge between the kubelet and a container runtime: ours in this crate, or any CRI endpoint.
//! Shapes and meanings follow the CRI API (`runtime.v1`), with what the kubelet uses and no more.

use bytes::Bytes;
use futures::{future::BoxFuture, stream::BoxStream};
use jiff::Timestamp;
use std::{collections::BTreeMap, time::Duration};
use tokio::sync::mpsc;

/// Names a pod sandbox.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct SandboxId(pub String);

/// Names a container.
#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
pub struct ContainerId(pub String);

/// A pod sandbox to make: namespaces, network, cgroup parent, resolv.conf.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SandboxConfig {
    /// Pod name.
    pub name: String,
    /// Pod namespace.
    pub namespace: String,
    /// Pod UID.
    pub uid: String,
    /// Attempt, counted by the kubelet.
    pub attempt: u32,
    /// The sandbox's host name; empty: the node's (host network).
    pub hostname: String,
    /// Folder of the pod's container logs.
    pub log_directory: String,
    /// resolv.conf of the pod: servers, searches, options. `None`: the host's.
    pub dns: Option<DnsConfig>,
    /// Ports published on the host.
    pub port_mappings: Vec<PortMapping>,
    /// Labels, returned as they are.
    pub labels: BTreeMap<String, String>,
    /// Annotations, returned as they are.
    pub annotations: BTreeMap<String, String>,
    /// Cgroup under which the containers' cgroups stand, such as `/kubepods/burstable/podUID`.
    pub cgroup_parent: String,
    /// Limits on the pod's cgroup as a whole.
    pub resources: Resources,
    /// Share the host's network, process, IPC namespaces.
    pub host_network: bool,
    /// See `host_network`.
    pub host_pid: bool,
    /// See `host_network`.
    pub host_ipc: bool,
    /// One process namespace for all containers of the pod.
    pub share_process_namespace: bool,
    /// Kernel parameters of the sandbox's namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// The runtime handler (RuntimeClass); empty: the default.
    pub runtime_handler: String,
}

/// resolv.conf in parts.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct DnsConfig {
    /// `nameserver` lines.
    pub servers: Vec<String>,
    /// `search` line.
    pub searches: Vec<String>,
    /// `options` line.
    pub options: Vec<String>,
}

/// A host port.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PortMapping {
    /// TCP, UDP or SCTP.
    pub protocol: String,
    /// In the pod.
    pub container_port: u16,
    /// On the host.
    pub host_port: u16,
    /// On this host address only; empty: on all.
    pub host_ip: String,
}

/// Limits and shares. 0 or `None`: not set.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Resources {
    /// CPU weight in cgroup v1 shares (1024 a core).
    pub cpu_shares: u64,
    /// CPU quota in microseconds a period; 0: none.
    pub cpu_quota: i64,
    /// CPU period in microseconds.
    pub cpu_period: u64,
    /// Memory limit in bytes.
    pub memory_limit: i64,
    /// Process limit.
    pub pids_limit: i64,
    /// Bytes of huge pages by their size (`2MB`).
    #[serde(default)]
    pub huge_pages: BTreeMap<String, u64>,
    /// OOM score adjustment.
    pub oom_score_adj: i32,
}

/// A container to make in a sandbox.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ContainerConfig {
    /// Container name in the pod.
    pub name: String,
    /// Restart count.
    pub attempt: u32,
    /// Image reference as resolved by [`Runtime::pull`] or [`Runtime::image`] (an image id).
    pub image: String,
    /// The image as the user wrote it.
    pub image_ref: String,
    /// Overrides the image's entry point; empty: the image's.
    pub command: Vec<String>,
    /// Overrides the image's command; empty: the image's (unless `command` is set).
    pub args: Vec<String>,
    /// Working directory; empty: the image's.
    pub working_dir: String,
    /// Environment, over the image's.
    pub env: Vec<(String, String)>,
    /// Mounts from the host.
    pub mounts: Vec<Mount>,
    /// Labels, returned as they are.
    pub labels: BTreeMap<String, String>,
    /// Annotations, returned as they are.
    pub annotations: BTreeMap<String, String>,
    /// Log file under the sandbox's log directory.
    pub log_path: String,
    /// Keep stdin open.
    pub stdin: bool,
    /// Close stdin after the first attach ends.
    pub stdin_once: bool,
    /// Give it a terminal.
    pub tty: bool,
    /// Limits.
    pub resources: Resources,
    /// Security.
    pub security: Security,
    /// The container whose process namespace it shares, instead of having one of its own.
    #[serde(default)]
    pub target: Option<ContainerId>,
    /// The signal that stops it (the image's `StopSignal` when empty, SIGTERM when that is).
    pub stop_signal: String,
}

/// A bind mount.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Mount {
    /// In the container.
    pub container_path: String,
    /// On the host.
    pub host_path: String,
    /// Read-only.
    pub readonly: bool,
    /// What is mounted below it is read-only as well.
    #[serde(default)]
    pub recursive_read_only: bool,
    /// `None`, `HostToContainer` or `Bidirectional`.
    pub propagation: Propagation,
    /// The id of an image whose files are mounted instead of a path of the host; empty: none.
    #[serde(default)]
    pub image: String,
    /// A path in that image; empty: all of it.
    #[serde(default)]
    pub image_sub_path: String,
}

/// Mount propagation.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Propagation {
    /// rprivate.
    #[default]
    None,
    /// rslave.
    HostToContainer,
    /// rshared.
    Bidirectional,
}

/// Security of a container.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Security {
    /// All capabilities, all devices, nothing masked.
    pub privileged: bool,
    /// Capabilities added to the default set (`NET_ADMIN`, `ALL`).
    pub add_capabilities: Vec<String>,
    /// Capabilities taken from the default set.
    pub drop_capabilities: Vec<String>,
    /// User id, over the image's.
    pub run_as_user: Option<i64>,
    /// Group id, over the image's.
    pub run_as_group: Option<i64>,
    /// Refuse to run as root (checked against the image's user when `run_as_user` is not set).
    pub run_as_non_root: bool,
    /// More groups.
    pub supplemental_groups: Vec<i64>,
    /// None of the groups that the image's `/etc/group` puts the user in.
    #[serde(default)]
    pub strict_supplemental_groups: bool,
    /// Root file system read-only.
    pub readonly_rootfs: bool,
    /// no_new_privs.
    pub no_new_privs: bool,
    /// Seccomp profile.
    pub seccomp: Seccomp,
    /// Paths masked; the usual ones when `None`, nothing when empty.
    pub masked_paths: Option<Vec<String>>,
    /// Paths read-only; the usual ones when `None`, nothing when empty.
    pub readonly_paths: Option<Vec<String>>,
}

/// A seccomp profile.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub enum Seccomp {
    /// The runtime's default filter.
    #[default]
    RuntimeDefault,
    /// None.
    Unconfined,
    /// A file under the kubelet's seccomp folder, its full path.
    Localhost(String),
}

/// What a sandbox is now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SandboxStatus {
    /// Its id.
    pub id: SandboxId,
    /// Its config's name, namespace, uid, attempt.
    pub name: String,
    /// See `name`.
    pub namespace: String,
    /// See `name`.
    pub uid: String,
    /// See `name`.
    pub attempt: u32,
    /// It works (its namespaces and supervisor stand).
    pub ready: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// Pod addresses; empty with the host's network.
    pub ips: Vec<String>,
    /// As given.
    pub labels: BTreeMap<String, String>,
    /// As given.
    pub annotations: BTreeMap<String, String>,
}

/// Where a container stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContainerState {
    /// Made, not started.
    #[default]
    Created,
    /// Runs.
    Running,
    /// Ended.
    Exited,
    /// Cannot be told.
    Unknown,
}

/// What a container is now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerStatus {
    /// Its id.
    pub id: ContainerId,
    /// The sandbox it is in.
    pub sandbox: SandboxId,
    /// Its config's name and attempt.
    pub name: String,
    /// See `name`.
    pub attempt: u32,
    /// Where it stands.
    pub state: ContainerState,
    /// Times.
    pub created_at: Timestamp,
    /// Zero when never started.
    pub started_at: Timestamp,
    /// Zero when not ended.
    pub finished_at: Timestamp,
    /// When it exited; 128+n for signal n.
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled`, `ContainerCannotRun` (with `message`).
    pub reason: String,
    /// For a person.
    pub message: String,
    /// The image as the user wrote it.
    pub image: String,
    /// The image's id with digest, such as `docker.io/library/nginx@sha256:…`.
    pub image_id: String,
    /// Full path of its log.
    pub log_path: String,
    /// As given.
    pub labels: BTreeMap<String, String>,
    /// As given.
    pub annotations: BTreeMap<String, String>,
    /// Limits and shares, if the runtime tells them.
    pub resources: Option<Resources>,
}

/// An image that is here.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    /// Its id (config digest), `sha256:…`.
    pub id: String,
    /// Names with tags.
    pub tags: Vec<String>,
    /// Names with digests.
    pub digests: Vec<String>,
    /// Bytes on disk.
    pub size: u64,
    /// The user the image runs as.
    pub user: String,
}

/// Credentials for a registry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Auth {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

/// Something happened to a container or sandbox; a hint to look at it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuntimeEvent {
    /// It runs.
    Started(SandboxId, ContainerId),
    /// It ended.
    Exited(SandboxId, ContainerId),
    /// A sandbox died.
    SandboxGone(SandboxId),
}

/// What a container uses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerStats {
    /// Whose.
    pub id: ContainerId,
    /// CPU time in nanoseconds since its start.
    pub cpu_nanos: u64,
    /// Working set in bytes.
    pub memory_working_set: u64,
    /// Resident bytes.
    pub memory_rss: u64,
}

/// The streams of an exec or attach: the runtime reads stdin and resize, writes stdout and stderr.
#[derive(Debug)]
pub struct Streams {
    /// Bytes for the process; the channel's end is end of file. `None`: no stdin.
    pub stdin: Option<mpsc::Receiver<Bytes>>,
    /// The process's output (and errors with a terminal).
    pub stdout: mpsc::Sender<Bytes>,
    /// The process's errors.
    pub stderr: mpsc::Sender<Bytes>,
    /// Terminal sizes (width, height). `None`: none come.
    pub resize: Option<mpsc::Receiver<(u16, u16)>>,
}

/// A command to run in a container.
#[derive(Clone, Debug, Default)]
pub struct ExecRequest {
    /// Where.
    pub container: ContainerId,
    /// Arguments, the program first.
    pub command: Vec<String>,
    /// With a terminal.
    pub tty: bool,
}

/// Why the runtime did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// The image does not exist or may not be read.
    #[error("{0}")]
    ImagePull(String),
    /// The image's registry does not answer.
    #[error("{0}")]
    RegistryUnavailable(String),
    /// The request cannot be honoured as it stands.
    #[error("{0}")]
    Invalid(String),
    /// The program cannot be started (not found, no permission).
    #[error("{0}")]
    CannotRun(String),
    /// Anything else.
    #[error("{0}")]
    Internal(String),
}

/// Result of a runtime call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A container runtime. All calls can be repeated: making what is there fails with its id unchanged, stopping and
/// removing what is gone succeeds.
pub trait Runtime: Send + Sync + 'static {
    /// Name and version, such as `("ferrokube", "0.1.0")`.
    fn version(&self) -> (String, String);
    /// Why the runtime or its network is not ready; `Ok` when both are.
    fn status(&self) -> BoxFuture<'_, Result<()>>;
    /// Makes and starts a sandbox, its network included.
    fn run_sandbox(&self, config: SandboxConfig) -> BoxFuture<'_, Result<SandboxId>>;
    /// Kills what runs in it and gives its network back.
    fn stop_sandbox(&self, id: SandboxId) -> BoxFuture<'_, Result<()>>;
    /// Removes it with its containers.
    fn remove_sandbox(&self, id: SandboxId) -> BoxFuture<'_, Result<()>>;
    /// All sandboxes.
    fn sandboxes(&self) -> BoxFuture<'_, Result<Vec<SandboxStatus>>>;
    /// Makes a container.
    fn create_container(
        &self,
        sandbox: SandboxId,
        config: ContainerConfig,
    ) -> BoxFuture<'_, Result<ContainerId>>;
    /// Starts it; [`Error::CannotRun`] when its program cannot be.
    fn start_container(&self, id: ContainerId) -> BoxFuture<'_, Result<()>>;
    /// Asks it to stop, kills it after `grace`; returns when it is gone.
    fn stop_container(&self, id: ContainerId, grace: Duration) -> BoxFuture<'_, Result<()>>;
    /// Gives a container other limits of CPU and memory while it runs.
    fn update_container(&self, id: ContainerId, resources: Resources) -> BoxFuture<'_, Result<()>>;
    /// The same for the cgroup of a sandbox, in which its containers are.
    fn update_sandbox(&self, id: SandboxId, resources: Resources) -> BoxFuture<'_, Result<()>>;
    /// Removes it (kills it first if it runs). Its log stays.
    fn remove_container(&self, id: ContainerId) -> BoxFuture<'_, Result<()>>;
    /// All containers, of one sandbox if given.
    fn containers(&self, sandbox: Option<SandboxId>) -> BoxFuture<'_, Result<Vec<ContainerStatus>>>;
    /// Starts a new log file after rotation.
    fn reopen_log(&self, id: ContainerId) -> BoxFuture<'_, Result<()>>;
    /// Runs a command; resolves with its exit code when it ended and its output was sent.
    fn exec(&self, request: ExecRequest, streams: Streams) -> BoxFuture<'_, Result<i32>>;
    /// Joins a running container's streams; resolves when it ended or the other end left.
    fn attach(&self, id: ContainerId, streams: Streams) -> BoxFuture<'_, Result<()>>;
    /// A byte stream to `127.0.0.1:port` inside the sandbox's network.
    fn port_forward(&self, id: SandboxId, port: u16) -> BoxFuture<'_, Result<Box<dyn Duplex>>>;
    /// The image of that name, if it is here.
    fn image(&self, reference: String) -> BoxFuture<'_, Result<Option<Image>>>;
    /// A folder of the file system that images are on.
    fn image_root(&self) -> std::path::PathBuf;
    /// All images.
    fn images(&self) -> BoxFuture<'_, Result<Vec<Image>>>;
    /// Fetches an image; its id.
    fn pull(&self, reference: String, auth: Option<Auth>) -> BoxFuture<'_, Result<Image>>;
    /// Removes an image.
    fn remove_image(&self, reference: String) -> BoxFuture<'_, Result<()>>;
    /// What containers use.
    fn stats(&self) -> BoxFuture<'_, Result<Vec<ContainerStats>>>;
    /// Events from now on. A stream may lose events when its reader is slow; the kubelet relists now and then.
    fn events(&self) -> BoxStream<'static, RuntimeEvent>;
}

/// A byte stream in both directions.
pub trait Duplex: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Duplex for T {}
