//! When leases end. The state machine knows which leases there are; time is kept here.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::Instant;

#[derive(Debug, Default)]
pub(crate) struct Deadlines {
    by_lease: BTreeMap<i64, (Duration, Instant)>,
    by_time: BTreeSet<(Instant, i64)>,
}

impl Deadlines {
    /// Starts the time of a lease.
    pub fn insert(&mut self, lease: i64, ttl: Duration, now: Instant) {
        self.remove(lease);
        // Far enough for any lease, near enough not to overflow the clock.
        let ttl = ttl.min(Duration::from_secs(100 * 365 * 24 * 3600));
        self.by_lease.insert(lease, (ttl, now + ttl));
        self.by_time.insert((now + ttl, lease));
    }

    /// Forgets a lease.
    pub fn remove(&mut self, lease: i64) {
        if let Some((_, deadline)) = self.by_lease.remove(&lease) {
            self.by_time.remove(&(deadline, lease));
        }
    }

    /// Starts the time of a lease again. False if it is not there or has ended.
    pub fn renew(&mut self, lease: i64, now: Instant) -> bool {
        match self.by_lease.get(&lease).copied() {
            Some((ttl, deadline)) if deadline > now => {
                self.insert(lease, ttl, now);
                true
            }
            _ => false,
        }
    }

    /// Starts the time of every lease again, also of those that have ended.
    pub fn renew_all(&mut self, now: Instant) {
        let leases: Vec<_> = self
            .by_lease
            .iter()
            .map(|(lease, (ttl, _))| (*lease, *ttl))
            .collect();
        for (lease, ttl) in leases {
            self.insert(lease, ttl, now);
        }
    }

    /// How long a lease lives yet.
    pub fn left(&self, lease: i64, now: Instant) -> Option<Duration> {
        let (_, deadline) = self.by_lease.get(&lease)?;
        Some(deadline.saturating_duration_since(now))
    }

    /// The leases whose time is over.
    pub fn ended(&self, now: Instant) -> Vec<i64> {
        self.by_time
            .iter()
            .take_while(|(deadline, _)| *deadline <= now)
            .map(|(_, lease)| *lease)
            .collect()
    }

    /// When the next lease ends.
    pub fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(deadline, _)| *deadline)
    }
}
