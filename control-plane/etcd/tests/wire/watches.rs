//! What watches of one range share, and what is each one's own.

use crate::lab::*;
use bytes::Bytes;
use etcd_proto::{
    etcdserverpb::{
        self as pb, kv_client::KvClient, watch_client::WatchClient, watch_create_request::FilterType,
        watch_request::RequestUnion as Union,
    },
    mvccpb,
};
use std::collections::BTreeMap;
use tonic::{Streaming, transport::Endpoint};

/// Watches of a range, on a stream of their own.
async fn watches(url: &str, all: Vec<pb::WatchCreateRequest>) -> Streaming<pb::WatchResponse> {
    let requests: Vec<_> = all
        .into_iter()
        .map(|create| pb::WatchRequest {
            request_union: Some(Union::CreateRequest(pb::WatchCreateRequest {
                key: Bytes::from_static(b"a"),
                range_end: Bytes::from_static(b"b"),
                start_revision: 1,
                ..create
            })),
        })
        .collect();
    let requests =
        tokio_stream::StreamExt::chain(futures::stream::iter(requests), futures::stream::pending());
    let channel = Endpoint::from_shared(url.to_owned())
        .unwrap()
        .connect()
        .await
        .unwrap();
    WatchClient::new(channel)
        .watch(requests)
        .await
        .unwrap()
        .into_inner()
}

/// The events of so many watches, by their ids, until each has seen this revision.
async fn seen(
    stream: &mut Streaming<pb::WatchResponse>,
    watches: usize,
    until: i64,
) -> BTreeMap<i64, Vec<mvccpb::Event>> {
    let mut seen: BTreeMap<i64, Vec<mvccpb::Event>> = BTreeMap::new();
    let is_done = |events: &Vec<mvccpb::Event>| {
        let last = events.last().and_then(|event| event.kv.as_ref());
        last.is_some_and(|kv| kv.mod_revision >= until)
    };
    while seen.values().filter(|events| is_done(events)).count() < watches {
        let next = tokio::time::timeout(LIMIT, stream.message());
        let response = next.await.expect("events").unwrap().unwrap();
        assert!(!response.canceled, "{response:?}");
        let header = response.header.expect("a header");
        let last = response.events.last().and_then(|event| event.kv.as_ref());
        assert!(last.is_none_or(|kv| kv.mod_revision == header.revision));
        seen.entry(response.watch_id).or_default().extend(response.events);
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_of_one_range_get_the_same_events_with_their_own_ids() {
    let etcd = Ours::start(|_| {}).await;
    let create = |watch_id, prev_kv, fragment, filters: &[FilterType]| pb::WatchCreateRequest {
        watch_id,
        prev_kv,
        fragment,
        filters: filters.iter().map(|filter| *filter as i32).collect(),
        ..Default::default()
    };
    let one = vec![
        create(7, false, false, &[]),
        create(1 << 40, false, false, &[]),
        create(9, true, false, &[]),
        create(10, false, false, &[FilterType::Noput]),
        create(11, false, true, &[]),
    ];
    let mut one = watches(&etcd.url, one).await;
    let mut other = watches(&etcd.url, vec![create(3, true, false, &[])]).await;
    let channel = Endpoint::from_shared(etcd.url.clone()).unwrap().connect().await;
    let mut kv = KvClient::new(channel.unwrap());
    for (key, value) in [("a1", "x"), ("a2", "y"), ("b1", "no"), ("a1", "z")] {
        let put = pb::PutRequest {
            key: key.into(),
            value: value.into(),
            ..Default::default()
        };
        kv.put(put).await.unwrap();
    }
    let removal = pb::DeleteRangeRequest {
        key: Bytes::from_static(b"a1"),
        ..Default::default()
    };
    let removed = kv.delete_range(removal).await.unwrap().into_inner();
    let last = removed.header.unwrap().revision;
    let seen_by_one = seen(&mut one, 5, last).await;
    let seen_by_other = seen(&mut other, 1, last).await;
    let told = |events: &[mvccpb::Event]| -> Vec<(Bytes, Bytes, Bytes)> {
        let each = events.iter().map(|event| {
            let kv = event.kv.clone().unwrap();
            let prev = event.prev_kv.clone().unwrap_or_default();
            (kv.key, kv.value, prev.value)
        });
        each.collect()
    };
    let rows = |rows: &[[&'static str; 3]]| -> Vec<(Bytes, Bytes, Bytes)> {
        let each = rows
            .iter()
            .map(|[key, value, prev]| ((*key).into(), (*value).into(), (*prev).into()));
        each.collect()
    };
    let plain = rows(&[["a1", "x", ""], ["a2", "y", ""], ["a1", "z", ""], ["a1", "", ""]]);
    let before = rows(&[
        ["a1", "x", ""],
        ["a2", "y", ""],
        ["a1", "z", "x"],
        ["a1", "", "z"],
    ]);
    for (id, expected) in [
        (7, &plain),
        (1 << 40, &plain),
        (9, &before),
        (10, &rows(&[["a1", "", ""]])),
        (11, &plain),
    ] {
        assert_eq!(told(&seen_by_one[&id]), *expected, "watch {id}");
    }
    assert_eq!(seen_by_one[&7], seen_by_one[&(1 << 40)]);
    assert_eq!(told(&seen_by_other[&3]), before);
    assert_eq!(seen_by_other[&3], seen_by_one[&9]);
}
