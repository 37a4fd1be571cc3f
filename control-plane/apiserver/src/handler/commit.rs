//! The conditional write, and what to make of each outcome.

use super::{Handler, Place};
use api::{Object, Status};
use bytes::Bytes;
use etcd::{Durability, Error, Op, RangeRequest, TxnOutcome, TxnRequest};
use resources::Keeping;
use std::{sync::Arc, time::Duration};

/// What became of a write that the store answered.
pub(crate) enum Commit {
    /// Done at this revision.
    Done(u64),
    /// The object is at another revision by now; the cache has caught up with it.
    Lost,
    /// Another server took what the write had picked: it is to be made again.
    Again,
}

/// The lease that Events live by is shared for a minute, as upstream.
const LEASE_SHARED: Duration = Duration::from_secs(60);

/// How long a writer waits for the cache to show what it lost against.
const CATCH_UP: Duration = Duration::from_secs(3);

impl Handler {
    /// Writes `body`, or deletes, if the object is at revision `expect` (0: is not there).
    pub(crate) async fn write(
        &self,
        place: &Place,
        name: &str,
        expect: u64,
        body: Option<Bytes>,
    ) -> Result<Commit, Status> {
        let keeping = place.row().keeping;
        let op = match body.clone() {
            Some(value) => Op::Put {
                value,
                lease: self.lease(keeping).await?,
            },
            None => Op::Delete,
        };
        let durability = match keeping {
            Keeping::Durable => Durability::Durable,
            Keeping::Volatile | Keeping::Expiring => Durability::Volatile,
        };
        let key = Bytes::from(place.key(name));
        let request = TxnRequest {
            key: key.clone(),
            expect: Some(expect),
            op,
            durability,
        };
        let operation = match (expect, &body) {
            (_, None) => "delete",
            (0, _) => "create",
            _ => "update",
        };
        let started = self.env.clock.now();
        let outcome = self.store.txn(request).await;
        let seconds = (self.env.clock.now() - started).as_secs_f64();
        let labels = [place.row().group, operation, place.row().plural];
        self.metrics.etcd.of(&labels).observe(seconds);
        match outcome {
            Ok(TxnOutcome::Done(revision)) => {
                self.catch_up(revision).await;
                Ok(Commit::Done(revision))
            }
            Ok(TxnOutcome::Mismatch(_, revision)) => {
                self.catch_up(revision).await;
                Ok(Commit::Lost)
            }
            Err(Error::Unknown(why)) => self.decide(key, body, &why).await,
            Err(error) => Err(refusal(&error)),
        }
    }

    async fn catch_up(&self, revision: u64) {
        // A cache that stays behind shows its age at the next write's condition.
        let _ = self
            .env
            .clock
            .timeout(CATCH_UP, self.feed.reached(revision))
            .await;
    }

    /// The answer of a write was lost: read what is there now.
    async fn decide(&self, key: Bytes, body: Option<Bytes>, why: &str) -> Result<Commit, Status> {
        let lost = || Status::timeout(format!("The outcome of the write is not known: {why}"));
        let read = self
            .store
            .range(RangeRequest {
                start: key,
                ..RangeRequest::default()
            })
            .await;
        let found = read.map_err(|_| lost())?;
        match (found.kvs.first(), body) {
            (Some(kv), Some(body)) if kv.value == body => {
                let revision = kv.mod_revision;
                self.catch_up(revision).await;
                Ok(Commit::Done(revision))
            }
            (None, None) => {
                self.catch_up(found.revision).await;
                Ok(Commit::Done(found.revision))
            }
            _ => Err(lost()),
        }
    }

    async fn lease(&self, keeping: Keeping) -> Result<i64, Status> {
        if keeping != Keeping::Expiring {
            return Ok(0);
        }
        let now = self.env.clock.now();
        let mut shared = self.lease.lock().await;
        if let Some((lease, until)) = *shared
            && now < until
        {
            return Ok(lease);
        }
        let lease = self
            .store
            .grant(self.event_ttl + LEASE_SHARED)
            .await
            .map_err(|error| refusal(&error))?;
        *shared = Some((lease, now + LEASE_SHARED));
        Ok(lease)
    }

    /// The object as written at `revision`, in the served version of `place`.
    pub(super) async fn stored(
        &self,
        place: &Place,
        name: &str,
        body: Bytes,
        revision: u64,
    ) -> Result<Arc<Object>, Status> {
        let cached = place
            .cache
            .get(&place.namespace, name)
            .filter(|h| h.hub().resource_version() == revision);
        match cached {
            Some(held) => {
                self.ensure(place, std::slice::from_ref(&held)).await?;
                Ok(held.version(place.version).clone())
            }
            None => self.shown(place, body, revision).await,
        }
    }

    /// `body` (the stored form) in the served version of `place`, as of `revision`.
    pub(super) async fn shown(
        &self,
        place: &Place,
        body: Bytes,
        revision: u64,
    ) -> Result<Arc<Object>, Status> {
        let held = place.cache.held(body, revision).map_err(Status::internal)?;
        self.ensure(place, std::slice::from_ref(&held)).await?;
        Ok(held.version(place.version).clone())
    }
}

fn refusal(error: &Error) -> Status {
    match error {
        Error::TooLarge(_) => Status::too_large("etcdserver: request is too large"),
        Error::Unavailable(why) => Status::unavailable(format!("store unavailable: {why}")),
        error => Status::internal(error),
    }
}
