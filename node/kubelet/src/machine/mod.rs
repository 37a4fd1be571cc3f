//! The edge to the machine: files, mounts, connections, and what the machine has. [`Linux`] is the real one; simulated
//! nodes have one that keeps nothing.

mod beneath;
mod linux;
mod owner;
mod publish;
mod watch;

pub use linux::Linux;

use futures::{future::BoxFuture, stream::BoxStream};
use runtime::{DnsConfig, Duplex};
use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
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

/// The room of a file system or of memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// All of it.
    pub capacity: u64,
    /// What is left.
    pub available: u64,
}

/// A file to publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// Content.
    pub bytes: Vec<u8>,
    /// Mode bits.
    pub mode: u32,
    /// The user that owns it; `None`: root.
    pub user: Option<u32>,
}

/// How a volume is given to a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// The group.
    pub group: i64,
    /// The group may only read.
    pub read_only: bool,
    /// Not when the root of the volume is right already.
    pub unless_root_fits: bool,
}

/// Files by their path in the directory.
pub type Files = BTreeMap<String, File>;

/// What the kubelet asks of the machine beside the container runtime.
pub trait Machine: Send + Sync + 'static {
    /// What it has and is.
    fn facts(&self) -> Facts;
    /// Memory, and what of it can be had without swapping.
    fn memory(&self) -> io::Result<Disk>;
    /// The file system under `path`.
    fn disk(&self, path: &Path) -> io::Result<Disk>;
    /// resolv.conf of the host.
    fn resolv_conf(&self) -> DnsConfig;
    /// Makes a directory and those above it, with that mode and group.
    fn make_dir(&self, path: &Path, mode: u32, group: Option<i64>) -> io::Result<()>;
    /// Mounts a tmpfs, unless one is there; `size` in bytes.
    fn mount_tmpfs(&self, path: &Path, size: Option<u64>) -> io::Result<()>;
    /// Mounts a file system of huge pages, unless one is there; `page` as in `2Mi`.
    fn mount_huge_pages(&self, path: &Path, page: &str) -> io::Result<()>;
    /// Gives what lies at and below `path` to a group.
    fn set_group(&self, path: &Path, to: Ownership) -> io::Result<()>;
    /// The group that owns `path`.
    fn group_of(&self, path: &Path) -> io::Result<i64>;
    /// What is in the file `path` of a volume; a link out of the volume is an error.
    fn read_beneath(&self, volume: &Path, path: &Path, limit: u64) -> io::Result<Vec<u8>>;
    /// Removes the tree at `path`, which lies beneath `top`; a link on the way, or something mounted in it, is an error.
    fn remove_beneath(&self, top: &Path, path: &Path) -> io::Result<()>;
    /// Makes `files` the content of a directory, all at once, through the `..data` link.
    fn publish(&self, dir: &Path, files: &Files, group: Option<i64>) -> io::Result<()>;
    /// Writes a file.
    fn write(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()>;
    /// The last `limit` bytes of a file.
    fn read_tail(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>>;
    /// Checks (and for the `OrCreate` types makes, directories with `mode`) a hostPath.
    fn host_path(&self, path: &Path, kind: &str, mode: u32) -> Result<(), String>;
    /// Mounts `sub` of a volume at `at`; it is made as a directory when it is not there. A link out of the volume is
    /// refused.
    fn sub_path(&self, volume: &Path, sub: &Path, at: &Path) -> io::Result<()>;
    /// Whether `path` is a directory; an error when it is not there.
    fn is_dir(&self, path: &Path) -> io::Result<bool>;
    /// Unmounts what is mounted below and removes everything, or the file.
    fn remove_tree(&self, path: &Path) -> io::Result<()>;
    /// Names in a directory; none when it is not there.
    fn children(&self, path: &Path) -> Vec<String>;
    /// Bytes of a file; 0 when it is not there.
    fn size(&self, path: &Path) -> u64;
    /// Renames a file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// An item each time something happened to the files of a folder.
    fn watch(&self, folder: &Path) -> BoxStream<'static, ()>;
    /// An address of a name, as the host finds it.
    fn resolve(&self, host: String) -> BoxFuture<'static, io::Result<IpAddr>>;
    /// Connects.
    fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Duplex>>>;
}
