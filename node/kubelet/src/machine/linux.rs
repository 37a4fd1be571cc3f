//! The machine under our feet.

use super::{Disk, Facts, Files, Machine, Ownership, beneath, owner, publish};
use futures::{future::BoxFuture, stream::BoxStream};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use runtime::{DnsConfig, Duplex};
use std::{
    ffi::OsString,
    fs, io,
    io::{Read, Seek, SeekFrom},
    net::{IpAddr, SocketAddr},
    os::unix::{
        ffi::OsStringExt,
        fs::{FileTypeExt, MetadataExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf},
};

/// A Linux host.
#[derive(Clone, Debug)]
pub struct Linux {
    root: PathBuf,
    resolv_conf: PathBuf,
}

impl Linux {
    /// The host; disk sizes are of the file system of `root`, DNS is of `resolv_conf`.
    pub fn new(root: impl Into<PathBuf>, resolv_conf: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            resolv_conf: resolv_conf.into(),
        }
    }
}

fn line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// Go's name of this architecture.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

/// A line of `/proc/meminfo`, in bytes.
fn memory(name: &str) -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
    let kib = line.and_then(|l| l.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn os_image() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |n| n.trim_matches('"').to_owned())
}

/// Mount points at and below `path`, in the order of their mounts.
pub(super) fn mounts_below(path: &Path) -> io::Result<Vec<PathBuf>> {
    let info = fs::read("/proc/self/mountinfo")?;
    let points = info
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4))
        .map(|point| PathBuf::from(OsString::from_vec(unescaped(point))));
    Ok(points.filter(|point| point.starts_with(path)).collect())
}

/// Undoes the octal escapes of mountinfo.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, more)) = rest.split_first() {
        let octal = more.get(..3).filter(|_| *first == b'\\');
        let code = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &more[3..] } else { more };
    }
    bytes
}

/// Unmounts all that is mounted at and below `path`, the last first; afterwards nothing is.
pub(super) fn unmount_below(path: &Path) -> io::Result<()> {
    loop {
        let mounts = mounts_below(path)?;
        if mounts.is_empty() {
            return Ok(());
        }
        for point in mounts.iter().rev() {
            umount2(point, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)?;
        }
    }
}

fn mount_once(kind: &str, path: &Path, flags: MsFlags, options: Option<&str>) -> io::Result<()> {
    if !mounts_below(path)?.iter().any(|point| point == path) {
        mount(Some(kind), path, Some(kind), flags, options)?;
    }
    Ok(())
}

impl Machine for Linux {
    fn facts(&self) -> Facts {
        // The folder may be made only later, on the file system of the one above it.
        let there = self
            .root
            .ancestors()
            .find(|path| path.exists())
            .unwrap_or(Path::new("/"));
        let disk = nix::sys::statvfs::statvfs(there).map_or(0, |s| s.blocks() * s.fragment_size());
        let name = nix::sys::utsname::uname().ok();
        let text = |s: &std::ffi::OsStr| s.to_string_lossy().into_owned();
        Facts {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory: memory("MemTotal"),
            disk,
            machine_id: line("/etc/machine-id"),
            system_uuid: line("/sys/class/dmi/id/product_uuid"),
            boot_id: line("/proc/sys/kernel/random/boot_id"),
            kernel: name.as_ref().map_or_else(String::new, |n| text(n.release())),
            os_image: os_image(),
            architecture: architecture().to_owned(),
            hostname: name.as_ref().map_or_else(String::new, |n| text(n.nodename())),
        }
    }

    fn memory(&self) -> io::Result<Disk> {
        Ok(Disk {
            capacity: memory("MemTotal"),
            available: memory("MemAvailable"),
        })
    }

    fn disk(&self, path: &Path) -> io::Result<Disk> {
        let found = nix::sys::statvfs::statvfs(path)?;
        Ok(Disk {
            capacity: found.blocks() * found.fragment_size(),
            available: found.blocks_available() * found.fragment_size(),
        })
    }

    fn resolv_conf(&self) -> DnsConfig {
        let text = fs::read_to_string(&self.resolv_conf).unwrap_or_default();
        crate::pod::parse_resolv_conf(&text)
    }

    fn make_dir(&self, path: &Path, mode: u32, group: Option<i64>) -> io::Result<()> {
        fs::create_dir_all(path)?;
        if let Some(group) = group.and_then(|g| u32::try_from(g).ok()) {
            chown(path, None, Some(group))?;
            return fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o2070));
        }
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    fn mount_tmpfs(&self, path: &Path, size: Option<u64>) -> io::Result<()> {
        fs::create_dir_all(path)?;
        let options = size.map(|bytes| format!("size={bytes}"));
        mount_once("tmpfs", path, MsFlags::empty(), options.as_deref())
    }

    fn mount_huge_pages(&self, path: &Path, page: &str) -> io::Result<()> {
        fs::create_dir_all(path)?;
        let options = format!("pagesize={}", page.trim_end_matches('i'));
        mount_once("hugetlbfs", path, MsFlags::MS_NODEV, Some(&options))
    }

    fn set_group(&self, path: &Path, to: Ownership) -> io::Result<()> {
        let group = u32::try_from(to.group).map_err(|_| io::ErrorKind::InvalidInput)?;
        owner::set_group(path, group, to.read_only, to.unless_root_fits)
    }

    fn group_of(&self, path: &Path) -> io::Result<i64> {
        fs::metadata(path).map(|meta| i64::from(meta.gid()))
    }

    fn read_beneath(&self, volume: &Path, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        beneath::read(volume, path, limit)
    }

    fn remove_beneath(&self, top: &Path, path: &Path) -> io::Result<()> {
        beneath::remove(top, path)
    }

    fn publish(&self, dir: &Path, files: &Files, group: Option<i64>) -> io::Result<()> {
        publish::publish(dir, files, group)
    }

    fn write(&self, path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        if fs::read(path).is_ok_and(|old| old == bytes) {
            return Ok(());
        }
        // In place: the file may be mounted into containers.
        fs::write(path, bytes)?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    fn read_tail(&self, path: &Path, limit: usize) -> io::Result<Vec<u8>> {
        let mut file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(limit as u64)))?;
        let mut bytes = Vec::new();
        file.take(limit as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn host_path(&self, path: &Path, kind: &str, mode: u32) -> Result<(), String> {
        let shown = path.display();
        match kind {
            "DirectoryOrCreate" if !path.exists() => {
                return beneath::make_dirs(path, mode).map_err(|e| e.to_string());
            }
            "FileOrCreate" if !path.exists() => return fs::write(path, b"").map_err(|e| e.to_string()),
            "" => return Ok(()),
            _ => {}
        }
        let found = fs::metadata(path).ok().map(|m| m.file_type());
        let (right, what) = match kind {
            "Directory" | "DirectoryOrCreate" => (found.is_some_and(|t| t.is_dir()), "directory"),
            "File" | "FileOrCreate" => (found.is_some_and(|t| t.is_file()), "file"),
            "Socket" => (found.is_some_and(|t| t.is_socket()), "socket file"),
            "CharDevice" => (found.is_some_and(|t| t.is_char_device()), "character device"),
            "BlockDevice" => (found.is_some_and(|t| t.is_block_device()), "block device"),
            other => return Err(format!("{other} is an invalid volume type")),
        };
        if right {
            Ok(())
        } else {
            Err(format!("hostPath type check failed: {shown} is not a {what}"))
        }
    }

    fn sub_path(&self, volume: &Path, sub: &Path, at: &Path) -> io::Result<()> {
        beneath::bind(volume, sub, at)
    }

    fn is_dir(&self, path: &Path) -> io::Result<bool> {
        fs::metadata(path).map(|m| m.is_dir())
    }

    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        unmount_below(path)?;
        let is_file = fs::symlink_metadata(path).is_ok_and(|m| !m.is_dir());
        match if is_file {
            fs::remove_file(path)
        } else {
            fs::remove_dir_all(path)
        } {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn children(&self, path: &Path) -> Vec<String> {
        let Ok(entries) = fs::read_dir(path) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|e| e.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }

    fn size(&self, path: &Path) -> u64 {
        fs::metadata(path).map_or(0, |m| m.len())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn watch(&self, folder: &Path) -> BoxStream<'static, ()> {
        super::watch::watch(folder)
    }

    fn resolve(&self, host: String) -> BoxFuture<'static, io::Result<IpAddr>> {
        Box::pin(async move {
            let mut found = tokio::net::lookup_host((host, 0)).await?;
            let first = found.next().map(|address| address.ip());
            first.ok_or_else(|| io::ErrorKind::NotFound.into())
        })
    }

    fn connect(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Duplex>>> {
        Box::pin(async move {
            let stream = tokio::net::TcpStream::connect(address).await?;
            Ok(Box::new(stream) as Box<dyn Duplex>)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Cleanup(PathBuf);
    impl Drop for Cleanup {
        fn drop(&mut self) {
            let _ = Linux::new("/", "/etc/resolv.conf").remove_tree(&self.0);
        }
    }

    #[test]
    fn trees_go_with_what_is_mounted_in_them() {
        let dir = tempfile::tempdir().unwrap();
        let pod = Cleanup(dir.path().join("pod"));
        let linux = Linux::new("/", "/etc/resolv.conf");
        let volume = pod.0.join("volumes/x");
        linux.mount_tmpfs(&volume, Some(1 << 20)).unwrap();
        linux.mount_tmpfs(&volume, None).unwrap();
        linux.write(&volume.join("f"), b"hello", 0o600).unwrap();
        assert_eq!(linux.read_tail(&volume.join("f"), 3).unwrap(), b"llo");
        assert_eq!(mounts_below(&pod.0).unwrap().len(), 1, "mounted once");
        linux.remove_tree(&pod.0).unwrap();
        assert!(!pod.0.exists());
    }

    #[test]
    fn host_paths_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let linux = Linux::new("/", "/etc/resolv.conf");
        linux
            .host_path(&dir.path().join("new"), "DirectoryOrCreate", 0o755)
            .unwrap();
        linux
            .host_path(&dir.path().join("file"), "FileOrCreate", 0o755)
            .unwrap();
        let error = linux
            .host_path(&dir.path().join("file"), "Directory", 0o755)
            .unwrap_err();
        assert!(error.starts_with("hostPath type check failed: ") && error.ends_with(" is not a directory"));
    }
}
