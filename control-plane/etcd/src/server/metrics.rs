//! `/metrics`, with etcd's names.

use super::{Member, VERSION};
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
}

impl Member {
    pub(super) fn metrics(&self) -> String {
        let (engine, counters) = (self.engine(), &self.0.counters);
        let (replica, view, revision) = (self.replica(), self.replica().view(), engine.visible());
        let rows: [(&str, &str, u64); 16] = [
            ("etcd_server_has_leader", "gauge", u64::from(view.leader != 0)),
            ("etcd_server_is_leader", "gauge", u64::from(view.leads)),
            ("etcd_server_is_learner", "gauge", u64::from(replica.is_learner())),
            ("etcd_server_leader_changes_seen_total", "counter", view.changes),
            (
                "etcd_server_proposals_committed_total",
                "gauge",
                replica.committed(),
            ),
            ("etcd_server_proposals_applied_total", "gauge", replica.applied()),
            ("etcd_server_quota_backend_bytes", "gauge", self.settings().quota),
            ("etcd_mvcc_db_total_size_in_bytes", "gauge", engine.file_bytes()),
            (
                "etcd_mvcc_db_total_size_in_use_in_bytes",
                "gauge",
                engine.live_bytes(),
            ),
            ("etcd_mvcc_range_total", "counter", counters.ranges.get()),
            ("etcd_mvcc_put_total", "counter", counters.puts.get()),
            ("etcd_mvcc_delete_total", "counter", counters.deletes.get()),
            ("etcd_mvcc_txn_total", "counter", counters.txns.get()),
            (
                "etcd_debugging_mvcc_watch_stream_total",
                "gauge",
                counters.watch_streams.get(),
            ),
            (
                "etcd_debugging_mvcc_watcher_total",
                "gauge",
                counters.watches.get(),
            ),
            ("etcd_debugging_mvcc_current_revision", "gauge", revision),
        ];
        let mut text = String::new();
        for (name, kind, value) in rows {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {value}");
        }
        let compacted = engine.compacted();
        let _ = writeln!(
            text,
            "# TYPE etcd_debugging_mvcc_compact_revision gauge\netcd_debugging_mvcc_compact_revision {compacted}\n\
             # TYPE etcd_server_version gauge\netcd_server_version{{server_version=\"{VERSION}\"}} 1\n\
             # TYPE etcd_server_id gauge\netcd_server_id{{server_id=\"{:x}\"}} 1",
            replica.identity().member
        );
        text
    }
}
