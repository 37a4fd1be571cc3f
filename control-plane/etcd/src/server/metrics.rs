//! `/metrics`, with etcd's names.

use super::{Member, VERSION};
use component::metrics::process;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// A number that goes up, or up and down.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less.
    pub fn remove(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is counted.
#[derive(Debug, Default)]
pub struct Counters {
    /// Reads.
    pub ranges: Counter,
    /// Writes.
    pub puts: Counter,
    /// Removals.
    pub deletes: Counter,
    /// Transactions.
    pub txns: Counter,
    /// Streams of watches that are open.
    pub watch_streams: Counter,
    /// Watches that are open.
    pub watches: Counter,
    /// Looks at the member's health that found it well.
    pub healthy: Counter,
    /// Those that did not.
    pub unhealthy: Counter,
}

/// A name, its kind, what it is, and its value.
type Row = (&'static str, &'static str, &'static str, u64);

impl Member {
    fn of_server(&self) -> Vec<Row> {
        let (replica, counters) = (self.replica(), &self.0.counters);
        let view = replica.view();
        let flag = u64::from;
        vec![
            (
                "etcd_server_has_leader",
                "gauge",
                "Whether or not a leader exists. 1 is existence, 0 is not.",
                flag(view.leader != 0),
            ),
            (
                "etcd_server_is_leader",
                "gauge",
                "Whether or not this member is a leader. 1 if is, 0 otherwise.",
                flag(view.leads),
            ),
            (
                "etcd_server_is_learner",
                "gauge",
                "Whether or not this member is a learner. 1 if is, 0 otherwise.",
                flag(replica.is_learner()),
            ),
            (
                "etcd_server_leader_changes_seen_total",
                "counter",
                "The number of leader changes seen.",
                view.changes,
            ),
            (
                "etcd_server_proposals_committed_total",
                "gauge",
                "The total number of consensus proposals committed.",
                replica.committed(),
            ),
            (
                "etcd_server_proposals_applied_total",
                "gauge",
                "The total number of consensus proposals applied.",
                replica.applied(),
            ),
            (
                "etcd_server_proposals_pending",
                "gauge",
                "The current number of pending proposals to commit.",
                replica.pending(),
            ),
            (
                "etcd_server_quota_backend_bytes",
                "gauge",
                "Current backend storage quota size in bytes.",
                self.settings().quota,
            ),
            (
                "etcd_server_health_success",
                "counter",
                "The total number of successful health checks",
                counters.healthy.get(),
            ),
            (
                "etcd_server_health_failures",
                "counter",
                "The total number of failed health checks",
                counters.unhealthy.get(),
            ),
            (
                "etcd_debugging_auth_revision",
                "gauge",
                "The current revision of auth store.",
                replica.auth().revision(),
            ),
        ]
    }

    fn of_store(&self) -> Vec<Row> {
        let (engine, counters) = (self.engine(), &self.0.counters);
        let (ranges, puts) = (counters.ranges.get(), counters.puts.get());
        let (deletes, txns) = (counters.deletes.get(), counters.txns.get());
        vec![
            (
                "etcd_mvcc_db_total_size_in_bytes",
                "gauge",
                "Total size of the underlying database physically allocated in bytes.",
                engine.file_bytes(),
            ),
            (
                "etcd_debugging_mvcc_db_total_size_in_bytes",
                "gauge",
                "Total size of the underlying database physically allocated in bytes.",
                engine.file_bytes(),
            ),
            (
                "etcd_mvcc_db_total_size_in_use_in_bytes",
                "gauge",
                "Total size of the underlying database logically in use in bytes.",
                engine.live_bytes(),
            ),
            (
                "etcd_mvcc_range_total",
                "counter",
                "Total number of ranges seen by this member.",
                ranges,
            ),
            (
                "etcd_mvcc_put_total",
                "counter",
                "Total number of puts seen by this member.",
                puts,
            ),
            (
                "etcd_mvcc_delete_total",
                "counter",
                "Total number of deletes seen by this member.",
                deletes,
            ),
            (
                "etcd_mvcc_txn_total",
                "counter",
                "Total number of txns seen by this member.",
                txns,
            ),
            (
                "etcd_debugging_mvcc_range_total",
                "counter",
                "Total number of ranges seen by this member.",
                ranges,
            ),
            (
                "etcd_debugging_mvcc_put_total",
                "counter",
                "Total number of puts seen by this member.",
                puts,
            ),
            (
                "etcd_debugging_mvcc_delete_total",
                "counter",
                "Total number of deletes seen by this member.",
                deletes,
            ),
            (
                "etcd_debugging_mvcc_txn_total",
                "counter",
                "Total number of txns seen by this member.",
                txns,
            ),
            (
                "etcd_debugging_mvcc_watch_stream_total",
                "gauge",
                "Total number of watch streams.",
                counters.watch_streams.get(),
            ),
            (
                "etcd_debugging_mvcc_watcher_total",
                "gauge",
                "Total number of watchers.",
                counters.watches.get(),
            ),
            (
                "etcd_debugging_mvcc_current_revision",
                "gauge",
                "The current revision of store.",
                engine.visible(),
            ),
            (
                "etcd_debugging_mvcc_compact_revision",
                "gauge",
                "The revision of the last compaction in store.",
                engine.compacted(),
            ),
        ]
    }

    /// Rows of one label each.
    fn of_cluster(&self) -> Vec<(&'static str, &'static str, String)> {
        let me = format!("{:x}", self.replica().identity().member);
        let mut rows = vec![
            (
                "etcd_server_version",
                "Which version is running.",
                format!("server_version=\"{VERSION}\""),
            ),
            (
                "etcd_cluster_version",
                "Which version is running.",
                "cluster_version=\"3.5\"".to_owned(),
            ),
            (
                "etcd_server_id",
                "Server or member ID in hexadecimal format.",
                format!("server_id=\"{me}\""),
            ),
        ];
        for peer in self.replica().reached() {
            let labels = format!("Local=\"{me}\",Remote=\"{peer:x}\"");
            rows.push((
                "etcd_network_active_peers",
                "The current number of active peer connections.",
                labels,
            ));
        }
        rows
    }

    pub(super) fn metrics(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        for (name, kind, help, value) in self.of_server().into_iter().chain(self.of_store()) {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
        }
        let mut told = "";
        for (name, help, labels) in self.of_cluster() {
            if name != told {
                let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
            }
            let _ = writeln!(text, "{name}{{{labels}}} 1");
            told = name;
        }
        self.replica().metrics().write(&mut text);
        self.0.calls.write(&mut text);
        process(&mut text);
        text
    }
}
