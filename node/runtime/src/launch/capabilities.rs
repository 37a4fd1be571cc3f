//! Capabilities by name.

/// All, in the kernel's order.
#[rustfmt::skip]
const NAMES: [&str; 41] = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
];

/// What a container has when nothing is said: containerd's set.
#[rustfmt::skip]
const DEFAULT: [&str; 14] = [
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

/// Every capability.
pub(crate) fn all() -> Vec<&'static str> {
    NAMES.to_vec()
}

/// The default set with `add` added and `drop` taken away; names with or without `CAP_`, `ALL` for all. A single name
/// wins over `ALL`, as in containerd.
pub(crate) fn resolve(add: &[String], drop: &[String]) -> Result<Vec<&'static str>, String> {
    let (add_all, add) = parse(add)?;
    let (drop_all, drop) = parse(drop)?;
    let base = match (add_all, drop_all) {
        (true, _) => NAMES.to_vec(),
        (false, true) => Vec::new(),
        (false, false) => DEFAULT.to_vec(),
    };
    let mut set: Vec<&str> = base
        .into_iter()
        .chain(add)
        .filter(|name| !drop.contains(name))
        .collect();
    set.sort_unstable();
    set.dedup();
    Ok(set)
}

/// Whether `ALL` is among `names`, and the others.
fn parse(names: &[String]) -> Result<(bool, Vec<&'static str>), String> {
    let (mut all, mut set) = (false, Vec::new());
    for name in names {
        let upper = name.to_ascii_uppercase();
        let full = if upper.starts_with("CAP_") {
            upper
        } else {
            format!("CAP_{upper}")
        };
        match NAMES.iter().find(|known| **known == full) {
            Some(known) => set.push(*known),
            None if full == "CAP_ALL" => all = true,
            None => return Err(format!("unknown capability {name:?}")),
        }
    }
    Ok((all, set))
}

/// The kernel's bits of `names`.
pub(super) fn bits(names: &[String]) -> u64 {
    let set = NAMES
        .iter()
        .enumerate()
        .filter(|(_, name)| names.iter().any(|n| n == *name));
    set.fold(0, |bits, (at, _)| bits | 1 << at)
}

/// Names of `bits`.
pub(super) fn names(bits: u64) -> Vec<&'static str> {
    NAMES
        .iter()
        .enumerate()
        .filter(|(at, _)| bits & (1 << at) != 0)
        .map(|(_, name)| *name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(add: &[&str], drop: &[&str]) -> Vec<&'static str> {
        let own = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        resolve(&own(add), &own(drop)).unwrap()
    }

    #[test]
    fn sets() {
        assert_eq!(resolved(&[], &[]).len(), 14);
        assert_eq!(
            resolved(&["NET_BIND_SERVICE"], &["ALL"]),
            ["CAP_NET_BIND_SERVICE"]
        );
        assert_eq!(resolved(&["all"], &["CAP_CHOWN"]).len(), 40);
        assert!(resolve(&["FLY".to_owned()], &[]).is_err());
    }
}
