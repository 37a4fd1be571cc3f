//! A member as a [`Store`].

use super::{Failure, Replica};
use crate::{
    Answer, Error, Observer, RangeRequest, RangeResponse, Revision, Store, TxnOutcome, TxnRequest, WatchItem,
    WatchRequest, state::Command,
};
use futures::{FutureExt, future::BoxFuture, stream::BoxStream};
use std::{sync::Arc, time::Duration};

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) => error,
            Failure::TimedOut | Failure::LeaderFailed | Failure::Stopped => {
                Error::Unknown(failure.to_string())
            }
            failure => Error::Unavailable(failure.to_string()),
        }
    }
}

impl Replica {
    /// Makes the lease `id` of `ttl`; 0: one of a new number.
    pub async fn grant_as(&self, id: i64, ttl: Duration) -> Result<i64, Failure> {
        let id = match id {
            0 => i64::try_from(self.0.env.random.below(i64::MAX as u64)).unwrap_or(0) + 1,
            id => id,
        };
        let ttl = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        self.submit(Command::Grant { id, ttl }).await.map(|_| id)
    }
}

impl Store for Replica {
    fn range(&self, request: RangeRequest) -> BoxFuture<'_, Result<RangeResponse, Error>> {
        async move {
            self.linearizable().await?;
            self.engine().range(request).await
        }
        .boxed()
    }

    fn txn(&self, request: TxnRequest) -> BoxFuture<'_, Result<TxnOutcome, Error>> {
        async move {
            let TxnRequest { key, expect, op, .. } = request;
            match self.submit(Command::Write { key, expect, op }).await? {
                Answer::Done(revision) => Ok(TxnOutcome::Done(revision)),
                Answer::Mismatch(kv, revision) => Ok(TxnOutcome::Mismatch(kv, revision)),
                answer => Err(Error::Unknown(format!("the store answered {answer:?}"))),
            }
        }
        .boxed()
    }

    fn watch(&self, request: WatchRequest) -> BoxStream<'static, Result<WatchItem, Error>> {
        Replica::watch(self, request)
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), Error>> {
        async move { Ok(self.submit(Command::Compact(revision)).await.map(drop)?) }.boxed()
    }

    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<i64, Error>> {
        async move { Ok(self.grant_as(0, ttl).await?) }.boxed()
    }

    fn keep_alive(&self, lease: i64) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            let kept = Replica::keep_alive(self, lease).await?;
            kept.map(drop).ok_or(Error::LeaseNotFound)
        }
        .boxed()
    }

    fn revoke(&self, lease: i64) -> BoxFuture<'_, Result<(), Error>> {
        async move { Ok(self.submit(Command::Revoke(lease)).await.map(drop)?) }.boxed()
    }

    fn observe(&self, _: Arc<dyn Observer>) -> bool {
        // A snapshot may take the place of many revisions at once.
        false
    }

    fn revision(&self) -> BoxFuture<'_, Result<Revision, Error>> {
        async move {
            self.linearizable().await?;
            Ok(self.engine().visible())
        }
        .boxed()
    }
}
