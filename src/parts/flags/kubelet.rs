//! kubelet's flags, and the fields of KubeletConfiguration that say the same.

use component::flags::{
    Flag,
    Kind::{Bool, Duration, Int, Limits, List, Map, Text},
};

const CRI: &str = "only the built-in runtime is there; other runtimes cannot be spoken to yet";
const RENEWAL: &str = "certificates are not asked for yet; give them by files";
const STATIC: &str = "pods of URLs are not there yet";
const IMAGES: &str = "an image stays for two minutes at least";
const EVICTION: &str = "only hard thresholds evict pods yet";
const RESERVED: &str = "nothing of the node is reserved yet";
const MANAGERS: &str = "processors and memory are not pinned yet";
const CGROUPS: &str = "pods stand under /kubepods and nothing else is moved";
const EVENTS: &str = "it follows events; there is no period";
const PULLS: &str = "pulls are not limited";
const PROVIDER: &str = "credentials of registries are in registries.yaml";
const DEPRECATED: &str = "it is deprecated and dead containers are kept one for each";

/// Flags that say when pods are evicted; `up` has them too.
pub const KUBELET_EVICTION: &[Flag] = &[
    Flag::new(
        "eviction-hard",
        Limits,
        "memory.available<100Mi,nodefs.available<1%,imagefs.available<1%",
        "below what pods are evicted (signal<quantity or signal<percent)",
    )
    .field("evictionHard"),
    Flag::new(
        "eviction-pressure-transition-period",
        Duration,
        "5m0s",
        "how long the node says that memory or disk is short after it was last seen",
    )
    .field("evictionPressureTransitionPeriod"),
];

/// Flags of its own.
pub const KUBELET: &[Flag] = &[
    Flag::new(
        "config",
        Text,
        "",
        "a KubeletConfiguration (kubelet.config.k8s.io/v1beta1)",
    ),
    Flag::new(
        "config-dir",
        Text,
        "",
        "a folder of drop-ins (*.conf), the last one of their order wins",
    ),
    Flag::new(
        "kubeconfig",
        Text,
        "",
        "the kubeconfig that says where the API server is and who this node is",
    ),
    Flag::new(
        "hostname-override",
        Text,
        "",
        "the node's name; empty: the host's",
    ),
    Flag::new(
        "node-ip",
        List,
        "",
        "the node's addresses; empty: that of the default route",
    ),
    Flag::new("node-labels", Map, "", "labels of the node"),
    Flag::new(
        "root-dir",
        Text,
        "/var/lib/kubelet",
        "where pods and volumes are kept",
    ),
    Flag::new(
        "data-dir",
        Text,
        "/var/lib/ferrokube",
        "where the built-in runtime keeps images and containers",
    ),
    Flag::new(
        "run-dir",
        Text,
        "/run/ferrokube",
        "where the built-in runtime's sockets are",
    ),
    Flag::new(
        "registries",
        Text,
        "/etc/ferrokube/registries.yaml",
        "mirrors and credentials of registries",
    ),
    Flag::new(
        "cluster-cidr",
        List,
        "10.244.0.0/16",
        "addresses of pods; traffic to elsewhere is masqueraded",
    ),
    Flag::new(
        "pod-logs-dir",
        Text,
        "/var/log/pods",
        "where the containers' logs are",
    )
    .field("podLogsDir"),
    Flag::new("address", Text, "0.0.0.0", "the address to listen at").field("address"),
    Flag::new("port", Int, "10250", "the port to listen at").field("port"),
    Flag::new(
        "tls-cert-file",
        Text,
        "",
        "the certificate to show, PEM; empty: one is made in --cert-dir",
    )
    .field("tlsCertFile"),
    Flag::new(
        "tls-private-key-file",
        Text,
        "",
        "the key of --tls-cert-file, PEM",
    )
    .field("tlsPrivateKeyFile"),
    Flag::new(
        "cert-dir",
        Text,
        "/var/lib/kubelet/pki",
        "where a certificate is made when none is given",
    ),
    Flag::new(
        "client-ca-file",
        Text,
        "",
        "the CA of the clients' certificates, PEM",
    )
    .field("authentication.x509.clientCAFile"),
    Flag::new(
        "anonymous-auth",
        Bool,
        "false",
        "take requests without credentials: false",
    )
    .field("authentication.anonymous.enabled"),
    Flag::new(
        "authentication-token-webhook",
        Bool,
        "true",
        "let the API server say whose tokens are: true",
    )
    .field("authentication.webhook.enabled"),
    Flag::new(
        "authorization-mode",
        Text,
        "Webhook",
        "who decides about requests: Webhook",
    )
    .field("authorization.mode"),
    Flag::ignored(
        "authentication-token-webhook-cache-ttl",
        Duration,
        "answers are not kept",
    )
    .field("authentication.webhook.cacheTTL"),
    Flag::ignored(
        "authorization-webhook-cache-authorized-ttl",
        Duration,
        "answers are not kept",
    )
    .field("authorization.webhook.cacheAuthorizedTTL"),
    Flag::ignored(
        "authorization-webhook-cache-unauthorized-ttl",
        Duration,
        "answers are not kept",
    )
    .field("authorization.webhook.cacheUnauthorizedTTL"),
    Flag::new(
        "tls-min-version",
        Text,
        "VersionTLS12",
        "oldest version of TLS: VersionTLS12",
    )
    .field("tlsMinVersion"),
    Flag::refused(
        "tls-cipher-suites",
        List,
        "the suites are those of TLS 1.3 and of forward secrecy in 1.2",
    )
    .field("tlsCipherSuites"),
    Flag::refused(
        "tls-curve-preferences",
        List,
        "the curves are X25519, P-256 and P-384",
    )
    .field("tlsCurvePreferences"),
    Flag::new("cluster-dns", List, "", "name servers of pods").field("clusterDNS"),
    Flag::new("cluster-domain", Text, "cluster.local", "the cluster's domain").field("clusterDomain"),
    Flag::new("max-pods", Int, "110", "most pods on this node").field("maxPods"),
    Flag::new(
        "container-log-max-size",
        Text,
        "10Mi",
        "size at which a log is rotated",
    )
    .field("containerLogMaxSize"),
    Flag::new("container-log-max-files", Int, "5", "files of a log").field("containerLogMaxFiles"),
    Flag::new(
        "seccomp-default",
        Bool,
        "true",
        "run containers that say nothing with the default profile: true",
    )
    .field("seccompDefault"),
    Flag::new(
        "container-runtime-endpoint",
        Text,
        "",
        "the container runtime; empty: the built-in one",
    )
    .field("containerRuntimeEndpoint"),
    Flag::new(
        "image-service-endpoint",
        Text,
        "",
        "the image service; empty: the built-in one",
    )
    .field("imageServiceEndpoint"),
    Flag::new("cgroup-driver", Text, "cgroupfs", "who makes cgroups: cgroupfs").field("cgroupDriver"),
    Flag::new(
        "cgroups-per-qos",
        Bool,
        "true",
        "a cgroup each for the classes of pods: true",
    )
    .field("cgroupsPerQOS"),
    Flag::new(
        "cgroup-root",
        Text,
        "/",
        "the cgroup under which all of it stands",
    )
    .field("cgroupRoot"),
    Flag::new("register-node", Bool, "true", "make the Node object: true").field("registerNode"),
    Flag::new("read-only-port", Int, "0", "there is no such port: 0").field("readOnlyPort"),
    Flag::new("fail-swap-on", Bool, "false", "refuse to start with swap: false").field("failSwapOn"),
    Flag::new("enable-server", Bool, "true", "listen: true").field("enableServer"),
    Flag::new(
        "enable-debugging-handlers",
        Bool,
        "true",
        "serve logs, exec, attach and port-forward: true",
    )
    .field("enableDebuggingHandlers"),
    Flag::new("cpu-manager-policy", Text, "none", "pin processors: none").field("cpuManagerPolicy"),
    Flag::new("memory-manager-policy", Text, "None", "pin memory: None").field("memoryManagerPolicy"),
    Flag::new("topology-manager-policy", Text, "none", "align devices: none").field("topologyManagerPolicy"),
    Flag::new(
        "topology-manager-scope",
        Text,
        "container",
        "align devices: container",
    )
    .field("topologyManagerScope"),
    Flag::new(
        "rotate-certificates",
        Bool,
        "false",
        "renew the client certificate: false",
    )
    .field("rotateCertificates"),
    Flag::new(
        "rotate-server-certificates",
        Bool,
        "false",
        "renew the server certificate: false",
    )
    .field("serverTLSBootstrap"),
    Flag::new(
        "enable-controller-attach-detach",
        Bool,
        "true",
        "volumes are attached by a controller: true",
    )
    .field("enableControllerAttachDetach"),
    Flag::new(
        "cloud-provider",
        Text,
        "",
        "clouds are the cloud controller manager's: empty",
    ),
    Flag::refused("cloud-config", Text, "clouds are the cloud controller manager's"),
    Flag::refused("bootstrap-kubeconfig", Text, RENEWAL),
    Flag::refused("provider-id", Text, "clouds are the cloud controller manager's").field("providerID"),
    Flag::refused("image-credential-provider-bin-dir", Text, PROVIDER),
    Flag::refused("image-credential-provider-config", Text, PROVIDER),
    Flag::new(
        "pod-manifest-path",
        Text,
        "",
        "folder of the manifests of static pods",
    )
    .field("staticPodPath"),
    Flag::refused("manifest-url", Text, STATIC).field("staticPodURL"),
    Flag::refused("manifest-url-header", Text, STATIC).field("staticPodURLHeader"),
    Flag::ignored("file-check-frequency", Duration, STATIC).field("fileCheckFrequency"),
    Flag::ignored("http-check-frequency", Duration, STATIC).field("httpCheckFrequency"),
    Flag::ignored("sync-frequency", Duration, EVENTS).field("syncFrequency"),
    Flag::ignored(
        "node-status-update-frequency",
        Duration,
        "the node's status is written when it changed",
    )
    .field("nodeStatusUpdateFrequency"),
    Flag::ignored(
        "node-status-max-images",
        Int,
        "the node tells of its 50 largest images",
    )
    .field("nodeStatusMaxImages"),
    Flag::ignored("registry-qps", Int, PULLS).field("registryPullQPS"),
    Flag::ignored("registry-burst", Int, PULLS).field("registryBurst"),
    Flag::ignored("serialize-image-pulls", Bool, PULLS).field("serializeImagePulls"),
    Flag::ignored("event-qps", Int, "events are joined, not limited").field("eventRecordQPS"),
    Flag::ignored("event-burst", Int, "events are joined, not limited").field("eventBurst"),
    Flag::ignored("contention-profiling", Bool, "there are no profiling pages")
        .field("enableContentionProfiling"),
    Flag::ignored("healthz-port", Int, "health is served at --port").field("healthzPort"),
    Flag::ignored("healthz-bind-address", Text, "health is served at --port").field("healthzBindAddress"),
    Flag::ignored("oom-score-adj", Int, "the service manager says it").field("oomScoreAdj"),
    Flag::ignored(
        "streaming-connection-idle-timeout",
        Duration,
        "streams end when one of their ends does",
    )
    .field("streamingConnectionIdleTimeout"),
    Flag::ignored("minimum-image-ttl-duration", Duration, IMAGES).field("imageMinimumGCAge"),
    Flag::new(
        "image-gc-high-threshold",
        Int,
        "85",
        "percent of the disk in use at which unused images go; 100: never",
    )
    .field("imageGCHighThresholdPercent"),
    Flag::new(
        "image-gc-low-threshold",
        Int,
        "80",
        "percent of the disk in use down to which they go",
    )
    .field("imageGCLowThresholdPercent"),
    Flag::ignored(
        "volume-stats-agg-period",
        Duration,
        "volumes are measured when asked for",
    )
    .field("volumeStatsAggPeriod"),
    Flag::ignored("volume-plugin-dir", Text, "there are no plugins of volumes").field("volumePluginDir"),
    Flag::refused("kubelet-cgroups", Text, CGROUPS).field("kubeletCgroups"),
    Flag::refused("system-cgroups", Text, CGROUPS).field("systemCgroups"),
    Flag::refused("runtime-cgroups", Text, CGROUPS),
    Flag::refused("kube-reserved-cgroup", Text, CGROUPS).field("kubeReservedCgroup"),
    Flag::refused("system-reserved-cgroup", Text, CGROUPS).field("systemReservedCgroup"),
    Flag::refused("kube-reserved", Map, RESERVED).field("kubeReserved"),
    Flag::refused("system-reserved", Map, RESERVED).field("systemReserved"),
    Flag::refused("reserved-cpus", Text, RESERVED).field("reservedSystemCPUs"),
    Flag::refused("reserved-memory", Text, RESERVED).field("reservedMemory"),
    Flag::refused("qos-reserved", Map, RESERVED).field("qosReserved"),
    Flag::ignored("enforce-node-allocatable", List, RESERVED).field("enforceNodeAllocatable"),
    Flag::refused("cpu-manager-policy-options", Map, MANAGERS).field("cpuManagerPolicyOptions"),
    Flag::ignored("cpu-manager-reconcile-period", Duration, MANAGERS).field("cpuManagerReconcilePeriod"),
    Flag::refused("topology-manager-policy-options", Map, MANAGERS).field("topologyManagerPolicyOptions"),
    Flag::ignored(
        "runtime-request-timeout",
        Duration,
        "the built-in runtime is in the process",
    )
    .field("runtimeRequestTimeout"),
    Flag::ignored(
        "hairpin-mode",
        Text,
        "pods reach themselves through Services as with hairpin-veth",
    )
    .field("hairpinMode"),
    Flag::refused("pod-cidr", Text, "the Node object says the range of pods").field("podCIDR"),
    Flag::new(
        "pod-max-pids",
        Int,
        "-1",
        "most processes of a pod; -1: as many as the kernel allows",
    )
    .field("podPidsLimit"),
    Flag::refused("pods-per-core", Int, "say --max-pods").field("podsPerCore"),
    Flag::refused("resolv-conf", Text, "it is /etc/resolv.conf").field("resolvConf"),
    Flag::refused("runonce", Bool, STATIC).field("runOnce"),
    Flag::new(
        "cpu-cfs-quota",
        Bool,
        "true",
        "hold containers to their limits of processor time: true",
    )
    .field("cpuCFSQuota"),
    Flag::refused("cpu-cfs-quota-period", Duration, "it is 100 ms").field("cpuCFSQuotaPeriod"),
    Flag::ignored("make-iptables-util-chains", Bool, "there are no iptables rules")
        .field("makeIPTablesUtilChains"),
    Flag::new(
        "allowed-unsafe-sysctls",
        List,
        "",
        "kernel parameters that pods may set beyond the safe ones; a name may end with *",
    )
    .field("allowedUnsafeSysctls"),
    Flag::refused(
        "protect-kernel-defaults",
        Bool,
        "settings of the kernel are not checked",
    )
    .field("protectKernelDefaults"),
    Flag::ignored("kernel-memcg-notification", Bool, EVICTION).field("kernelMemcgNotification"),
    Flag::ignored("local-storage-capacity-isolation", Bool, EVICTION).field("localStorageCapacityIsolation"),
    Flag::ignored("max-open-files", Int, "the service manager says it").field("maxOpenFiles"),
    Flag::ignored(
        "kube-api-qps",
        Int,
        "the API server's fairness limits clients, not they themselves",
    )
    .field("kubeAPIQPS"),
    Flag::ignored(
        "kube-api-burst",
        Int,
        "the API server's fairness limits clients, not they themselves",
    )
    .field("kubeAPIBurst"),
    Flag::ignored("kube-api-content-type", Text, "clients speak JSON").field("contentType"),
    Flag::refused("eviction-soft", Text, EVICTION).field("evictionSoft"),
    Flag::refused("eviction-soft-grace-period", Text, EVICTION).field("evictionSoftGracePeriod"),
    Flag::refused("eviction-minimum-reclaim", Text, EVICTION).field("evictionMinimumReclaim"),
    Flag::ignored("eviction-max-pod-grace-period", Int, EVICTION).field("evictionMaxPodGracePeriod"),
    Flag::ignored("experimental-allocatable-ignore-eviction", Bool, EVICTION),
    Flag::refused("register-with-taints", Text, "set taints with kubectl taint").field("registerWithTaints"),
    Flag::ignored(
        "register-schedulable",
        Bool,
        "it is deprecated; nodes are schedulable",
    ),
    Flag::ignored("pod-infra-container-image", Text, "pods need no pause container"),
    Flag::ignored(
        "keep-terminated-pod-volumes",
        Bool,
        "it is deprecated; volumes go with their pod",
    ),
    Flag::ignored("maximum-dead-containers", Int, DEPRECATED),
    Flag::ignored("maximum-dead-containers-per-container", Int, DEPRECATED),
    Flag::ignored("minimum-container-ttl-duration", Duration, DEPRECATED),
    Flag::refused("lock-file", Text, "the data directory is locked"),
    Flag::refused("exit-on-lock-contention", Bool, "the data directory is locked"),
    Flag::refused(
        "really-crash-for-testing",
        Bool,
        "a panic restarts the part that has it",
    ),
];

/// Why another container runtime is refused.
pub const OTHER_RUNTIME: &str = CRI;
