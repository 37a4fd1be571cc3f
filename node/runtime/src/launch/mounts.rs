//! The container's mount namespace. Sources on the host are cloned as detached mounts first; they are put in place only
//! after `pivot_root`, so that no symlink of an image can lead out of the container.

use super::{Bind, Spec};
use crate::edge::Propagation;
use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, makedev, mknodat, open, openat2},
    mount::{
        MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_change,
        move_mount, open_tree, unmount,
    },
    process::{fchdir, pivot_root},
};
use std::{
    ffi::CString,
    fs, io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt, symlink},
    },
    path::{Component, Path, PathBuf},
};

/// The usual devices: name and number.
const DEVICES: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Most symlinks followed for one path.
const LINK_LIMIT: usize = 40;

/// Builds the file systems in the calling process's mount namespace and makes them its root. `dir` is the container's
/// folder.
pub(super) fn enter(spec: &Spec, dir: &Path) -> Result<(), String> {
    let mut binds = Vec::with_capacity(spec.mounts.len());
    for bind in spec.mounts.iter().filter(|bind| bind.layers.is_empty()) {
        binds.push((bind, detached(bind)?));
    }
    let shm = tree(&spec.shm).map_err(context("open", &spec.shm))?;
    let devices = if spec.privileged {
        host_devices(Path::new("/dev"))
    } else {
        Vec::new()
    };
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", flags).map_err(context("make downstream", "/"))?;
    overlay(spec, dir)?;
    for (number, bind) in spec
        .mounts
        .iter()
        .filter(|bind| !bind.layers.is_empty())
        .enumerate()
    {
        binds.push((bind, image(bind, &dir.join(format!("image-{number}")))?));
    }
    // What is mounted under another mount must come after it.
    binds.sort_by_key(|(bind, _)| bind.target.components().count());
    pivot(&dir.join("rootfs")).map_err(context("pivot_root to", dir.join("rootfs")))?;

    kernel_file_systems(spec)?;
    dev(&devices).map_err(context("fill", "/dev"))?;
    place(&shm, Path::new("/dev/shm"), true).map_err(context("mount", "/dev/shm"))?;
    for (bind, (source, is_dir)) in binds {
        allowed(bind)?;
        place(&source, &bind.target, is_dir).map_err(context("mount", &bind.target))?;
    }
    if !spec.privileged {
        spec.readonly_paths
            .iter()
            .try_for_each(|path| read_only(Path::new(path)))?;
        spec.masked_paths
            .iter()
            .try_for_each(|path| mask(Path::new(path)))?;
    }
    if spec.readonly_rootfs {
        set_attributes(CWD.as_raw_fd(), "/", libc::MOUNT_ATTR_RDONLY, 0)
            .map_err(context("make read-only", "/"))?;
    }
    Ok(())
}

/// Makes a terminal's device the container's console.
pub(super) fn console(number: u32) -> Result<(), String> {
    let slave = tree(Path::new(&format!("/dev/pts/{number}"))).map_err(context("open", "/dev/pts"))?;
    place(&slave, Path::new("/dev/console"), false).map_err(context("mount", "/dev/console"))
}

fn context<E: std::fmt::Display, P: AsRef<Path>>(what: &'static str, path: P) -> impl FnOnce(E) -> String {
    move |error| format!("{what} {}: {error}", path.as_ref().display())
}

fn tree(path: &Path) -> io::Result<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    Ok(open_tree(CWD, path, flags)?)
}

/// A detached clone of the bind's source with its flags, and whether it is a folder.
fn detached(bind: &Bind) -> Result<(OwnedFd, bool), String> {
    let source = &bind.source;
    let is_dir = fs::metadata(source).map_err(context("stat", source))?.is_dir();
    let propagation = match bind.propagation {
        Propagation::None => libc::MS_PRIVATE,
        Propagation::HostToContainer => libc::MS_SLAVE,
        Propagation::Bidirectional if shared(source) => libc::MS_SHARED,
        Propagation::Bidirectional => {
            return Err(format!(
                "path {:?} is mounted on a mount that is not a shared mount",
                source.display()
            ));
        }
    };
    let tree = tree(source).map_err(context("bind", source))?;
    let attributes = if bind.readonly { libc::MOUNT_ATTR_RDONLY } else { 0 };
    let depth = if bind.recursive_read_only {
        libc::AT_RECURSIVE
    } else {
        0
    };
    set_attributes(tree.as_raw_fd(), "", attributes, depth).map_err(context("make read-only", source))?;
    set_propagation(tree.as_raw_fd(), propagation).map_err(context("set propagation of", source))?;
    Ok((tree, is_dir))
}

/// A detached mount of an image's files, read-only, made at `at`; the current folder is that of the layers.
fn image(bind: &Bind, at: &Path) -> Result<(OwnedFd, bool), String> {
    let lower: Vec<&str> = bind.layers.iter().rev().map(String::as_str).collect();
    let make = || {
        fs::create_dir_all(at)?;
        let root = match lower.as_slice() {
            // An overlay wants two.
            [only] => PathBuf::from(only),
            lower => {
                let options =
                    CString::new(format!("lowerdir={}", lower.join(":"))).map_err(io::Error::other)?;
                mount(
                    "overlay",
                    at,
                    "overlay",
                    MountFlags::RDONLY,
                    Some(options.as_c_str()),
                )?;
                at.to_owned()
            }
        };
        let root = open(
            &root,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let path = if bind.image_sub_path.is_empty() {
            "."
        } else {
            &bind.image_sub_path
        };
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let found = openat2(&root, path, flags, Mode::empty(), resolve)?;
        let is_dir = FileType::from_raw_mode(fstat(&found)?.st_mode).is_dir();
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        let tree = open_tree(&found, "", flags)?;
        set_attributes(tree.as_raw_fd(), "", libc::MOUNT_ATTR_RDONLY, 0)?;
        set_propagation(tree.as_raw_fd(), libc::MS_PRIVATE)?;
        Ok::<_, io::Error>((tree, is_dir))
    };
    make().map_err(|error| format!("mount image at {}: {error}", bind.target.display()))
}

/// Files of `/proc` that something may be mounted over: what programs there show of the machine as a whole.
#[rustfmt::skip]
const PROC_FILES: [&str; 11] = [
    "/proc/cpuinfo", "/proc/diskstats", "/proc/meminfo", "/proc/stat", "/proc/swaps", "/proc/uptime", "/proc/loadavg",
    "/proc/slabinfo", "/proc/net/dev", "/proc/sys/kernel/ns_last_pid", "/proc/sys/crypto/fips_enabled",
];

/// Refuses to put anything but another process file system in the place of `/proc`, as runc does.
fn allowed(bind: &Bind) -> Result<(), String> {
    let target = materialized(&bind.target);
    let shown = || target.display().to_string();
    if target == Path::new("/") {
        return Err("mount destination / is not allowed".to_owned());
    }
    if target == Path::new("/proc") && bind.source != Path::new("/proc") {
        return Err(format!(
            "{:?} cannot be mounted because it is not of type proc",
            shown()
        ));
    }
    let inside = target != Path::new("/proc") && target.starts_with("/proc");
    if inside && !PROC_FILES.iter().any(|file| target == Path::new(file)) {
        return Err(format!(
            "{:?} cannot be mounted because it is inside /proc",
            shown()
        ));
    }
    Ok(())
}

/// The part of `path` that is there without its links, and the rest as it is.
fn materialized(path: &Path) -> PathBuf {
    let there = path
        .ancestors()
        .find_map(|at| Some((at, fs::canonicalize(at).ok()?)));
    let Some((at, real)) = there else {
        return path.to_owned();
    };
    match path.strip_prefix(at) {
        Ok(rest) if !rest.as_os_str().is_empty() => real.join(rest),
        _ => real,
    }
}

/// Whether the mount that `path` is on is shared.
fn shared(path: &Path) -> bool {
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| {
        let point = line.split(' ').nth(4)?;
        real.starts_with(point)
            .then_some((point.len(), line.split(" - ").next()?.contains(" shared:")))
    });
    points
        .max_by_key(|(length, _)| *length)
        .is_some_and(|(_, shared)| shared)
}

fn overlay(spec: &Spec, dir: &Path) -> Result<(), String> {
    // The layers are named relative to their folder: the options of a mount have one page.
    std::env::set_current_dir(&spec.layers_dir).map_err(context("change to", &spec.layers_dir))?;
    let lower = spec
        .layers
        .iter()
        .rev()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(":");
    let escape = |name: &str| {
        dir.join(name)
            .display()
            .to_string()
            .replace('\\', "\\\\")
            .replace(',', "\\,")
    };
    let plain = format!(
        "lowerdir={lower},upperdir={},workdir={}",
        escape("upper"),
        escape("work")
    );
    let rootfs = dir.join("rootfs");
    // What a container writes is lost with it, so that it need not be synced.
    let volatile = format!("{plain},volatile");
    let attempt = |options: &str| {
        let options = CString::new(options).map_err(io::Error::other)?;
        Ok::<_, io::Error>(mount(
            "overlay",
            &rootfs,
            "overlay",
            MountFlags::empty(),
            Some(options.as_c_str()),
        )?)
    };
    attempt(&volatile)
        .or_else(|_| attempt(&plain))
        .map_err(context("mount overlay on", &rootfs))
}

fn pivot(root: &Path) -> io::Result<()> {
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let (old, new) = (
        open("/", flags, Mode::empty())?,
        open(root, flags, Mode::empty())?,
    );
    fchdir(&new)?;
    pivot_root(".", ".")?;
    fchdir(&old)?;
    mount_change(
        ".",
        MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
    )?;
    unmount(".", UnmountFlags::DETACH)?;
    std::env::set_current_dir("/")
}

fn kernel_file_systems(spec: &Spec) -> Result<(), String> {
    let usual = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let sys = if spec.privileged {
        usual
    } else {
        usual | MountFlags::RDONLY
    };
    new_mount("proc", "/proc", usual, "")?;
    new_mount(
        "tmpfs",
        "/dev",
        MountFlags::NOSUID | MountFlags::STRICTATIME,
        "mode=755,size=65536k",
    )?;
    new_mount(
        "devpts",
        "/dev/pts",
        MountFlags::NOSUID | MountFlags::NOEXEC,
        "newinstance,ptmxmode=0666,mode=0620,gid=5",
    )?;
    new_mount("mqueue", "/dev/mqueue", usual, "")?;
    new_mount("sysfs", "/sys", sys, "")?;
    for (point, kind, options) in &spec.cgroup_mounts {
        // A tmpfs holds the mount points of version 1 and can be read-only only once they stand.
        let flags = if kind == "tmpfs" { usual } else { sys };
        new_mount(kind, point, flags, options)?;
    }
    if let Some((point, kind, _)) = spec.cgroup_mounts.first()
        && kind == "tmpfs"
        && !spec.privileged
    {
        read_only_mount(point).map_err(context("make read-only", point))?;
    }
    Ok(())
}

fn new_mount(kind: &str, point: impl AsRef<Path>, flags: MountFlags, options: &str) -> Result<(), String> {
    let point = point.as_ref();
    let make = || {
        let point = materialize(point, true)?;
        let options = CString::new(options).map_err(io::Error::other)?;
        Ok::<_, io::Error>(mount(kind, &point, kind, flags, Some(options.as_c_str()))?)
    };
    make().map_err(|error| format!("mount {kind} on {}: {error}", point.display()))
}

fn dev(more: &[(PathBuf, FileType, u64)]) -> io::Result<()> {
    rustix::process::umask(Mode::empty());
    for (name, major, minor) in DEVICES {
        mknodat(
            CWD,
            format!("/dev/{name}"),
            FileType::CharacterDevice,
            Mode::from(0o666),
            makedev(major, minor),
        )?;
    }
    for (path, kind, number) in more {
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/dev")))?;
        if !path.exists() {
            mknodat(CWD, path, *kind, Mode::from(0o660), *number)?;
        }
    }
    rustix::process::umask(Mode::from(0o022));
    let links = [
        ("/proc/self/fd", "fd"),
        ("/proc/self/fd/0", "stdin"),
        ("/proc/self/fd/1", "stdout"),
    ];
    let more = [
        ("/proc/self/fd/2", "stderr"),
        ("pts/ptmx", "ptmx"),
        ("/proc/kcore", "core"),
    ];
    links
        .iter()
        .chain(&more)
        .try_for_each(|(target, name)| symlink(target, format!("/dev/{name}")))
}

/// The host's device nodes, but for terminals and what containers have of their own.
fn host_devices(dir: &Path) -> Vec<(PathBuf, FileType, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(meta) = entry.path().symlink_metadata() else {
            continue;
        };
        let kind = meta.file_type();
        let name = entry.file_name();
        if kind.is_dir() && !["pts", "shm", "mqueue", "fd"].iter().any(|own| name == *own) {
            found.extend(host_devices(&entry.path()));
        } else if kind.is_char_device() && name != "console" && name != "ptmx" {
            found.push((entry.path(), FileType::CharacterDevice, meta.rdev()));
        } else if kind.is_block_device() {
            found.push((entry.path(), FileType::BlockDevice, meta.rdev()));
        }
    }
    found
}

/// Puts a detached mount on `target`, which is made if it is not there.
fn place(source: &OwnedFd, target: &Path, is_dir: bool) -> io::Result<()> {
    let target = materialize(target, is_dir)?;
    Ok(move_mount(
        source,
        "",
        CWD,
        &target,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )?)
}

/// `path` without symlinks, made with the folders above it where it is not there. Links that lead to nothing are
/// followed as well, as the path they name is what a program would open.
pub(super) fn materialize(path: &Path, is_dir: bool) -> io::Result<PathBuf> {
    let mut todo: Vec<_> = path
        .components()
        .rev()
        .map(|c| c.as_os_str().to_owned())
        .collect();
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    while let Some(part) = todo.pop() {
        match Path::new(&part).components().next() {
            Some(Component::Normal(_)) => {}
            Some(Component::ParentDir) => {
                at.pop();
                continue;
            }
            Some(Component::RootDir) => {
                at = PathBuf::from("/");
                continue;
            }
            _ => continue,
        }
        let next = at.join(&part);
        match next.symlink_metadata() {
            Ok(meta) if meta.is_symlink() => {
                links += 1;
                if links > LINK_LIMIT {
                    return Err(io::Error::from_raw_os_error(libc::ELOOP));
                }
                todo.extend(
                    fs::read_link(&next)?
                        .components()
                        .rev()
                        .map(|c| c.as_os_str().to_owned()),
                );
            }
            Ok(_) => at = next,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if todo.is_empty() && !is_dir {
                    fs::File::create(&next)?;
                } else {
                    fs::create_dir(&next)?;
                }
                at = next;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(at)
}

/// Makes what is at `path` read-only, if it is there.
fn read_only(path: &Path) -> Result<(), String> {
    if !path.exists() {
        return Ok(());
    }
    let make = || {
        let tree = tree(path)?;
        set_attributes(tree.as_raw_fd(), "", libc::MOUNT_ATTR_RDONLY, libc::AT_RECURSIVE)?;
        Ok::<_, io::Error>(move_mount(
            &tree,
            "",
            CWD,
            path,
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )?)
    };
    make().map_err(context("make read-only", path))
}

/// Hides what is at `path`, if it is there: a folder under an empty one, a file under `/dev/null`.
fn mask(path: &Path) -> Result<(), String> {
    let Ok(meta) = fs::metadata(path) else {
        return Ok(());
    };
    let hide = || {
        if meta.is_dir() {
            return Ok(mount("tmpfs", path, "tmpfs", MountFlags::RDONLY, None)?);
        }
        let null = tree(Path::new("/dev/null"))?;
        Ok::<_, io::Error>(move_mount(
            &null,
            "",
            CWD,
            path,
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
        )?)
    };
    hide().map_err(context("mask", path))
}

fn read_only_mount(point: &Path) -> io::Result<()> {
    let path = point.to_str().ok_or(io::ErrorKind::InvalidInput)?;
    set_attributes(CWD.as_raw_fd(), path, libc::MOUNT_ATTR_RDONLY, 0)
}

fn set_attributes(fd: i32, path: &str, set: u64, flags: libc::c_int) -> io::Result<()> {
    if set == 0 {
        return Ok(());
    }
    let attributes = libc::mount_attr {
        attr_set: set,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    mount_setattr(fd, path, flags, &attributes)
}

fn set_propagation(fd: i32, propagation: libc::c_ulong) -> io::Result<()> {
    let attributes = libc::mount_attr {
        attr_set: 0,
        attr_clr: 0,
        propagation,
        userns_fd: 0,
    };
    mount_setattr(fd, "", libc::AT_RECURSIVE, &attributes)
}

fn mount_setattr(fd: i32, path: &str, flags: libc::c_int, attributes: &libc::mount_attr) -> io::Result<()> {
    let flags = if path.is_empty() {
        flags | libc::AT_EMPTY_PATH
    } else {
        flags
    };
    let path = CString::new(path)?;
    let size = size_of::<libc::mount_attr>();
    #[expect(unsafe_code, reason = "mount_setattr(2) has no safe wrapper")]
    // SAFETY: both pointers are to live values; the size is that of the structure.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd,
            path.as_ptr(),
            flags,
            attributes as *const _,
            size,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
