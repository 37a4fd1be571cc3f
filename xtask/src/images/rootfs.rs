//! The contents of the layers: files of Debian packages, and the little that packages leave to their install scripts.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use e2e::process;

use super::recipes::{LAYERS, Layer};
use crate::apt;

/// Packages that serve to install others, or that nothing in an image calls.
const LEAVE: &[&str] = &[
    "cdebconf",
    "debconf",
    "dpkg",
    "gawk",
    "init-system-helpers",
    "install-info",
    "iproute2",
    "mawk",
    "perl",
    "tar",
];

/// Folders of packages that an image does not need.
const UNUSED: &[&str] = &[
    "usr/share/doc",
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
];

/// Makes every layer as a folder of its name, below `scratch`.
pub fn build(scratch: &Path) -> Result<PathBuf> {
    let roots = scratch.join("roots");
    for layer in LAYERS {
        let root = roots.join(layer.name);
        let mut below = BTreeSet::new();
        for name in stack(layer.on)? {
            below.extend(apt::closure(find(name)?.packages, LEAVE)?);
        }
        let leave: Vec<&str> = LEAVE
            .iter()
            .filter(|name| !layer.packages.contains(name))
            .copied()
            .collect();
        fs::create_dir_all(&root)?;
        let packages = &apt::closure(layer.packages, &leave)? - &below;
        if !packages.is_empty() {
            unpack(&packages, scratch, &root)?;
        }
        finish(layer, &root).with_context(|| format!("layer {}", layer.name))?;
        check(layer, &roots, scratch)?;
    }
    Ok(roots)
}

/// A layer and those below it, the lowest first.
pub fn stack(name: &'static str) -> Result<Vec<&'static str>> {
    let mut stack = Vec::new();
    let mut name = name;
    while !name.is_empty() {
        stack.insert(0, name);
        name = find(name)?.on;
    }
    Ok(stack)
}

fn find(name: &str) -> Result<&'static Layer> {
    let found = LAYERS.iter().find(|layer| layer.name == name);
    found.with_context(|| format!("no layer {name}"))
}

fn finish(layer: &Layer, root: &Path) -> Result<()> {
    match layer.name {
        "base" => finish_base(root)?,
        "busybox" => finish_busybox(root)?,
        _ => {}
    }
    for (path, text) in layer.files {
        write(&root.join(path), text)?;
    }
    for (path, text) in layer.programs {
        write(&root.join(path), text)?;
        fs::set_permissions(root.join(path), fs::Permissions::from_mode(0o755))?;
    }
    for (path, target) in layer.links {
        let path = root.join(path);
        fs::create_dir_all(path.parent().context("a link without a folder")?)?;
        symlink(target, path)?;
    }
    for path in layer.folders {
        fs::create_dir_all(root.join(path))?;
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::create_dir_all(file.parent().context("a file without a folder")?)?;
    fs::write(file, text).with_context(|| format!("write {}", file.display()))
}

fn unpack(packages: &BTreeSet<String>, scratch: &Path, root: &Path) -> Result<()> {
    for name in ["bin", "sbin", "lib", "lib64"] {
        fs::create_dir_all(root.join("usr").join(name))?;
        symlink(format!("usr/{name}"), root.join(name))?;
    }
    for file in apt::download(packages, &scratch.join("packages"))? {
        apt::unpack(&file, root)?;
    }
    for name in UNUSED {
        let _ = fs::remove_dir_all(root.join(name));
    }
    Ok(())
}

fn finish_base(root: &Path) -> Result<()> {
    for name in ["passwd", "group"] {
        fs::copy(
            root.join("usr/share/base-passwd").join(format!("{name}.master")),
            root.join("etc").join(name),
        )?;
    }
    write(
        &root.join("etc/nsswitch.conf"),
        "passwd: files\ngroup: files\nhosts: files dns\n",
    )?;
    for name in ["dev", "proc", "run", "sys", "tmp", "root"] {
        fs::create_dir_all(root.join(name))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    if !root.join("bin/sh").exists() {
        symlink("dash", root.join("bin/sh"))?;
    }
    Ok(())
}

/// As the public image has it: one program, and a hard link to it for each of its commands.
fn finish_busybox(root: &Path) -> Result<()> {
    let program = root.join("bin/busybox");
    for name in process::output(Command::new(&program).arg("--list"))?
        .lines()
        .filter(|name| *name != "busybox")
    {
        fs::hard_link(&program, root.join("bin").join(name)).with_context(|| format!("link {name}"))?;
    }
    write(
        &root.join("etc/passwd"),
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n",
    )?;
    write(&root.join("etc/group"), "root:x:0:\nnogroup:x:65534:\n")?;
    for name in ["dev", "home", "proc", "root", "sys", "tmp", "var"] {
        fs::create_dir_all(root.join(name))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).context("open /tmp")
}

/// Runs the layer's check in the root that it makes with those below it.
fn check(layer: &'static Layer, roots: &Path, scratch: &Path) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let whole = scratch.join("whole").join(layer.name);
    for name in stack(layer.name)? {
        let script = r#"set -e; mkdir -p "$1"; tar -C "$0" -c . | tar -C "$1" -x --keep-directory-symlink"#;
        process::output(
            Command::new("bash")
                .args(["-o", "pipefail", "-c", script])
                .arg(roots.join(name))
                .arg(&whole),
        )?;
    }
    write(&whole.join("dev/null"), "")?;
    let done = process::run(Command::new("chroot").arg(&whole).args(layer.check), "")?;
    ensure!(
        done.code == 0,
        "{:?} in the layer {} ended with {}: {}",
        layer.check,
        layer.name,
        done.code,
        done.stderr
    );
    fs::remove_dir_all(whole).context("remove the root of a check")
}
