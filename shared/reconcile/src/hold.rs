//! Holding a key until the caches show what was written for it.

use crate::executor::Done;
use client::{Cache, Write};
use component::Clock;
use std::time::Duration;

/// After so long the cache is brought up to date by a live read instead.
const LIMIT: Duration = Duration::from_secs(5);

/// Waits until `caches` show each write of `done`. False when that took too long.
pub(crate) async fn hold(caches: &[Cache], done: &[Done], clock: &Clock) -> bool {
    let all = async {
        for (write, object) in done {
            for cache in caches.iter().filter(|c| *c.gvr() == write.target.gvr) {
                let deleted = matches!(write.write, Write::Delete(_));
                let mut versions = cache.versions();
                let seen = |_: &Option<u64>| shows(cache, object, deleted);
                // The cache lives, so its version cannot close.
                let _ = versions.wait_for(seen).await;
            }
        }
    };
    clock.timeout(LIMIT, all).await.is_some()
}

fn shows(cache: &Cache, written: &api::Object, deleted: bool) -> bool {
    let version = written.resource_version();
    if !deleted && cache.version().is_some_and(|v| v >= version) {
        return true;
    }
    match cache.get(&written.key()) {
        None => deleted,
        Some(held) if held.uid() != written.uid() => true,
        Some(held) if deleted => held.deletion_timestamp().is_some(),
        Some(held) => held.resource_version() >= version,
    }
}
