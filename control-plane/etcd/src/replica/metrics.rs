//! What a member counts of its part in the cluster, under etcd's names.

use component::metrics::{Counter, Description, Family, Histogram, Registry};
use std::sync::Arc;

/// etcd's buckets of times, in seconds.
const TIMES: &[f64] = &[
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192,
];

/// What is counted. Clones are the same.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// Times to make the log durable.
    pub fsync: Arc<Histogram>,
    /// Times to make the store durable.
    pub commit: Arc<Histogram>,
    /// Proposals that came to nothing.
    pub failed: Arc<Counter>,
    /// Bytes to other members.
    pub sent: Arc<Family<Counter>>,
    /// Bytes of other members.
    pub received: Arc<Family<Counter>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::default();
        let times = |name, help| {
            let described = Description::new(name, help, &[]).with(TIMES);
            registry.family::<Histogram>(described).of(&[]).clone()
        };
        let count = |name, help, labels| registry.family::<Counter>(Description::new(name, help, labels));
        Self {
            fsync: times(
                "etcd_disk_wal_fsync_duration_seconds",
                "The latency distributions of fsync called by WAL.",
            ),
            commit: times(
                "etcd_disk_backend_commit_duration_seconds",
                "The latency distributions of commit called by backend.",
            ),
            failed: count(
                "etcd_server_proposals_failed_total",
                "The total number of failed proposals seen.",
                &[],
            )
            .of(&[])
            .clone(),
            sent: count(
                "etcd_network_peer_sent_bytes_total",
                "The total number of bytes sent to peers.",
                &["To"],
            ),
            received: count(
                "etcd_network_peer_received_bytes_total",
                "The total number of bytes received from peers.",
                &["From"],
            ),
            registry,
        }
    }
}

impl Metrics {
    /// Writes what is counted.
    pub fn write(&self, out: &mut String) {
        self.registry.write(out);
    }
}
