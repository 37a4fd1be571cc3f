//! Who owns a volume: the pod's fsGroup and modes that let it in (upstream: `pkg/volume/volume_linux.go`).

use std::{
    fs, io,
    os::unix::fs::{MetadataExt, PermissionsExt, lchown},
    path::Path,
};

const WRITE: u32 = 0o660;
const READ: u32 = 0o440;
const ENTER: u32 = 0o110;
const SET_GID: u32 = 0o2000;

fn wanted(read_only: bool, is_dir: bool) -> u32 {
    let mask = if read_only { READ } else { WRITE };
    if is_dir { mask | ENTER | SET_GID } else { mask }
}

/// Gives what lies at and below `path` to `group`. With `unless_root_fits` a volume whose root is right already is left
/// alone (`OnRootMismatch`). What cannot be given is left as it is, as upstream does.
pub(super) fn set_group(path: &Path, group: u32, read_only: bool, unless_root_fits: bool) -> io::Result<()> {
    let root = fs::metadata(path)?;
    let mask = wanted(read_only, true);
    if unless_root_fits && root.is_dir() && root.gid() == group && root.mode() & mask == mask {
        return Ok(());
    }
    // Children come before their directory: a walk that broke off leaves a root that does not fit.
    let (mut todo, mut found) = (vec![path.to_owned()], Vec::new());
    while let Some(at) = todo.pop() {
        let meta = fs::symlink_metadata(&at)?;
        if meta.is_dir() {
            for entry in fs::read_dir(&at)? {
                todo.push(entry?.path());
            }
        }
        if !meta.is_symlink() {
            found.push((at, meta));
        }
    }
    for (at, meta) in found.into_iter().rev() {
        let given = lchown(&at, None, Some(group));
        let mode = (meta.mode() & 0o7777) | wanted(read_only, meta.is_dir());
        let given = given.and_then(|()| fs::set_permissions(&at, fs::Permissions::from_mode(mode)));
        if let Err(error) = given {
            tracing::warn!(path = %at.display(), %error, "fsGroup cannot be set");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_given_to_a_group() {
        let dir = tempfile::tempdir().unwrap();
        let (root, file) = (dir.path().join("v"), dir.path().join("v/sub/file"));
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let of = |path: &Path| {
            let meta = fs::metadata(path).unwrap();
            format!("{}:{:o}", meta.gid(), meta.mode() & 0o7777)
        };
        set_group(&root, 4321, false, false).unwrap();
        assert_eq!(
            (of(&root), of(&file)),
            ("4321:2775".to_owned(), "4321:660".to_owned())
        );
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        set_group(&root, 4321, false, true).unwrap();
        assert_eq!(of(&file), "4321:600", "the root fits, so nothing is changed");
        set_group(&root, 4321, true, false).unwrap();
        assert_eq!(of(&file), "4321:640");
    }
}
