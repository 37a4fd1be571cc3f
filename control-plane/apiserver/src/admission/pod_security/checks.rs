//! The Pod Security Standards (upstream `pod-security-admission/policy`): each rule, by level and by the release that
//! brought or changed it, with upstream's words of what breaks it.

use super::{
    pod::Pod,
    policy::{Level, Standard, Version},
    rules::{
        SE_LINUX, app_armor, capabilities_baseline, capabilities_restricted, escalation, host_namespaces,
        host_path_volumes, host_ports, host_probes, host_process, non_root, privileged, proc_mount, se_linux,
        seccomp_annotations, seccomp_baseline, seccomp_restricted, sysctls, unless_own_users, unless_windows,
        user, volumes,
    },
};

/// What a pod breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// In short.
    pub reason: String,
    /// With names.
    pub detail: String,
}

/// Says what a pod breaks.
pub(super) type Rule = fn(&Pod) -> Option<Broken>;

struct Check {
    id: &'static str,
    level: Level,
    /// From which minor release on which rule.
    rules: &'static [(u32, Rule)],
    /// The rule of the baseline that it is asked instead of.
    instead_of: &'static str,
}

const fn baseline(id: &'static str, rules: &'static [(u32, Rule)]) -> Check {
    Check {
        id,
        level: Level::Baseline,
        rules,
        instead_of: "",
    }
}

const fn restricted(id: &'static str, rules: &'static [(u32, Rule)], instead_of: &'static str) -> Check {
    Check {
        id,
        level: Level::Restricted,
        rules,
        instead_of,
    }
}

/// In the order in which they are told.
const CHECKS: &[Check] = &[
    baseline("appArmorProfile", &[(0, app_armor)]),
    baseline("capabilities_baseline", &[(0, capabilities_baseline)]),
    baseline("hostNamespaces", &[(0, host_namespaces)]),
    baseline("hostPathVolumes", &[(0, host_path_volumes)]),
    baseline("hostPorts", &[(0, host_ports)]),
    baseline("hostProbesAndHostLifecycle", &[(34, host_probes)]),
    baseline("privileged", &[(0, privileged)]),
    baseline(
        "procMount",
        &[(0, proc_mount), (35, |pod| unless_own_users(pod, proc_mount))],
    ),
    baseline(
        "seLinuxOptions",
        &[
            (0, |pod| se_linux(pod, &SE_LINUX[..3])),
            (31, |pod| se_linux(pod, &SE_LINUX)),
        ],
    ),
    baseline(
        "seccompProfile_baseline",
        &[(0, seccomp_annotations), (19, seccomp_baseline)],
    ),
    baseline(
        "sysctls",
        &[
            (0, |pod| sysctls(pod, 0)),
            (27, |pod| sysctls(pod, 27)),
            (29, |pod| sysctls(pod, 29)),
            (32, |pod| sysctls(pod, 32)),
            (37, |pod| sysctls(pod, 37)),
        ],
    ),
    baseline("windowsHostProcess", &[(0, host_process)]),
    restricted(
        "allowPrivilegeEscalation",
        &[(8, escalation), (25, |pod| unless_windows(pod, escalation))],
        "",
    ),
    restricted(
        "capabilities_restricted",
        &[
            (22, capabilities_restricted),
            (25, |pod| unless_windows(pod, capabilities_restricted)),
        ],
        "capabilities_baseline",
    ),
    restricted("procMount_restricted", &[(35, proc_mount)], "procMount"),
    restricted("restrictedVolumes", &[(0, volumes)], "hostPathVolumes"),
    restricted(
        "runAsNonRoot",
        &[(0, non_root), (35, |pod| unless_own_users(pod, non_root))],
        "",
    ),
    restricted(
        "runAsUser",
        &[(23, user), (35, |pod| unless_own_users(pod, user))],
        "",
    ),
    restricted(
        "seccompProfile_restricted",
        &[
            (19, seccomp_restricted),
            (25, |pod| unless_windows(pod, seccomp_restricted)),
        ],
        "seccompProfile_baseline",
    ),
];

impl Check {
    fn rule(&self, version: Version) -> Option<Rule> {
        let known = |(since, _): &&(u32, Rule)| Version::Minor(*since) <= version;
        self.rules.iter().rev().find(known).map(|(_, rule)| *rule)
    }
}

/// What of a standard a pod breaks.
pub(super) fn evaluate(standard: Standard, pod: &Pod) -> Vec<Broken> {
    let Standard { level, version } = standard;
    let applies = |check: &&Check| check.level <= level && check.rule(version).is_some();
    let replaced = |id: &str| {
        let mut stricter = CHECKS
            .iter()
            .filter(applies)
            .filter(|check| check.level == Level::Restricted);
        stricter.any(|check| check.instead_of == id)
    };
    let checks = CHECKS
        .iter()
        .filter(|check| applies(check) && !replaced(check.id));
    checks.filter_map(|check| check.rule(version)?(pod)).collect()
}

/// `reason (detail), reason (detail)`.
pub(super) fn in_full(broken: &[Broken]) -> String {
    let parts: Vec<String> = broken
        .iter()
        .map(|b| format!("{} ({})", b.reason, b.detail))
        .collect();
    parts.join(", ")
}

/// `reason, reason`.
pub(super) fn in_short(broken: &[Broken]) -> String {
    let parts: Vec<&str> = broken.iter().map(|b| b.reason.as_str()).collect();
    parts.join(", ")
}
