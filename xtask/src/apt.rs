//! Installing what the tests need on Debian, and fetching packages without installing them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, bail};
use e2e::process;

/// What tests use: a program, the Debian package that has it, and what for.
pub const NEEDS: &[(&str, &str, &str)] = &[
    ("ip", "iproute2", "namespaces and links of the tests"),
    ("nsenter", "util-linux", "running programs in namespaces"),
    ("nft", "nftables", "comparing rules with what nft reads"),
    ("busybox", "busybox-static", "programs of the images of tests"),
    ("openssl", "openssl", "a certificate signing request"),
    ("curl", "curl", "asking kubectl proxy"),
    ("python3", "python3", "unpacking kubectl"),
    ("etcd", "etcd-server", "a store that is not ours"),
    ("etcdctl", "etcd-client", "asking our store as its users do"),
];

/// Installs what is missing if root, and says so; else says what to install.
pub fn install(needs: &[(&str, &str, &str)]) -> Result<()> {
    let missing: Vec<_> = needs
        .iter()
        .filter(|(program, _, _)| process::find(program).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: BTreeSet<&str> = missing.iter().map(|(_, package, _)| *package).collect();
    let names = packages.iter().copied().collect::<Vec<_>>().join(" ");
    for (program, package, why) in &missing {
        println!("missing: {program} (package {package}): {why}");
    }
    if !rustix::process::geteuid().is_root() || process::find("apt-get").is_none() {
        bail!("install these first, as root: apt-get install {names}");
    }
    update()?;
    println!("installing with apt-get: {names}");
    let mut command = Command::new("apt-get");
    command
        .args(["install", "--yes", "--quiet", "--no-install-recommends"])
        .args(packages);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    process::output(&mut command).map(drop)
}

/// Reads the package lists anew, once a run.
fn update() -> Result<()> {
    static DONE: OnceLock<()> = OnceLock::new();
    if DONE.set(()).is_ok() && rustix::process::geteuid().is_root() {
        println!("reading package lists: apt-get update");
        process::output(Command::new("apt-get").args(["update", "--quiet"]))?;
    }
    Ok(())
}

/// Packages and all they depend on, without those of `leave` and what only those need.
pub fn closure(packages: &[&str], leave: &[&str]) -> Result<BTreeSet<String>> {
    let mut all: BTreeSet<String> = BTreeSet::new();
    let mut new: BTreeSet<String> = packages.iter().map(|name| (*name).to_owned()).collect();
    while !new.is_empty() {
        all.extend(new.iter().cloned());
        let ask = || {
            process::output(
                Command::new("apt-cache")
                    .arg("depends")
                    .arg("--important")
                    .args(&new),
            )
        };
        // A machine made from an image often has no package lists.
        let asked = ask().or_else(|_| update().and_then(|()| ask()))?;
        let wanted = first_choices(&asked);
        new = wanted
            .into_iter()
            .filter(|name| !all.contains(name) && !leave.contains(&name.as_str()))
            .collect();
    }
    Ok(all)
}

/// Of the answer of `apt-cache depends`, each dependency; of alternatives (lines with a bar) the first.
fn first_choices(answer: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut chosen = false;
    for line in answer.lines() {
        let line = line.trim_start();
        let (bar, line) = line.strip_prefix('|').map_or((false, line), |rest| (true, rest));
        let Some((_, name)) = line.split_once("Depends: ") else {
            continue;
        };
        if !chosen && !name.starts_with('<') {
            found.push(name.to_owned());
        }
        chosen = bar;
    }
    found
}

/// Fetches packages into `folder` (those that lie there already are kept), and gives their files in the order of the names.
pub fn download(packages: &BTreeSet<String>, folder: &Path) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder)?;
    let fetch = || {
        let mut command = Command::new("apt-get");
        command
            .args(["download", "--quiet"])
            .args(packages)
            .current_dir(folder);
        process::output(&mut command)
    };
    // The lists of a fresh or an old machine name packages that the mirror has no more.
    if fetch().is_err() {
        update()?;
        fetch().context("fetch Debian packages")?;
    }
    packages.iter().map(|name| newest(folder, name)).collect()
}

fn newest(folder: &Path, package: &str) -> Result<PathBuf> {
    let prefix = format!("{package}_");
    let files = std::fs::read_dir(folder)?.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let files = files.filter(|path| {
        path.file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(&prefix))
            && path.extension().is_some_and(|end| end == "deb")
    });
    files
        .max_by_key(|path| path.metadata().and_then(|data| data.modified()).ok())
        .with_context(|| format!("apt-get download left no file of {package}"))
}

/// Unpacks a package's files into `folder`, through links to directories that stand there (as /lib to /usr/lib).
pub fn unpack(package: &Path, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let script =
        r#"set -e; dpkg-deb --fsys-tarfile "$0" | tar --extract --keep-directory-symlink --directory "$1""#;
    process::output(
        Command::new("bash")
            .args(["-o", "pipefail", "-c", script])
            .arg(package)
            .arg(folder),
    )
    .map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_first_of_alternatives() {
        let answer = "nginx\n  PreDepends: dpkg\n |Depends: mawk\n |Depends: gawk\n  Depends: original-awk\n  Depends: <awk>\n  Depends: libc6\n";
        assert_eq!(first_choices(answer), ["dpkg", "mawk", "libc6"]);
    }
}
