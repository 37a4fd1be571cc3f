//! What the kernel shows of a cluster: its processes and what they cost, its control groups, its mounts.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// All process ids.
pub fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The first child of a process, if it has one.
pub fn child_of(parent: u32) -> Option<u32> {
    let wanted = format!("\nPPid:\t{parent}\n");
    let is_child =
        |pid: &u32| fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|s| s.contains(&wanted));
    processes().into_iter().find(is_child)
}

/// The processes of the pid namespace that `member` is in; those of namespaces below it are not among them.
pub fn peers_of(member: u32) -> Vec<u32> {
    let namespace = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(wanted) = namespace(member) else {
        return Vec::new();
    };
    processes()
        .into_iter()
        .filter(|pid| namespace(*pid).as_ref() == Some(&wanted))
        .collect()
}

/// The processes below one, at any depth.
pub fn descendants_of(ancestor: u32) -> Vec<u32> {
    let parent = |pid: u32| -> Option<u32> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        status
            .lines()
            .find_map(|line| line.strip_prefix("PPid:"))?
            .trim()
            .parse()
            .ok()
    };
    let parents: BTreeMap<u32, u32> = processes()
        .into_iter()
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let above = |pid: u32| std::iter::successors(parents.get(&pid).copied(), |pid| parents.get(pid).copied());
    parents
        .keys()
        .copied()
        .filter(|pid| above(*pid).any(|pid| pid == ancestor))
        .collect()
}

/// The command line of a process, its words parted by spaces; empty for one that is gone.
pub fn command_line(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .replace('\0', " ")
        .trim()
        .to_owned()
}

/// The proportional share of memory of a process in bytes, and of it what is private to the process.
pub fn memory(pid: u32) -> Result<(u64, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let field = |name: &str| -> u64 {
        let lines = text.lines().filter(|line| line.starts_with(name));
        lines
            .filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok())
            .sum::<u64>()
            * 1024
    };
    Ok((field("Pss:"), field("Private_Clean:") + field("Private_Dirty:")))
}

/// The processor time of a process in hundredths of a second.
pub fn cpu_ticks(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields: Vec<&str> = text
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .collect();
    let number = |at: usize| {
        fields
            .get(at)
            .and_then(|field| field.parse::<u64>().ok())
            .unwrap_or(0)
    };
    Ok(number(11) + number(12))
}

/// The bytes that a process caused to be written to disks.
pub fn written(pid: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "))
        .context("no write_bytes")?;
    line.parse().context("read write_bytes")
}

/// Every control group below `/sys/fs/cgroup` that a node makes for its pods, in any hierarchy.
pub fn cgroups() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut folders = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().filter_map(Result::ok) {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let path = entry.path();
                let name = path.to_string_lossy();
                if name.contains("kubepods") || name.contains("ferrokube") {
                    found.insert(path.clone());
                }
                folders.push(path);
            }
        }
    }
    found
}

/// A value of the control group that a process is in, of the first of the files that its hierarchies have.
/// Version 1 and version 2 name them differently.
pub fn cgroup_value(pid: u32, files: &[&str]) -> Result<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    for line in text.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let hierarchy = controllers.strip_prefix("name=").unwrap_or(controllers);
        for root in [hierarchy, "unified", ""] {
            let folder = Path::new("/sys/fs/cgroup")
                .join(root)
                .join(path.trim_start_matches('/'));
            let value = files
                .iter()
                .find_map(|file| fs::read_to_string(folder.join(file)).ok());
            if let Some(value) = value {
                return Ok(value.trim().to_owned());
            }
        }
    }
    anyhow::bail!("process {pid} is in no control group with one of {files:?}:\n{text}")
}

/// The places where something is mounted in the mount namespace of a process.
pub fn mounts(pid: u32) -> BTreeSet<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/mounts")).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split(' ').nth(1).map(str::to_owned))
        .collect()
}
