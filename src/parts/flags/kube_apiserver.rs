//! kube-apiserver's flags.

use component::flags::{
    Flag,
    Kind::{Bool, Duration, Int, List, Map, Text},
};

const ETCD: &str = "only the built-in store is there; say --store-dir";
const AUDIT: &str = "there is no audit log yet";
const OIDC: &str = "tokens of other issuers are not taken yet";
const WEBHOOK: &str = "webhooks are not called yet";
const PEERS: &str = "requests are not passed on to peers";
const BOUNDS: &str = "the server bounds its memory by itself";
const ALL_SERVED: &str = "everything in the table is served and kept in one form";

/// Flags of its own.
pub const KUBE_APISERVER: &[Flag] = &[
    Flag::new(
        "advertise-address",
        Text,
        "",
        "the address given to clients inside the cluster; empty: the machine's",
    ),
    Flag::new("secure-port", Int, "6443", "the port to listen at"),
    Flag::new(
        "service-cluster-ip-range",
        Text,
        "10.96.0.0/12",
        "addresses of Services",
    ),
    Flag::new(
        "kubelet-client-certificate",
        Text,
        "",
        "the certificate shown to kubelets, PEM",
    ),
    Flag::new(
        "kubelet-client-key",
        Text,
        "",
        "the key of --kubelet-client-certificate, PEM",
    ),
    Flag::new(
        "kubelet-certificate-authority",
        Text,
        "",
        "the CA of the kubelets' certificates, PEM",
    ),
    Flag::new(
        "allow-privileged",
        Bool,
        "true",
        "let containers be privileged: true",
    ),
    Flag::ignored(
        "kubelet-preferred-address-types",
        List,
        "kubelets are reached at InternalIP, then ExternalIP",
    ),
    Flag::ignored("kubelet-timeout", Duration, "a kubelet is given up after 10 s"),
    Flag::refused("kubelet-port", Int, "it is deprecated; the node says its port"),
    Flag::refused(
        "kubelet-read-only-port",
        Int,
        "it is deprecated; kubelets have no such port",
    ),
    Flag::refused(
        "service-node-port-range",
        Text,
        "node ports are not allocated yet",
    ),
    Flag::refused(
        "kubernetes-service-node-port",
        Int,
        "node ports are not allocated yet",
    ),
    Flag::ignored("cert-dir", Text, "certificates are given by --tls-cert-file"),
    Flag::ignored(
        "external-hostname",
        Text,
        "documents name the server as it was asked for",
    ),
    Flag::refused(
        "cors-allowed-origins",
        List,
        "browsers are not served across origins",
    ),
    Flag::refused(
        "strict-transport-security-directives",
        List,
        "the header is not sent",
    ),
    Flag::new(
        "request-timeout",
        Duration,
        "1m0s",
        "how long an answer may take, unless it is one that goes on",
    ),
    Flag::ignored(
        "min-request-timeout",
        Int,
        "watches end when the client or the server does",
    ),
    Flag::ignored("livez-grace-period", Duration, "it is alive from its start"),
    Flag::ignored("shutdown-delay-duration", Duration, "it drains at once"),
    Flag::ignored("shutdown-send-retry-after", Bool, "it drains at once"),
    Flag::ignored(
        "shutdown-watch-termination-grace-period",
        Duration,
        "it drains at once",
    ),
    Flag::ignored("goaway-chance", Text, "connections are not balanced"),
    Flag::new(
        "max-requests-inflight",
        Int,
        "400",
        "how many reads are answered at a time; 0: any number",
    ),
    Flag::new(
        "max-mutating-requests-inflight",
        Int,
        "200",
        "how many writes are answered at a time; 0: any number",
    ),
    Flag::ignored(
        "max-connection-bytes-per-sec",
        Int,
        "connections are not throttled",
    ),
    Flag::ignored("enable-priority-and-fairness", Bool, BOUNDS),
    Flag::ignored("enable-logs-handler", Bool, "there is no /logs"),
    Flag::ignored("event-ttl", Duration, "events live for an hour"),
    Flag::refused("runtime-config", Map, ALL_SERVED),
    Flag::refused("runtime-config-emulation-forward-compatible", Bool, ALL_SERVED),
    Flag::refused("emulation-forward-compatible", Bool, ALL_SERVED),
    Flag::refused(
        "egress-selector-config-file",
        Text,
        "ways to nodes are chosen by the server",
    ),
    Flag::refused("tracing-config-file", Text, "traces are not sent yet"),
    Flag::refused("debug-socket-path", Text, "there is no debug socket"),
    Flag::new(
        "proxy-client-cert-file",
        Text,
        "",
        "the certificate shown to other API servers, PEM",
    ),
    Flag::new(
        "proxy-client-key-file",
        Text,
        "",
        "the key of --proxy-client-cert-file, PEM",
    ),
    Flag::ignored(
        "enable-aggregator-routing",
        Bool,
        "other API servers are always reached at their endpoints",
    ),
    Flag::ignored(
        "aggregator-reject-forwarding-redirect",
        Bool,
        "redirects of other API servers are given to the client",
    ),
    Flag::refused("peer-ca-file", Text, PEERS),
    Flag::refused("peer-advertise-ip", Text, PEERS),
    Flag::refused("peer-advertise-port", Text, PEERS),
    Flag::ignored(
        "endpoint-reconciler-type",
        Text,
        "the last server that starts is the endpoint of the Service kubernetes",
    ),
    Flag::ignored(
        "apiserver-count",
        Int,
        "the last server that starts is the endpoint of the Service kubernetes",
    ),
    Flag::refused(
        "coordinated-leadership-lease-duration",
        Duration,
        "leaders are elected by themselves",
    ),
    Flag::refused(
        "coordinated-leadership-renew-deadline",
        Duration,
        "leaders are elected by themselves",
    ),
    Flag::refused(
        "coordinated-leadership-retry-period",
        Duration,
        "leaders are elected by themselves",
    ),
];

/// Who may do what.
pub const KUBE_APISERVER_SECURITY: &[Flag] = &[
    Flag::new(
        "client-ca-file",
        Text,
        "",
        "the CA of the clients' certificates, PEM",
    ),
    Flag::new(
        "anonymous-auth",
        Bool,
        "true",
        "take requests without credentials as system:anonymous",
    ),
    Flag::new(
        "authorization-mode",
        List,
        "Node,RBAC",
        "who decides, in order: Node, RBAC, AlwaysAllow",
    ),
    Flag::new(
        "service-account-signing-key-file",
        Text,
        "",
        "the key that signs tokens of service accounts, PEM",
    ),
    Flag::ignored(
        "service-account-key-file",
        List,
        "tokens are verified by the public half of the signing key alone",
    ),
    Flag::new(
        "service-account-issuer",
        List,
        "https://kubernetes.default.svc.cluster.local",
        "the issuer of the tokens",
    ),
    Flag::new(
        "api-audiences",
        List,
        "",
        "the audiences of the server; empty: the issuer",
    ),
    Flag::new(
        "enable-admission-plugins",
        List,
        "",
        "admission plugins to have on beside those that are by default",
    ),
    Flag::new(
        "disable-admission-plugins",
        List,
        "",
        "admission plugins to have off although they are on by default",
    ),
    Flag::refused(
        "admission-control-config-file",
        Text,
        "no admission plugin takes a configuration yet",
    ),
    Flag::new(
        "enable-bootstrap-token-auth",
        Bool,
        "false",
        "take bootstrap tokens: false",
    ),
    Flag::new(
        "service-account-lookup",
        Bool,
        "true",
        "tokens end with their service account: true",
    ),
    Flag::ignored(
        "service-account-extend-token-expiration",
        Bool,
        "tokens live as long as they were asked for",
    ),
    Flag::refused(
        "service-account-max-token-expiration",
        Duration,
        "a day is the limit",
    ),
    Flag::refused(
        "service-account-jwks-uri",
        Text,
        "keys are published by the server itself",
    ),
    Flag::refused(
        "service-account-signing-endpoint",
        Text,
        "tokens are signed by the server itself",
    ),
    Flag::refused("token-auth-file", Text, "there are no lasting tokens"),
    Flag::refused("authentication-config", Text, OIDC),
    Flag::refused("authentication-token-webhook-config-file", Text, WEBHOOK),
    Flag::refused("authentication-token-webhook-version", Text, WEBHOOK),
    Flag::ignored("authentication-token-webhook-cache-ttl", Duration, WEBHOOK),
    Flag::refused("authorization-config", Text, "say --authorization-mode"),
    Flag::refused("authorization-policy-file", Text, "ABAC is not there"),
    Flag::refused("authorization-webhook-config-file", Text, WEBHOOK),
    Flag::refused("authorization-webhook-version", Text, WEBHOOK),
    Flag::ignored("authorization-webhook-cache-authorized-ttl", Duration, WEBHOOK),
    Flag::ignored("authorization-webhook-cache-unauthorized-ttl", Duration, WEBHOOK),
    Flag::refused("oidc-ca-file", Text, OIDC),
    Flag::refused("oidc-client-id", Text, OIDC),
    Flag::refused("oidc-groups-claim", Text, OIDC),
    Flag::refused("oidc-groups-prefix", Text, OIDC),
    Flag::refused("oidc-issuer-url", Text, OIDC),
    Flag::refused("oidc-required-claim", Map, OIDC),
    Flag::refused("oidc-signing-algs", List, OIDC),
    Flag::refused("oidc-username-claim", Text, OIDC),
    Flag::refused("oidc-username-prefix", Text, OIDC),
    Flag::new(
        "requestheader-allowed-names",
        List,
        "",
        "common names of the front proxies whose word is taken; empty: of any",
    ),
    Flag::new(
        "requestheader-client-ca-file",
        Text,
        "",
        "the CA of front proxies, PEM; empty: the word of none is taken",
    ),
    Flag::new(
        "requestheader-extra-headers-prefix",
        List,
        "",
        "what headers begin with that tell more of the user, such as X-Remote-Extra-",
    ),
    Flag::new(
        "requestheader-group-headers",
        List,
        "",
        "headers with the user's groups, such as X-Remote-Group",
    ),
    Flag::new(
        "requestheader-uid-headers",
        List,
        "",
        "headers with the user's UID, such as X-Remote-Uid",
    ),
    Flag::new(
        "requestheader-username-headers",
        List,
        "",
        "headers with the user's name, such as X-Remote-User",
    ),
];

/// Where it keeps what it is given.
pub const KUBE_APISERVER_STORE: &[Flag] = &[
    Flag::new(
        "store-dir",
        Text,
        "/var/lib/ferrokube/store",
        "where the built-in store is",
    ),
    Flag::new(
        "durable-leases",
        Bool,
        "false",
        "write Leases and Events to disk before they are acknowledged",
    ),
    Flag::refused("etcd-servers", List, ETCD),
    Flag::refused("etcd-servers-overrides", List, ETCD),
    Flag::refused("etcd-prefix", Text, ETCD),
    Flag::refused("etcd-cafile", Text, ETCD),
    Flag::refused("etcd-certfile", Text, ETCD),
    Flag::refused("etcd-keyfile", Text, ETCD),
    Flag::ignored(
        "etcd-compaction-interval",
        Duration,
        "the built-in store reclaims by itself",
    ),
    Flag::ignored(
        "etcd-count-metric-poll-period",
        Duration,
        "the built-in store counts by itself",
    ),
    Flag::ignored(
        "etcd-db-metric-poll-interval",
        Duration,
        "the built-in store counts by itself",
    ),
    Flag::ignored(
        "etcd-healthcheck-timeout",
        Duration,
        "the built-in store is in the process",
    ),
    Flag::ignored(
        "etcd-readycheck-timeout",
        Duration,
        "the built-in store is in the process",
    ),
    Flag::ignored(
        "lease-reuse-duration-seconds",
        Int,
        "leases of the store are not needed for events",
    ),
    Flag::ignored(
        "storage-initialization-timeout",
        Duration,
        "the built-in store is in the process",
    ),
    Flag::refused("storage-backend", Text, ETCD),
    Flag::refused("storage-media-type", Text, ALL_SERVED),
    Flag::refused("encryption-provider-config", Text, "values are not encrypted yet"),
    Flag::refused(
        "encryption-provider-config-automatic-reload",
        Bool,
        "values are not encrypted yet",
    ),
    Flag::refused("enable-garbage-collector", Bool, "it is always on"),
    Flag::refused("watch-cache", Bool, "it is always on"),
    Flag::ignored("watch-cache-sizes", List, BOUNDS),
    Flag::ignored("default-watch-cache-size", Int, BOUNDS),
    Flag::ignored("delete-collection-workers", Int, BOUNDS),
];

/// Who did what.
pub const KUBE_APISERVER_AUDIT: &[Flag] = &[
    Flag::refused("audit-policy-file", Text, AUDIT),
    Flag::refused("audit-log-path", Text, AUDIT),
    Flag::refused("audit-log-batch-buffer-size", Int, AUDIT),
    Flag::refused("audit-log-batch-max-size", Int, AUDIT),
    Flag::refused("audit-log-batch-max-wait", Duration, AUDIT),
    Flag::refused("audit-log-batch-throttle-burst", Int, AUDIT),
    Flag::refused("audit-log-batch-throttle-enable", Bool, AUDIT),
    Flag::refused("audit-log-batch-throttle-qps", Text, AUDIT),
    Flag::refused("audit-log-compress", Bool, AUDIT),
    Flag::refused("audit-log-format", Text, AUDIT),
    Flag::refused("audit-log-maxage", Int, AUDIT),
    Flag::refused("audit-log-maxbackup", Int, AUDIT),
    Flag::refused("audit-log-maxsize", Int, AUDIT),
    Flag::refused("audit-log-mode", Text, AUDIT),
    Flag::refused("audit-log-truncate-enabled", Bool, AUDIT),
    Flag::refused("audit-log-truncate-max-batch-size", Int, AUDIT),
    Flag::refused("audit-log-truncate-max-event-size", Int, AUDIT),
    Flag::refused("audit-log-version", Text, AUDIT),
    Flag::refused("audit-webhook-config-file", Text, AUDIT),
    Flag::refused("audit-webhook-batch-buffer-size", Int, AUDIT),
    Flag::refused("audit-webhook-batch-initial-backoff", Duration, AUDIT),
    Flag::refused("audit-webhook-batch-max-size", Int, AUDIT),
    Flag::refused("audit-webhook-batch-max-wait", Duration, AUDIT),
    Flag::refused("audit-webhook-batch-throttle-burst", Int, AUDIT),
    Flag::refused("audit-webhook-batch-throttle-enable", Bool, AUDIT),
    Flag::refused("audit-webhook-batch-throttle-qps", Text, AUDIT),
    Flag::refused("audit-webhook-initial-backoff", Duration, AUDIT),
    Flag::refused("audit-webhook-mode", Text, AUDIT),
    Flag::refused("audit-webhook-truncate-enabled", Bool, AUDIT),
    Flag::refused("audit-webhook-truncate-max-batch-size", Int, AUDIT),
    Flag::refused("audit-webhook-truncate-max-event-size", Int, AUDIT),
    Flag::refused("audit-webhook-version", Text, AUDIT),
];
