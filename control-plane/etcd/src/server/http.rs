//! The listener: gRPC and HTTP on one port.

use super::{
    Member, VERSION,
    accept::{Acceptor, Answers, reply},
    calls::in_gos_words,
    failure::failed,
    gateway::Gateway,
    leaderless::needs_leader,
    reflection::Reflection,
    unary::{self, Asked},
    watch::WATCH,
    who::ClientName,
};
use crate::replica::{Alarm, Failure};
use bytes::Bytes;
use component::Env;
use etcd_proto::{
    etcdserverpb::{
        auth_server::AuthServer, cluster_server::ClusterServer, kv_server::KvServer,
        lease_server::LeaseServer, maintenance_server::MaintenanceServer, watch_server::WatchServer,
    },
    health::health_server::HealthServer,
    v3electionpb::election_server::ElectionServer,
    v3lockpb::lock_server::LockServer,
};
use http::{HeaderValue, Method, Request, Response, StatusCode, request::Parts};
use http_body_util::{BodyExt, Limited};
use http2::{Answering, Gone, Incoming};
use std::{convert::Infallible, sync::Arc};
use tokio::net::TcpListener;
use tower_service::Service;

pub use super::accept::Body;

/// Beyond the largest request, for what is around it.
const OVERHEAD: usize = 512 << 10;

/// Calls the service that a path names, of those that there are.
macro_rules! dispatch {
    ($member:expr, $request:expr, $most:expr, $($path:literal => $server:ident),* $(,)?) => {
        match $request.uri().path().split('/').nth(1) {
            $(Some($path) => {
                let mut server = $server::from_arc($member.clone()).max_decoding_message_size($most);
                server.call($request).await
            })*
            _ => Ok(tonic::Status::unimplemented(format!(
                "unknown service {}",
                $request.uri().path().split('/').nth(1).unwrap_or_default()
            ))
            .into_http()),
        }
    };
}

impl Member {
    /// Answers a call of gRPC.
    pub(super) async fn grpc<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<tonic::codegen::StdError> + Send,
    {
        let path = request.uri().path().to_owned();
        let led = needs_leader(request.headers());
        let (request, begun) = self.0.calls.begin(request);
        let answer = match self.admits(&path, led) {
            Ok(()) => in_gos_words(&path, self.dispatch(request).await),
            Err(failure) => failed(failure).into_http(),
        };
        let answer = if led {
            self.while_led(&path, answer)
        } else {
            answer
        };
        match begun {
            Some(begun) => begun.answer(answer),
            None => answer,
        }
    }

    /// The largest message that is read.
    pub(super) fn most(&self) -> usize {
        self.settings().max_request_bytes + OVERHEAD
    }

    async fn dispatch(&self, request: Request<Body>) -> Response<Body> {
        let most = self.most();
        let member = Arc::new(self.clone());
        let answered: Result<Response<Body>, Infallible> = dispatch!(
            member, request, most,
            "etcdserverpb.KV" => KvServer,
            "etcdserverpb.Watch" => WatchServer,
            "etcdserverpb.Lease" => LeaseServer,
            "etcdserverpb.Cluster" => ClusterServer,
            "etcdserverpb.Maintenance" => MaintenanceServer,
            "etcdserverpb.Auth" => AuthServer,
            "v3lockpb.Lock" => LockServer,
            "v3electionpb.Election" => ElectionServer,
            "grpc.health.v1.Health" => HealthServer,
        );
        match answered {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// What a learner answers; a range only if it need not be linearizable.
const OF_LEARNERS: &[&str] = &[
    "/etcdserverpb.KV/Range",
    "/etcdserverpb.Maintenance/Status",
    "/etcdserverpb.Maintenance/Snapshot",
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
];
/// What may be answered with many values, and is answered at once: few of them are made at a time for a connection.
const OF_VALUES: &[&str] = &[
    "/etcdserverpb.KV/",
    "/etcdserverpb.Lease/LeaseTimeToLive",
    "/v3/kv/",
    "/v3/lease/timetolive",
    "/metrics",
];
/// Services that answer nothing while the members hold different data.
const OF_DATA: &[&str] = &["/etcdserverpb.KV/", "/etcdserverpb.Lease/"];

impl Member {
    /// Whether a call can be answered as the cluster is.
    pub(super) fn admits(&self, path: &str, needs_leader: bool) -> Result<(), Failure> {
        let replica = self.replica();
        if replica.is_learner() && !OF_LEARNERS.contains(&path) {
            return Err(Failure::Learner);
        }
        if needs_leader && replica.view().leader == 0 {
            return Err(Failure::NoLeader);
        }
        if replica.is_raised(Alarm::Corrupt) && OF_DATA.iter().any(|service| path.starts_with(service)) {
            return Err(Failure::Corrupt);
        }
        Ok(())
    }
}

/// Serves a member at a listener, until its tasks are told to stop; without TLS if none is given.
pub struct Listener {
    member: Member,
    gateway: Gateway,
    reflection: Reflection,
    acceptor: Arc<Acceptor>,
}

impl Listener {
    /// What serves `member`.
    pub fn new(
        member: Member,
        tls: Option<Arc<rustls::ServerConfig>>,
        env: Env,
    ) -> Result<Arc<Self>, super::GatewayError> {
        Ok(Arc::new(Self {
            member,
            gateway: Gateway::new()?,
            reflection: Reflection::new()?,
            acceptor: Arc::new(Acceptor::new(tls, env, "etcd-connection")),
        }))
    }

    /// Takes connections.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let acceptor = self.acceptor.clone();
        let of = move |name| Client {
            listener: self.clone(),
            name,
        };
        acceptor.serve(listener, of).await;
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let kind = request.headers().get(http::header::CONTENT_TYPE);
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
            return match self.reflection.answer(request).await {
                Ok(answer) => answer,
                Err(request) => self.member.grpc(request).await,
            };
        }
        let path = request.uri().path().to_owned();
        match (path.as_str(), request.method()) {
            ("/health", _) => self.health(),
            ("/version", _) => json(
                StatusCode::OK,
                format!("{{\"etcdserver\":\"{VERSION}\",\"etcdcluster\":\"3.5.0\"}}"),
            ),
            ("/metrics", _) => {
                let mut response = text(self.member.metrics());
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
                response
            }
            (path, &Method::POST) if path.starts_with("/v3") => {
                let most = self.member.settings().max_request_bytes * 2 + OVERHEAD;
                let token = request.headers().get(http::header::AUTHORIZATION).cloned();
                match Limited::new(request.into_body(), most).collect().await {
                    Ok(body) => {
                        self.gateway
                            .answer(&self.member, path, token, body.to_bytes())
                            .await
                    }
                    Err(error) => json(
                        StatusCode::BAD_REQUEST,
                        format!("{{\"error\":{:?}}}", error.to_string()),
                    ),
                }
            }
            (path, _) if path.starts_with("/v3") => {
                let body = r#"{"error":"Method Not Allowed","message":"Method Not Allowed","code":12}"#;
                json(StatusCode::METHOD_NOT_ALLOWED, body.to_owned())
            }
            _ => {
                let mut response = text("404 page not found\n".to_owned());
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
        }
    }

    fn health(&self) -> Response<Body> {
        let replica = self.member.replica();
        let counters = &self.member.0.counters;
        let why = if self.member.engine().is_closed() {
            "the store is closed"
        } else if replica.is_raised(Alarm::NoSpace) {
            "ALARM NOSPACE"
        } else if replica.is_raised(Alarm::Corrupt) {
            "ALARM CORRUPT"
        } else if replica.view().leader == 0 {
            "RAFT NO LEADER"
        } else {
            counters.healthy.add();
            return json(StatusCode::OK, r#"{"health":"true","reason":""}"#.to_owned());
        };
        counters.unhealthy.add();
        let body = format!("{{\"health\":\"false\",\"reason\":{why:?}}}");
        json(StatusCode::SERVICE_UNAVAILABLE, body)
    }
}

/// A client, on its connection.
struct Client {
    listener: Arc<Listener>,
    /// The name of its certificate.
    name: Option<ClientName>,
}

impl Answers for Client {
    fn answer(&self, mut request: Request<Body>) -> impl Future<Output = Response<Body>> + Send + 'static {
        if let Some(name) = &self.name {
            request.extensions_mut().insert(name.clone());
        }
        let listener = self.listener.clone();
        async move { listener.answer(request).await }
    }
}

impl http2::Service for Client {
    type Known = Arc<Asked>;

    fn known(&self, head: &Parts) -> Option<Arc<Asked>> {
        let asked = self.listener.member.asked(head, self.name.as_ref())?;
        Some(Arc::new(asked))
    }

    fn most(&self) -> usize {
        self.listener.member.most()
    }

    fn limits(&self) -> http2::Limits {
        self.listener.member.settings().limits
    }

    fn call(&self, asked: &Arc<Asked>, message: &[u8], answering: Answering) {
        self.listener.member.small(asked, message, answering);
    }

    fn request(
        &self,
        request: Request<Incoming>,
        answering: Answering,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (listener, name) = (self.listener.clone(), self.name.clone());
        async move {
            let mut request = request.map(Body::new);
            if let Some(name) = name {
                request.extensions_mut().insert(name);
            }
            if request.uri().path() == WATCH && unary::is_usual(request.method(), request.headers()) {
                return listener.member.watches(request, answering).await;
            }
            let is_large = OF_VALUES
                .iter()
                .any(|method| request.uri().path().starts_with(method));
            let turn = match is_large {
                true => match answering.turn(u32::MAX).await {
                    Ok(turn) => Some(turn),
                    Err(Gone) => return,
                },
                false => None,
            };
            answering.respond(listener.answer(request).await, turn).await;
        }
    }
}

fn text(body: String) -> Response<Body> {
    reply(StatusCode::OK, body)
}

fn json(code: StatusCode, body: String) -> Response<Body> {
    let mut response = text(body);
    *response.status_mut() = code;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}
