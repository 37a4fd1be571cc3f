//! What is wrong is refused with etcd's own codes and messages, and changes nothing.

use crate::lab::*;
use bytes::Bytes;
use etcd_proto::etcdserverpb::{
    self as pb, kv_client::KvClient, lease_client::LeaseClient, request_op::Request,
    watch_client::WatchClient, watch_request::RequestUnion as Union,
};
use tonic::{Code, Status, transport::Channel};

async fn channel(url: &str) -> Channel {
    tonic::transport::Endpoint::from_shared(url.to_owned())
        .unwrap()
        .connect()
        .await
        .unwrap()
}

fn told(status: &Status, code: Code, message: &str) {
    assert_eq!((status.code(), status.message()), (code, message));
}

fn put(key: &'static str, value: impl Into<Bytes>) -> pb::PutRequest {
    pb::PutRequest {
        key: Bytes::from_static(key.as_bytes()),
        value: value.into(),
        ..pb::PutRequest::default()
    }
}

fn op(put: pb::PutRequest) -> pb::RequestOp {
    pb::RequestOp {
        request: Some(Request::RequestPut(put)),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_requests_are_refused_in_etcds_words() {
    let etcd = Ours::start(|_| {}).await;
    let channel = channel(&etcd.url).await;
    let mut kv = KvClient::new(channel.clone());
    let before = etcd.replica.engine().visible();
    let e = kv.put(put("", "x")).await.unwrap_err();
    told(&e, Code::InvalidArgument, "etcdserver: key is not provided");
    let e = kv.put(put("a", vec![b'x'; 3 << 19])).await.unwrap_err();
    told(&e, Code::InvalidArgument, "etcdserver: request is too large");
    let by_lease = pb::PutRequest {
        lease: 77,
        ..put("a", "x")
    };
    let e = kv.put(by_lease).await.unwrap_err();
    told(&e, Code::NotFound, "etcdserver: requested lease not found");
    let both = pb::PutRequest {
        ignore_value: true,
        ..put("a", "x")
    };
    let e = kv.put(both).await.unwrap_err();
    told(&e, Code::InvalidArgument, "etcdserver: value is provided");
    let both = pb::PutRequest {
        ignore_lease: true,
        lease: 7,
        ..put("a", "x")
    };
    let e = kv.put(both).await.unwrap_err();
    told(&e, Code::InvalidArgument, "etcdserver: lease is provided");
    let twice = pb::TxnRequest {
        success: vec![op(put("a", "1")), op(put("a", "2"))],
        ..pb::TxnRequest::default()
    };
    let e = kv.txn(twice).await.unwrap_err();
    told(
        &e,
        Code::InvalidArgument,
        "etcdserver: duplicate key given in txn request",
    );
    let many = pb::TxnRequest {
        success: vec![op(put("a", "1")); 129],
        ..pb::TxnRequest::default()
    };
    let e = kv.txn(many).await.unwrap_err();
    told(
        &e,
        Code::InvalidArgument,
        "etcdserver: too many operations in txn request",
    );
    let future = pb::RangeRequest {
        key: Bytes::from_static(b"a"),
        revision: 100,
        ..pb::RangeRequest::default()
    };
    let e = kv.range(future).await.unwrap_err();
    told(
        &e,
        Code::OutOfRange,
        "etcdserver: mvcc: required revision is a future revision",
    );
    let mut leases = LeaseClient::new(channel);
    let grant = |ttl, id| pb::LeaseGrantRequest { ttl, id };
    let e = leases.lease_grant(grant(i64::MAX, 0)).await.unwrap_err();
    told(&e, Code::OutOfRange, "etcdserver: too large lease TTL");
    leases.lease_grant(grant(60, 5)).await.unwrap();
    let e = leases.lease_grant(grant(60, 5)).await.unwrap_err();
    told(&e, Code::FailedPrecondition, "etcdserver: lease already exists");
    assert_eq!(etcd.replica.engine().visible(), before, "nothing changed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_watches_share_a_stream_and_end_alone() {
    let etcd = Ours::start(|_| {}).await;
    let channel = channel(&etcd.url).await;
    let mut kv = KvClient::new(channel.clone());
    let (requests, outgoing) = futures::channel::mpsc::unbounded();
    let ask = |union| {
        requests
            .unbounded_send(pb::WatchRequest {
                request_union: Some(union),
            })
            .unwrap();
    };
    let mut answers = WatchClient::new(channel)
        .watch(outgoing)
        .await
        .unwrap()
        .into_inner();
    let create = |key: &'static str, id| {
        Union::CreateRequest(pb::WatchCreateRequest {
            key: Bytes::from_static(key.as_bytes()),
            watch_id: id,
            filters: vec![pb::watch_create_request::FilterType::Nodelete as i32],
            ..pb::WatchCreateRequest::default()
        })
    };
    for (key, id, given) in [("a", 0, 0), ("b", 9, 9), ("a", 0, 1)] {
        ask(create(key, id));
        let created = answers.message().await.unwrap().unwrap();
        assert!(created.created && created.watch_id == given, "{created:?}");
    }
    ask(create("a", 9));
    let twice = answers.message().await.unwrap().unwrap();
    assert!(
        twice.canceled && twice.cancel_reason.contains("duplicate watch ID"),
        "{twice:?}"
    );
    ask(Union::CancelRequest(pb::WatchCancelRequest { watch_id: 1 }));
    let cancelled = answers.message().await.unwrap().unwrap();
    assert!(cancelled.canceled && cancelled.watch_id == 1);
    kv.put(put("a", "1")).await.unwrap();
    let event = answers.message().await.unwrap().unwrap();
    assert_eq!((event.watch_id, event.events.len()), (0, 1));
    let removal = pb::DeleteRangeRequest {
        key: Bytes::from_static(b"a"),
        ..pb::DeleteRangeRequest::default()
    };
    let removed = kv
        .delete_range(removal)
        .await
        .unwrap()
        .into_inner()
        .header
        .unwrap()
        .revision;
    ask(Union::ProgressRequest(pb::WatchProgressRequest {}));
    let progress = answers.message().await.unwrap().unwrap();
    let revision = progress.header.unwrap().revision;
    assert_eq!(
        (progress.watch_id, revision),
        (-1, removed),
        "a removal is filtered out"
    );
}
