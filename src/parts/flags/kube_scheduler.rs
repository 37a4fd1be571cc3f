//! kube-scheduler's flags and the fields of KubeSchedulerConfiguration.

use component::flags::{
    Flag,
    Kind::{Duration, Int, Text},
};

/// Flags of its own.
pub const KUBE_SCHEDULER: &[Flag] = &[
    Flag::ignored(
        "http2-max-streams-per-connection",
        Int,
        "streams are bounded by the server",
    ),
    Flag::new(
        "config",
        Text,
        "",
        "a KubeSchedulerConfiguration (kubescheduler.config.k8s.io/v1)",
    ),
    Flag::new(
        "secure-port",
        Int,
        "10259",
        "the port at which health and metrics are served; 0: none",
    ),
    Flag::refused("write-config-to", Text, "the defaults are listed by --help"),
    Flag::ignored(
        "pod-max-in-unschedulable-pods-duration",
        Duration,
        "pods are tried again when something changed",
    ),
];

/// Fields that no flag says.
pub const KUBE_SCHEDULER_FILE: &[Flag] = &[
    Flag::ignored("parallelism", Int, "a pod's nodes are looked at by one thread").file_only(),
    Flag::ignored("percentageOfNodesToScore", Int, "all nodes are scored").file_only(),
    Flag::ignored("podInitialBackoffSeconds", Int, "the first back-off is 1 s").file_only(),
    Flag::ignored("podMaxBackoffSeconds", Int, "the longest back-off is 10 s").file_only(),
    Flag::refused(
        "profiles",
        Text,
        "there is one profile, default-scheduler, with fixed plugins",
    )
    .file_only(),
    Flag::refused("extenders", Text, "extenders are not called yet").file_only(),
    Flag::refused(
        "delayCacheUntilActive",
        Text,
        "the caches are filled by the leader alone",
    )
    .file_only(),
];
