//! Flags that several parts have.

use component::flags::{
    Flag,
    Kind::{Bool, Duration, Int, List, Map, Text},
};

const BUFFERS: &str = "logs are written line by line";
const STREAMS: &str = "logs go to standard error alone";
const METRICS: &str = "all metrics are told, under the names of this version";
const VERSIONS: &str = "one version is served, this binary's";
const SOCKETS: &str = "sockets are opened as the system has it";
const FRONT_PROXY: &str = "users named by a front proxy are not taken yet";

/// Logs, feature gates, versions: what every process has.
pub const PROCESS: &[Flag] = &[
    Flag::new(
        "v",
        Int,
        "0",
        "how much to log: from 4 on details, from 6 on everything",
    )
    .field("logging.verbosity"),
    Flag::new("logging-format", Text, "text", "form of the logs: text or json").field("logging.format"),
    Flag::new(
        "feature-gates",
        Map,
        "",
        "features to switch on or off: Name=true,Other=false",
    )
    .field("featureGates"),
    Flag::new("version", Bool, "false", "say the version and end"),
    Flag::ignored(
        "vmodule",
        Text,
        "the level of one source file cannot be set; FERROKUBE_LOG takes a level a module",
    ),
    Flag::ignored(
        "logging.vmodule",
        Text,
        "the level of one source file cannot be set",
    )
    .file_only(),
    Flag::ignored("log-flush-frequency", Text, BUFFERS).field("logging.flushFrequency"),
    Flag::ignored("log-json-info-buffer-size", Text, BUFFERS).field("logging.options.json.infoBufferSize"),
    Flag::ignored("log-json-split-stream", Bool, STREAMS).field("logging.options.json.splitStream"),
    Flag::ignored("log-text-info-buffer-size", Text, BUFFERS).field("logging.options.text.infoBufferSize"),
    Flag::ignored("log-text-split-stream", Bool, STREAMS).field("logging.options.text.splitStream"),
    Flag::ignored("show-hidden-metrics-for-version", Text, METRICS).field("showHiddenMetricsForVersion"),
    Flag::ignored("allow-metric-labels", Text, METRICS),
    Flag::ignored("allow-metric-labels-manifest", Text, METRICS),
    Flag::ignored("disabled-metrics", List, METRICS),
    Flag::refused("emulated-version", List, VERSIONS),
    Flag::refused("min-compatibility-version", List, VERSIONS),
];

/// The way to the API server.
pub const CLIENT: &[Flag] = &[
    Flag::new(
        "kubeconfig",
        Text,
        "",
        "the kubeconfig that says where the API server is and who this part is",
    )
    .field("clientConnection.kubeconfig"),
    Flag::refused("master", Text, "the kubeconfig says where the API server is"),
    Flag::ignored(
        "kube-api-qps",
        Text,
        "the API server's fairness limits clients, not they themselves",
    )
    .field("clientConnection.qps"),
    Flag::ignored(
        "kube-api-burst",
        Int,
        "the API server's fairness limits clients, not they themselves",
    )
    .field("clientConnection.burst"),
    Flag::ignored("kube-api-content-type", Text, "clients speak JSON").field("clientConnection.contentType"),
    Flag::ignored("clientConnection.acceptContentTypes", Text, "clients speak JSON").file_only(),
];

/// Which of several equal processes works.
pub const ELECTION: &[Flag] = &[
    Flag::new("leader-elect", Bool, "true", "work only as the holder of a Lease")
        .field("leaderElection.leaderElect"),
    Flag::new(
        "leader-elect-lease-duration",
        Duration,
        "15s",
        "how long others wait after the leader's last renewal",
    )
    .field("leaderElection.leaseDuration"),
    Flag::new(
        "leader-elect-renew-deadline",
        Duration,
        "10s",
        "how long a leader that cannot renew goes on",
    )
    .field("leaderElection.renewDeadline"),
    Flag::new(
        "leader-elect-retry-period",
        Duration,
        "2s",
        "how often it tries to get or renew the Lease",
    )
    .field("leaderElection.retryPeriod"),
    Flag::new(
        "leader-elect-resource-lock",
        Text,
        "leases",
        "kind of the lock: leases",
    )
    .field("leaderElection.resourceLock"),
    Flag::new("leader-elect-resource-name", Text, "", "name of the Lease")
        .field("leaderElection.resourceName"),
    Flag::new(
        "leader-elect-resource-namespace",
        Text,
        "kube-system",
        "namespace of the Lease",
    )
    .field("leaderElection.resourceNamespace"),
];

/// A listener with TLS.
pub const SERVING: &[Flag] = &[
    Flag::new("bind-address", Text, "0.0.0.0", "the address to listen at"),
    Flag::new(
        "tls-cert-file",
        Text,
        "",
        "the certificate to show, with its chain, PEM",
    ),
    Flag::new(
        "tls-private-key-file",
        Text,
        "",
        "the key of --tls-cert-file, PEM",
    ),
    Flag::refused(
        "tls-cipher-suites",
        List,
        "the suites are those of TLS 1.3 and of forward secrecy in 1.2",
    ),
    Flag::refused(
        "tls-curve-preferences",
        List,
        "the curves are X25519, P-256 and P-384",
    ),
    Flag::new(
        "tls-min-version",
        Text,
        "VersionTLS12",
        "oldest version of TLS: VersionTLS12",
    ),
    Flag::refused("tls-sni-cert-key", List, "one certificate is shown to everybody"),
    Flag::refused("disable-http2-serving", Bool, "HTTP/2 is always served"),
    Flag::refused("permit-address-sharing", Bool, SOCKETS),
    Flag::refused("permit-port-sharing", Bool, SOCKETS),
    Flag::ignored("profiling", Bool, "there are no profiling pages").field("enableProfiling"),
    Flag::ignored("contention-profiling", Bool, "there are no profiling pages")
        .field("enableContentionProfiling"),
];

/// Pages of a part, guarded by the API server.
pub const DELEGATED: &[Flag] = &[
    Flag::new(
        "cert-dir",
        Text,
        "",
        "where a certificate is made when none is given; empty: under /run/ferrokube",
    ),
    Flag::new(
        "authentication-kubeconfig",
        Text,
        "",
        "who asks the API server whose a token is; empty: who --kubeconfig says",
    ),
    Flag::new(
        "authentication-skip-lookup",
        Bool,
        "false",
        "take no client CA from the ConfigMap extension-apiserver-authentication",
    ),
    Flag::ignored(
        "authentication-token-webhook-cache-ttl",
        Duration,
        "the API server is asked about every request",
    ),
    Flag::new(
        "authentication-tolerate-lookup-failure",
        Bool,
        "true",
        "start although that ConfigMap cannot be read",
    ),
    Flag::new(
        "authorization-kubeconfig",
        Text,
        "",
        "who asks the API server who may read; empty: who --kubeconfig says",
    ),
    Flag::new(
        "authorization-always-allow-paths",
        List,
        "/healthz,/readyz,/livez",
        "paths that everybody may read; with * at their end, beginnings of paths",
    ),
    Flag::ignored(
        "authorization-webhook-cache-authorized-ttl",
        Duration,
        "the API server is asked about every request",
    ),
    Flag::ignored(
        "authorization-webhook-cache-unauthorized-ttl",
        Duration,
        "the API server is asked about every request",
    ),
    Flag::new(
        "client-ca-file",
        Text,
        "",
        "the CA of clients' certificates, PEM; empty: what the API server says",
    ),
    Flag::refused("requestheader-allowed-names", List, FRONT_PROXY),
    Flag::ignored("requestheader-client-ca-file", Text, FRONT_PROXY),
    Flag::ignored("requestheader-extra-headers-prefix", List, FRONT_PROXY),
    Flag::ignored("requestheader-group-headers", List, FRONT_PROXY),
    Flag::ignored("requestheader-uid-headers", List, FRONT_PROXY),
    Flag::ignored("requestheader-username-headers", List, FRONT_PROXY),
];
