//! Control groups, version 1, 2 and both beside each other.

use crate::edge::Resources;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// The hierarchies of this machine and the group under which all of ours stand.
#[derive(Clone, Debug)]
pub(crate) struct Cgroups {
    root: String,
    /// Mount points: of version 1 by controller, and of version 2 when it is the only one.
    v1: BTreeMap<String, PathBuf>,
    v2: Option<PathBuf>,
}

/// Version 1 controllers that a container is put in. `cpuset` is left out: a new group of it is unusable until filled.
const V1_CONTROLLERS: [&str; 8] = [
    "cpu", "cpuacct", "memory", "pids", "devices", "blkio", "freezer", "hugetlb",
];

/// Devices that a container may use, in the words of the version 1 controller.
const DEVICES: [&str; 10] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
];

/// What a group uses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    pub cpu_nanos: u64,
    pub memory_working_set: u64,
    pub memory_rss: u64,
}

impl Cgroups {
    /// Looks at the machine. `root` is the group under which all of ours stand, such as `/ferrokube`.
    pub(crate) fn detect(root: &str) -> io::Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        Self::from_mounts(root, &mounts)
    }

    fn from_mounts(root: &str, mounts: &str) -> io::Result<Self> {
        let (mut v1, mut v2) = (BTreeMap::new(), None);
        for line in mounts.lines() {
            let Some((left, right)) = line.split_once(" - ") else {
                continue;
            };
            let Some(point) = left.split(' ').nth(4) else {
                continue;
            };
            let mut fields = right.split(' ');
            match fields.next() {
                Some("cgroup2") => v2 = v2.or_else(|| Some(PathBuf::from(point))),
                Some("cgroup") => {
                    for option in fields.nth(1).unwrap_or_default().split(',') {
                        if V1_CONTROLLERS.contains(&option) {
                            v1.entry(option.to_owned())
                                .or_insert_with(|| PathBuf::from(point));
                        }
                    }
                }
                _ => {}
            }
        }
        // Beside version 1, version 2 has no controllers worth having.
        let v2 = v2.filter(|_| v1.is_empty());
        if v1.is_empty() && v2.is_none() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "no cgroup file system is mounted",
            ));
        }
        Ok(Self {
            root: root.trim_end_matches('/').to_owned(),
            v1,
            v2,
        })
    }

    /// Whether version 2 is in charge.
    pub(crate) fn unified(&self) -> bool {
        self.v2.is_some()
    }

    /// What a container mounts to see its own group: (where, file system, options).
    pub(crate) fn mounts_inside(&self) -> Vec<(PathBuf, String, String)> {
        let top = PathBuf::from("/sys/fs/cgroup");
        if self.unified() {
            return vec![(top, "cgroup2".to_owned(), String::new())];
        }
        let mut by_mount: BTreeMap<&PathBuf, Vec<&str>> = BTreeMap::new();
        self.v1
            .iter()
            .for_each(|(controller, mount)| by_mount.entry(mount).or_default().push(controller));
        let inside = by_mount.into_iter().filter_map(|(mount, controllers)| {
            Some((
                top.join(mount.file_name()?),
                "cgroup".to_owned(),
                controllers.join(","),
            ))
        });
        std::iter::once((top.clone(), "tmpfs".to_owned(), "mode=755".to_owned()))
            .chain(inside)
            .collect()
    }

    /// The folders of the group `path`, one a hierarchy.
    pub(crate) fn dirs(&self, path: &str) -> Vec<PathBuf> {
        let relative = format!("{}/{}", self.root, path.trim_matches('/'));
        let relative = relative.trim_matches('/');
        let mut dirs: Vec<PathBuf> = self
            .v1
            .values()
            .chain(&self.v2)
            .map(|mount| mount.join(relative))
            .collect();
        dirs.sort();
        dirs.dedup();
        dirs
    }

    fn dir(&self, controller: &str, path: &str) -> Option<PathBuf> {
        let mount = self.v2.as_ref().or_else(|| self.v1.get(controller))?;
        Some(mount.join(format!("{}/{}", self.root, path.trim_matches('/')).trim_matches('/')))
    }

    /// Makes the group `path` with limits.
    pub(crate) fn create(&self, path: &str, resources: &Resources) -> io::Result<()> {
        for dir in self.dirs(path) {
            fs::create_dir_all(&dir)?;
        }
        if let Some(mount) = &self.v2 {
            delegate(mount, &self.dirs(path)[0])?;
        }
        let huge = resources.huge_pages.iter().map(|(size, bytes)| {
            let file = if self.unified() { "max" } else { "limit_in_bytes" };
            ("hugetlb", format!("hugetlb.{size}.{file}"), bytes.to_string())
        });
        let usual = self
            .limits(resources)
            .into_iter()
            .map(|(c, file, value)| (c, file.to_owned(), value));
        for (controller, file, value) in usual.chain(huge) {
            let dir = self.dir(controller, path).filter(|dir| dir.join(&file).exists());
            match dir {
                Some(dir) => set(&dir.join(&file), &value)?,
                None if file.contains("swap") || file.contains("memsw") => {}
                None => {
                    let text = format!("cgroup controller {controller} is not available ({file})");
                    return Err(io::Error::new(io::ErrorKind::Unsupported, text));
                }
            }
        }
        Ok(())
    }

    /// Gives the group `path` other limits of CPU and memory.
    pub(crate) fn update(&self, path: &str, resources: &Resources) -> io::Result<()> {
        let mut left = self.limits(resources);
        if resources.cpu_quota <= 0 {
            left.push(match self.unified() {
                true => ("cpu", "cpu.max", "max 100000".to_owned()),
                false => ("cpu", "cpu.cfs_quota_us", "-1".to_owned()),
            });
        }
        if resources.memory_limit <= 0 {
            let files = match self.unified() {
                true => [("memory.swap.max", "0"), ("memory.max", "max")],
                false => [
                    ("memory.memsw.limit_in_bytes", "-1"),
                    ("memory.limit_in_bytes", "-1"),
                ],
            };
            left.extend(files.map(|(file, value)| ("memory", file, value.to_owned())));
        }
        left.retain(|(controller, file, _)| {
            self.dir(controller, path)
                .is_some_and(|dir| dir.join(file).exists())
        });
        // What must be written first depends on whether a limit grows: memory before memory and swap, or after it.
        loop {
            let before = left.len();
            let mut failed = Ok(());
            left.retain(|(controller, file, value)| {
                let dir = self.dir(controller, path).unwrap_or_default();
                let written = set(&dir.join(file), value);
                let again = written.is_err();
                if again {
                    failed = written;
                }
                again
            });
            if left.is_empty() || left.len() == before {
                return failed;
            }
        }
    }

    /// The files that say `resources`, in the order in which they must be written.
    fn limits(&self, r: &Resources) -> Vec<(&'static str, &'static str, String)> {
        let mut files = Vec::new();
        let period = if r.cpu_period == 0 { 100_000 } else { r.cpu_period };
        let v2 = self.unified();
        if r.cpu_shares > 0 && v2 {
            let shares = r.cpu_shares.clamp(2, 262_144);
            files.push((
                "cpu",
                "cpu.weight",
                (1 + ((shares - 2) * 9999) / 262_142).to_string(),
            ));
        } else if r.cpu_shares > 0 {
            files.push(("cpu", "cpu.shares", r.cpu_shares.to_string()));
        }
        if r.cpu_quota > 0 && v2 {
            files.push(("cpu", "cpu.max", format!("{} {period}", r.cpu_quota)));
        } else if r.cpu_quota > 0 {
            files.push(("cpu", "cpu.cfs_period_us", period.to_string()));
            files.push(("cpu", "cpu.cfs_quota_us", r.cpu_quota.to_string()));
        }
        if r.memory_limit > 0 && v2 {
            files.push(("memory", "memory.max", r.memory_limit.to_string()));
            files.push(("memory", "memory.swap.max", "0".to_owned()));
        } else if r.memory_limit > 0 {
            files.push(("memory", "memory.limit_in_bytes", r.memory_limit.to_string()));
            files.push((
                "memory",
                "memory.memsw.limit_in_bytes",
                r.memory_limit.to_string(),
            ));
        }
        if r.pids_limit > 0 {
            files.push(("pids", "pids.max", r.pids_limit.to_string()));
        }
        files
    }

    /// Lets what is in the group `path` use only the usual devices.
    pub(crate) fn restrict_devices(&self, path: &str) -> io::Result<()> {
        if self.unified() {
            return crate::device_filter::attach(&self.dirs(path)[0]);
        }
        let Some(dir) = self.dir("devices", path) else {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "cgroup controller devices is not available",
            ));
        };
        set(&dir.join("devices.deny"), "a")?;
        DEVICES
            .iter()
            .try_for_each(|rule| set(&dir.join("devices.allow"), rule))
    }

    /// Removes the group `path` with those in it; what is in use stays and is an error.
    pub(crate) fn remove(&self, path: &str) -> io::Result<()> {
        self.dirs(path).iter().try_for_each(|dir| remove_tree(dir))
    }

    /// Removes all groups of ours that nothing is in, but for those of pods; true when none is left.
    pub(crate) fn prune(&self) -> bool {
        // Without a root of our own we cannot tell whose a group is.
        self.root.is_empty() || self.dirs("").iter().filter(|dir| !prune_tree(dir)).count() == 0
    }

    /// What the group `path` uses.
    pub(crate) fn usage(&self, path: &str) -> io::Result<Usage> {
        let memory = self.dir("memory", path).unwrap_or_default();
        if self.unified() {
            let stat = keyed(&memory.join("memory.stat"))?;
            let total = number(&memory.join("memory.current"))?;
            let cpu = keyed(&memory.join("cpu.stat"))?;
            return Ok(Usage {
                cpu_nanos: cpu.get("usage_usec").copied().unwrap_or_default() * 1000,
                memory_working_set: total
                    .saturating_sub(stat.get("inactive_file").copied().unwrap_or_default()),
                memory_rss: stat.get("anon").copied().unwrap_or_default(),
            });
        }
        let stat = keyed(&memory.join("memory.stat"))?;
        let total = number(&memory.join("memory.usage_in_bytes"))?;
        let cpu = self.dir("cpuacct", path).unwrap_or_default();
        Ok(Usage {
            cpu_nanos: number(&cpu.join("cpuacct.usage"))?,
            memory_working_set: total
                .saturating_sub(stat.get("total_inactive_file").copied().unwrap_or_default()),
            memory_rss: stat.get("total_rss").copied().unwrap_or_default(),
        })
    }
}

/// Puts the calling process into the group with these folders.
pub(crate) fn join(dirs: &[PathBuf]) -> io::Result<()> {
    dirs.iter()
        .try_for_each(|dir| set(&dir.join("cgroup.procs"), "0"))
}

/// Kills every process in the group with these folders, and in those under it.
pub(crate) fn kill(dirs: &[PathBuf]) {
    for dir in dirs {
        if fs::write(dir.join("cgroup.kill"), "1").is_err() {
            processes(dir).into_iter().for_each(|pid| {
                let _ = nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(pid),
                    nix::sys::signal::Signal::SIGKILL,
                );
            });
        }
    }
}

/// The processes in the group with this folder, and in those under it.
pub(crate) fn processes(dir: &Path) -> Vec<i32> {
    let own = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    let mut pids: Vec<i32> = own
        .lines()
        .filter_map(|line| line.parse().ok())
        .filter(|pid| *pid > 0)
        .collect();
    subfolders(dir)
        .iter()
        .for_each(|below| pids.extend(processes(below)));
    pids
}

/// How many processes of the group with these folders were killed for want of memory.
pub(crate) fn oom_kills(dirs: &[PathBuf]) -> u64 {
    let files = dirs
        .iter()
        .flat_map(|dir| [dir.join("memory.events"), dir.join("memory.oom_control")]);
    files
        .filter_map(|file| keyed(&file).ok())
        .filter_map(|keys| keys.get("oom_kill").copied())
        .max()
        .unwrap_or(0)
}

/// Turns on the controllers from the root down to above `dir`.
fn delegate(mount: &Path, dir: &Path) -> io::Result<()> {
    let relative = dir.strip_prefix(mount).unwrap_or(Path::new(""));
    let mut at = mount.to_owned();
    for part in relative.components() {
        let there = fs::read_to_string(at.join("cgroup.controllers"))?;
        for controller in ["cpu", "memory", "pids", "hugetlb"]
            .iter()
            .filter(|c| there.split_whitespace().any(|t| t == **c))
        {
            set(&at.join("cgroup.subtree_control"), &format!("+{controller}"))?;
        }
        at.push(part);
    }
    Ok(())
}

fn remove_tree(dir: &Path) -> io::Result<()> {
    subfolders(dir).iter().try_for_each(|below| remove_tree(below))?;
    match fs::remove_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io::Error::new(
            error.kind(),
            format!("{}: {error}", dir.display()),
        )),
        _ => Ok(()),
    }
}

fn prune_tree(dir: &Path) -> bool {
    // A pod's group goes with its pod: an empty one here is a pod that another cluster of this machine is starting.
    let pods = |dir: &&PathBuf| {
        dir.file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"pod"))
    };
    let left = subfolders(dir)
        .iter()
        .filter(|below| pods(below) || !prune_tree(below))
        .count();
    left == 0 && fs::remove_dir(dir).map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |()| true)
}

fn subfolders(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn set(file: &Path, value: &str) -> io::Result<()> {
    fs::write(file, value).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("writing {value:?} to {}: {error}", file.display()),
        )
    })
}

fn number(file: &Path) -> io::Result<u64> {
    fs::read_to_string(file)?.trim().parse().map_err(io::Error::other)
}

fn keyed(file: &Path) -> io::Result<BTreeMap<String, u64>> {
    let text = fs::read_to_string(file)?;
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    Ok(pairs
        .filter_map(|(key, value)| Some((key.to_owned(), value.trim().parse().ok()?)))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
        35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn version_1_wins_where_both_are() {
        let groups = Cgroups::from_mounts("/ferrokube", HYBRID).unwrap();
        assert!(!groups.unified());
        let dirs = groups.dirs("/kubepods/podX");
        assert_eq!(
            dirs[0],
            PathBuf::from("/sys/fs/cgroup/cpu/ferrokube/kubepods/podX")
        );
        assert_eq!(dirs.len(), 2);
    }

    #[test]
    fn pruning_leaves_the_groups_of_pods() {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir_all(top.path().join("kubepods/besteffort/podX")).unwrap();
        fs::create_dir_all(top.path().join("supervisors/1")).unwrap();
        assert!(!prune_tree(top.path()));
        assert!(top.path().join("kubepods/besteffort/podX").exists());
        assert!(!top.path().join("supervisors").exists());
        fs::remove_dir(top.path().join("kubepods/besteffort/podX")).unwrap();
        assert!(prune_tree(top.path()));
    }

    #[test]
    fn version_2_limits() {
        let groups =
            Cgroups::from_mounts("/", "41 31 0:38 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n").unwrap();
        assert_eq!(groups.dirs("/a"), [PathBuf::from("/sys/fs/cgroup/a")]);
        let limits = Resources {
            cpu_shares: 1024,
            cpu_quota: 50_000,
            memory_limit: 1 << 20,
            pids_limit: 7,
            ..Resources::default()
        };
        let files: Vec<_> = groups
            .limits(&limits)
            .into_iter()
            .map(|(_, f, v)| format!("{f}={v}"))
            .collect();
        let want = [
            "cpu.weight=39",
            "cpu.max=50000 100000",
            "memory.max=1048576",
            "memory.swap.max=0",
            "pids.max=7",
        ];
        assert_eq!(files, want);
    }
}
