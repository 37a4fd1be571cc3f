//! Fields of KubeletConfiguration that no flag says.

use component::flags::{
    Flag,
    Kind::{Bool, Duration, Int, List, Map, Text},
};

const SHUTDOWN: &str = "a shutdown of the machine is not waited for yet";

/// The fields.
pub const KUBELET_FILE: &[Flag] = &[
    Flag::ignored(
        "nodeStatusReportFrequency",
        Duration,
        "the node's status is written when it changed",
    )
    .file_only(),
    Flag::ignored("nodeLeaseDurationSeconds", Int, "a node's Lease is good for 40 s").file_only(),
    Flag::ignored("imageMaximumGCAge", Duration, "images are not collected yet").file_only(),
    Flag::ignored("maxParallelImagePulls", Int, "pulls are not limited").file_only(),
    Flag::refused(
        "imagePullCredentialsVerificationPolicy",
        Text,
        "credentials are checked at each pull",
    )
    .file_only(),
    Flag::refused(
        "preloadedImagesVerificationAllowlist",
        List,
        "credentials are checked at each pull",
    )
    .file_only(),
    Flag::refused("singleProcessOOMKill", Bool, "the kernel's way is left as it is").file_only(),
    Flag::refused(
        "mergeDefaultEvictionSettings",
        Bool,
        "pods are not evicted for pressure yet",
    )
    .file_only(),
    Flag::ignored("iptablesMasqueradeBit", Int, "there are no iptables rules").file_only(),
    Flag::ignored("iptablesDropBit", Int, "there are no iptables rules").file_only(),
    Flag::refused("memorySwap.swapBehavior", Text, "containers have no swap").file_only(),
    Flag::ignored(
        "containerLogMaxWorkers",
        Int,
        "logs are rotated one after the other",
    )
    .file_only(),
    Flag::ignored(
        "containerLogMonitorInterval",
        Duration,
        "logs are rotated as they are written",
    )
    .file_only(),
    Flag::ignored(
        "configMapAndSecretChangeDetectionStrategy",
        Text,
        "they are watched",
    )
    .file_only(),
    Flag::refused("defaultPodSysctls", Map, "sysctls of pods are not there yet").file_only(),
    Flag::ignored("enableSystemLogHandler", Bool, "there is no /logs").file_only(),
    Flag::ignored("enableSystemLogQuery", Bool, "there is no /logs").file_only(),
    Flag::ignored("enableProfilingHandler", Bool, "there are no profiling pages").file_only(),
    Flag::ignored("enableDebugFlagsHandler", Bool, "there are no debugging flags").file_only(),
    Flag::refused("shutdownGracePeriod", Duration, SHUTDOWN).file_only(),
    Flag::refused("shutdownGracePeriodCriticalPods", Duration, SHUTDOWN).file_only(),
    Flag::refused("shutdownGracePeriodByPodPriority", Text, SHUTDOWN).file_only(),
    Flag::refused(
        "crashLoopBackOff.maxContainerRestartPeriod",
        Duration,
        "it is 5 minutes",
    )
    .file_only(),
    Flag::refused("memoryThrottlingFactor", Text, "memory is held to limits alone").file_only(),
    Flag::refused("memoryReservationPolicy", Text, "memory is held to limits alone").file_only(),
    Flag::refused("tracing.endpoint", Text, "traces are not sent yet").file_only(),
    Flag::refused("tracing.samplingRatePerMillion", Int, "traces are not sent yet").file_only(),
    Flag::refused("failCgroupV1", Bool, "both versions of cgroups are taken").file_only(),
    Flag::refused(
        "userNamespaces.idsPerPod",
        Int,
        "user namespaces are not there yet",
    )
    .file_only(),
];
