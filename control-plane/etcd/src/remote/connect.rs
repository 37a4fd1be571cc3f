//! Connections to etcd's endpoints.

use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::net::TcpStream;
use tonic::transport::{Channel, Endpoint, Uri};

/// How long a connection may take, and how often a quiet one is tried.
const CONNECT: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes on their way to us, so large that many small answers at once are no flood to the HTTP library.
const WINDOW: u32 = 32 << 20;

trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Stream for T {}

type Connecting = Pin<Box<dyn Future<Output = io::Result<TokioIo<Box<dyn Stream>>>> + Send>>;

/// Opens TCP connections, with TLS to those that ask for it.
struct Connector(Option<Arc<ClientConfig>>);

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<Box<dyn Stream>>;
    type Error = io::Error;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Connecting {
        let tls = self.0.clone();
        Box::pin(async move {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let tcp = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or(2379))).await?;
            tcp.set_nodelay(true)?;
            let Some(tls) = tls else {
                return Ok(TokioIo::new(Box::new(tcp) as Box<dyn Stream>));
            };
            let name = ServerName::try_from(host).map_err(io::Error::other)?;
            let stream = tokio_rustls::TlsConnector::from(tls).connect(name, tcp).await?;
            Ok(TokioIo::new(Box::new(stream) as Box<dyn Stream>))
        })
    }
}

/// A channel to the endpoint `server` (`https://host:port`, `http://host:port`, or without a scheme), which connects when
/// it is used, and again when it is lost.
pub fn channel(server: &str, tls: Option<&ClientConfig>) -> Result<Channel, String> {
    let bad = |why: String| format!("{server:?} is no address of an etcd server: {why}");
    let text = match (server.contains("://"), tls) {
        (true, _) => server.to_owned(),
        (false, Some(_)) => format!("https://{server}"),
        (false, None) => format!("http://{server}"),
    };
    let endpoint = Endpoint::from_shared(text).map_err(|error| bad(error.to_string()))?;
    let tls = match endpoint.uri().scheme_str() {
        Some("http") => None,
        Some("https") => {
            let tls = tls.ok_or_else(|| bad("https needs a CA (--etcd-cafile)".to_owned()))?;
            let mut tls = tls.clone();
            tls.alpn_protocols = vec![b"h2".to_vec()];
            Some(Arc::new(tls))
        }
        _ => return Err(bad("the scheme is http or https".to_owned())),
    };
    if endpoint.uri().host().is_none_or(str::is_empty) {
        return Err(bad("there is no host".to_owned()));
    }
    let endpoint = endpoint
        .connect_timeout(CONNECT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW);
    Ok(endpoint.connect_with_connector_lazy(Connector(tls)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_addresses_of_servers_are_taken() {
        for good in [
            "http://127.0.0.1:2379",
            "127.0.0.1:2379",
            "http://[::1]:2379",
            "etcd-0.etcd:2379",
        ] {
            assert!(channel(good, None).is_ok(), "{good}");
        }
        for bad in ["https://127.0.0.1:2379", "ftp://x:1", "http://", ""] {
            assert!(channel(bad, None).is_err(), "{bad}");
        }
    }
}
