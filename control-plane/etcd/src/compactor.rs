//! Forgets old revisions, an interval after they were new.
//!
//! Several API servers on one store agree by one key, as upstream's do, and with them: who writes it first after an
//! interval has forgotten what is older than the revision at the write before.

use crate::{Durability, Error, Op, RangeRequest, Revision, Store, TxnOutcome, TxnRequest};
use bytes::Bytes;
use component::Env;
use std::{sync::Arc, time::Duration};

/// The key by which API servers agree.
const KEY: &[u8] = b"compact_rev_key";

/// What forgets old revisions of a store.
pub struct Compactor {
    store: Arc<dyn Store>,
    /// Others compact the store as well.
    shared: bool,
    /// The key as it was last seen, and the newest revision then.
    seen: Revision,
    revision: Revision,
}

impl Compactor {
    /// For a store that is this process's alone, or `shared`.
    pub fn new(store: Arc<dyn Store>, shared: bool) -> Self {
        Self {
            store,
            shared,
            seen: 0,
            revision: 0,
        }
    }

    /// Compacts every `interval`, for ever.
    pub async fn run(mut self, interval: Duration, env: Env) {
        loop {
            env.clock.sleep(interval).await;
            if let Err(error) = self.step().await {
                tracing::warn!(%error, "old revisions are kept for now");
            }
        }
    }

    /// Forgets what was old at the step before.
    pub async fn step(&mut self) -> Result<(), Error> {
        let before = self.revision;
        let due = if self.shared {
            self.take_turn().await?
        } else {
            self.revision = self.store.revision().await?;
            self.revision > before
        };
        if !due || before == 0 {
            return Ok(());
        }
        match self.store.compact(before).await {
            // Somebody did it by hand.
            Err(Error::Compacted(_)) => Ok(()),
            done => done,
        }
    }

    /// Writes the key, unless another server did since it was last seen.
    async fn take_turn(&mut self) -> Result<bool, Error> {
        let read = RangeRequest {
            start: Bytes::from_static(KEY),
            ..RangeRequest::default()
        };
        if self.seen == 0 {
            let found = self.store.range(read).await?;
            self.seen = found.kvs.first().map_or(0, |kv| kv.mod_revision);
        }
        let newest = self.store.revision().await?;
        let write = TxnRequest {
            key: Bytes::from_static(KEY),
            expect: Some(self.seen),
            op: Op::Put {
                value: Bytes::from(self.revision.max(newest).to_string()),
                lease: 0,
            },
            durability: Durability::Durable,
        };
        match self.store.txn(write).await? {
            TxnOutcome::Done(revision) => {
                (self.seen, self.revision) = (revision, revision);
                Ok(true)
            }
            TxnOutcome::Mismatch(kv, revision) => {
                (self.seen, self.revision) = (kv.map_or(0, |kv| kv.mod_revision), revision);
                Ok(false)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Engine;

    async fn put(store: &Engine, name: &str) -> Revision {
        let write = TxnRequest {
            key: Bytes::copy_from_slice(name.as_bytes()),
            expect: None,
            op: Op::Put {
                value: Bytes::new(),
                lease: 0,
            },
            durability: Durability::Durable,
        };
        match store.txn(write).await {
            Ok(TxnOutcome::Done(revision)) => revision,
            other => panic!("{other:?}"),
        }
    }

    async fn readable(store: &Engine, revision: Revision) -> bool {
        let at = RangeRequest {
            start: Bytes::from_static(b"a"),
            revision,
            ..RangeRequest::default()
        };
        store.range(at).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_revision_is_forgotten_an_interval_after_it_was_new() {
        let env = Env::simulated(1);
        let store = Engine::in_memory(env).unwrap();
        let mut alone = Compactor::new(store.clone(), false);
        let first = put(&store, "a").await;
        alone.step().await.unwrap();
        let second = put(&store, "a").await;
        assert!(readable(&store, first).await);
        alone.step().await.unwrap();
        assert!(
            readable(&store, first).await,
            "it was the newest one when it was seen"
        );
        alone.step().await.unwrap();
        put(&store, "a").await;
        alone.step().await.unwrap();
        assert!(!readable(&store, first).await);
        assert!(readable(&store, second).await);
    }

    #[tokio::test(start_paused = true)]
    async fn several_servers_compact_as_often_as_one() {
        let env = Env::simulated(1);
        let store = Engine::in_memory(env).unwrap();
        let mut servers = [
            Compactor::new(store.clone(), true),
            Compactor::new(store.clone(), true),
        ];
        let first = put(&store, "a").await;
        for server in &mut servers {
            server.step().await.unwrap();
        }
        let second = put(&store, "a").await;
        assert!(readable(&store, first).await);
        for server in &mut servers {
            server.step().await.unwrap();
        }
        assert!(!readable(&store, first).await);
        assert!(readable(&store, second).await);
    }
}
