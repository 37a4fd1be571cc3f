//! Connections to other members.

use super::{CLUSTER, FROM, MEMBERS, TO, listen::STARTING};
use crate::replica::{Identity, Member, Membership, Metrics, PeerTls, pack::Unpack};
use bytes::Bytes;
use component::Tasks;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::pki_types::ServerName;
use std::{convert::Infallible, io, time::Duration};
use tokio::net::TcpStream;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How often a quiet connection is tried, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
const WINDOW: u32 = 16 << 20;

/// The body of a request.
pub type RequestBody = UnsyncBoxBody<Bytes, Infallible>;

/// Why another member did not answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The URL cannot be used.
    #[error("{0:?} is no URL of a peer: {1}")]
    Url(String, &'static str),
    /// It is not reached.
    #[error("{url}: {source}")]
    Connect {
        /// Where.
        url: String,
        /// What went wrong.
        source: io::Error,
    },
    /// The connection broke.
    #[error("{url}: {source}")]
    Broken {
        /// Where.
        url: String,
        /// What went wrong.
        source: hyper::Error,
    },
    /// It refused.
    #[error("{url} answered {status}: {why}")]
    Refused {
        /// Where.
        url: String,
        /// Its status.
        status: StatusCode,
        /// What it said.
        why: String,
    },
    /// It does not serve yet.
    #[error("{0}: {STARTING}")]
    Starting(String),
    /// Its answer makes no sense.
    #[error("{0}: the answer cannot be read")]
    Garbled(String),
}

/// What connects to other members.
#[derive(Clone)]
pub struct Caller {
    pub me: u64,
    pub cluster: u64,
    pub tls: Option<PeerTls>,
    pub tasks: Tasks,
    pub metrics: Metrics,
}

impl Caller {
    pub fn new(identity: Identity, tls: Option<PeerTls>, tasks: Tasks) -> Self {
        Self {
            me: identity.member,
            cluster: identity.cluster,
            tls,
            tasks,
            metrics: Metrics::default(),
        }
    }

    /// Connects to a URL.
    pub async fn connect(&self, url: &str) -> Result<SendRequest<RequestBody>, CallError> {
        let bad = |why| CallError::Url(url.to_owned(), why);
        let uri: Uri = url.parse().map_err(|_| bad("it cannot be read"))?;
        let host = uri.host().ok_or_else(|| bad("there is no host"))?;
        let port = uri.port_u16().unwrap_or(2380);
        let failed = |source| CallError::Connect {
            url: url.to_owned(),
            source,
        };
        let host = host.trim_matches(['[', ']']);
        let connecting = tokio::time::timeout(CONNECT, TcpStream::connect((host, port)));
        let tcp = connecting
            .await
            .map_err(io::Error::from)
            .flatten()
            .map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        match uri.scheme_str() {
            Some("http") => self.speak(url, tcp).await,
            Some("https") => {
                let tls = self.tls.as_ref();
                let tls = tls.ok_or_else(|| bad("https needs --peer-trusted-ca-file"))?;
                let name = ServerName::try_from(host.to_owned()).map_err(|_| bad("the host is no name"))?;
                let connector = tokio_rustls::TlsConnector::from(tls.client.clone());
                let shaking = tokio::time::timeout(CONNECT, connector.connect(name, tcp));
                let stream = shaking.await.map_err(io::Error::from).flatten().map_err(failed)?;
                self.speak(url, stream).await
            }
            _ => Err(bad("the scheme is http or https")),
        }
    }

    async fn speak(
        &self,
        url: &str,
        stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
    ) -> Result<SendRequest<RequestBody>, CallError> {
        let mut builder = http2::Builder::new(Executor(self.tasks.clone()));
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW);
        let broken = |source| CallError::Broken {
            url: url.to_owned(),
            source,
        };
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
        self.tasks.spawn("peer-connection", async move {
            // Who uses it sees that it ended.
            let _ = connection.await;
        });
        Ok(sender)
    }

    /// Sends a request to member `to` (0: whoever is there); an error unless it is answered well.
    pub async fn request(
        &self,
        sender: &mut SendRequest<RequestBody>,
        (url, path, to): (&str, &str, u64),
        body: RequestBody,
    ) -> Result<Response<Incoming>, CallError> {
        let bad = |_| CallError::Url(url.to_owned(), "it cannot be read");
        let uri = format!("{}{path}", url.trim_end_matches('/'));
        let request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header(CLUSTER, format!("{:x}", self.cluster))
            .header(FROM, format!("{:x}", self.me))
            .header(TO, format!("{to:x}"))
            .body(body)
            .map_err(bad)?;
        let broken = |source| CallError::Broken {
            url: url.to_owned(),
            source,
        };
        let response = sender.send_request(request).await.map_err(broken)?;
        if response.status() == StatusCode::OK {
            return Ok(response);
        }
        let status = response.status();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return Err(CallError::Starting(url.to_owned()));
        }
        let why = response.into_body().collect().await.map_err(broken)?.to_bytes();
        Err(CallError::Refused {
            url: url.to_owned(),
            status,
            why: String::from_utf8_lossy(&why).trim().to_owned(),
        })
    }

    /// Asks member `to` at one of its URLs.
    pub async fn call(&self, urls: &[String], path: &str, to: u64, body: Bytes) -> Result<Bytes, CallError> {
        let mut failed = CallError::Url(String::new(), "it is not known");
        for url in urls {
            match self.call_one(url, path, to, body.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn call_one(&self, url: &str, path: &str, to: u64, body: Bytes) -> Result<Bytes, CallError> {
        let mut sender = self.connect(url).await?;
        let body = http_body_util::Full::new(body).boxed_unsync();
        let response = self.request(&mut sender, (url, path, to), body).await?;
        let broken = |source| CallError::Broken {
            url: url.to_owned(),
            source,
        };
        Ok(response.into_body().collect().await.map_err(broken)?.to_bytes())
    }
}

/// The cluster and the members that the member at a URL knows.
pub async fn members_of(caller: &Caller, url: &str) -> Result<(u64, Vec<Member>), CallError> {
    // It may be bound and not serve yet, or be paused.
    let told = tokio::time::timeout(CONNECT, ask_members(caller, url)).await;
    told.unwrap_or_else(|elapsed| {
        Err(CallError::Connect {
            url: url.to_owned(),
            source: elapsed.into(),
        })
    })
}

async fn ask_members(caller: &Caller, url: &str) -> Result<(u64, Vec<Member>), CallError> {
    let mut sender = caller.connect(url).await?;
    let body = Empty::new().boxed_unsync();
    let response = caller.request(&mut sender, (url, MEMBERS, 0), body).await?;
    let garbled = || CallError::Garbled(url.to_owned());
    let cluster = response.headers().get(CLUSTER).and_then(|id| id.to_str().ok());
    let cluster = cluster
        .and_then(|id| u64::from_str_radix(id, 16).ok())
        .ok_or_else(garbled)?;
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|_| garbled())?
        .to_bytes();
    let members = Unpack(body).list(Member::read).map_err(|_| garbled())?;
    Ok((cluster, members))
}

/// The list of members as [`members_of`] reads it.
pub fn list(members: &Membership) -> Bytes {
    let mut out = crate::replica::pack::Pack::default();
    let all: Vec<&Member> = members.iter().collect();
    out.list(all, |out, member| out.0.extend_from_slice(&member.encode()));
    out.0.into()
}

/// What belongs to a connection runs in the tasks of the member.
#[derive(Clone)]
struct Executor(Tasks);

impl<F> hyper::rt::Executor<F> for Executor
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn("peer-stream", async move { drop(future.await) });
    }
}
