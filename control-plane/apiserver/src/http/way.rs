//! The way to kubelets and to what pods serve: HTTP/1.1 on a stream of `Dial`.

use super::answer::{self, Body};
use crate::Server;
use client::{Duplex, Peer};
use component::pki;
use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::{io, sync::Arc, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite};

/// How long an end may take to be reached.
const DIAL: Duration = Duration::from_secs(30);

/// Sends requests on a connection.
pub type Sender = http1::SendRequest<Body>;

/// Opens a connection. It lives as long as the sender and what was upgraded from it. Kubelets are always known by their
/// certificates; the certificates of pods and services, as upstream, are not looked at.
pub async fn open(server: &Server, peer: &Peer, secure: bool) -> Result<Sender, String> {
    let open = async {
        let stream = server.dial.dial(peer).await?;
        match peer {
            _ if server.dial.trusted(peer) => Ok(stream),
            Peer::Node(node) => to_kubelet(server, node, stream).await,
            _ if secure => unverified(stream).await,
            _ => Ok(stream),
        }
    };
    let clock = &server.handler.env.clock;
    let stream = clock.timeout(DIAL, open).await;
    let stream = stream.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()));
    let stream = stream.map_err(|error| told(&error))?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| said(&e))?;
    let tasks = server.handler.env.tasks.child();
    tasks.spawn("onward-connection", async move {
        let _ = connection.with_upgrades().await;
    });
    Ok(sender)
}

/// Why nobody is reached, in Go's words.
pub fn told(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        _ => error.to_string(),
    }
}

/// Why an answer does not come, in Go's words.
pub fn said(error: &hyper::Error) -> String {
    if error.is_incomplete_message() {
        "EOF".to_owned()
    } else {
        error.to_string()
    }
}

async fn to_kubelet(server: &Server, node: &str, stream: Box<dyn Duplex>) -> io::Result<Box<dyn Duplex>> {
    let missing = || io::Error::other("there is no client certificate for kubelets");
    let config = server.kubelet_tls.clone().ok_or_else(missing)?;
    tls(config, node, stream).await
}

async fn unverified(stream: Box<dyn Duplex>) -> io::Result<Box<dyn Duplex>> {
    let config = pki::unverified_client_config().map_err(io::Error::other)?;
    tls(Arc::new(config), "proxied.invalid", stream).await
}

async fn tls(
    config: Arc<rustls::ClientConfig>,
    name: &str,
    stream: Box<dyn Duplex>,
) -> io::Result<Box<dyn Duplex>> {
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let stream = tokio_rustls::TlsConnector::from(config)
        .connect(name, stream)
        .await?;
    Ok(Box::new(stream))
}

/// Answers a request as `response` does, which switched protocols, and passes bytes on between the two from then on.
pub fn splice(server: &Server, request: Request<Incoming>, response: Response<Incoming>) -> Response<Body> {
    let switched = switched(response.headers().clone());
    let tasks = server.handler.env.tasks.child();
    tasks.spawn("splice", async move {
        let ends = (hyper::upgrade::on(request), hyper::upgrade::on(response));
        if let (Ok(client), Ok(target)) = tokio::join!(ends.0, ends.1) {
            copy(TokioIo::new(client), TokioIo::new(target)).await;
        }
    });
    switched
}

/// Copies until both directions have ended.
pub async fn copy(
    mut one: impl AsyncRead + AsyncWrite + Unpin,
    mut other: impl AsyncRead + AsyncWrite + Unpin,
) {
    // Either end may leave as it likes; that ends the other.
    let _ = tokio::io::copy_bidirectional(&mut one, &mut other).await;
}

/// Status 101.
pub fn switched(headers: http::HeaderMap) -> Response<Body> {
    let mut response = Response::new(answer::full(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response
}
