//! The calls that are asked most, each of one message that is answered by one: they are read where they lie, and answered by
//! whoever knows the answer, without a task of their own. What is not as usual about one is left to the library.

use super::{
    Member,
    calls::One,
    failure::failed,
    kv,
    leaderless::needs_leader,
    metrics::{Counter, Counters},
    who::{ClientName, Credentials},
};
use crate::txn::{Txn, TxnReply};
use bytes::{BufMut, BytesMut};
use etcd_proto::etcdserverpb as pb;
use futures::FutureExt;
use http::{HeaderMap, Response, header::CONTENT_TYPE, request::Parts};
use http2::Answering;
use prost::Message;
use std::sync::Arc;
use tonic::{Code, Status};

/// Bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// Bytes of an answer that is put among others; a larger one is made apart.
const SMALL: usize = 16 << 10;
/// Keys that are read at once; more are read by a task, while other calls go on.
const FEW: u32 = 16;

/// A method that is answered here.
#[derive(Clone, Copy)]
enum Method {
    Range,
    Put,
    DeleteRange,
    Txn,
}

/// By their paths.
const METHODS: [(&str, Method); 4] = [
    ("/etcdserverpb.KV/Range", Method::Range),
    ("/etcdserverpb.KV/Put", Method::Put),
    ("/etcdserverpb.KV/DeleteRange", Method::DeleteRange),
    ("/etcdserverpb.KV/Txn", Method::Txn),
];

/// What the head of calls says: the same for nearly all of a client.
pub struct Asked {
    path: &'static str,
    method: Method,
    by: Credentials,
    needs_leader: bool,
    counted: One,
}

/// How a call is answered.
struct Reply {
    asked: Arc<Asked>,
    answering: Answering,
}

impl Reply {
    /// There is nobody to answer.
    fn gone(self) {
        self.asked.counted.refused(Code::Cancelled);
    }

    fn tell(self, answer: Result<impl Message, Status>) {
        match answer {
            Ok(message) => {
                let length = message.encoded_len();
                self.asked.counted.answered(PREFIX + length);
                // There is room for it in both.
                if length <= SMALL {
                    self.answering
                        .message(|out| message.encode(out).unwrap_or_default());
                    return;
                }
                let mut framed = BytesMut::with_capacity(PREFIX + length);
                framed.put_u8(0);
                framed.put_u32(length as u32);
                let _ = message.encode(&mut framed);
                self.answering.framed(framed.freeze());
            }
            Err(status) => {
                self.asked.counted.refused(status.code());
                let answer: Response<()> = status.into_http();
                self.answering.head(answer);
            }
        }
    }
}

impl Member {
    /// What a head asks, if it is as usual and of a method that is answered here.
    pub(super) fn asked(&self, head: &Parts, name: Option<&ClientName>) -> Option<Asked> {
        let row = METHODS.iter().find(|(path, _)| *path == head.uri.path());
        let (path, method) = *row?;
        let headers = &head.headers;
        is_usual(&head.method, headers).then(|| {
            Some(Asked {
                path,
                method,
                by: Credentials::of_head(headers, name),
                needs_leader: needs_leader(headers),
                counted: self.0.calls.one(path, headers)?,
            })
        })?
    }

    /// Answers a call.
    pub(super) fn small(&self, asked: &Arc<Asked>, message: &[u8], answering: Answering) {
        let asked = asked.clone();
        let reply = Reply { asked, answering };
        reply.asked.counted.begun();
        if let Err(failure) = self.admits(reply.asked.path, reply.asked.needs_leader) {
            return reply.tell(Err::<(), _>(failed(failure)));
        }
        reply.asked.counted.received(PREFIX + message.len());
        match reply.asked.method {
            Method::Range => match decode(message) {
                Ok(request) => self.small_range(reply, request),
                Err(status) => reply.tell(Err::<(), _>(status)),
            },
            Method::Put => match decode::<pb::PutRequest>(message) {
                Ok(request) => {
                    let values = u32::from(request.prev_kv);
                    let txn = self.of_put(request);
                    self.small_write(reply, values, txn, |all| &all.puts, Self::after_put);
                }
                Err(status) => reply.tell(Err::<(), _>(status)),
            },
            Method::DeleteRange => match decode::<pb::DeleteRangeRequest>(message) {
                Ok(request) => {
                    let values = values_of_delete(&request);
                    let txn = self.of_delete(request);
                    self.small_write(reply, values, txn, |all| &all.deletes, Self::after_delete);
                }
                Err(status) => reply.tell(Err::<(), _>(status)),
            },
            Method::Txn => match decode::<pb::TxnRequest>(message) {
                Ok(request) => {
                    let (values, txn) = (values_of_txn(&request), self.of_txn(&request));
                    let after = move |this: &Self, done| this.after_txn(&request, done);
                    self.small_write(reply, values, txn, |all| &all.txns, after);
                }
                Err(status) => reply.tell(Err::<(), _>(status)),
            },
        }
    }

    fn small_range(&self, reply: Reply, request: pb::RangeRequest) {
        let values = values_of_range(&request);
        let this = self.clone();
        let mut answering = Box::pin(async move {
            let Ok(_turn) = reply.answering.turn(values).await else {
                return reply.gone();
            };
            let found = this.range_by(&reply.asked.by, request).await;
            reply.tell(found);
        });
        if values <= FEW && (&mut answering).now_or_never().is_some() {
            return;
        }
        self.0.env.tasks.child().spawn_draining("etcd-range", answering);
    }

    /// Writes, and answers with so many values at most.
    fn small_write<M: Message>(
        &self,
        reply: Reply,
        values: u32,
        txn: Result<Txn, Status>,
        counter: fn(&Counters) -> &Counter,
        after: impl FnOnce(&Self, TxnReply) -> M + Send + 'static,
    ) {
        let txn = match txn {
            Ok(txn) => txn,
            Err(status) => return reply.tell(Err::<(), _>(status)),
        };
        let this = self.clone();
        if let Some(who) = self.anybody()
            && (!kv::grows(&txn) || self.has_room())
            && let Some(turn) = reply.answering.try_turn(values)
        {
            counter(&self.0.counters).add();
            let answered = move |done: Result<TxnReply, _>| {
                reply.tell(done.map(|done| after(&this, done)).map_err(failed));
                drop(turn);
            };
            return self.replica().transact_then(&who, txn, answered);
        }
        self.0.env.tasks.child().spawn_draining("etcd-write", async move {
            let Ok(_turn) = reply.answering.turn(values).await else {
                return reply.gone();
            };
            let done = this.write(&reply.asked.by, txn, counter(&this.0.counters)).await;
            reply.tell(done.map(|done| after(&this, done)));
        });
    }
}

/// How many values a range may give.
fn values_of_range(request: &pb::RangeRequest) -> u32 {
    match (request.range_end.is_empty() || request.count_only, request.limit) {
        (true, _) => 1,
        (false, limit @ 1..) => u32::try_from(limit).unwrap_or(u32::MAX),
        (false, _) => u32::MAX,
    }
}

/// How many what is removed may give.
fn values_of_delete(request: &pb::DeleteRangeRequest) -> u32 {
    match (request.prev_kv, request.range_end.is_empty()) {
        (false, _) => 0,
        (true, true) => 1,
        (true, false) => u32::MAX,
    }
}

/// How many a transaction may give, whichever of its lists is done.
fn values_of_txn(request: &pb::TxnRequest) -> u32 {
    use pb::request_op::Request;
    let of_list = |list: &[pb::RequestOp]| {
        let values = list.iter().map(|op| match &op.request {
            Some(Request::RequestRange(range)) => values_of_range(range),
            Some(Request::RequestPut(put)) => u32::from(put.prev_kv),
            Some(Request::RequestDeleteRange(delete)) => values_of_delete(delete),
            Some(Request::RequestTxn(txn)) => values_of_txn(txn),
            None => 0,
        });
        values.fold(0, u32::saturating_add)
    };
    of_list(&request.success).max(of_list(&request.failure))
}

/// Whether a call is of gRPC, and says nothing of how its messages are packed.
pub fn is_usual(method: &http::Method, headers: &HeaderMap) -> bool {
    let is_grpc = headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/grpc");
    is_grpc && !headers.contains_key("grpc-encoding") && method == http::Method::POST
}

/// What is kept of a message is copied out, so that nothing holds what else was read with it.
fn decode<M: Message + Default>(message: &[u8]) -> Result<M, Status> {
    M::decode(message).map_err(|error| Status::internal(error.to_string()))
}
