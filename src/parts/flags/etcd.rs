//! etcd's flags.

use component::flags::{
    Flag,
    Kind::{Bool, Duration, Int, List, Text},
};

const ALONE: &str = "there is one member, which talks to no others";
const OWN_LOG: &str = "the log is kept in segments that are given back by themselves";
const AUTH: &str = "there are no users and roles yet";
const NO_V2: &str = "the v2 API is not served";

/// Flags of its own.
pub const ETCD: &[Flag] = &[
    Flag::new("name", Text, "default", "the member's name"),
    Flag::new("data-dir", Text, "", "where the data is; empty: NAME.etcd"),
    Flag::new(
        "listen-client-urls",
        List,
        "http://localhost:2379",
        "where to listen for clients (http://host:port or https://host:port)",
    ),
    Flag::new(
        "advertise-client-urls",
        List,
        "http://localhost:2379",
        "where clients are told to reach this member",
    ),
    Flag::new(
        "listen-metrics-urls",
        List,
        "",
        "where else /metrics and /health are served",
    ),
    Flag::new(
        "quota-backend-bytes",
        Int,
        "0",
        "bytes in use at which writes are refused with NOSPACE; 0: no bound",
    ),
    Flag::new("max-request-bytes", Int, "1572864", "the largest request"),
    Flag::new("max-txn-ops", Int, "128", "the most operations of a transaction"),
    Flag::new(
        "experimental-watch-progress-notify-interval",
        Duration,
        "10m0s",
        "how often a watch that asks for it is told how far it is",
    ),
    Flag::new("cert-file", Text, "", "the certificate shown to clients, PEM"),
    Flag::new("key-file", Text, "", "the key of --cert-file, PEM"),
    Flag::new(
        "trusted-ca-file",
        Text,
        "",
        "the CA of clients' certificates, PEM",
    ),
    Flag::new(
        "client-cert-auth",
        Bool,
        "false",
        "take only clients that show a certificate of --trusted-ca-file",
    ),
    Flag::new(
        "initial-cluster-token",
        Text,
        "etcd-cluster",
        "what sets this cluster apart from others",
    ),
    Flag::new(
        "initial-advertise-peer-urls",
        List,
        "http://localhost:2380",
        "the peer URLs that the member list tells",
    ),
    Flag::new(
        "auto-compaction-retention",
        Text,
        "0",
        "how long old revisions are kept (1h30m; a number alone: hours); 0: until they are compacted by hand",
    ),
    Flag::new(
        "auto-compaction-mode",
        Text,
        "periodic",
        "how --auto-compaction-retention is counted: periodic",
    ),
    Flag::ignored("listen-peer-urls", List, ALONE),
    Flag::ignored("initial-cluster", Text, ALONE),
    Flag::ignored("initial-cluster-state", Text, ALONE),
    Flag::ignored("heartbeat-interval", Int, ALONE),
    Flag::ignored("election-timeout", Int, ALONE),
    Flag::ignored("initial-election-tick-advance", Bool, ALONE),
    Flag::ignored("pre-vote", Bool, ALONE),
    Flag::ignored("strict-reconfig-check", Bool, ALONE),
    Flag::ignored("peer-cert-file", Text, ALONE),
    Flag::ignored("peer-key-file", Text, ALONE),
    Flag::ignored("peer-trusted-ca-file", Text, ALONE),
    Flag::ignored("peer-client-cert-auth", Bool, ALONE),
    Flag::ignored(
        "experimental-initial-corrupt-check",
        Bool,
        "every record has a checksum",
    ),
    Flag::ignored(
        "experimental-corrupt-check-time",
        Duration,
        "every record has a checksum",
    ),
    Flag::ignored("snapshot-count", Int, OWN_LOG),
    Flag::ignored("max-snapshots", Int, OWN_LOG),
    Flag::ignored("max-wals", Int, OWN_LOG),
    Flag::ignored("backend-batch-interval", Duration, OWN_LOG),
    Flag::ignored("backend-batch-limit", Int, OWN_LOG),
    Flag::ignored("metrics", Text, "the metrics are few"),
    Flag::ignored("logger", Text, "see --logging-format"),
    Flag::ignored("log-level", Text, "see --v"),
    Flag::ignored("log-outputs", List, "it logs on standard error"),
    Flag::ignored(
        "grpc-keepalive-min-time",
        Duration,
        "clients may ping as often as they like",
    ),
    Flag::refused("wal-dir", Text, "the log is the data, in --data-dir"),
    Flag::refused("unsafe-no-fsync", Bool, "what is acknowledged is durable"),
    Flag::refused("force-new-cluster", Bool, ALONE),
    Flag::refused("discovery", Text, ALONE),
    Flag::refused("discovery-srv", Text, ALONE),
    Flag::refused("enable-v2", Bool, NO_V2),
    Flag::refused("auth-token", Text, AUTH),
    Flag::refused("auto-tls", Bool, "give --cert-file and --key-file"),
    Flag::refused("config-file", Text, "give flags"),
    Flag::refused("proxy", Text, "there is no proxy"),
];
