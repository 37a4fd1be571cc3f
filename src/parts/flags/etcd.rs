//! etcd's flags.

use component::flags::{
    Flag,
    Kind::{Bool, Duration, Int, List, Text},
};

const BY_FLAGS: &str = "members are found by --initial-cluster";
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
        "where the other members reach this one",
    ),
    Flag::new(
        "listen-peer-urls",
        List,
        "http://localhost:2380",
        "where to listen for other members (http://host:port or https://host:port)",
    ),
    Flag::new(
        "initial-cluster",
        Text,
        "",
        "the members with their peer URLs (a=http://a:2380,b=http://b:2380); empty: this one alone",
    ),
    Flag::new(
        "initial-cluster-state",
        Text,
        "new",
        "whether the members found a cluster (new) or this one joins one (existing)",
    ),
    Flag::new(
        "force-new-cluster",
        Bool,
        "false",
        "make this member the only one, with all that it has: when the others are lost for ever",
    ),
    Flag::new(
        "heartbeat-interval",
        Int,
        "100",
        "milliseconds between two heartbeats of the leader",
    ),
    Flag::new(
        "election-timeout",
        Int,
        "1000",
        "milliseconds without a heartbeat after which there is an election",
    ),
    Flag::new(
        "strict-reconfig-check",
        Bool,
        "true",
        "refuse changes of the members that would cost the majority",
    ),
    Flag::new(
        "experimental-max-learners",
        Int,
        "1",
        "how many learners there may be at once",
    ),
    Flag::new(
        "peer-cert-file",
        Text,
        "",
        "the certificate shown to other members, PEM",
    ),
    Flag::new("peer-key-file", Text, "", "the key of --peer-cert-file, PEM"),
    Flag::new(
        "peer-trusted-ca-file",
        Text,
        "",
        "the CA of the other members' certificates, PEM",
    ),
    Flag::new(
        "peer-client-cert-auth",
        Bool,
        "false",
        "take only members that show a certificate of --peer-trusted-ca-file",
    ),
    Flag::new(
        "experimental-initial-corrupt-check",
        Bool,
        "false",
        "compare what this member holds with the others before it starts",
    ),
    Flag::new(
        "experimental-corrupt-check-time",
        Duration,
        "0s",
        "how often the leader compares what the members hold; 0: never",
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
    Flag::ignored(
        "initial-election-tick-advance",
        Bool,
        "a member alone leads at once, others wait their time-out",
    ),
    Flag::ignored("pre-vote", Bool, "nobody stands who would not be elected"),
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
    Flag::refused("discovery", Text, BY_FLAGS),
    Flag::refused("discovery-srv", Text, BY_FLAGS),
    Flag::refused("enable-v2", Bool, NO_V2),
    Flag::refused("auth-token", Text, AUTH),
    Flag::refused("auto-tls", Bool, "give --cert-file and --key-file"),
    Flag::refused("config-file", Text, "give flags"),
    Flag::refused("proxy", Text, "there is no proxy"),
];
