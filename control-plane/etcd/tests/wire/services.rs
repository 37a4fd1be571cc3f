//! Which services there are, streams without a leader, and what is counted.

use crate::{lab::*, members::*};
use bytes::Bytes;
use etcd_proto::{
    etcdserverpb::{
        self as pb, kv_client::KvClient, lease_client::LeaseClient, watch_client::WatchClient,
        watch_request::RequestUnion as Union,
    },
    health::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient},
};
use std::collections::BTreeSet;
use tonic::{Code, Request, transport::Channel};

async fn channel(url: &str) -> Channel {
    let endpoint = tonic::transport::Endpoint::from_shared(url.to_owned()).unwrap();
    endpoint.connect().await.unwrap()
}

const SERVICES: &[&str] = &[
    "etcdserverpb.Auth",
    "etcdserverpb.Cluster",
    "etcdserverpb.KV",
    "etcdserverpb.Lease",
    "etcdserverpb.Maintenance",
    "etcdserverpb.Watch",
    "grpc.health.v1.Health",
    "v3electionpb.Election",
    "v3lockpb.Lock",
];

/// What one version of the reflection service tells.
macro_rules! reflected {
    ($version:ident, $channel:expr) => {{
        use tonic_reflection::pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let ask = |request| ServerReflectionRequest {
            host: String::new(),
            message_request: Some(request),
        };
        let asked = [
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol("etcdserverpb.KV".to_owned())),
        ];
        let mut client = ServerReflectionClient::new($channel);
        let answers = client.server_reflection_info(futures::stream::iter(asked)).await;
        let mut answers = answers.unwrap().into_inner();
        let listed = answers.message().await.unwrap().unwrap().message_response;
        let Some(MessageResponse::ListServicesResponse(listed)) = listed else {
            panic!("{listed:?}");
        };
        let described = answers.message().await.unwrap().unwrap().message_response;
        assert!(matches!(
            described,
            Some(MessageResponse::FileDescriptorResponse(_))
        ));
        listed
            .service
            .into_iter()
            .map(|service| service.name)
            .collect::<BTreeSet<String>>()
    }};
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_tells_its_services_and_their_health() {
    let etcd = Ours::start(|_| {}).await;
    let channel = channel(&etcd.url).await;
    for (listed, own) in [
        (
            reflected!(v1, channel.clone()),
            "grpc.reflection.v1.ServerReflection",
        ),
        (
            reflected!(v1alpha, channel.clone()),
            "grpc.reflection.v1alpha.ServerReflection",
        ),
    ] {
        let expected: BTreeSet<String> = SERVICES
            .iter()
            .chain([&own])
            .map(|name| (*name).to_owned())
            .collect();
        assert_eq!(listed, expected);
    }
    let mut health = HealthClient::new(channel);
    for service in ["", "etcdserverpb.KV", "etcdserverpb.Auth"] {
        let service = service.to_owned();
        let answer = health.check(HealthCheckRequest { service }).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
    }
    let service = "nothing".to_owned();
    let unknown = health
        .check(HealthCheckRequest {
            service: service.clone(),
        })
        .await
        .unwrap_err();
    assert_eq!(
        (unknown.code(), unknown.message()),
        (Code::NotFound, "unknown service")
    );
    let mut watched = health
        .watch(HealthCheckRequest { service })
        .await
        .unwrap()
        .into_inner();
    let first = watched.message().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::ServiceUnknown);
}

fn watch(key: &str) -> impl futures::Stream<Item = pb::WatchRequest> + Send + 'static {
    let create = pb::WatchRequest {
        request_union: Some(Union::CreateRequest(pb::WatchCreateRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            ..Default::default()
        })),
    };
    tokio_stream::StreamExt::chain(futures::stream::iter([create]), futures::stream::pending())
}

fn led<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("hasleader", "true".parse().unwrap());
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_that_need_a_leader_end_when_there_is_none() {
    let mut cluster = Cluster::start(3).await;
    let left = cluster.follower().await;
    let channel = channel(&cluster.members[left].url).await;
    let mut watches = WatchClient::new(channel.clone());
    let mut needing = watches.watch(led(watch("a"))).await.unwrap().into_inner();
    let mut patient = watches.watch(watch("a")).await.unwrap().into_inner();
    let mut leases = LeaseClient::new(channel.clone());
    let quiet = futures::stream::pending::<pb::LeaseKeepAliveRequest>();
    let mut kept = leases.lease_keep_alive(led(quiet)).await.unwrap().into_inner();
    for stream in [&mut needing, &mut patient] {
        assert!(stream.message().await.unwrap().unwrap().created);
    }
    for other in (0..3).filter(|other| *other != left) {
        cluster.members[other].stop().await;
    }
    let ended = tokio::time::timeout(LIMIT, needing.message());
    let ended = ended.await.expect("the watch ends").unwrap_err();
    assert_eq!(
        (ended.code(), ended.message()),
        (Code::Unavailable, "etcdserver: no leader")
    );
    let ended = tokio::time::timeout(LIMIT, kept.message());
    let ended = ended.await.expect("the lease is not kept").unwrap_err();
    assert_eq!(
        (ended.code(), ended.message()),
        (Code::Unavailable, "etcdserver: no leader")
    );
    let refused = watches.watch(led(watch("a"))).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::Unavailable, "etcdserver: no leader")
    );
    let read = pb::RangeRequest {
        key: Bytes::from_static(b"a"),
        serializable: true,
        ..Default::default()
    };
    let mut kv = KvClient::new(channel);
    let refused = kv.range(led(read.clone())).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.message()),
        (Code::Unavailable, "etcdserver: no leader")
    );
    kv.range(read).await.unwrap();
    // The other watch goes on and tells what comes when there is a leader again.
    for other in (0..3).filter(|other| *other != left) {
        cluster.restart(other).await;
    }
    cluster.leader().await;
    let put = pb::PutRequest {
        key: Bytes::from_static(b"a"),
        ..Default::default()
    };
    kv.put(put).await.unwrap();
    let told = tokio::time::timeout(LIMIT, patient.message());
    let told = told.await.expect("the watch goes on").unwrap().unwrap();
    assert_eq!(told.events.len(), 1, "{told:?}");
}

pub async fn metrics(url: &str) -> String {
    let mut command = tokio::process::Command::new("curl");
    command.args(["--silent", "--max-time", "20", &format!("{url}/metrics")]);
    String::from_utf8(command.output().await.unwrap().stdout).unwrap()
}

/// The value of a series; 0 if it is not there.
pub fn value(metrics: &str, series: &str) -> f64 {
    let lines = metrics.lines();
    let mut found = lines.filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found.next().map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_tell_what_happened() {
    let etcd = Ours::start(|_| {}).await;
    let channel = channel(&etcd.url).await;
    let mut kv = KvClient::new(channel.clone());
    let put = |lease| pb::PutRequest {
        key: Bytes::from_static(b"a"),
        value: vec![b'x'; 1000].into(),
        lease,
        ..Default::default()
    };
    for _ in 0..5 {
        kv.put(put(0)).await.unwrap();
    }
    kv.put(put(7)).await.unwrap_err();
    let read = pb::RangeRequest {
        key: Bytes::from_static(b"a"),
        ..Default::default()
    };
    kv.range(read).await.unwrap();
    let compaction = pb::CompactionRequest {
        revision: 4,
        physical: false,
    };
    kv.compact(compaction).await.unwrap();
    let (asking, asked) = futures::channel::mpsc::unbounded();
    let created = futures::StreamExt::next(&mut Box::pin(watch("a"))).await.unwrap();
    asking.unbounded_send(created).unwrap();
    let watching = WatchClient::new(channel).watch(asked).await;
    let mut watching = watching.unwrap().into_inner();
    watching.message().await.unwrap().unwrap();
    let told = metrics(&etcd.url).await;
    let of = |code: &str, method: &str| {
        format!(
            "grpc_server_handled_total{{grpc_code=\"{code}\",grpc_method=\"{method}\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"}}"
        )
    };
    let of_put = "{grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"}";
    for (series, expected) in [
        (of("OK", "Put").as_str(), 5.0),
        (&of("NotFound", "Put"), 1.0),
        (&of("OK", "Range"), 1.0),
        (&format!("grpc_server_started_total{of_put}"), 6.0),
        (&format!("grpc_server_msg_received_total{of_put}"), 6.0),
        (&format!("grpc_server_msg_sent_total{of_put}"), 5.0),
        (
            "grpc_server_started_total{grpc_method=\"Watch\",grpc_service=\"etcdserverpb.Watch\",grpc_type=\"bidi_stream\"}",
            1.0,
        ),
        (
            "grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Watch\",grpc_service=\"etcdserverpb.Watch\",grpc_type=\"bidi_stream\"}",
            0.0,
        ),
        (
            "etcd_server_client_requests_total{type=\"unary\",client_api_version=\"unknown\"}",
            8.0,
        ),
        ("etcd_server_has_leader", 1.0),
        ("etcd_server_is_leader", 1.0),
        ("etcd_server_leader_changes_seen_total", 1.0),
        ("etcd_server_proposals_pending", 0.0),
        ("etcd_server_proposals_failed_total", 0.0),
        ("etcd_mvcc_put_total", 6.0),
        ("etcd_mvcc_range_total", 1.0),
        ("etcd_debugging_mvcc_watch_stream_total", 1.0),
        ("etcd_debugging_mvcc_watcher_total", 1.0),
        ("etcd_debugging_mvcc_current_revision", 6.0),
        ("etcd_debugging_mvcc_compact_revision", 4.0),
        ("etcd_debugging_auth_revision", 1.0),
    ] {
        assert_eq!(value(&told, series), expected, "{series}\n{told}");
    }
    let at_least = |series: &str, least: f64| assert!(value(&told, series) >= least, "{series}\n{told}");
    let replica = &etcd.replica;
    assert_eq!(
        value(&told, "etcd_server_proposals_committed_total"),
        replica.committed() as f64
    );
    assert_eq!(
        value(&told, "etcd_server_proposals_applied_total"),
        replica.applied() as f64
    );
    // Each write was waited for, so each had a sync of its own.
    at_least("etcd_disk_wal_fsync_duration_seconds_count", 6.0);
    at_least("etcd_disk_wal_fsync_duration_seconds_bucket{le=\"+Inf\"}", 6.0);
    at_least("etcd_network_client_grpc_received_bytes_total", 6000.0);
    at_least("etcd_network_client_grpc_sent_bytes_total", 1000.0);
    at_least("etcd_mvcc_db_total_size_in_bytes", 1000.0);
    at_least("etcd_mvcc_db_total_size_in_use_in_bytes", 1000.0);
    at_least("process_resident_memory_bytes", 1e6);
    drop((asking, watching));
    let cancelled = "grpc_server_handled_total{grpc_code=\"Canceled\",grpc_method=\"Watch\",grpc_service=\"etcdserverpb.Watch\",grpc_type=\"bidi_stream\"}";
    let closed = async {
        loop {
            let told = metrics(&etcd.url).await;
            if value(&told, "etcd_debugging_mvcc_watcher_total") == 0.0 && value(&told, cancelled) == 1.0 {
                return;
            }
        }
    };
    let closed = tokio::time::timeout(LIMIT, closed).await;
    closed.expect("the watch is counted as cancelled, and no more as open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_count_what_they_send_each_other_and_who_is_reached() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    put(cluster.members[leader].replica(), "a", "1").await;
    cluster.settled().await;
    let others: Vec<u64> = cluster
        .running()
        .filter(|at| *at != leader)
        .map(|at| cluster.members[at].replica().identity().member)
        .collect();
    let told = metrics(&cluster.members[leader].url).await;
    let me = cluster.members[leader].replica().identity().member;
    for other in others {
        let peer = format!("etcd_network_active_peers{{Local=\"{me:x}\",Remote=\"{other:x}\"}}");
        assert_eq!(value(&told, &peer), 1.0, "{told}");
        for series in [
            format!("etcd_network_peer_sent_bytes_total{{To=\"{other:x}\"}}"),
            format!("etcd_network_peer_received_bytes_total{{From=\"{other:x}\"}}"),
        ] {
            assert!(value(&told, &series) > 0.0, "{series}\n{told}");
        }
    }
}

/// Names, or how they begin, of what Debian's etcd tells and we do not: parts that we have not, or that have no like here.
const NOT_HERE: &[&str] = &[
    "go_",
    "promhttp_",
    "os_fd_",
    "etcd_debugging_disk_backend_commit_",
    "etcd_debugging_lease_",
    "etcd_debugging_mvcc_db_compaction_",
    "etcd_debugging_mvcc_events_total",
    "etcd_debugging_mvcc_index_compaction_",
    "etcd_debugging_mvcc_keys_total",
    "etcd_debugging_mvcc_pending_events_total",
    "etcd_debugging_mvcc_slow_watcher_total",
    "etcd_debugging_mvcc_total_put_size_in_bytes",
    "etcd_debugging_server_lease_expired_total",
    "etcd_debugging_snap_",
    "etcd_debugging_store_",
    "etcd_disk_backend_defrag_",
    "etcd_disk_backend_snapshot_",
    "etcd_disk_defrag_inflight",
    "etcd_disk_wal_write_bytes_total",
    "etcd_grpc_proxy_",
    "etcd_mvcc_db_open_read_transactions",
    "etcd_mvcc_hash_",
    "etcd_server_go_version",
    "etcd_server_heartbeat_send_failures_total",
    "etcd_server_learner_promote_successes",
    "etcd_server_read_indexes_failed_total",
    "etcd_server_slow_",
    "etcd_server_snapshot_apply_in_progress_total",
    "etcd_snap_",
    "process_virtual_memory_max_bytes",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_have_the_names_and_kinds_that_debians_etcd_gives_them() {
    let (ours, theirs) = (Ours::start(|_| {}).await, Theirs::start().await);
    for url in [&ours.url, &theirs.url] {
        assert_eq!(ctl(url, &["put", "a", "1"]).await.out, "OK\n");
    }
    let kinds = |text: &str| -> BTreeSet<String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        lines.map(str::to_owned).collect()
    };
    let (ours, theirs) = (
        kinds(&metrics(&ours.url).await),
        kinds(&metrics(&theirs.url).await),
    );
    let missing: Vec<&String> = theirs
        .difference(&ours)
        .filter(|name| !NOT_HERE.iter().any(|known| name.starts_with(known)))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
