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
                // The version is lent to this: who asked the cache for it again would lock out whoever writes it.
                let seen = |at: &Option<u64>| shows(cache, *at, object, deleted);
                // The cache lives, so its version cannot close.
                let _ = versions.wait_for(seen).await;
            }
        }
    };
    clock.timeout(LIMIT, all).await.is_some()
}

fn shows(cache: &Cache, at: Option<u64>, written: &api::Object, deleted: bool) -> bool {
    let version = written.resource_version();
    if !deleted && at.is_some_and(|at| at >= version) {
        return true;
    }
    match cache.get(&written.key()) {
        None => deleted,
        Some(held) if held.uid() != written.uid() => true,
        Some(held) if deleted => held.deletion_timestamp().is_some(),
        Some(held) => held.resource_version() >= version,
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the lock is raced for on real threads")]
mod tests {
    use super::*;
    use crate::plan::PlannedWrite;
    use api::{Gvr, Object};
    use client::Target;
    use std::sync::Arc;

    /// A cache that many hold a key for takes in new versions all the while: nobody waits for a lock that it has itself.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn those_who_hold_never_stop_the_cache() {
        const LAST: u64 = 20_000;
        let gvr = Gvr::new("", "v1", "pods");
        let cache = Cache::detached(gvr.clone());
        let text = br#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"b","uid":"c"}}"#;
        let written = Arc::new(Object::parse(text.to_vec().into(), LAST, &[]).unwrap());
        let write = PlannedWrite {
            target: Target::object(&gvr, &written.key()),
            write: Write::Create(bytes::Bytes::new()),
            label: "create",
            done: None,
            refused: None,
        };
        let holders: Vec<_> = (0..8)
            .map(|_| {
                let (caches, done) = ([cache.clone()], [(write.clone(), written.clone())]);
                let clock = Clock::system();
                tokio::spawn(async move { hold(&caches, &done, &clock).await })
            })
            .collect();
        for version in 1..=LAST {
            cache.reached(version);
            if version % 64 == 0 {
                tokio::task::yield_now().await;
            }
        }
        for holder in holders {
            assert!(holder.await.unwrap());
        }
    }
}
