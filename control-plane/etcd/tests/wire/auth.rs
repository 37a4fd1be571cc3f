//! Users and roles, with etcd's own command and over gRPC.

use crate::{lab::*, members::*};
use bytes::Bytes;
use component::{
    Env,
    pki::{Authority, Purpose},
};
use etcd::server::{Settings, Tokens};
use etcd_proto::{
    authpb::{Permission, UserAddOptions, permission::Type},
    etcdserverpb::{
        self as pb, auth_client::AuthClient, kv_client::KvClient, lease_client::LeaseClient,
        request_op::Request as Op, watch_client::WatchClient, watch_request::RequestUnion as Union,
    },
};
use tonic::{Code, Request, Status, transport::Channel};

/// The least work.
fn cheap(settings: &mut Settings) {
    settings.bcrypt_cost = 4;
}

async fn channel(url: &str) -> Channel {
    let endpoint = tonic::transport::Endpoint::from_shared(url.to_owned()).unwrap();
    endpoint.connect().await.unwrap()
}

fn told<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, message: &str) {
    let status = answer.unwrap_err();
    assert_eq!((status.code(), status.message()), (code, message));
}

/// A request with a token.
fn by<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("token", token.parse().unwrap());
    request
}

/// What is needed to talk to a member as somebody.
struct Client {
    auth: AuthClient<Channel>,
    kv: KvClient<Channel>,
    channel: Channel,
}

impl Client {
    async fn new(url: &str) -> Self {
        let channel = channel(url).await;
        Self {
            auth: AuthClient::new(channel.clone()),
            kv: KvClient::new(channel.clone()),
            channel,
        }
    }

    async fn user(&mut self, name: &str, password: &str) {
        let new = pb::AuthUserAddRequest {
            name: name.to_owned(),
            password: password.to_owned(),
            options: Some(UserAddOptions {
                no_password: password.is_empty(),
            }),
            ..Default::default()
        };
        self.auth.user_add(new).await.unwrap();
    }

    async fn grant(&mut self, user: &str, role: &str) {
        let (user, role) = (user.to_owned(), role.to_owned());
        let grant = pb::AuthUserGrantRoleRequest { user, role };
        self.auth.user_grant_role(grant).await.unwrap();
    }

    async fn role(&mut self, name: &str, kind: Type, key: &str, end: &str) {
        let name = name.to_owned();
        let new = pb::AuthRoleAddRequest { name: name.clone() };
        // It may be there already.
        let _ = self.auth.role_add(new).await;
        let perm = Some(Permission {
            perm_type: kind as i32,
            key: Bytes::copy_from_slice(key.as_bytes()),
            range_end: Bytes::copy_from_slice(end.as_bytes()),
        });
        let grant = pb::AuthRoleGrantPermissionRequest { name, perm };
        self.auth.role_grant_permission(grant).await.unwrap();
    }

    /// The root user; Ann, who may read a to c and write b to d; Bob, who may nothing.
    async fn people(&mut self) {
        for (name, password) in [("root", "toor"), ("ann", "secret"), ("bob", "bob")] {
            self.user(name, password).await;
        }
        self.grant("root", "root").await;
        self.role("reader", Type::Read, "a", "c").await;
        self.role("writer", Type::Write, "b", "d").await;
        self.grant("ann", "reader").await;
        self.grant("ann", "writer").await;
        self.auth.auth_enable(pb::AuthEnableRequest {}).await.unwrap();
    }

    async fn token(&mut self, name: &str, password: &str) -> Result<String, Status> {
        let asked = pb::AuthenticateRequest {
            name: name.to_owned(),
            password: password.to_owned(),
        };
        Ok(self.auth.authenticate(asked).await?.into_inner().token)
    }
}

fn get(key: &str) -> pb::RangeRequest {
    pb::RangeRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..Default::default()
    }
}

fn to(key: &str, end: &str) -> pb::RangeRequest {
    pb::RangeRequest {
        range_end: Bytes::copy_from_slice(end.as_bytes()),
        ..get(key)
    }
}

fn put(key: &str) -> pb::PutRequest {
    pb::PutRequest {
        key: Bytes::copy_from_slice(key.as_bytes()),
        ..Default::default()
    }
}

const DENIED: &str = "etcdserver: permission denied";

/// Commands of a session with etcd's own command, one a line; what follows `<` is typed.
const SESSION: &str = "\
user list
auth enable
user add root:toor
user add root:again
auth enable
user grant-role root root
user grant-role root nothing
user get root
user add ann:secret
user add eve --interactive=false < pass
user add name --no-password
user get nobody
role add reader
role add reader
role add writer
role grant-permission reader read a c
role grant-permission reader read m
role grant-permission writer readwrite --prefix /w/
role grant-permission writer write --from-key x
role grant-permission nothing read a
role get reader
role get writer
role get nothing
role list
user grant-role ann reader
user grant-role ann writer
user get ann --detail
user list
put a 1
put m 1
auth enable
put a 2
get a
--user root:wrong get a
--user root:toor put a 2
--user ann:secret get a
--user ann:secret get a b
--user ann:secret get a z
--user ann:secret get --prefix /w/
--user ann:secret put a 3
--user ann:secret put /w/1 3
--user ann:secret put y 4
--user ann:secret get y
--user ann:secret del --prefix /w/
--user ann:secret del m
--user ann:secret user list
--user ann:secret user get ann
--user ann:secret user get root
--user ann:secret role get reader
--user ann:secret role add more
--user ann:secret member remove 1
--user root:toor role revoke-permission reader m
--user root:toor role revoke-permission reader m
--user ann:secret get m
--user root:toor user revoke-role ann writer
--user root:toor user revoke-role ann writer
--user ann:secret put y 5
--user root:toor user passwd ann --interactive=false < other
--user ann:secret get a
--user ann:other get a
--user root:toor user delete root
--user root:toor user revoke-role root root
--user root:toor role delete reader
--user ann:other get a
--user root:toor user delete ann
--user ann:other get a
--user root:toor user delete ann
--user root:toor auth disable
get a
user list
role list";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn etcds_own_command_keeps_users_and_roles_and_shows_what_debians_server_does() {
    let (ours, theirs) = (Ours::start(cheap).await, Theirs::start().await);
    let mut differences = Vec::new();
    for line in SESSION.lines() {
        let (line, typed) = line.split_once(" < ").unwrap_or((line, ""));
        let args: Vec<&str> = line.split(' ').collect();
        let typed = format!("{typed}\n");
        let said = async |url: &str| {
            let said = ctl_with(url, &args, &typed).await;
            let last = said.err.lines().last().unwrap_or_default();
            // What the client logs begins with a time and shows the address.
            let after = |mark: &str| {
                last.split_once(mark)
                    .map(|(_, error)| error.trim_end_matches("\"}"))
            };
            let error = after("Error: ").or_else(|| after("\"error\":\""));
            (said.code, said.out, error.unwrap_or_default().to_owned())
        };
        let (ours, theirs) = (said(&ours.url).await, said(&theirs.url).await);
        if ours != theirs {
            differences.push(format!("etcdctl {line}\n ours   {ours:?}\n theirs {theirs:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_over_when_it_is_not_used_or_its_user_changes() {
    let etcd = Ours::start(cheap).await;
    let mut client = Client::new(&etcd.url).await;
    client.people().await;
    let (ann, root) = (
        client.token("ann", "secret").await.unwrap(),
        client.token("root", "toor").await.unwrap(),
    );
    let change = pb::AuthUserChangePasswordRequest {
        name: "ann".to_owned(),
        password: "new".to_owned(),
        ..Default::default()
    };
    client.auth.user_change_password(by(&root, change)).await.unwrap();
    let over = "etcdserver: invalid auth token";
    told(
        client.kv.range(by(&ann, get("a"))).await,
        Code::Unauthenticated,
        over,
    );
    let ann = client.token("ann", "new").await.unwrap();
    client.kv.range(by(&ann, get("a"))).await.unwrap();
    client
        .auth
        .auth_disable(by(&root, pb::AuthDisableRequest {}))
        .await
        .unwrap();
    client.kv.range(get("z")).await.unwrap();
    client.auth.auth_enable(pb::AuthEnableRequest {}).await.unwrap();
    told(
        client.kv.range(by(&ann, get("a"))).await,
        Code::Unauthenticated,
        over,
    );
    let long = pb::AuthUserAddRequest {
        name: "long".to_owned(),
        password: "x".repeat(73),
        ..Default::default()
    };
    let root = client.token("root", "toor").await.unwrap();
    told(
        client.auth.user_add(by(&root, long)).await,
        Code::Unknown,
        "bcrypt: password length exceeds 72 bytes",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signed_tokens_are_given_and_taken() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name).display().to_string();
    let (private, public) = (file("key.pem"), file("key.pub"));
    let openssl = |args: &[&str]| {
        let done = std::process::Command::new("openssl").args(args).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    openssl(&["genrsa", "-out", &private, "2048"]);
    openssl(&["rsa", "-in", &private, "-pubout", "-out", &public]);
    let both = format!("jwt,pub-key={public},priv-key={private},sign-method=RS256,ttl=10m");
    let tokens = Tokens::parse(&both).unwrap();
    let etcd = Ours::start(|settings| {
        cheap(settings);
        settings.tokens = tokens.clone();
    })
    .await;
    let mut client = Client::new(&etcd.url).await;
    client.people().await;
    let ann = client.token("ann", "secret").await.unwrap();
    assert_eq!(ann.split('.').count(), 3, "{ann}");
    client.kv.put(by(&ann, put("b"))).await.unwrap();
    told(
        client.kv.put(by(&ann, put("a"))).await,
        Code::PermissionDenied,
        DENIED,
    );
    let forged = format!("{}x", ann.split_at(ann.len() - 8).0);
    let bad = client.kv.range(by(&forged, get("a"))).await;
    told(bad, Code::Unauthenticated, "etcdserver: invalid auth token");
    // What a token may is what its user may as of the revision that it names.
    let root = client.token("root", "toor").await.unwrap();
    let more = pb::AuthRoleAddRequest {
        name: "more".to_owned(),
    };
    client.auth.role_add(by(&root, more)).await.unwrap();
    let old = client.kv.put(by(&ann, put("b"))).await;
    told(
        old,
        Code::InvalidArgument,
        "etcdserver: revision of auth store is old",
    );
    let ann = client.token("ann", "secret").await.unwrap();
    client.kv.put(by(&ann, put("b"))).await.unwrap();
    for (text, why) in [
        ("other", "auth: invalid auth options: other"),
        ("jwt", "auth: invalid auth signature method: \"\""),
        (
            "jwt,sign-method=none",
            "auth: invalid auth signature method: \"none\"",
        ),
        ("jwt,sign-method=RS256", "auth: missing key data"),
        ("jwt,sign-method=RS256,pub-key=/nothing", "/nothing: No such file"),
        (
            "jwt,sign-method=RS256,colour=red",
            "auth: invalid auth options: colour=red",
        ),
    ] {
        let error = Tokens::parse(text).unwrap_err().to_string();
        assert!(error.starts_with(why), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_shows_a_certificate_is_the_user_that_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let now = Env::system().clock.wall();
    let authority = Authority::open(dir.path(), now).unwrap();
    let purpose = Purpose::server("etcd", vec!["127.0.0.1".to_owned()]);
    let leaf = authority.leaf("server", &purpose, now).unwrap();
    for name in ["root", "ann", "stranger"] {
        authority.leaf(name, &Purpose::client(name, &[]), now).unwrap();
    }
    let secure = crate::secure::server(&leaf, authority.certificate());
    let settings = |settings: &mut Settings| {
        cheap(settings);
        settings.client_names = true;
    };
    let etcd = Ours::start_with(settings, Some(secure)).await;
    let path = |name: &str| dir.path().join(name).display().to_string();
    let as_user = async |name: &str, args: &str| {
        let (ca, cert, key) = (
            path("ca.crt"),
            path(&format!("{name}.crt")),
            path(&format!("{name}.key")),
        );
        let mut all = vec!["--cacert", &ca, "--cert", &cert, "--key", &key];
        all.extend(args.split(' '));
        let said = ctl(&etcd.url, &all).await;
        format!("{}{}", said.out, said.err)
    };
    for line in [
        "user add root --no-password",
        "user add ann --no-password",
        "user grant-role root root",
        "role add r",
        "role grant-permission r readwrite a",
        "user grant-role ann r",
        "auth enable",
    ] {
        let said = as_user("stranger", line).await;
        assert!(!said.contains("Error"), "{line}: {said}");
    }
    assert_eq!(as_user("ann", "put a 1").await, "OK\n");
    assert!(as_user("ann", "put b 1").await.contains("permission denied"));
    assert!(as_user("stranger", "get a").await.contains("permission denied"));
    assert_eq!(as_user("root", "get a").await, "a\n1\n");
    let guess = as_user("root", "--user ann:x get a").await;
    assert!(
        guess.contains("password was given for no password user"),
        "{guess}"
    );
}
