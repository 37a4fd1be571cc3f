//! Launch: what a child of the supervisor does between its birth and the container's program. The supervisor has one
//! thread and runs from a sealed memfd, so its children may fork, allocate and read files, and their `/proc/self/exe`
//! cannot be written.

mod capabilities;
mod mounts;
mod process;
mod program;
mod terminal;
mod user;

pub(crate) use capabilities::{all as all_capabilities, resolve as resolve_capabilities};
pub(crate) use process::{Exec, Init, Started, start_exec, start_init, start_pause};
pub(crate) use terminal::resize;

use crate::{edge::Propagation, seccomp};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A container's file systems and first process; written by the daemon, read by the launch child.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Spec {
    /// Folder of the unpacked layers.
    pub layers_dir: PathBuf,
    /// The image's layers in it, the lowest first.
    pub layers: Vec<String>,
    /// The root file system is read-only.
    pub readonly_rootfs: bool,
    /// Binds, in order.
    pub mounts: Vec<Bind>,
    /// `/dev/shm` of the sandbox.
    pub shm: PathBuf,
    /// All devices, nothing masked, `/sys` writable.
    pub privileged: bool,
    /// Paths masked.
    pub masked_paths: Vec<String>,
    /// Paths read-only.
    pub readonly_paths: Vec<String>,
    /// Cgroup mount points to show inside: (where, file system, options).
    pub cgroup_mounts: Vec<(PathBuf, String, String)>,
    /// The process.
    pub process: Process,
}

impl Spec {
    /// The layers of the image and of those that are volumes.
    pub(crate) fn all_layers(&self) -> Vec<String> {
        let more = self.mounts.iter().flat_map(|bind| &bind.layers);
        self.layers.iter().chain(more).cloned().collect()
    }
}

/// A bind mount.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Bind {
    /// On the host.
    pub source: PathBuf,
    /// In the container.
    pub target: PathBuf,
    /// Layers of an image to mount instead, the lowest first.
    #[serde(default)]
    pub layers: Vec<String>,
    /// The path in the image; empty: all of it.
    #[serde(default)]
    pub image_sub_path: String,
    /// Read-only.
    pub readonly: bool,
    /// What is mounted below it is read-only as well.
    #[serde(default)]
    pub recursive_read_only: bool,
    /// Propagation.
    pub propagation: Propagation,
}

/// A process to become.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Process {
    /// Program and arguments.
    pub args: Vec<String>,
    /// Environment.
    pub env: Vec<(String, String)>,
    /// Working directory.
    pub cwd: String,
    /// The image's user: `user[:group]`, names or numbers; empty: root.
    pub image_user: String,
    /// User id, over the image's.
    pub run_as_user: Option<i64>,
    /// Group id, over the image's.
    pub run_as_group: Option<i64>,
    /// Refuse to run as root.
    pub run_as_non_root: bool,
    /// More groups.
    pub supplemental_groups: Vec<i64>,
    /// None of the groups that the image's `/etc/group` puts the user in.
    #[serde(default)]
    pub strict_supplemental_groups: bool,
    /// Bounding set.
    pub capabilities: Vec<String>,
    /// no_new_privs.
    pub no_new_privs: bool,
    /// Filters.
    pub seccomp: Vec<seccomp::Program>,
    /// OOM score adjustment.
    pub oom_score_adj: i32,
    /// With a terminal.
    pub tty: bool,
}

/// What a launch child tells the supervisor. The end of the connection without `Failed` means that the program runs.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Note {
    /// The process that goes on, as the host numbers it.
    Pid(i32),
    /// Something was done without.
    Warning(String),
    /// The terminal is beside this message.
    Terminal,
    /// It cannot start.
    Failed(String),
}
