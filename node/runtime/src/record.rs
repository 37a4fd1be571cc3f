//! What is kept on disk of sandboxes and containers, so that a daemon that starts anew knows them.

use crate::edge::{ContainerConfig, SandboxConfig};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

/// File names in a sandbox's and a container's folder.
pub(crate) const SANDBOX: &str = "sandbox.json";
pub(crate) const SUPERVISOR: &str = "supervisor.json";
pub(crate) const CONTAINER: &str = "container.json";
pub(crate) const SPEC: &str = "spec.json";
pub(crate) const START: &str = "start.json";
pub(crate) const EXIT: &str = "exit.json";

/// A sandbox, written by the daemon.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SandboxRecord {
    /// Its id.
    pub id: String,
    /// As asked for.
    pub config: SandboxConfig,
    /// When.
    pub created_at: Timestamp,
    /// Its addresses.
    pub ips: Vec<String>,
    /// Where its network namespace is bound; `None` with the host's.
    pub netns: Option<PathBuf>,
    /// Its network was given back and its supervisor ended.
    pub stopped: bool,
}

/// What a supervisor needs to begin, written by the daemon.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SupervisorRecord {
    /// The socket to listen on.
    pub socket: PathBuf,
    /// Where to bind the network namespace; `None`: keep the host's.
    pub netns: Option<PathBuf>,
    /// Keep the host's IPC namespace.
    pub host_ipc: bool,
    /// Make one process namespace for all containers.
    pub share_process_namespace: bool,
    /// Host name of the sandbox; empty: keep the host's UTS namespace.
    pub hostname: String,
    /// Kernel parameters.
    pub sysctls: Vec<(String, String)>,
    /// Where the sandbox's `/dev/shm` is mounted; `None`: the host's is used.
    pub shm: Option<PathBuf>,
    /// The cgroup of the supervisor itself, in each hierarchy.
    pub cgroups: Vec<PathBuf>,
}

/// A container, written by the daemon.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ContainerRecord {
    /// Its id.
    pub id: String,
    /// As asked for.
    pub config: ContainerConfig,
    /// When.
    pub created_at: Timestamp,
    /// Name with digest, or id, of its image.
    pub image_id: String,
    /// The image's layers.
    pub layers: Vec<String>,
    /// Full path of its log.
    pub log_path: PathBuf,
    /// The signal that stops it.
    pub stop_signal: i32,
    /// Its cgroup's path.
    pub cgroup: String,
}

/// A start, written by the supervisor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StartRecord {
    /// First process, as the host numbers it.
    pub pid: i32,
    /// When.
    pub started_at: Timestamp,
    /// What could not be had and was done without.
    pub warnings: Vec<String>,
}

/// An end, written by the supervisor (or by the daemon for a supervisor that died).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ExitRecord {
    /// 128+n for signal n.
    pub code: i32,
    /// When.
    pub finished_at: Timestamp,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`, `Unknown`.
    pub reason: String,
    /// For a person.
    pub message: String,
}

/// Writes `value` to `path` so that a reader sees the old file or the new one, never a part.
pub(crate) fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    write_bytes(path, &serde_json::to_vec(value)?)
}

/// As [`write`], for bytes.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let mut file = fs::File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&temporary, path)
}

/// Reads what [`write`] wrote. `None` when there is no such file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
