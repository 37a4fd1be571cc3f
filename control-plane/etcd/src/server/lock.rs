//! The Lock service: who made the oldest key under a name holds the lock.

use super::{
    Member,
    failure::{failed, status},
    who::Credentials,
};
use crate::{
    KeyValue, RangeRequest, Revision, WatchItem, WatchRequest,
    txn::{Compare, Field, Relation, Txn, TxnOp, TxnResult},
};
use bytes::Bytes;
use etcd_proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest, UnlockResponse, lock_server::Lock};
use futures::StreamExt;
use tonic::{Request, Response, Status, async_trait};

/// The first key past those that start with `prefix`.
pub fn end_of(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(&[0])
}

fn put(key: &Bytes, value: &Bytes, lease: i64) -> TxnOp {
    TxnOp::Put {
        key: key.clone(),
        value: Some(value.clone()),
        lease: Some(lease),
        prev: false,
    }
}

/// That the key was made at `revision`; 0: is not there.
pub fn made_at(key: &Bytes, revision: Revision) -> Compare {
    Compare {
        start: key.clone(),
        end: Bytes::new(),
        relation: Relation::Equal,
        field: Field::Create(revision as i64),
    }
}

impl Member {
    /// Stands in the queue of `name` by the key of `lease`: that key, and the revision that made it.
    pub(super) async fn stand(
        &self,
        by: &Credentials,
        name: &Bytes,
        lease: i64,
        value: &Bytes,
    ) -> Result<(Bytes, Revision, bool), Status> {
        let key = Bytes::from([name.as_ref(), format!("/{lease:x}").as_bytes()].concat());
        let look = TxnOp::Range(RangeRequest {
            start: key.clone(),
            ..RangeRequest::default()
        });
        let txn = Txn {
            compare: vec![made_at(&key, 0)],
            success: vec![put(&key, value, lease)],
            failure: vec![look],
        };
        let done = self.transact(by, txn).await?;
        let made = match done.results.into_iter().next() {
            Some(TxnResult::Range(found)) => found.kvs.first().map_or(0, |kv| kv.create_revision),
            _ => done.revision,
        };
        Ok((key, made, done.succeeded))
    }

    /// Who stands first in the queue of `name`.
    pub(super) async fn first(&self, by: &Credentials, name: &Bytes) -> Result<Option<KeyValue>, Status> {
        Ok(self.queue(by, name).await?.0.into_iter().next())
    }

    /// Who stands in the queue, the first one first, and as of when.
    async fn queue(&self, by: &Credentials, name: &Bytes) -> Result<(Vec<KeyValue>, Revision), Status> {
        let prefix = [name.as_ref(), b"/"].concat();
        let all = RangeRequest {
            end: end_of(&prefix),
            start: prefix.into(),
            ..RangeRequest::default()
        };
        let found = self.range_now(by, all).await?;
        let (mut kvs, revision) = (found.kvs, found.revision);
        kvs.sort_by_key(|kv| kv.create_revision);
        Ok((kvs, revision))
    }

    /// Waits until the key made at `made` is the oldest; false if it went meanwhile, as with its lease.
    pub(super) async fn turn(
        &self,
        by: &Credentials,
        name: &Bytes,
        key: &Bytes,
        made: Revision,
    ) -> Result<bool, Status> {
        loop {
            let (queue, revision) = self.queue(by, name).await?;
            let Some(at) = queue
                .iter()
                .position(|kv| kv.key == *key && kv.create_revision == made)
            else {
                return Ok(false);
            };
            if at == 0 {
                return Ok(true);
            }
            let prefix = [name.as_ref(), b"/"].concat();
            let mut changes = self.replica().watch(WatchRequest {
                end: end_of(&prefix),
                start: prefix.into(),
                after: revision,
                ..WatchRequest::default()
            });
            match changes.next().await {
                Some(Ok(WatchItem::Events(_) | WatchItem::Progress(_))) | None => {}
                Some(Err(error)) => return Err(status(error)),
            }
        }
    }

    /// Removes the key, if it is still the one made at `made` (0: whatever it is).
    pub(super) async fn step_back(
        &self,
        by: &Credentials,
        key: &Bytes,
        made: Revision,
    ) -> Result<(), Status> {
        let compare = (made != 0).then(|| made_at(key, made));
        let delete = TxnOp::Delete {
            start: key.clone(),
            end: Bytes::new(),
            prev: false,
        };
        let txn = Txn {
            compare: compare.into_iter().collect(),
            success: vec![delete],
            failure: Vec::new(),
        };
        self.transact(by, txn).await.map(drop)
    }
}

/// Leaves the queue if its client goes while it waits.
pub(super) struct Leaving {
    pub member: Member,
    pub by: Credentials,
    pub key: Bytes,
    pub made: Revision,
    pub armed: bool,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (member, by) = (self.member.clone(), self.by.clone());
        let (key, made) = (self.key.clone(), self.made);
        self.member.0.env.tasks.spawn("lock-cancel", async move {
            if let Err(error) = member.step_back(&by, &key, made).await {
                tracing::warn!(%error, "a client that waited for a lock has gone, and its key stays until its lease ends");
            }
        });
    }
}

#[async_trait]
impl Lock for Member {
    async fn lock(&self, request: Request<LockRequest>) -> Result<Response<LockResponse>, Status> {
        let by = Credentials::of(&request);
        let LockRequest { name, lease } = request.into_inner();
        let lease = match lease {
            // As etcd: a lease of a minute that nobody keeps alive but the lock's holder.
            0 => {
                let minute = std::time::Duration::from_secs(60);
                self.replica().grant_as(0, minute).await.map_err(failed)?
            }
            lease => lease,
        };
        let (key, made, new) = self.stand(&by, &name, lease, &Bytes::new()).await?;
        let mut leaving = Leaving {
            member: self.clone(),
            by: by.clone(),
            key: key.clone(),
            made,
            armed: new,
        };
        let held = self.turn(&by, &name, &key, made).await;
        leaving.armed &= held.is_err();
        if !held? {
            return Err(super::failure::Refusal::SessionExpired.into());
        }
        Ok(Response::new(LockResponse {
            header: self.header_now(),
            key,
        }))
    }

    async fn unlock(&self, request: Request<UnlockRequest>) -> Result<Response<UnlockResponse>, Status> {
        let by = Credentials::of(&request);
        self.step_back(&by, &request.into_inner().key, 0).await?;
        Ok(Response::new(UnlockResponse {
            header: self.header_now(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_past_all_of_its_keys() {
        assert_eq!(end_of(b"a/"), "a0");
        assert_eq!(end_of(b"a\xff"), "b");
        assert_eq!(end_of(b"\xff"), &[0u8][..]);
    }
}
