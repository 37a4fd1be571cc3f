//! The engine as a store of the API server.

use super::{Engine, hold, load, unexpected};
use crate::{
    Durability, Error, Observer, RangeRequest, RangeResponse, Revision, SharedItem, Store, TxnOutcome,
    TxnRequest, WatchItem, WatchRequest, commit::Answer, state::Command, watch,
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::BoxStream};
use std::{sync::Arc, time::Duration};

impl Engine {
    /// As [`Store::watch`], with events that watches of one range share.
    pub fn watch_shared(&self, request: WatchRequest) -> BoxStream<'static, Result<SharedItem, Error>> {
        watch::watch(self.core.clone(), request)
    }
}

impl Store for Engine {
    fn range(&self, request: RangeRequest) -> BoxFuture<'_, Result<RangeResponse, Error>> {
        async move {
            let (mut response, found) = self.core.collect(&request)?;
            response.kvs = load(&self.core, found).await?;
            Ok(response)
        }
        .boxed()
    }

    fn txn(&self, request: TxnRequest) -> BoxFuture<'_, Result<TxnOutcome, Error>> {
        async move {
            let TxnRequest {
                key,
                expect,
                op,
                durability,
            } = request;
            if let crate::Op::Put { value, .. } = &op
                && value.len().max(key.len()) > self.core.options.max_value_bytes
            {
                return Err(Error::TooLarge(value.len().max(key.len())));
            }
            let durable = durability == Durability::Durable || self.core.options.durable_leases;
            match self
                .core
                .submit(Command::Write { key, expect, op }, durable)
                .await?
            {
                Answer::Done(revision) => Ok(TxnOutcome::Done(revision)),
                Answer::Mismatch(kv, revision) => Ok(TxnOutcome::Mismatch(kv, revision)),
                answer => Err(unexpected(&answer)),
            }
        }
        .boxed()
    }

    fn watch(&self, request: WatchRequest) -> BoxStream<'static, Result<WatchItem, Error>> {
        let items = self.watch_shared(request);
        items.map(|item| item.map(WatchItem::from)).boxed()
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            self.core
                .submit(Command::Compact(revision), true)
                .await
                .map(|_| ())
        }
        .boxed()
    }

    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<i64, Error>> {
        self.grant_as(0, ttl).boxed()
    }

    fn keep_alive(&self, lease: i64) -> BoxFuture<'_, Result<(), Error>> {
        let renewed = hold(&self.core.leases).renew(lease, self.core.env.clock.now());
        async move {
            if renewed {
                Ok(())
            } else {
                Err(Error::LeaseNotFound)
            }
        }
        .boxed()
    }

    fn revoke(&self, lease: i64) -> BoxFuture<'_, Result<(), Error>> {
        async move { self.core.submit(Command::Revoke(lease), true).await.map(|_| ()) }.boxed()
    }

    fn observe(&self, observer: Arc<dyn Observer>) -> bool {
        // The writer publishes under this lock: a revision is either readable now or will be observed.
        let mut observers = hold(&self.core.observers);
        observers.push(observer);
        self.core.write().state.set_keep_values();
        true
    }

    fn revision(&self) -> BoxFuture<'_, Result<Revision, Error>> {
        let revision = self.core.read().visible;
        async move { Ok(revision) }.boxed()
    }
}
