//! The atomic writer: files stand in a time-stamped directory, `..data` links to it, and each name links through
//! `..data`; replacing that one link replaces all of them at once (upstream: `pkg/volume/util/atomic_writer.go`).

use super::{File, Files};
use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::{PermissionsExt, chown, symlink},
    path::{Component, Path},
};

const DATA: &str = "..data";

pub(super) fn publish(dir: &Path, files: &Files, group: Option<i64>) -> io::Result<()> {
    if let Some(bad) = files.keys().find(|path| !valid(path)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("invalid path {bad:?}"),
        ));
    }
    let current = fs::read_link(dir.join(DATA)).ok();
    if let Some(current) = &current
        && same(&dir.join(current), files)
    {
        return Ok(());
    }
    let serial = current
        .as_ref()
        .and_then(|c| c.to_str()?.strip_prefix("..v")?.parse::<u64>().ok())
        .unwrap_or(0)
        + 1;
    let name = format!("..v{serial:010}");
    let fresh = dir.join(&name);
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir(&fresh)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o755))?;
    for (path, file) in files {
        write(&fresh, path, file)?;
    }
    if let Some(group) = group.and_then(|g| u32::try_from(g).ok()) {
        super::owner::set_group(&fresh, group, true, false)?;
    }
    let link = dir.join("..data_tmp");
    if link.symlink_metadata().is_ok() {
        fs::remove_file(&link)?;
    }
    symlink(&name, &link)?;
    fs::rename(&link, dir.join(DATA))?;
    link_names(dir, files)?;
    if let Some(old) = current {
        fs::remove_dir_all(dir.join(old))?;
    }
    Ok(())
}

fn valid(path: &str) -> bool {
    let normal = Path::new(path)
        .components()
        .all(|c| matches!(c, Component::Normal(_)));
    normal && !path.is_empty() && !path.starts_with("..")
}

fn same(current: &Path, files: &Files) -> bool {
    let mut found = 0;
    let equal = files.iter().all(|(path, file)| {
        found += 1;
        let path = current.join(path);
        let mode = fs::metadata(&path).map(|m| m.permissions().mode() & 0o777);
        fs::read(&path).is_ok_and(|bytes| bytes == file.bytes)
            && mode.is_ok_and(|mode| mode & file.mode == file.mode & 0o777)
    });
    equal && found == count(current)
}

fn count(dir: &Path) -> usize {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|e| {
            if e.file_type().is_ok_and(|t| t.is_dir()) {
                count(&e.path())
            } else {
                1
            }
        })
        .sum()
}

fn write(dir: &Path, path: &str, file: &File) -> io::Result<()> {
    let target = dir.join(path);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(&target, &file.bytes)?;
    if file.user.is_some() {
        chown(&target, file.user, None)?;
    }
    fs::set_permissions(&target, fs::Permissions::from_mode(file.mode))
}

/// One link a name at the top of the directory; links of names that are no longer there go.
fn link_names(dir: &Path, files: &Files) -> io::Result<()> {
    let names: BTreeSet<&str> = files.keys().filter_map(|path| path.split('/').next()).collect();
    for name in &names {
        let link = dir.join(name);
        if link.symlink_metadata().is_err() {
            symlink(Path::new(DATA).join(name), &link)?;
        }
    }
    for entry in fs::read_dir(dir)?.flatten() {
        let name = entry.file_name();
        let ours = entry.file_type().is_ok_and(|t| t.is_symlink()) && name != DATA;
        if ours && name.to_str().is_some_and(|n| !names.contains(n)) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(list: &[(&str, &str)]) -> Files {
        let file = |content: &str| File {
            bytes: content.as_bytes().to_vec(),
            mode: 0o644,
            user: None,
        };
        list.iter()
            .map(|(path, content)| ((*path).to_owned(), file(content)))
            .collect()
    }

    #[test]
    fn all_files_change_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        publish(dir, &files(&[("a", "1"), ("sub/b", "2")]), None).unwrap();
        let first = fs::read_link(dir.join(DATA)).unwrap();
        assert_eq!(fs::read_to_string(dir.join("a")).unwrap(), "1");
        assert_eq!(fs::read_to_string(dir.join("sub/b")).unwrap(), "2");
        publish(dir, &files(&[("a", "1"), ("sub/b", "2")]), None).unwrap();
        assert_eq!(
            fs::read_link(dir.join(DATA)).unwrap(),
            first,
            "equal content is left alone"
        );
        publish(dir, &files(&[("a", "3"), ("c", "4")]), None).unwrap();
        assert_eq!(fs::read_to_string(dir.join("a")).unwrap(), "3");
        assert!(dir.join("sub").symlink_metadata().is_err());
        assert!(!dir.join(first).exists());
    }

    #[test]
    fn no_path_leaves_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        for bad in ["../x", "/etc/passwd", "", "..data", "a/../../b"] {
            assert!(publish(dir.path(), &files(&[(bad, "x")]), None).is_err(), "{bad}");
        }
    }
}
