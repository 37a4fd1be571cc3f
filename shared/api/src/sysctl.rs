//! Kernel parameters that a pod may set for itself without harm to others (upstream: `pkg/kubelet/sysctl/safe_sysctls.go`
//! and `pod-security-admission/policy/check_sysctls.go`).

/// Each with the minor release from which on the Pod Security Standards count it as safe; kubelets take them all.
pub const SAFE: [(&str, u32); 14] = [
    ("kernel.shm_rmid_forced", 0),
    ("net.ipv4.ip_local_port_range", 0),
    ("net.ipv4.tcp_syncookies", 0),
    ("net.ipv4.ping_group_range", 0),
    ("net.ipv4.ip_unprivileged_port_start", 0),
    ("net.ipv4.ip_local_reserved_ports", 27),
    ("net.ipv4.tcp_keepalive_time", 29),
    ("net.ipv4.tcp_fin_timeout", 29),
    ("net.ipv4.tcp_keepalive_intvl", 29),
    ("net.ipv4.tcp_keepalive_probes", 29),
    ("net.ipv4.tcp_rmem", 32),
    ("net.ipv4.tcp_wmem", 32),
    ("net.ipv4.tcp_slow_start_after_idle", 37),
    ("net.ipv4.tcp_notsent_lowat", 37),
];

/// Whether `name`, with dots between its parts, is safe by the standards of the minor release `of`.
pub fn is_safe(name: &str, of: u32) -> bool {
    SAFE.iter().any(|(safe, since)| *safe == name && *since <= of)
}
