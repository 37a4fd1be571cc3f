//! The HTTP edge: HTTP/1.1 and HTTP/2 over TLS, or over any stream.

mod activity;
pub mod answer;
mod body;
mod components;
mod connect;
mod connection;
pub mod decisions;
mod discovery;
mod documents;
mod door;
mod flow;
pub(crate) mod health;
pub mod impersonate;
mod kubelet;
mod life;
mod listing;
mod measure;
mod negotiate;
mod objects;
mod openapi;
mod patience;
mod pretty;
pub mod proxy;
pub(crate) mod query;
mod room;
mod route;
mod shape;
mod socket;
#[cfg(test)]
pub mod stories;
mod stream;
pub(crate) mod version;
pub mod way;

pub use documents::{Documents, Library};
pub use life::Life;
pub use query::percent_decode;
pub use room::{Limits, Rooms};
pub use route::segments;
pub(crate) use stream::Choir;
pub use version::BuildInfo;

use crate::Server;
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// How long a client may take to say hello.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The address a request comes from; one of its extensions, if it came over a network.
#[derive(Clone, Copy, Debug)]
struct Caller(IpAddr);

impl Server {
    /// Serves the connections of `listener` inside TLS, until the server is drained after it was asked to stop. Client
    /// certificates are what `tls` asks for and has verified.
    pub async fn serve(self: &Arc<Self>, listener: TcpListener, tls: Arc<rustls::ServerConfig>) {
        let acceptor = TlsAcceptor::from(tls);
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.life.closing() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, from)) => {
                    let (server, acceptor) = (self.clone(), acceptor.clone());
                    self.life.spawn(async move {
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
        drop(listener);
        self.life.closed().await;
    }

    async fn serve_tls(self: &Arc<Self>, stream: TcpStream, from: IpAddr, acceptor: TlsAcceptor) {
        let _ = stream.set_nodelay(true);
        let hello = self
            .handler
            .env
            .clock
            .timeout(HANDSHAKE, acceptor.accept(socket::Socket(stream)))
            .await;
        let Some(Ok(stream)) = hello else {
            self.handler.metrics.handshakes.of(&[]).add(1);
            return;
        };
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let peer = chain
            .iter()
            .map(|certificate| certificate.clone().into_owned())
            .collect();
        self.serve_from(stream, peer, Some(Caller(from.to_canonical())))
            .await;
    }
}
