//! What is wrong is refused in etcd's codes and words: a table, of which most is asked of Debian's etcd too.

mod table;

use crate::lab::*;
use bytes::Bytes;
use etcd_proto::{
    authpb::{Permission, UserAddOptions},
    etcdserverpb::{
        self as pb, auth_client::AuthClient, cluster_client::ClusterClient, kv_client::KvClient,
        lease_client::LeaseClient, maintenance_client::MaintenanceClient, request_op::Request as Op,
    },
    health::{HealthCheckRequest, health_client::HealthClient},
    v3electionpb::{
        CampaignRequest, LeaderRequest, ProclaimRequest, ResignRequest, election_client::ElectionClient,
    },
    v3lockpb::{LockRequest, lock_client::LockClient},
};
use table::EXPECTED;
use tonic::{Code, Status, transport::Channel};

type Told = Vec<(&'static str, Code, String)>;

fn note<T>(told: &mut Told, case: &'static str, answer: Result<T, Status>) {
    let (code, message) = match answer {
        Ok(_) => (Code::Ok, String::new()),
        Err(status) => (status.code(), status.message().to_owned()),
    };
    told.push((case, code, message));
}

fn put(key: &str) -> pb::PutRequest {
    pb::PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..Default::default()
    }
}

fn read(key: &str, revision: i64) -> pb::RangeRequest {
    pb::RangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        revision,
        ..Default::default()
    }
}

fn txn(ops: Vec<Op>) -> pb::TxnRequest {
    let ops = ops.into_iter().map(|op| pb::RequestOp { request: Some(op) });
    pb::TxnRequest {
        success: ops.collect(),
        ..Default::default()
    }
}

fn delete(key: &str) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..Default::default()
    }
}

/// Writes that are refused for what they are.
fn wrong_puts() -> Vec<(&'static str, pb::PutRequest)> {
    let large = |size: usize| pb::PutRequest {
        value: vec![b'x'; size].into(),
        ..put("a")
    };
    let ignoring = |key: &str, value: &'static [u8], ignore_value, ignore_lease, lease| pb::PutRequest {
        value: Bytes::from_static(value),
        ignore_value,
        ignore_lease,
        lease,
        ..put(key)
    };
    vec![
        ("put: no key", put("")),
        ("put: value and ignore_value", ignoring("k", b"x", true, false, 0)),
        ("put: lease and ignore_lease", ignoring("k", b"x", false, true, 7)),
        (
            "put: ignore_value of no key",
            ignoring("none", b"", true, false, 0),
        ),
        (
            "put: ignore_lease of no key",
            ignoring("none", b"x", false, true, 0),
        ),
        ("put: unknown lease", ignoring("a", b"x", false, false, 77)),
        ("put: large", large(3 << 19)),
        // The key and what is before the value take eight bytes.
        ("put: larger than a message", large(3_000_006 - 8)),
    ]
}

fn wrong_txns() -> Vec<(&'static str, pb::TxnRequest)> {
    let many = |count: usize| vec![Op::RequestRange(read("a", 0)); count];
    let mut inside = txn(many(99));
    inside.success.push(pb::RequestOp {
        request: Some(Op::RequestTxn(txn(many(29)))),
    });
    let compare = |key: &str| pb::Compare {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..Default::default()
    };
    let comparing = |compare| pb::TxnRequest {
        compare,
        ..Default::default()
    };
    let nothing = pb::TxnRequest {
        success: vec![pb::RequestOp::default()],
        ..Default::default()
    };
    let half = pb::PutRequest {
        value: vec![b'x'; 800 << 10].into(),
        ..put("a")
    };
    let other = pb::PutRequest {
        key: Bytes::from_static(b"b"),
        ..half.clone()
    };
    let by_lease = pb::PutRequest {
        lease: 77,
        ..put("a")
    };
    let no_value = pb::PutRequest {
        ignore_value: true,
        ..put("none")
    };
    let nested = |op| Op::RequestTxn(txn(vec![op]));
    vec![
        ("txn: many compares", comparing(vec![compare("a"); 129])),
        ("txn: many operations", txn(many(129))),
        ("txn: many inside", inside),
        (
            "txn: a key twice",
            txn(vec![Op::RequestPut(put("a")), Op::RequestPut(put("a"))]),
        ),
        (
            "txn: a key put and removed",
            txn(vec![
                Op::RequestPut(put("a")),
                Op::RequestDeleteRange(delete("a")),
            ]),
        ),
        (
            "txn: a key twice, once inside",
            txn(vec![Op::RequestPut(put("a")), nested(Op::RequestPut(put("a")))]),
        ),
        ("txn: no operation", nothing),
        ("txn: compare of no key", comparing(vec![compare("")])),
        (
            "txn: put inside of no key",
            txn(vec![nested(Op::RequestPut(put("")))]),
        ),
        (
            "txn: future",
            txn(vec![Op::RequestPut(put("a")), Op::RequestRange(read("k", 100))]),
        ),
        (
            "txn: compacted",
            txn(vec![Op::RequestPut(put("a")), Op::RequestRange(read("k", 2))]),
        ),
        ("txn: unknown lease", txn(vec![Op::RequestPut(by_lease)])),
        ("txn: ignore_value of no key", txn(vec![Op::RequestPut(no_value)])),
        (
            "txn: large",
            txn(vec![Op::RequestPut(half), Op::RequestPut(other)]),
        ),
    ]
}

async fn of_keys(channel: &Channel, told: &mut Told) {
    let mut kv = KvClient::new(channel.clone());
    for _ in 0..3 {
        kv.put(put("k")).await.unwrap();
    }
    let compact = |revision| pb::CompactionRequest {
        revision,
        physical: false,
    };
    kv.compact(compact(3)).await.unwrap();
    for (case, range) in [
        ("range: no key", read("", 0)),
        ("range: future", read("k", 100)),
        ("range: compacted", read("k", 2)),
    ] {
        note(told, case, kv.range(range).await);
    }
    for (case, put) in wrong_puts() {
        note(told, case, kv.put(put).await);
    }
    note(told, "delete: no key", kv.delete_range(delete("")).await);
    for (case, txn) in wrong_txns() {
        note(told, case, kv.txn(txn).await);
    }
    note(told, "compact: future", kv.compact(compact(100)).await);
    note(told, "compact: compacted", kv.compact(compact(3)).await);
    let left = kv.range(read("a", 0)).await.unwrap().into_inner();
    assert_eq!(
        (left.count, left.header.unwrap().revision),
        (0, 4),
        "nothing was written"
    );
    let mut leases = LeaseClient::new(channel.clone());
    let grant = |ttl, id| pb::LeaseGrantRequest { ttl, id };
    leases.lease_grant(grant(600, 5)).await.unwrap();
    note(told, "lease: long", leases.lease_grant(grant(i64::MAX, 0)).await);
    note(told, "lease: known", leases.lease_grant(grant(600, 5)).await);
    let revoke = pb::LeaseRevokeRequest { id: 77 };
    note(told, "lease: revoke unknown", leases.lease_revoke(revoke).await);
}

async fn of_members(channel: &Channel, told: &mut Told) {
    let mut cluster = ClusterClient::new(channel.clone());
    let listed = cluster.member_list(pb::MemberListRequest::default()).await;
    let me = listed.unwrap().into_inner().members.remove(0);
    let add = |urls: &[&str]| pb::MemberAddRequest {
        peer_ur_ls: urls.iter().map(|url| (*url).to_owned()).collect(),
        is_learner: true,
    };
    note(
        told,
        "member: bad URL",
        cluster.member_add(add(&["nowhere"])).await,
    );
    note(told, "member: no URL", cluster.member_add(add(&[])).await);
    let known = add(&[me.peer_ur_ls[0].as_str()]);
    note(told, "member: known URL", cluster.member_add(known).await);
    let remove = |id| pb::MemberRemoveRequest { id };
    note(
        told,
        "member: remove unknown",
        cluster.member_remove(remove(77)).await,
    );
    note(
        told,
        "member: remove the last",
        cluster.member_remove(remove(me.id)).await,
    );
    let update = pb::MemberUpdateRequest {
        id: 77,
        peer_ur_ls: vec!["http://127.0.0.1:1".to_owned()],
    };
    note(
        told,
        "member: update unknown",
        cluster.member_update(update).await,
    );
    let promote = |id| pb::MemberPromoteRequest { id };
    note(
        told,
        "member: promote unknown",
        cluster.member_promote(promote(77)).await,
    );
    note(
        told,
        "member: promote a voter",
        cluster.member_promote(promote(me.id)).await,
    );
    let mut maintenance = MaintenanceClient::new(channel.clone());
    let hash = pb::HashKvRequest { revision: 100 };
    note(told, "hash: future", maintenance.hash_kv(hash).await);
    let other = pb::MoveLeaderRequest { target_id: 77 };
    note(told, "leader: unknown", maintenance.move_leader(other).await);
}

fn user(name: &str) -> pb::AuthUserAddRequest {
    pb::AuthUserAddRequest {
        name: name.to_owned(),
        options: Some(UserAddOptions { no_password: true }),
        ..Default::default()
    }
}

async fn of_users(channel: &Channel, told: &mut Told, ours: bool) {
    let mut auth = AuthClient::new(channel.clone());
    let name = || "root".to_owned();
    let other = || "other".to_owned();
    note(
        told,
        "auth: on without root",
        auth.auth_enable(pb::AuthEnableRequest {}).await,
    );
    let guess = pb::AuthenticateRequest {
        name: name(),
        password: "x".to_owned(),
    };
    note(told, "auth: off and a password", auth.authenticate(guess).await);
    note(told, "user: no name", auth.user_add(user("")).await);
    auth.user_add(user("root")).await.unwrap();
    note(told, "user: known", auth.user_add(user("root")).await);
    note(
        told,
        "user: get unknown",
        auth.user_get(pb::AuthUserGetRequest { name: other() }).await,
    );
    let gone = pb::AuthUserDeleteRequest { name: other() };
    note(told, "user: delete unknown", auth.user_delete(gone).await);
    let password = pb::AuthUserChangePasswordRequest {
        name: other(),
        password: "x".to_owned(),
        ..Default::default()
    };
    note(
        told,
        "user: password of unknown",
        auth.user_change_password(password).await,
    );
    let grant = |user, role| pb::AuthUserGrantRoleRequest { user, role };
    note(
        told,
        "user: grant to unknown",
        auth.user_grant_role(grant(other(), name())).await,
    );
    note(
        told,
        "user: grant unknown",
        auth.user_grant_role(grant(name(), other())).await,
    );
    let revoke = pb::AuthUserRevokeRoleRequest {
        name: name(),
        role: name(),
    };
    note(
        told,
        "user: revoke what it has not",
        auth.user_revoke_role(revoke).await,
    );
    note(
        told,
        "auth: on without root's role",
        auth.auth_enable(pb::AuthEnableRequest {}).await,
    );
    let role = |name: &str| pb::AuthRoleAddRequest {
        name: name.to_owned(),
    };
    note(told, "role: no name", auth.role_add(role("")).await);
    auth.role_add(role("r")).await.unwrap();
    note(told, "role: known", auth.role_add(role("r")).await);
    note(
        told,
        "role: get unknown",
        auth.role_get(pb::AuthRoleGetRequest { role: other() }).await,
    );
    let gone = pb::AuthRoleDeleteRequest { role: other() };
    note(told, "role: delete unknown", auth.role_delete(gone).await);
    let may = |key: &'static str, range_end: &'static str| {
        Some(Permission {
            key: Bytes::from_static(key.as_bytes()),
            range_end: Bytes::from_static(range_end.as_bytes()),
            ..Default::default()
        })
    };
    let permit = |name: &str, perm| pb::AuthRoleGrantPermissionRequest {
        name: name.to_owned(),
        perm,
    };
    let answer = auth.role_grant_permission(permit("other", may("a", ""))).await;
    note(told, "role: grant to unknown", answer);
    // Debian's etcd, which is older, ends at the first of these.
    if ours {
        let answer = auth.role_grant_permission(permit("r", None)).await;
        note(told, "role: grant nothing", answer);
        let answer = auth.role_grant_permission(permit("r", may("b", "a"))).await;
        note(told, "role: grant an empty range", answer);
    }
    let revoke = pb::AuthRoleRevokePermissionRequest {
        role: "r".to_owned(),
        key: Bytes::from_static(b"z"),
        range_end: Bytes::new(),
    };
    note(
        told,
        "role: revoke what it has not",
        auth.role_revoke_permission(revoke).await,
    );
}

async fn of_the_rest(channel: &Channel, told: &mut Told) {
    let name = || Bytes::from_static(b"chair");
    let lock = LockRequest {
        name: name(),
        lease: 77,
    };
    note(
        told,
        "lock: unknown lease",
        LockClient::new(channel.clone()).lock(lock).await,
    );
    let mut election = ElectionClient::new(channel.clone());
    let campaign = CampaignRequest {
        name: name(),
        lease: 77,
        value: Bytes::new(),
    };
    note(told, "election: unknown lease", election.campaign(campaign).await);
    note(
        told,
        "election: nobody leads",
        election.leader(LeaderRequest { name: name() }).await,
    );
    let proclaim = ProclaimRequest::default();
    note(
        told,
        "election: proclaim of none",
        election.proclaim(proclaim).await,
    );
    note(
        told,
        "election: resign of none",
        election.resign(ResignRequest::default()).await,
    );
    let unknown = HealthCheckRequest {
        service: "nothing".to_owned(),
    };
    note(
        told,
        "health: unknown",
        HealthClient::new(channel.clone()).check(unknown).await,
    );
}

async fn all(url: &str, ours: bool) -> Told {
    let endpoint = tonic::transport::Endpoint::from_shared(url.to_owned()).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let mut told = Vec::new();
    of_keys(&channel, &mut told).await;
    of_members(&channel, &mut told).await;
    of_the_rest(&channel, &mut told).await;
    of_users(&channel, &mut told, ours).await;
    told
}

fn differences(who: &str, told: &Told, but: impl Fn(&bool) -> bool) -> Vec<String> {
    let cases = EXPECTED.iter().filter(|(_, _, _, both)| but(both));
    let wrong = cases.filter_map(|(case, code, message, _)| {
        let answer = told.iter().find(|(known, _, _)| known == case);
        let good = answer.is_some_and(|(_, was, text)| was == code && text == message);
        (!good).then(|| format!("{who}, {case}: {answer:?}"))
    });
    wrong.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_refused_with_the_code_and_message_that_etcd_has_for_it() {
    let (ours, theirs) = (Ours::start(|_| {}).await, Theirs::start().await);
    let (ours, theirs) = (all(&ours.url, true).await, all(&theirs.url, false).await);
    assert_eq!(ours.len(), EXPECTED.len());
    let mut wrong = differences("ours", &ours, |_| true);
    wrong.extend(differences("Debian's", &theirs, |both| *both));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
