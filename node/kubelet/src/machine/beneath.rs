//! Paths that must stay beneath a directory which others can write to: the kernel resolves them, and what was found is
//! held open, so that no link that is put in its place meanwhile leads out.

use super::linux::{mounts_below, unmount_below};
use nix::mount::{MsFlags, mount};
use rustix::{
    fs::{Mode, OFlags, ResolveFlags, fchmod, fstat, mkdirat, open, openat2},
    io::Errno,
};
use std::{
    fs,
    io::{self, Read},
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::{MetadataExt, PermissionsExt},
    },
    path::{Component, Path, PathBuf},
};

fn inside(path: &Path) -> io::Result<()> {
    let normal = path.components().all(|c| matches!(c, Component::Normal(_)));
    if normal && path.components().next().is_some() {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the path leads out of its directory",
        ))
    }
}

fn root(path: &Path) -> io::Result<OwnedFd> {
    Ok(open(
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?)
}

fn find(root: &OwnedFd, path: &Path, flags: OFlags, more: ResolveFlags) -> rustix::io::Result<OwnedFd> {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | more;
    openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
}

/// Finds `sub` in the volume at `volume`, makes it as a directory with the volume's own mode when it is not there, and
/// mounts it at `at`, unless it is mounted there already.
pub(super) fn bind(volume: &Path, sub: &Path, at: &Path) -> io::Result<()> {
    inside(sub)?;
    let root = root(volume)?;
    let found = match find(&root, sub, OFlags::PATH, ResolveFlags::empty()) {
        Err(Errno::NOENT) => make(&root, sub, fs::metadata(volume)?.mode() & 0o7777)?,
        other => other?,
    };
    let (stat, fd) = (fstat(&found)?, found.as_raw_fd());
    let is_dir = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir();
    if mounts_below(at)?.iter().any(|point| point == at) {
        let there = fs::metadata(at)?;
        if (there.dev(), there.ino()) == (stat.st_dev, stat.st_ino) {
            return Ok(());
        }
        unmount_below(at)?;
    }
    match fs::symlink_metadata(at) {
        Ok(meta) if meta.is_dir() && !is_dir => fs::remove_dir(at)?,
        Ok(meta) if !meta.is_dir() && is_dir => fs::remove_file(at)?,
        _ => {}
    }
    if is_dir {
        fs::create_dir_all(at)?;
    } else {
        fs::create_dir_all(at.parent().unwrap_or(Path::new("/")))?;
        fs::OpenOptions::new().create(true).append(true).open(at)?;
    }
    let (source, none) = (PathBuf::from(format!("/proc/self/fd/{fd}")), None::<&str>);
    mount(Some(&source), at, none, MsFlags::MS_BIND, none)?;
    Ok(())
}

/// What is in the file `path` of the volume, at most `limit` bytes.
pub(super) fn read(volume: &Path, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    inside(path)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK;
    let file = fs::File::from(find(&root(volume)?, path, flags, ResolveFlags::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
    }
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn make(root: &OwnedFd, sub: &Path, mode: u32) -> io::Result<OwnedFd> {
    let mut parent = find(root, Path::new("."), OFlags::PATH, ResolveFlags::empty())?;
    let mut done = PathBuf::new();
    for part in sub.components() {
        done.push(part);
        let next = match find(
            root,
            &done,
            OFlags::RDONLY | OFlags::DIRECTORY,
            ResolveFlags::empty(),
        ) {
            Err(Errno::NOENT) => {
                mkdirat(&parent, part.as_os_str(), Mode::from(0o700))?;
                let made = find(
                    &parent,
                    part.as_ref(),
                    OFlags::RDONLY | OFlags::DIRECTORY,
                    ResolveFlags::NO_SYMLINKS,
                )?;
                // Not by way of mkdir, which the umask narrows.
                fchmod(&made, Mode::from(mode))?;
                made
            }
            other => other?,
        };
        parent = next;
    }
    Ok(parent)
}

/// Removes the tree at `path`, which must lie strictly beneath `top`, with no link on the way to it and nothing mounted in
/// it. That it is gone already is well.
pub(super) fn remove(top: &Path, path: &Path) -> io::Result<()> {
    let outside = || {
        let text = format!("{} is not beneath {}", path.display(), top.display());
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    let relative = path.strip_prefix(top).map_err(|_| outside())?;
    inside(relative).map_err(|_| outside())?;
    let (Some(name), parent) = (relative.file_name(), relative.parent().unwrap_or(Path::new(""))) else {
        return Err(outside());
    };
    let root = match root(top) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    let parent = if parent.as_os_str().is_empty() {
        Path::new(".")
    } else {
        parent
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    let parent = match find(
        &root,
        parent,
        flags,
        ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV,
    ) {
        Err(Errno::NOENT) => return Ok(()),
        other => other?,
    };
    // The descriptor stands for the directory that was found; below it the standard library follows no link.
    let held = PathBuf::from(format!("/proc/self/fd/{}", parent.as_raw_fd())).join(name);
    let real = fs::read_link(format!("/proc/self/fd/{}", parent.as_raw_fd()))?.join(name);
    if let Some(point) = mounts_below(&real)?.first() {
        return Err(io::Error::new(
            io::ErrorKind::ResourceBusy,
            format!("{} is mounted", point.display()),
        ));
    }
    let removed = match fs::symlink_metadata(&held) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(&held),
        Ok(_) => fs::remove_file(&held),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes the directories of `path` that are not there, with `mode`, whatever the umask is.
pub(super) fn make_dirs(path: &Path, mode: u32) -> io::Result<()> {
    let mut missing: Vec<&Path> = path.ancestors().take_while(|p| !p.exists()).collect();
    missing.reverse();
    for dir in missing {
        match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
            Ok(()) => fs::set_permissions(dir, fs::Permissions::from_mode(mode))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Bound(tempfile::TempDir);
    impl Drop for Bound {
        fn drop(&mut self) {
            let _ = unmount_below(self.0.path());
        }
    }

    #[test]
    fn sub_paths_stay_inside() {
        let dir = Bound(tempfile::tempdir().unwrap());
        let (volume, at) = (dir.0.path().join("volume"), dir.0.path().join("bound/0"));
        fs::create_dir(&volume).unwrap();
        fs::set_permissions(&volume, fs::Permissions::from_mode(0o1777)).unwrap();
        bind(&volume, "a/b".as_ref(), &at).unwrap();
        assert_eq!(fs::metadata(volume.join("a/b")).unwrap().mode() & 0o7777, 0o1777);
        fs::write(at.join("file"), "x").unwrap();
        assert_eq!(fs::read_to_string(volume.join("a/b/file")).unwrap(), "x");
        bind(&volume, "a/b".as_ref(), &at).unwrap();
        assert_eq!(mounts_below(&at).unwrap().len(), 1, "mounted once");
        bind(&volume, "a/b/file".as_ref(), &at).unwrap();
        assert_eq!(
            fs::read_to_string(&at).unwrap(),
            "x",
            "another thing in its place"
        );
        symlink("/etc", volume.join("out")).unwrap();
        symlink("../..", volume.join("up")).unwrap();
        symlink("a", volume.join("in")).unwrap();
        for bad in ["out/passwd", "out", "up/x", "../x", "/etc", "a/../../x"] {
            assert!(bind(&volume, bad.as_ref(), &at).is_err(), "{bad}");
        }
        bind(&volume, "in/b".as_ref(), &at).unwrap();
    }

    #[test]
    fn only_what_lies_beneath_is_removed() {
        let dir = Bound(tempfile::tempdir().unwrap());
        let top = dir.0.path().join("top");
        let other = dir.0.path().join("other");
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::create_dir_all(&other).unwrap();
        fs::write(other.join("precious"), "x").unwrap();
        symlink(&other, top.join("link")).unwrap();
        symlink(&other, top.join("a/b/link")).unwrap();
        for bad in [
            top.clone(),
            other.clone(),
            top.join("../other"),
            top.join("link/precious"),
            "/".into(),
        ] {
            assert!(remove(&top, &bad).is_err(), "{}", bad.display());
        }
        let none = None::<&str>;
        fs::create_dir(top.join("a/mounted")).unwrap();
        mount(Some(&other), &top.join("a/mounted"), none, MsFlags::MS_BIND, none).unwrap();
        assert_eq!(
            remove(&top, &top.join("a")).unwrap_err().kind(),
            io::ErrorKind::ResourceBusy
        );
        unmount_below(&top).unwrap();
        remove(&top, &top.join("a")).unwrap();
        remove(&top, &top.join("a")).unwrap();
        remove(&top, &top.join("link")).unwrap();
        assert!(!top.join("a").exists() && top.exists());
        assert_eq!(fs::read_to_string(other.join("precious")).unwrap(), "x");
    }
}
