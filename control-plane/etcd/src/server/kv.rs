//! The KV service.

use super::{
    Member, convert,
    failure::{Refusal, failed},
    metrics::Counter,
    who::Credentials,
};
use crate::{
    Revision,
    replica::Failure,
    state::Command,
    txn::{Txn, TxnOp, TxnReply, TxnResult},
};
use etcd_proto::etcdserverpb::{self as pb, kv_server::Kv};
use prost::Message;
use tonic::{Request, Response, Status, async_trait};

impl Member {
    /// Refuses a request that is too large.
    fn fits(&self, request: &impl Message) -> Result<(), Refusal> {
        if request.encoded_len() > self.settings().max_request_bytes {
            Err(Refusal::TooLarge)
        } else {
            Ok(())
        }
    }

    pub(super) async fn transact(&self, by: &Credentials, txn: Txn) -> Result<TxnReply, Status> {
        let who = self.who(by).await.map_err(failed)?;
        self.replica().transact_as(&who, txn).await.map_err(failed)
    }

    /// Writes, if there is room for it.
    pub(super) async fn write(
        &self,
        by: &Credentials,
        txn: Txn,
        counted: &Counter,
    ) -> Result<TxnReply, Status> {
        if grows(&txn) {
            self.room().await?;
        }
        counted.add();
        self.transact(by, txn).await
    }

    pub(super) async fn range_by(
        &self,
        by: &Credentials,
        request: pb::RangeRequest,
    ) -> Result<pb::RangeResponse, Status> {
        self.0.counters.ranges.add();
        let range = convert::range(&request)?;
        let found = match request.serializable {
            true => self.range_here(by, range).await?,
            false if self.replica().is_learner() => return Err(failed(Failure::Learner)),
            false => self.range_now(by, range).await?,
        };
        let revision = match request.revision {
            0 => found.revision,
            // The head of an answer about the past is of now.
            _ => self.engine().visible(),
        };
        Ok(self.range_response(&request, found, revision))
    }

    /// What a request does.
    pub(super) fn of_put(&self, request: pb::PutRequest) -> Result<Txn, Status> {
        self.fits(&request)?;
        Ok(Txn::of(convert::put(request)?))
    }

    /// The answer once it is done.
    pub(super) fn after_put(&self, done: TxnReply) -> pb::PutResponse {
        let prev = match done.results.into_iter().next() {
            Some(TxnResult::Put(prev)) => prev,
            _ => None,
        };
        pb::PutResponse {
            header: self.header(done.revision),
            prev_kv: prev.map(convert::key_value),
        }
    }

    /// What a request does.
    pub(super) fn of_delete(&self, request: pb::DeleteRangeRequest) -> Result<Txn, Status> {
        Ok(Txn::of(convert::delete(request)?))
    }

    /// The answer once it is done.
    pub(super) fn after_delete(&self, done: TxnReply) -> pb::DeleteRangeResponse {
        let (deleted, prev) = match done.results.into_iter().next() {
            Some(TxnResult::Deleted(deleted, prev)) => (deleted, prev),
            _ => (0, Vec::new()),
        };
        pb::DeleteRangeResponse {
            header: self.header(done.revision),
            deleted: deleted as i64,
            prev_kvs: prev.into_iter().map(convert::key_value).collect(),
        }
    }

    /// What a request does.
    pub(super) fn of_txn(&self, request: &pb::TxnRequest) -> Result<Txn, Status> {
        self.fits(request)?;
        Ok(convert::txn(request, self.settings().max_txn_ops)?)
    }

    /// The answer once it is done.
    pub(super) fn after_txn(&self, request: &pb::TxnRequest, done: TxnReply) -> pb::TxnResponse {
        self.txn_response(request, done.succeeded, done.results, done.revision)
    }
}

/// Whether a transaction may make the store larger.
pub(super) fn grows(txn: &Txn) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| match op {
        TxnOp::Put { .. } => true,
        TxnOp::Txn(inner) => grows(inner),
        TxnOp::Range(_) | TxnOp::Delete { .. } => false,
    })
}

#[async_trait]
impl Kv for Member {
    async fn range(&self, request: Request<pb::RangeRequest>) -> Result<Response<pb::RangeResponse>, Status> {
        let by = Credentials::of(&request);
        let found = self.range_by(&by, request.into_inner()).await?;
        Ok(Response::new(found))
    }

    async fn put(&self, request: Request<pb::PutRequest>) -> Result<Response<pb::PutResponse>, Status> {
        let by = Credentials::of(&request);
        let txn = self.of_put(request.into_inner())?;
        let done = self.write(&by, txn, &self.0.counters.puts).await?;
        Ok(Response::new(self.after_put(done)))
    }

    async fn delete_range(
        &self,
        request: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<pb::DeleteRangeResponse>, Status> {
        let by = Credentials::of(&request);
        let txn = self.of_delete(request.into_inner())?;
        let done = self.write(&by, txn, &self.0.counters.deletes).await?;
        Ok(Response::new(self.after_delete(done)))
    }

    async fn txn(&self, request: Request<pb::TxnRequest>) -> Result<Response<pb::TxnResponse>, Status> {
        let by = Credentials::of(&request);
        let request = request.into_inner();
        let txn = self.of_txn(&request)?;
        let done = self.write(&by, txn, &self.0.counters.txns).await?;
        Ok(Response::new(self.after_txn(&request, done)))
    }

    async fn compact(
        &self,
        request: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        let who = self.who(&Credentials::of(&request)).await.map_err(failed)?;
        let revision = Revision::try_from(request.into_inner().revision).unwrap_or(0);
        let compact = Command::Compact(revision);
        self.replica().submit_as(&who, compact).await.map_err(failed)?;
        Ok(Response::new(pb::CompactionResponse {
            header: self.header_now(),
        }))
    }
}
