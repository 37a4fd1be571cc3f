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
use tonic::Status;

/// Bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// Bytes of an answer that is put among others; a larger one is made apart.
const SMALL: usize = 16 << 10;
/// Keys that are read at once; more are read by a task, while other calls go on.
const FEW: i64 = 16;

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
            Method::Put => {
                let txn = decode(message).and_then(|request| self.of_put(request));
                self.small_write(reply, txn, |all| &all.puts, Self::after_put);
            }
            Method::DeleteRange => {
                let txn = decode(message).and_then(|request| self.of_delete(request));
                self.small_write(reply, txn, |all| &all.deletes, Self::after_delete);
            }
            Method::Txn => match decode::<pb::TxnRequest>(message) {
                Ok(request) => {
                    let txn = self.of_txn(&request);
                    let after = move |this: &Self, done| this.after_txn(&request, done);
                    self.small_write(reply, txn, |all| &all.txns, after);
                }
                Err(status) => reply.tell(Err::<(), _>(status)),
            },
        }
    }

    fn small_range(&self, reply: Reply, request: pb::RangeRequest) {
        let is_small = request.range_end.is_empty() || (1..=FEW).contains(&request.limit);
        let this = self.clone();
        let mut answering = Box::pin(async move {
            let found = this.range_by(&reply.asked.by, request).await;
            reply.tell(found);
        });
        if is_small && (&mut answering).now_or_never().is_some() {
            return;
        }
        self.0.env.tasks.child().spawn_draining("etcd-range", answering);
    }

    fn small_write<M: Message>(
        &self,
        reply: Reply,
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
        {
            counter(&self.0.counters).add();
            let answered = move |done: Result<TxnReply, _>| {
                reply.tell(done.map(|done| after(&this, done)).map_err(failed));
            };
            return self.replica().transact_then(&who, txn, answered);
        }
        self.0.env.tasks.child().spawn_draining("etcd-write", async move {
            let done = this.write(&reply.asked.by, txn, counter(&this.0.counters)).await;
            reply.tell(done.map(|done| after(&this, done)));
        });
    }
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
