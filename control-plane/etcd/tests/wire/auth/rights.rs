//! What somebody may and may not.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_may_not_is_refused_everywhere() {
    let etcd = Ours::start(cheap).await;
    let mut client = Client::new(&etcd.url).await;
    client.people().await;
    let ann = client.token("ann", "secret").await.unwrap();
    let root = client.token("root", "toor").await.unwrap();
    let kv = &mut client.kv;
    told(
        kv.range(get("a")).await,
        Code::InvalidArgument,
        "etcdserver: user name is empty",
    );
    told(
        kv.put(put("b")).await,
        Code::InvalidArgument,
        "etcdserver: user name is empty",
    );
    told(
        kv.range(by("nonsense", get("a"))).await,
        Code::Unauthenticated,
        "etcdserver: invalid auth token",
    );
    let late = format!("{}.{}", "a".repeat(16), u64::MAX);
    told(
        kv.put(by(&late, put("a"))).await,
        Code::Unauthenticated,
        "etcdserver: invalid auth token",
    );
    kv.range(by(&ann, to("a", "c"))).await.unwrap();
    kv.put(by(&ann, put("b"))).await.unwrap();
    kv.put(by(&ann, put("cc"))).await.unwrap();
    told(
        kv.range(by(&ann, to("a", "cc"))).await,
        Code::PermissionDenied,
        DENIED,
    );
    told(
        kv.range(by(&ann, to("a", "\0"))).await,
        Code::PermissionDenied,
        DENIED,
    );
    told(kv.put(by(&ann, put("a"))).await, Code::PermissionDenied, DENIED);
    let shown = pb::PutRequest {
        prev_kv: true,
        ..put("cc")
    };
    told(kv.put(by(&ann, shown)).await, Code::PermissionDenied, DENIED);
    let delete = |key: &str, end: &str, prev_kv| pb::DeleteRangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        range_end: Bytes::copy_from_slice(end.as_bytes()),
        prev_kv,
    };
    told(
        kv.delete_range(by(&ann, delete("a", "", false))).await,
        Code::PermissionDenied,
        DENIED,
    );
    told(
        kv.delete_range(by(&ann, delete("b", "d", true))).await,
        Code::PermissionDenied,
        DENIED,
    );
    let inner = |op| pb::TxnRequest {
        success: vec![pb::RequestOp { request: Some(op) }],
        ..Default::default()
    };
    let nested = inner(Op::RequestTxn(pb::TxnRequest {
        failure: vec![pb::RequestOp {
            request: Some(Op::RequestPut(put("a"))),
        }],
        ..Default::default()
    }));
    told(kv.txn(by(&ann, nested)).await, Code::PermissionDenied, DENIED);
    kv.txn(by(&ann, inner(Op::RequestRange(get("a"))))).await.unwrap();
    let compare = pb::TxnRequest {
        compare: vec![pb::Compare {
            key: Bytes::from_static(b"z"),
            ..Default::default()
        }],
        ..Default::default()
    };
    told(kv.txn(by(&ann, compare)).await, Code::PermissionDenied, DENIED);
    let compaction = pb::CompactionRequest {
        revision: 2,
        physical: false,
    };
    told(
        kv.compact(by(&ann, compaction)).await,
        Code::PermissionDenied,
        DENIED,
    );
    kv.compact(by(&root, compaction)).await.unwrap();
    leases(client.channel.clone(), &mut client.kv, &ann, &root).await;
    watches(client.channel.clone(), &ann).await;
    servers(client.channel, &ann, &root).await;
}

/// A lease is ended, kept and looked at by those only who may do so with its keys.
async fn leases(channel: Channel, kv: &mut KvClient<Channel>, ann: &str, root: &str) {
    let mut leases = LeaseClient::new(channel);
    let grant = pb::LeaseGrantRequest { ttl: 600, id: 7 };
    leases.lease_grant(by(ann, grant)).await.unwrap();
    let attach = |key: &str| pb::PutRequest { lease: 7, ..put(key) };
    kv.put(by(ann, attach("b"))).await.unwrap();
    kv.put(by(root, attach("z"))).await.unwrap();
    told(
        kv.put(by(ann, attach("bb"))).await,
        Code::PermissionDenied,
        DENIED,
    );
    let revoke = pb::LeaseRevokeRequest { id: 7 };
    told(
        leases.lease_revoke(by(ann, revoke)).await,
        Code::PermissionDenied,
        DENIED,
    );
    let look = |keys| pb::LeaseTimeToLiveRequest { id: 7, keys };
    leases.lease_time_to_live(by(ann, look(false))).await.unwrap();
    told(
        leases.lease_time_to_live(by(ann, look(true))).await,
        Code::PermissionDenied,
        DENIED,
    );
    told(
        leases.lease_leases(by(ann, pb::LeaseLeasesRequest {})).await,
        Code::PermissionDenied,
        DENIED,
    );
    let keep = futures::stream::iter([pb::LeaseKeepAliveRequest { id: 7 }]);
    let mut kept = leases.lease_keep_alive(by(ann, keep)).await.unwrap().into_inner();
    told(kept.message().await, Code::PermissionDenied, DENIED);
    leases.lease_revoke(by(root, revoke)).await.unwrap();
    assert_eq!(kv.range(by(root, get("z"))).await.unwrap().into_inner().count, 0);
}

/// A watch of what may not be read is cancelled when it is created.
async fn watches(channel: Channel, ann: &str) {
    let create = |key: &str, end: &str| pb::WatchRequest {
        request_union: Some(Union::CreateRequest(pb::WatchCreateRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            range_end: Bytes::copy_from_slice(end.as_bytes()),
            ..Default::default()
        })),
    };
    let asked = [create("a", "b"), create("a", "\0"), create("x", "")];
    let asked = tokio_stream::StreamExt::chain(futures::stream::iter(asked), futures::stream::pending());
    let mut answers = WatchClient::new(channel)
        .watch(by(ann, asked))
        .await
        .unwrap()
        .into_inner();
    let first = answers.message().await.unwrap().unwrap();
    assert!(first.created && !first.canceled, "{first:?}");
    for _ in 0..2 {
        let refused = answers.message().await.unwrap().unwrap();
        assert!(refused.created && refused.canceled && refused.watch_id == -1);
        let why = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
        assert_eq!(refused.cancel_reason, why);
    }
}

/// The members and the member are for root.
async fn servers(channel: Channel, ann: &str, root: &str) {
    use pb::{cluster_client::ClusterClient, maintenance_client::MaintenanceClient};
    let mut cluster = ClusterClient::new(channel.clone());
    let remove = pb::MemberRemoveRequest { id: 1 };
    told(
        cluster.member_remove(by(ann, remove)).await,
        Code::PermissionDenied,
        DENIED,
    );
    let unknown = cluster.member_remove(by(root, remove)).await;
    told(unknown, Code::NotFound, "etcdserver: member not found");
    let list = pb::MemberListRequest { linearizable: true };
    told(
        cluster.member_list(list).await,
        Code::InvalidArgument,
        "etcdserver: user name is empty",
    );
    cluster.member_list(by(ann, list)).await.unwrap();
    let mut maintenance = MaintenanceClient::new(channel);
    let disarm = pb::AlarmRequest {
        action: pb::alarm_request::AlarmAction::Deactivate as i32,
        ..Default::default()
    };
    told(
        maintenance.alarm(by(ann, disarm)).await,
        Code::PermissionDenied,
        DENIED,
    );
    told(
        maintenance.snapshot(by(ann, pb::SnapshotRequest {})).await,
        Code::PermissionDenied,
        DENIED,
    );
    let defragment = pb::DefragmentRequest {};
    told(
        maintenance.defragment(by(ann, defragment)).await,
        Code::PermissionDenied,
        DENIED,
    );
    maintenance.defragment(by(root, defragment)).await.unwrap();
    maintenance.status(by(ann, pb::StatusRequest {})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_member_knows_the_users_their_tokens_and_what_was_taken_back() {
    let mut cluster = Cluster::start(3).await;
    let mut clients = Vec::new();
    for member in &cluster.members {
        clients.push(Client::new(&member.url).await);
    }
    clients[0].people().await;
    // A token that one member gave is taken by all, and by one that has not heard of it yet.
    let ann = clients[1].token("ann", "secret").await.unwrap();
    let root = clients[2].token("root", "toor").await.unwrap();
    for client in &mut clients {
        client.kv.put(by(&ann, put("b"))).await.unwrap();
        told(
            client.kv.put(by(&ann, put("a"))).await,
            Code::PermissionDenied,
            DENIED,
        );
        told(
            client.token("ann", "wrong").await,
            Code::InvalidArgument,
            "etcdserver: authentication failed, invalid user ID or password",
        );
    }
    let revoke = pb::AuthUserRevokeRoleRequest {
        name: "ann".to_owned(),
        role: "writer".to_owned(),
    };
    clients[0].auth.user_revoke_role(by(&root, revoke)).await.unwrap();
    for client in &mut clients {
        let status = client.kv.put(by(&ann, put("b"))).await.unwrap_err();
        // One that has not heard of it when it is asked proposes with the old revision, and is told so.
        let known = [DENIED, "etcdserver: revision of auth store is old"];
        assert!(known.contains(&status.message()), "{status:?}");
        client.kv.range(by(&ann, get("b"))).await.unwrap();
    }
    let follower = cluster.follower().await;
    cluster.settled().await;
    cluster.members[follower].stop().await;
    cluster.restart(follower).await;
    cluster.leader().await;
    let mut again = Client::new(&cluster.members[follower].url).await;
    let ann = again.token("ann", "secret").await.unwrap();
    told(
        again.kv.put(by(&ann, put("b"))).await,
        Code::PermissionDenied,
        DENIED,
    );
    again.kv.range(by(&ann, get("b"))).await.unwrap();
}
