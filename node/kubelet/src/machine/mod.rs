//! The edge to the machine: files, mounts, connections, and what the machine has. [`Linux`] is the real one; simulated
//! nodes have one that keeps nothing.

mod linux;
mod publish;

pub use linux::Linux;

use futures::future::BoxFuture;
use runtime::{DnsConfig, Duplex};
use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// What a machine has and is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Processors.
    pub cpus: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of disk under the kubelet's root.
    pub disk: u64,
    /// `/etc/machine-id`.
    pub machine_id: String,
    /// DMI product UUID.
    pub system_uuid: String,
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Kernel release.
    pub kernel: String,
    /// `PRETTY_NAME` of os-release.
    pub os_image: String,
    /// Architecture, in Go's words.
    pub architecture: String,
    /// Host name.
    pub hostname: String,
}

/// A file to publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// Content.
    pub bytes: Vec<u8>,
    /// Mode bits.
    pub mode: u32,
}

/// Files by their path in the directory.
pub type Files = BTreeMap<String, File>;

/// What the kubelet asks of the machine beside the container runtime.
pub trait Machine: Send + Sync + 'static {
    /// What it has and is.
    fn facts(&self) -> Facts;
    /// resolv.conf of the host.
    fn resolv_conf(&self) -> DnsConfig;
    /// Makes a directory and those above it, with that mode and group.
    fn make_dir(&self, path: &Path, mode: u32, group: Option<i64>) -> io::Result<()>;
    /// Mounts a tmpfs, unless one is there; `size` in bytes.
    fn mount_tmpfs(&self, path: &Path, size: Option<u64>) -> io::Result<()>;
    /// Makes `files` the content of a directory, all at once, through the `..data` link.
    fn publish(&self, dir: &Path, files: &Files, group: Option<i64>) -> io::Result<()>;
    /// Writes a file.
    fn write(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()>;
    /// The last `limit` bytes of a file.
    fn read_tail(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>>;
    /// Checks (and for the `OrCreate` types makes) a hostPath.
    fn host_path(&self, path: &Path, kind: &str) -> Result<(), String>;
    /// The place of `sub` in a volume, made as a directory when it is not there. A link out of the volume is refused.
    fn sub_path(&self, volume: &Path, sub: &Path) -> Result<PathBuf, String>;
    /// Whether `path` is a directory; an error when it is not there.
    fn is_dir(&self, path: &Path) -> io::Result<bool>;
    /// Unmounts what is mounted below and removes everything.
    fn remove_tree(&self, path: &Path) -> io::Result<()>;
    /// Names in a directory; none when it is not there.
    fn children(&self, path: &Path) -> Vec<String>;
    /// Bytes of a file; 0 when it is not there.
    fn size(&self, path: &Path) -> u64;
    /// Renames a file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Connects.
    fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Duplex>>>;
}
