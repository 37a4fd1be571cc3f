//! The machine under our feet.

use super::{Facts, Files, Machine, publish};
use futures::future::BoxFuture;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use runtime::{DnsConfig, Duplex};
use std::{
    fs, io,
    io::{Read, Seek, SeekFrom},
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, PermissionsExt, chown},
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

fn memory() -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = info.lines().find_map(|l| l.strip_prefix("MemTotal:"));
    let kib = total.and_then(|l| l.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn os_image() -> String {
    let text = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let name = text.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="));
    name.map_or_else(|| "Linux".to_owned(), |n| n.trim_matches('"').to_owned())
}

fn mounts_below(path: &Path) -> Vec<PathBuf> {
    let info = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = info
        .lines()
        .filter_map(|l| l.split(' ').nth(4))
        .map(|p| PathBuf::from(p.replace("\\040", " ")));
    points.filter(|p| p.starts_with(path)).collect()
}

impl Machine for Linux {
    fn facts(&self) -> Facts {
        let disk = nix::sys::statvfs::statvfs(&self.root).map_or(0, |s| s.blocks() * s.fragment_size());
        let name = nix::sys::utsname::uname().ok();
        let text = |s: &std::ffi::OsStr| s.to_string_lossy().into_owned();
        Facts {
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory: memory(),
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
        if mounts_below(path).iter().any(|p| p == path) {
            return Ok(());
        }
        let options = size.map(|bytes| format!("size={bytes}"));
        mount(
            Some("tmpfs"),
            path,
            Some("tmpfs"),
            MsFlags::empty(),
            options.as_deref(),
        )?;
        Ok(())
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

    fn host_path(&self, path: &Path, kind: &str) -> Result<(), String> {
        let shown = path.display();
        match kind {
            "DirectoryOrCreate" if !path.exists() => {
                return fs::create_dir_all(path).map_err(|e| e.to_string());
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

    fn sub_path(&self, volume: &Path, sub: &Path) -> Result<PathBuf, String> {
        let failed = |e: io::Error| format!("failed to prepare subPath {sub:?}: {e}");
        let root = volume.canonicalize().map_err(failed)?;
        let mut at = root.clone();
        for part in sub.components() {
            let next = at.join(part);
            if next.symlink_metadata().is_err() {
                fs::create_dir(&next).map_err(failed)?;
            }
            at = next.canonicalize().map_err(failed)?;
            if !at.starts_with(&root) {
                return Err(format!("subpath {sub:?} not within volume path"));
            }
        }
        Ok(at)
    }

    fn is_dir(&self, path: &Path) -> io::Result<bool> {
        fs::metadata(path).map(|m| m.is_dir())
    }

    fn remove_tree(&self, path: &Path) -> io::Result<()> {
        let mut mounts = mounts_below(path);
        mounts.sort();
        for point in mounts.iter().rev() {
            umount2(point, MntFlags::MNT_DETACH)?;
        }
        match fs::remove_dir_all(path) {
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
        assert_eq!(mounts_below(&pod.0).len(), 1, "mounted once");
        linux.remove_tree(&pod.0).unwrap();
        assert!(!pod.0.exists());
    }

    #[test]
    fn sub_paths_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        let linux = Linux::new("/", "/etc/resolv.conf");
        let made = linux.sub_path(dir.path(), "a/b".as_ref()).unwrap();
        assert!(made.ends_with("a/b") && made.is_dir());
        std::os::unix::fs::symlink("/etc", dir.path().join("out")).unwrap();
        assert!(
            linux
                .sub_path(dir.path(), "out/passwd".as_ref())
                .unwrap_err()
                .contains("not within volume path")
        );
    }

    #[test]
    fn host_paths_are_checked() {
        let dir = tempfile::tempdir().unwrap();
        let linux = Linux::new("/", "/etc/resolv.conf");
        linux
            .host_path(&dir.path().join("new"), "DirectoryOrCreate")
            .unwrap();
        linux.host_path(&dir.path().join("file"), "FileOrCreate").unwrap();
        let error = linux
            .host_path(&dir.path().join("file"), "Directory")
            .unwrap_err();
        assert!(error.starts_with("hostPath type check failed: ") && error.ends_with(" is not a directory"));
    }
}
