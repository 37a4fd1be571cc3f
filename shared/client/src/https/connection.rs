//! The one connection of a transport.

use super::Endpoint;
use api::Status;
use bytes::Bytes;
use component::{
    Env, Tasks,
    pki::{self, Leaf, PkiError},
};
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http2::{Builder, SendRequest},
    rt::Executor,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Mutex,
};
use tokio_rustls::TlsConnector;

const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A silent connection is asked whether it lives, and cut when it does not say so (client-go's numbers).
const PING_AFTER: Duration = Duration::from_secs(30);
const PING_LIMIT: Duration = Duration::from_secs(15);

/// The settings of an endpoint are wrong.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The URL is none.
    #[error("server {0:?} is not a URL such as https://10.0.0.1:6443")]
    Server(String),
    /// Without TLS only this machine is spoken to.
    #[error("server {0:?}: http is for loopback addresses only")]
    Plain(String),
    /// The host is no name that a certificate can have.
    #[error("{0:?} is not a server name")]
    Name(String),
    /// A certificate or key is broken.
    #[error(transparent)]
    Pki(#[from] PkiError),
}

type Sender = SendRequest<Full<Bytes>>;

/// Connects when there is something to send.
pub(super) struct Connection {
    origin: String,
    host: String,
    port: u16,
    ca: String,
    tls: Option<(RwLock<Arc<ClientConfig>>, ServerName<'static>)>,
    sender: Mutex<Option<Sender>>,
    env: Env,
}

/// Spawns what hyper needs spawned in the task tree.
#[derive(Clone)]
struct Spawn(Tasks);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Spawn {
    fn execute(&self, future: F) {
        self.0.spawn("http2", future);
    }
}

fn client_config(ca: &str, leaf: Option<&Leaf>) -> Result<Arc<ClientConfig>, PkiError> {
    let mut config = pki::client_config(ca, leaf)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

impl Connection {
    pub fn new(endpoint: Endpoint, env: Env) -> Result<Self, ConnectError> {
        let origin = endpoint.server.trim_end_matches('/').to_owned();
        let wrong = || ConnectError::Server(origin.clone());
        let uri: Uri = origin.parse().map_err(|_| wrong())?;
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else {
            return Err(wrong());
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let secure = match scheme {
            "https" => true,
            "http" if is_loopback(&host) => false,
            "http" => return Err(ConnectError::Plain(origin)),
            _ => return Err(wrong()),
        };
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let tls = if secure {
            let name = endpoint.server_name.unwrap_or_else(|| host.clone());
            let name = ServerName::try_from(name.clone()).map_err(|_| ConnectError::Name(name))?;
            Some((
                RwLock::new(client_config(&endpoint.ca, endpoint.leaf.as_ref())?),
                name,
            ))
        } else {
            None
        };
        Ok(Self {
            origin,
            host,
            port,
            ca: endpoint.ca,
            tls,
            sender: Mutex::default(),
            env,
        })
    }

    /// The server's URL.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    pub async fn renew(&self, leaf: Leaf) -> Result<(), ConnectError> {
        if let Some((config, _)) = &self.tls {
            let fresh = client_config(&self.ca, Some(&leaf))?;
            *config.write().unwrap_or_else(PoisonError::into_inner) = fresh;
            *self.sender.lock().await = None;
        }
        Ok(())
    }

    /// Sends `request`; again over a new connection when the old one broke before it was sent.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Status> {
        loop {
            let (mut sender, fresh) = self.sender().await?;
            if let Err(error) = sender.ready().await {
                self.drop_closed().await;
                if fresh {
                    return Err(self.unreachable(&error));
                }
                continue;
            }
            match sender.try_send_request(request).await {
                Ok(answer) => return Ok(answer),
                Err(mut error) => {
                    self.drop_closed().await;
                    match error.take_message() {
                        Some(unsent) if !fresh => request = unsent,
                        Some(_) => return Err(self.unreachable(error.error())),
                        // It may have reached the server.
                        None => return Err(Status::timeout(format!("{}: {}", self.origin, error.error()))),
                    }
                }
            }
        }
    }

    fn unreachable(&self, error: &dyn std::error::Error) -> Status {
        let cause = error
            .source()
            .map(|cause| format!(": {cause}"))
            .unwrap_or_default();
        Status::unavailable(format!("{}: {error}{cause}", self.origin))
    }

    async fn drop_closed(&self) {
        let mut held = self.sender.lock().await;
        if held.as_ref().is_some_and(Sender::is_closed) {
            *held = None;
        }
    }

    /// The connection, and whether it was made just now.
    async fn sender(&self) -> Result<(Sender, bool), Status> {
        let mut held = self.sender.lock().await;
        if let Some(sender) = held.as_ref().filter(|sender| !sender.is_closed()) {
            return Ok((sender.clone(), false));
        }
        let connected = self.env.clock.timeout(CONNECT_LIMIT, self.connect()).await;
        let connected = connected.unwrap_or_else(|| Err(io::ErrorKind::TimedOut.into()));
        let sender = connected.map_err(|error| self.unreachable(&error))?;
        *held = Some(sender.clone());
        Ok((sender, true))
    }

    async fn connect(&self) -> io::Result<Sender> {
        let stream = TcpStream::connect(SocketAddr::new(resolve(&self.host).await?, self.port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => self.handshake(stream).await,
            Some((config, name)) => {
                let config = config.read().unwrap_or_else(PoisonError::into_inner).clone();
                self.handshake(TlsConnector::from(config).connect(name.clone(), stream).await?)
                    .await
            }
        }
    }

    async fn handshake<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        stream: S,
    ) -> io::Result<Sender> {
        let mut builder = Builder::new(Spawn(self.env.tasks.clone()));
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_LIMIT);
        let (sender, connection) = builder
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        self.env.tasks.spawn("http2 connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection to the API server ended");
            }
        });
        Ok(sender)
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The address of a host. The resolver of the C library is not there in a static program.
async fn resolve(host: &str) -> io::Result<IpAddr> {
    if let Ok(address) = host.parse() {
        return Ok(address);
    }
    let hosts = tokio::fs::read_to_string("/etc/hosts").await.unwrap_or_default();
    let listed = hosts.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        words
            .any(|name| name.eq_ignore_ascii_case(host))
            .then_some(address)
    });
    let known = if host == "localhost" {
        Some(Ipv4Addr::LOCALHOST.into())
    } else {
        listed.into_iter().next()
    };
    known.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("host {host:?} is not in /etc/hosts"),
        )
    })
}
