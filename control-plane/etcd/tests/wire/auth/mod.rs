//! Users and roles, with etcd's own command and over gRPC.

mod command;
mod rights;
mod tokens;

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
