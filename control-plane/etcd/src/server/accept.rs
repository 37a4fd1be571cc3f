//! Taking connections: TLS, then HTTP/1.1 or HTTP/2, whichever the client speaks.

use super::{authority::Mended, gathered::Gathered, who::ClientName};
use bytes::Bytes;
use component::{Env, Tasks};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::pki_types::CertificateDer;
use std::{convert::Infallible, future::Future, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// The body of a request or an answer.
pub type Body = tonic::body::Body;

/// How long a client may take to begin.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Takes connections at listeners.
pub struct Acceptor {
    tls: Option<TlsAcceptor>,
    env: Env,
    name: &'static str,
}

impl Acceptor {
    /// Without TLS if none is given; `name` is what its tasks are called.
    pub fn new(tls: Option<Arc<rustls::ServerConfig>>, env: Env, name: &'static str) -> Self {
        Self {
            tls: tls.map(TlsAcceptor::from),
            env,
            name,
        }
    }

    /// Takes connections, until its tasks are told to stop.
    pub async fn serve<A, F>(self: Arc<Self>, listener: TcpListener, answer: A)
    where
        A: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.env.tasks.stopping() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (this, answer) = (self.clone(), answer.clone());
                    // A branch of its own: a panic ends this connection and no other.
                    let branch = self.env.tasks.child();
                    branch.spawn(self.name, async move { this.connection(stream, answer).await });
                }
                Err(error) => {
                    tracing::warn!(%error, "accept");
                    self.env.clock.sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn connection<A, F>(self: Arc<Self>, stream: TcpStream, answer: A)
    where
        A: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        // It works without, only slower.
        let _ = stream.set_nodelay(true);
        let Some(tls) = self.tls.clone() else {
            return self.speak(stream, None, answer).await;
        };
        match self.env.clock.timeout(HANDSHAKE, tls.accept(stream)).await {
            Some(Ok(stream)) => {
                let shown = stream.get_ref().1.peer_certificates();
                let name = shown.and_then(|shown| common_name(shown.first()?));
                self.speak(stream, name, answer).await;
            }
            Some(Err(error)) => tracing::warn!(%error, "rejected connection"),
            None => tracing::warn!("a client did not finish its TLS handshake in time"),
        }
    }

    async fn speak<A, F>(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        name: Option<ClientName>,
        answer: A,
    ) where
        A: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let service = service_fn(move |mut request: Request<Incoming>| {
            if let Some(name) = &name {
                request.extensions_mut().insert(name.clone());
            }
            let answering = answer(request);
            async move { Ok::<_, Infallible>(answering.await) }
        });
        let mut builder = auto::Builder::new(Spawner(self.env.tasks.child()));
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HANDSHAKE);
        builder
            .http2()
            .timer(TokioTimer::new())
            // gRPC has no use for it.
            .auto_date_header(false)
            .max_concurrent_streams(u32::MAX)
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(32 << 20);
        let served = builder
            .serve_connection(TokioIo::new(Gathered::new(Mended::new(stream))), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(error, "connection ended");
        }
    }
}

/// The common name of a certificate: the last one, as Go reads it.
fn common_name(certificate: &CertificateDer<'_>) -> Option<ClientName> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let name = certificate.subject().iter_common_name().last()?;
    Some(ClientName(name.as_str().ok()?.into()))
}

/// An answer of text.
pub fn reply(code: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(Bytes::from(body))));
    *response.status_mut() = code;
    response
}

/// Streams of a connection are tasks of a branch. They end with their connection, which ends when the branch stops.
#[derive(Clone)]
struct Spawner(Tasks);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Spawner {
    fn execute(&self, stream: F) {
        self.0.spawn_draining("etcd-stream", stream);
    }
}
