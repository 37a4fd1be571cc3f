//! The order of groups and of their versions in discovery.

/// Where a group stands among groups, and a version in its group; the higher number comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Priority {
    /// `groupPriorityMinimum`.
    pub group: i32,
    /// `versionPriority`.
    pub version: i32,
}

/// What custom resources have.
pub const CUSTOM: Priority = Priority {
    group: 1000,
    version: 100,
};

/// Names and their priorities.
type Versions = &'static [(&'static str, i32)];

/// Built-in groups and their versions, as upstream.
const BUILT_IN: &[(&str, i32, Versions)] = &[
    ("", 18000, &[("v1", 1)]),
    ("apps", 17800, &[("v1", 15)]),
    ("events.k8s.io", 17750, &[("v1", 15), ("v1beta1", 5)]),
    (
        "authentication.k8s.io",
        17700,
        &[("v1", 15), ("v1beta1", 9), ("v1alpha1", 1)],
    ),
    ("authorization.k8s.io", 17600, &[("v1", 15), ("v1beta1", 9)]),
    (
        "autoscaling",
        17500,
        &[("v1", 15), ("v2", 30), ("v2beta1", 9), ("v2beta2", 1)],
    ),
    ("batch", 17400, &[("v1", 15), ("v1beta1", 9), ("v2alpha1", 9)]),
    (
        "certificates.k8s.io",
        17300,
        &[("v1", 15), ("v1beta1", 9), ("v1alpha1", 1)],
    ),
    (
        "networking.k8s.io",
        17200,
        &[("v1", 15), ("v1beta1", 9), ("v1alpha1", 1)],
    ),
    ("policy", 17100, &[("v1", 15), ("v1beta1", 9)]),
    (
        "rbac.authorization.k8s.io",
        17000,
        &[("v1", 15), ("v1beta1", 12), ("v1alpha1", 9)],
    ),
    (
        "storage.k8s.io",
        16800,
        &[("v1", 15), ("v1beta1", 9), ("v1alpha1", 1)],
    ),
    ("apiextensions.k8s.io", 16700, &[("v1", 15)]),
    (
        "admissionregistration.k8s.io",
        16700,
        &[("v1", 15), ("v1beta1", 12), ("v1alpha1", 9)],
    ),
    (
        "scheduling.k8s.io",
        16600,
        &[("v1", 15), ("v1beta1", 12), ("v1alpha1", 9)],
    ),
    (
        "coordination.k8s.io",
        16500,
        &[("v1", 15), ("v1beta1", 13), ("v1alpha2", 12)],
    ),
    (
        "node.k8s.io",
        16300,
        &[("v1", 15), ("v1beta1", 9), ("v1alpha1", 1)],
    ),
    ("discovery.k8s.io", 16200, &[("v1", 15), ("v1beta1", 12)]),
    (
        "flowcontrol.apiserver.k8s.io",
        16100,
        &[
            ("v1", 21),
            ("v1beta3", 18),
            ("v1beta2", 15),
            ("v1beta1", 12),
            ("v1alpha1", 9),
        ],
    ),
    ("internal.apiserver.k8s.io", 16000, &[("v1alpha1", 9)]),
    (
        "resource.k8s.io",
        15900,
        &[("v1", 20), ("v1beta2", 15), ("v1beta1", 13), ("v1alpha3", 9)],
    ),
    (
        "storagemigration.k8s.io",
        15800,
        &[("v1beta1", 9), ("v1alpha1", 1)],
    ),
    (
        crate::http::decisions::GROUP,
        2000,
        &[(crate::http::decisions::VERSION, 1)],
    ),
];

/// The priority of a built-in group and version.
pub fn built_in(group: &str, version: &str) -> Option<Priority> {
    let (_, group, versions) = BUILT_IN.iter().find(|(name, _, _)| *name == group)?;
    let (_, version) = versions.iter().find(|(name, _)| *name == version)?;
    Some(Priority {
        group: *group,
        version: *version,
    })
}
