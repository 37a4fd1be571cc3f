//! A store that is any etcd v3 endpoint, or several of one cluster.
//!
//! Reads are asked of another endpoint when one does not answer; writes only if the first certainly did not get them,
//! else their outcome is [`Error::Unknown`]. A watch goes on after the last event it told, at whatever endpoint answers.

mod connect;
mod failure;
mod watch;

pub use connect::channel;

use crate::{
    Error, KeyValue, Observer, Op, RangeRequest, RangeResponse, Revision, Store, TxnOutcome, TxnRequest,
    WatchItem, WatchRequest,
};
use bytes::Bytes;
use component::Env;
use etcd_proto::{
    etcdserverpb::{
        self as pb, compare, kv_client::KvClient, lease_client::LeaseClient, request_op, response_op,
    },
    mvccpb,
};
use failure::Request;
use futures::{FutureExt, future::BoxFuture, stream, stream::BoxStream};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tonic::{Code, Status, transport::Channel};

/// Where the keys of the API stand in our own store, and in etcd unless it is told otherwise.
pub const PREFIX: &str = "/registry";

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Keys of one answer, when all are asked for.
const PAGE: usize = 5000;

/// Where an etcd is.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    /// The addresses of its members, as of `--etcd-servers`.
    pub servers: Vec<String>,
    /// How to speak TLS to those with `https`.
    pub tls: Option<rustls::ClientConfig>,
    /// What stands in etcd in the place of `/registry`; empty: the same.
    pub prefix: String,
}

/// The address of an etcd server cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadEndpoint(String);

/// A store at etcd.
pub struct Remote {
    inner: Arc<Inner>,
}

struct Inner {
    channels: Vec<Channel>,
    /// The one that answered last.
    current: AtomicUsize,
    prefix: Prefix,
    env: Env,
    /// Who asks for the newest revision takes the next number; an answer serves all up to the number it was asked at.
    asked: AtomicU64,
    newest: tokio::sync::Mutex<(u64, Revision)>,
}

/// Our keys by the names that they have in etcd.
#[derive(Clone, Debug)]
struct Prefix(Option<Bytes>);

impl Prefix {
    fn new(text: &str) -> Self {
        let text = format!("/{}", text.trim_matches('/'));
        Self((text != "/" && text != PREFIX).then(|| Bytes::from(text)))
    }

    fn there(&self, key: &Bytes) -> Bytes {
        match (&self.0, key.strip_prefix(PREFIX.as_bytes())) {
            (Some(prefix), Some(rest)) => [prefix, rest].concat().into(),
            _ => key.clone(),
        }
    }

    fn here(&self, key: Bytes) -> Bytes {
        match &self.0 {
            Some(prefix) => match key.strip_prefix(prefix.as_ref()) {
                Some(rest) => [PREFIX.as_bytes(), rest].concat().into(),
                None => key,
            },
            None => key,
        }
    }
}

impl Remote {
    /// A store at these endpoints, which need not answer yet.
    pub fn new(endpoints: &Endpoints, env: Env) -> Result<Arc<Self>, BadEndpoint> {
        if endpoints.servers.is_empty() {
            return Err(BadEndpoint("no etcd server is named".to_owned()));
        }
        let channels = endpoints
            .servers
            .iter()
            .map(|server| connect::channel(server.trim_end_matches('/'), endpoints.tls.as_ref()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(BadEndpoint)?;
        let inner = Inner {
            channels,
            current: AtomicUsize::new(0),
            prefix: Prefix::new(&endpoints.prefix),
            env,
            asked: AtomicU64::new(0),
            newest: tokio::sync::Mutex::new((0, 0)),
        };
        Ok(Arc::new(Self {
            inner: Arc::new(inner),
        }))
    }
}

impl Inner {
    /// Sends a request to the endpoint that answered last, or to the next ones.
    async fn ask<T, F>(&self, request: Request, mut send: impl FnMut(Channel) -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<tonic::Response<T>, Status>>,
    {
        let mut left = self.channels.len();
        loop {
            let current = self.current.load(Ordering::Relaxed);
            let sent = send(self.channels[current].clone());
            let answer = self.env.clock.timeout(PATIENCE, sent).await;
            let status = match answer {
                Some(Ok(answer)) => return Ok(answer.into_inner()),
                Some(Err(status)) => status,
                None => Status::deadline_exceeded("etcd did not answer in time"),
            };
            self.leave(current);
            left -= 1;
            if left == 0 || !failure::may_be_asked_again(&status, request) {
                return Err(failure::error(&status, request));
            }
        }
    }

    /// The next endpoint is to be asked from now on, if `failed` still is the one.
    fn leave(&self, failed: usize) {
        let next = (failed + 1) % self.channels.len();
        // If it fails, somebody else has moved on.
        let _ = self
            .current
            .compare_exchange(failed, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    async fn read(&self, request: pb::RangeRequest) -> Result<pb::RangeResponse, Error> {
        let at = Request::Read(request.revision as Revision);
        self.ask(at, |channel| {
            let request = request.clone();
            async move { kv(channel).range(request).await }
        })
        .await
    }

    fn key_value(&self, kv: mvccpb::KeyValue) -> KeyValue {
        KeyValue {
            key: self.prefix.here(kv.key),
            value: kv.value,
            mod_revision: kv.mod_revision as Revision,
            create_revision: kv.create_revision as Revision,
            version: kv.version as u64,
            lease: kv.lease,
        }
    }

    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Error> {
        let mut page = pb::RangeRequest {
            key: self.prefix.there(&request.start),
            range_end: self.prefix.there(&request.end),
            limit: if request.limit == 0 { PAGE } else { request.limit } as i64,
            revision: request.revision as i64,
            keys_only: request.keys_only,
            count_only: request.count_only,
            ..pb::RangeRequest::default()
        };
        let mut response = RangeResponse::default();
        loop {
            let answer = self.read(page.clone()).await?;
            let (first, revision) = (response.revision == 0, answer.header.map_or(0, |h| h.revision));
            if first {
                response.count = answer.count as u64;
                response.revision = match request.revision {
                    0 => revision as Revision,
                    revision => revision,
                };
            }
            let last = answer.kvs.last().map(|kv| kv.key.clone());
            let found = answer.kvs.into_iter().map(|kv| self.key_value(kv));
            response.kvs.extend(found);
            match last {
                Some(last) if answer.more && request.limit == 0 => {
                    page.key = [last.as_ref(), &[0]].concat().into();
                    page.revision = response.revision as i64;
                }
                _ => return Ok(response),
            }
        }
    }

    async fn txn(&self, request: TxnRequest) -> Result<TxnOutcome, Error> {
        let key = self.prefix.there(&request.key);
        let (size, op) = match request.op {
            Op::Put { value, lease } => {
                let put = pb::PutRequest {
                    key: key.clone(),
                    value,
                    lease,
                    ..pb::PutRequest::default()
                };
                (put.value.len(), request_op::Request::RequestPut(put))
            }
            Op::Delete => {
                let delete = pb::DeleteRangeRequest {
                    key: key.clone(),
                    ..pb::DeleteRangeRequest::default()
                };
                (0, request_op::Request::RequestDeleteRange(delete))
            }
        };
        let compare = request.expect.map(|revision| pb::Compare {
            result: compare::CompareResult::Equal as i32,
            target: compare::CompareTarget::Mod as i32,
            key: key.clone(),
            target_union: Some(compare::TargetUnion::ModRevision(revision as i64)),
            ..pb::Compare::default()
        });
        let look = pb::RangeRequest {
            key: key.clone(),
            ..pb::RangeRequest::default()
        };
        let operation = |request| pb::RequestOp {
            request: Some(request),
        };
        let txn = pb::TxnRequest {
            compare: compare.into_iter().collect(),
            success: vec![operation(op)],
            failure: vec![operation(request_op::Request::RequestRange(look))],
        };
        let answer = self
            .ask(Request::Write(size), |channel| {
                let txn = txn.clone();
                async move { kv(channel).txn(txn).await }
            })
            .await?;
        let revision = answer.header.map_or(0, |header| header.revision) as Revision;
        if answer.succeeded {
            return Ok(TxnOutcome::Done(revision));
        }
        let seen = answer.responses.into_iter().next().and_then(|op| op.response);
        let kv = match seen {
            Some(response_op::Response::ResponseRange(range)) => range.kvs.into_iter().next(),
            _ => None,
        };
        Ok(TxnOutcome::Mismatch(kv.map(|kv| self.key_value(kv)), revision))
    }

    /// The newest revision, asked once for all who wait for it meanwhile.
    async fn revision(&self) -> Result<Revision, Error> {
        let mine = self.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let mut newest = self.newest.lock().await;
        if newest.0 >= mine {
            return Ok(newest.1);
        }
        let upto = self.asked.load(Ordering::Acquire);
        let any = pb::RangeRequest {
            key: Bytes::from_static(&[0]),
            count_only: true,
            ..pb::RangeRequest::default()
        };
        let answer = self.read(any).await?;
        let revision = answer.header.map_or(0, |header| header.revision) as Revision;
        *newest = (upto, revision);
        Ok(revision)
    }

    async fn keep_alive(&self, id: i64) -> Result<(), Error> {
        let answers = self.ask(Request::Read(0), |channel| async move {
            let one = pb::LeaseKeepAliveRequest { id };
            let mut answers = LeaseClient::new(channel)
                .lease_keep_alive(stream::iter([one]))
                .await?
                .into_inner();
            match answers.message().await? {
                Some(answer) => Ok(tonic::Response::new(answer)),
                None => Err(Status::new(Code::Unavailable, "etcd did not answer")),
            }
        });
        match answers.await?.ttl {
            0 => Err(Error::LeaseNotFound),
            _ => Ok(()),
        }
    }
}

fn kv(channel: Channel) -> KvClient<Channel> {
    // As large as it comes: what is stored must be readable.
    KvClient::new(channel).max_decoding_message_size(i32::MAX as usize)
}

impl Store for Remote {
    fn range(&self, request: RangeRequest) -> BoxFuture<'_, Result<RangeResponse, Error>> {
        self.inner.range(request).boxed()
    }

    fn txn(&self, request: TxnRequest) -> BoxFuture<'_, Result<TxnOutcome, Error>> {
        self.inner.txn(request).boxed()
    }

    fn watch(&self, request: WatchRequest) -> BoxStream<'static, Result<WatchItem, Error>> {
        watch::watch(self.inner.clone(), request)
    }

    fn compact(&self, revision: Revision) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            let request = pb::CompactionRequest {
                revision: revision as i64,
                physical: false,
            };
            self.inner
                .ask(Request::Read(revision), |channel| async move {
                    kv(channel).compact(request).await
                })
                .await
                .map(drop)
        }
        .boxed()
    }

    fn grant(&self, ttl: Duration) -> BoxFuture<'_, Result<i64, Error>> {
        async move {
            let request = pb::LeaseGrantRequest {
                ttl: i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX).max(1),
                id: 0,
            };
            // A lease whose answer is lost ends by itself.
            let answer = self.inner.ask(Request::Read(0), |channel| async move {
                LeaseClient::new(channel).lease_grant(request).await
            });
            Ok(answer.await?.id)
        }
        .boxed()
    }

    fn keep_alive(&self, lease: i64) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.keep_alive(lease).boxed()
    }

    fn revoke(&self, lease: i64) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            let request = pb::LeaseRevokeRequest { id: lease };
            self.inner
                .ask(Request::Write(0), |channel| async move {
                    LeaseClient::new(channel).lease_revoke(request).await
                })
                .await
                .map(drop)
        }
        .boxed()
    }

    fn observe(&self, _: Arc<dyn Observer>) -> bool {
        false
    }

    fn revision(&self) -> BoxFuture<'_, Result<Revision, Error>> {
        self.inner.revision().boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_prefix_stands_in_the_place_of_ours() {
        let (key, other) = (Bytes::from("/registry/pods/a"), Bytes::from("compact_rev_key"));
        for text in ["/registry", "registry", "", "/"] {
            assert_eq!(Prefix::new(text).there(&key), key, "{text}");
        }
        let prefix = Prefix::new("clusters/one/");
        let there = prefix.there(&key);
        assert_eq!(there, "/clusters/one/pods/a");
        assert_eq!(prefix.here(there), key);
        assert_eq!(prefix.there(&other), other);
        assert_eq!(prefix.here(other.clone()), other);
    }
}
