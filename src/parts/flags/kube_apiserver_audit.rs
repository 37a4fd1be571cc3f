//! kube-apiserver's flags of audit.

use component::flags::{
    Flag,
    Kind::{Bool, Duration, Int, Text},
};

/// Who did what.
pub const KUBE_APISERVER_AUDIT: &[Flag] = &[
    Flag::new(
        "audit-policy-file",
        Text,
        "",
        "how much is told of which requests: a Policy of audit.k8s.io/v1",
    ),
    Flag::new(
        "audit-log-path",
        Text,
        "",
        "the file that events are written to; -: standard output",
    ),
    Flag::new("audit-log-format", Text, "json", "what a line is: json, legacy"),
    Flag::new(
        "audit-log-maxage",
        Int,
        "366",
        "days that old files are kept; 0: for ever",
    ),
    Flag::new(
        "audit-log-maxbackup",
        Int,
        "100",
        "how many old files are kept; 0: all",
    ),
    Flag::new("audit-log-maxsize", Int, "100", "megabytes of a file; 0: no end"),
    Flag::new("audit-log-compress", Bool, "false", "compress old files"),
    Flag::new(
        "audit-log-version",
        Text,
        "audit.k8s.io/v1",
        "the version of the events",
    ),
    Flag::new(
        "audit-log-mode",
        Text,
        "blocking",
        "how events are given on: batch, blocking, blocking-strict",
    ),
    Flag::new(
        "audit-log-batch-buffer-size",
        Int,
        "10000",
        "events that may wait",
    ),
    Flag::new("audit-log-batch-max-size", Int, "1", "events of a batch"),
    Flag::new(
        "audit-log-batch-max-wait",
        Duration,
        "0s",
        "how long to wait for more of a batch",
    ),
    Flag::new(
        "audit-log-batch-throttle-enable",
        Bool,
        "false",
        "bound the batches a second",
    ),
    Flag::new("audit-log-batch-throttle-qps", Text, "0", "batches a second"),
    Flag::new("audit-log-batch-throttle-burst", Int, "0", "batches at once"),
    Flag::new(
        "audit-log-truncate-enabled",
        Bool,
        "false",
        "make large events and batches smaller",
    ),
    Flag::new(
        "audit-log-truncate-max-batch-size",
        Int,
        "10485760",
        "bytes of a batch",
    ),
    Flag::new(
        "audit-log-truncate-max-event-size",
        Int,
        "102400",
        "bytes of an event: what it holds is left out first, then it is lost",
    ),
    Flag::new(
        "audit-webhook-config-file",
        Text,
        "",
        "the kubeconfig of the server that events are posted to",
    ),
    Flag::new(
        "audit-webhook-initial-backoff",
        Duration,
        "10s",
        "how long to wait before the second try",
    ),
    Flag::new(
        "audit-webhook-batch-initial-backoff",
        Duration,
        "10s",
        "the same, by its old name",
    ),
    Flag::new(
        "audit-webhook-version",
        Text,
        "audit.k8s.io/v1",
        "the version of the events",
    ),
    Flag::new(
        "audit-webhook-mode",
        Text,
        "batch",
        "how events are given on: batch, blocking, blocking-strict",
    ),
    Flag::new(
        "audit-webhook-batch-buffer-size",
        Int,
        "10000",
        "events that may wait",
    ),
    Flag::new("audit-webhook-batch-max-size", Int, "400", "events of a batch"),
    Flag::new(
        "audit-webhook-batch-max-wait",
        Duration,
        "30s",
        "how long to wait for more of a batch",
    ),
    Flag::new(
        "audit-webhook-batch-throttle-enable",
        Bool,
        "true",
        "bound the batches a second",
    ),
    Flag::new("audit-webhook-batch-throttle-qps", Text, "10", "batches a second"),
    Flag::new("audit-webhook-batch-throttle-burst", Int, "15", "batches at once"),
    Flag::new(
        "audit-webhook-truncate-enabled",
        Bool,
        "false",
        "make large events and batches smaller",
    ),
    Flag::new(
        "audit-webhook-truncate-max-batch-size",
        Int,
        "10485760",
        "bytes of a batch",
    ),
    Flag::new(
        "audit-webhook-truncate-max-event-size",
        Int,
        "102400",
        "bytes of an event: what it holds is left out first, then it is lost",
    ),
];
