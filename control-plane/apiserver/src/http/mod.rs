//! The HTTP edge: HTTP/1.1 and HTTP/2 over TLS, or over any stream.

pub mod answer;
mod body;
pub mod decisions;
mod discovery;
mod documents;
mod flow;
mod health;
mod impersonate;
mod kubelet;
mod listing;
mod measure;
mod negotiate;
mod objects;
mod pretty;
pub mod proxy;
mod query;
mod room;
mod route;
mod shape;
#[cfg(test)]
pub mod stories;
mod stream;
mod version;
pub mod way;

pub use documents::{Documents, Library};
pub use query::percent_decode;
pub use room::{Limits, Rooms};
pub use version::BuildInfo;

use crate::Server;
use ::http::Request;
use component::Tasks;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::pki_types::CertificateDer;
use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

/// How long a client may take to say hello.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Requests at a time on one HTTP/2 connection, as upstream.
const STREAMS: u32 = 250;

/// The address a request comes from; one of its extensions, if it came over a network.
#[derive(Clone, Copy, Debug)]
struct Caller(IpAddr);

/// Spawns what a connection needs into the server's task tree.
#[derive(Clone)]
struct Spawner(Tasks);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Spawner {
    fn execute(&self, future: F) {
        self.0.spawn("http2-stream", future);
    }
}

impl Server {
    /// Serves the connections of `listener` inside TLS, until the server's tasks are asked to stop. Client
    /// certificates are what `tls` asks for and has verified.
    pub async fn serve(self: &Arc<Self>, listener: TcpListener, tls: Arc<rustls::ServerConfig>) {
        let acceptor = TlsAcceptor::from(tls);
        let tasks = self.handler.env.tasks.clone();
        loop {
            let accepted = tokio::select! {
                () = tasks.stopping() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, from)) => {
                    let (server, acceptor) = (self.clone(), acceptor.clone());
                    // A branch of its own: a panic ends this connection and no other.
                    let branch = tasks.child();
                    branch.spawn("connection", async move {
                        server.serve_tls(stream, from.ip(), acceptor).await;
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: leave the others time to end.
                    tracing::warn!(%error, "accept");
                    self.handler.env.clock.sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn serve_tls(self: &Arc<Self>, stream: TcpStream, from: IpAddr, acceptor: TlsAcceptor) {
        let _ = stream.set_nodelay(true);
        let hello = self
            .handler
            .env
            .clock
            .timeout(HANDSHAKE, acceptor.accept(stream))
            .await;
        let Some(Ok(stream)) = hello else { return };
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let peer = chain
            .iter()
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        self.serve_from(stream, peer, Some(Caller(from.to_canonical())))
            .await;
    }

    /// Serves one connection over any stream. `peer` is the verified certificate chain of the client, the leaf first;
    /// empty for none.
    pub async fn serve_stream<S>(self: &Arc<Self>, stream: S, peer: Vec<CertificateDer<'static>>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.serve_from(stream, peer, None).await;
    }

    async fn serve_from<S>(
        self: &Arc<Self>,
        stream: S,
        peer: Vec<CertificateDer<'static>>,
        caller: Option<Caller>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (server, peer): (_, Arc<[_]>) = (self.clone(), peer.into());
        let service = service_fn(move |mut request: Request<Incoming>| {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            let (server, peer) = (server.clone(), peer.clone());
            async move { Ok::<_, Infallible>(flow::answer(server, peer, request).await) }
        });
        let mut builder = auto::Builder::new(Spawner(self.handler.env.tasks.child()));
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(32));
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS);
        if let Err(error) = builder
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .await
        {
            tracing::debug!(error, "connection ended");
        }
    }
}
