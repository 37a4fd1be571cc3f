//! The listener: gRPC and HTTP on one port.

use super::{Member, VERSION, gateway::Gateway};
use bytes::Bytes;
use component::Env;
use etcd_proto::{
    etcdserverpb::{
        cluster_server::ClusterServer, kv_server::KvServer, lease_server::LeaseServer,
        maintenance_server::MaintenanceServer, watch_server::WatchServer,
    },
    health::health_server::HealthServer,
    v3electionpb::election_server::ElectionServer,
    v3lockpb::lock_server::LockServer,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

/// The body of a request or an answer.
pub type Body = tonic::body::Body;

/// How long a client may take to begin.
const HANDSHAKE: Duration = Duration::from_secs(10);
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
        let most = self.settings().max_request_bytes + OVERHEAD;
        let member = Arc::new(self.clone());
        let answered: Result<Response<Body>, Infallible> = dispatch!(
            member, request, most,
            "etcdserverpb.KV" => KvServer,
            "etcdserverpb.Watch" => WatchServer,
            "etcdserverpb.Lease" => LeaseServer,
            "etcdserverpb.Cluster" => ClusterServer,
            "etcdserverpb.Maintenance" => MaintenanceServer,
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

/// Serves a member at a listener, until its tasks are told to stop; without TLS if none is given.
pub struct Listener {
    member: Member,
    gateway: Gateway,
    tls: Option<TlsAcceptor>,
    env: Env,
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
            tls: tls.map(TlsAcceptor::from),
            env,
        }))
    }

    /// Takes connections.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.env.tasks.stopping() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let this = self.clone();
                    // A branch of its own: a panic ends this connection and no other.
                    let branch = self.env.tasks.child();
                    branch.spawn("etcd-connection", async move { this.connection(stream).await });
                }
                Err(error) => {
                    tracing::warn!(%error, "accept");
                    self.env.clock.sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        // It works without, only slower.
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.tls.clone() else {
            return self.speak(stream).await;
        };
        match self.env.clock.timeout(HANDSHAKE, tls.accept(stream)).await {
            Some(Ok(stream)) => self.speak(stream).await,
            Some(Err(error)) => tracing::warn!(%error, "rejected connection"),
            None => tracing::warn!("a client did not finish its TLS handshake in time"),
        }
    }

    async fn speak(self: Arc<Self>, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let this = self.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let this = this.clone();
            async move { Ok::<_, Infallible>(this.answer(request).await) }
        });
        let mut builder = auto::Builder::new(Spawner(self.env.tasks.child()));
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HANDSHAKE);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(u32::MAX)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(32 << 20);
        let served = builder.serve_connection(TokioIo::new(stream), service).await;
        if let Err(error) = served {
            tracing::debug!(error, "connection ended");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let kind = request.headers().get(http::header::CONTENT_TYPE);
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc")) {
            return self.member.grpc(request).await;
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
                match Limited::new(request.into_body(), most).collect().await {
                    Ok(body) => self.gateway.answer(&self.member, path, body.to_bytes()).await,
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
        let why = match (self.member.engine().is_closed(), self.member.room()) {
            (true, _) => "the store is closed",
            (false, Err(_)) => "ALARM NOSPACE",
            (false, Ok(())) => return json(StatusCode::OK, r#"{"health":"true","reason":""}"#.to_owned()),
        };
        let body = format!("{{\"health\":\"false\",\"reason\":{why:?}}}");
        json(StatusCode::SERVICE_UNAVAILABLE, body)
    }
}

fn text(body: String) -> Response<Body> {
    Response::new(Body::new(Full::new(Bytes::from(body))))
}

fn json(code: StatusCode, body: String) -> Response<Body> {
    let mut response = text(body);
    *response.status_mut() = code;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}

/// Streams of a connection are tasks of a branch.
#[derive(Clone)]
struct Spawner(component::Tasks);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Spawner {
    fn execute(&self, stream: F) {
        self.0.spawn("etcd-stream", stream);
    }
}
