//! What probes and hooks do: commands, requests and connections (upstream: `pkg/probe`, `pkg/kubelet/lifecycle`). The
//! words of failures are those that upstream's events have.

use crate::{
    actions::go_duration,
    machine::Machine,
    view::{Handler, HttpGet, IntOrString, Pod},
};
use bytes::Bytes;
use component::{Clock, Tasks, pki};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Uri, header};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use runtime::{ContainerId, Duplex, ExecRequest, Runtime, Streams};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::sync::mpsc;

/// Runs the handlers of probes and hooks.
#[derive(Clone)]
pub struct Prober {
    /// Runs commands.
    pub runtime: Arc<dyn Runtime>,
    /// Connects.
    pub machine: Arc<dyn Machine>,
    /// Times.
    pub clock: Clock,
    /// Where connections with work of their own live.
    pub tasks: Tasks,
}

impl std::fmt::Debug for Prober {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Prober")
    }
}

/// Whom a handler is about.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// The pod.
    pub pod: Arc<Pod>,
    /// Name of the container.
    pub container: String,
    /// Its instance.
    pub id: ContainerId,
    /// Address of the pod.
    pub ip: String,
    /// When it started.
    pub started_at: Timestamp,
    /// It was told to be ready before.
    pub was_ready: bool,
    /// It was told to have started before.
    pub was_started: bool,
    /// It is being stopped.
    pub ending: bool,
}

/// What a probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Good.
    Success,
    /// Good, with a remark.
    Warning(String),
    /// Not good.
    Failure(String),
    /// It could not be told.
    Errored(String),
}

impl Outcome {
    /// Whether it counts as a success.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Success | Self::Warning(_))
    }
}

/// Most that is read of what a command or a server says.
const HEARD: usize = 10 * 1024;

/// Most redirects that are followed.
const REDIRECTS: usize = 10;

/// Between attempts to reach a gRPC server.
const RECONNECT: Duration = Duration::from_millis(200);

impl Prober {
    /// Probes once, for `limit` at most.
    pub async fn probe(&self, subject: &Subject, handler: &Handler, limit: Duration) -> Outcome {
        let within = go_duration(SignedDuration::try_from(limit).unwrap_or_default());
        if let Some(exec) = &handler.exec {
            let command = exec.command.join(" ");
            let done = self
                .clock
                .timeout(limit, self.exec(&subject.id, exec.command.clone()));
            done.await.unwrap_or_else(|| {
                Outcome::Failure(format!("command timed out: {command:?} timed out after {within}"))
            })
        } else if let Some(get) = &handler.http_get {
            self.http(subject, get, limit).await
        } else if let Some(tcp) = &handler.tcp_socket {
            let address = match self.address(subject, &tcp.host, &tcp.port).await {
                Ok(address) => address,
                Err(why) => return Outcome::Errored(why),
            };
            match self.clock.timeout(limit, self.dial(address)).await {
                Some(Ok(_)) => Outcome::Success,
                Some(Err(why)) => Outcome::Failure(why),
                None => Outcome::Failure(format!("dial tcp {address}: i/o timeout")),
            }
        } else if let Some(grpc) = &handler.grpc {
            let port = IntOrString::Int(grpc.port.into());
            match self.address(subject, "", &port).await {
                Ok(address) => self.grpc(address, &grpc.service, limit, &within).await,
                Err(why) => Outcome::Errored(why),
            }
        } else {
            Outcome::Errored(format!("missing probe handler for {}", subject.pod.full_name()))
        }
    }

    /// Runs a hook. What an HTTP server answers is not looked at, as upstream.
    pub async fn hook(&self, subject: &Subject, handler: &Handler) -> Result<(), String> {
        if let Some(exec) = &handler.exec {
            return match self.exec(&subject.id, exec.command.clone()).await {
                Outcome::Failure(why) | Outcome::Errored(why) => Err(why),
                Outcome::Success | Outcome::Warning(_) => Ok(()),
            };
        }
        if let Some(get) = &handler.http_get {
            let request = self.request(subject, get).await?;
            return self.get(&request, &get.http_headers).await.map(drop);
        }
        if let Some(sleep) = &handler.sleep {
            let seconds = u64::try_from(sleep.seconds).unwrap_or(0);
            self.clock.sleep(Duration::from_secs(seconds)).await;
            return Ok(());
        }
        Err("invalid handler".to_owned())
    }

    async fn exec(&self, id: &ContainerId, command: Vec<String>) -> Outcome {
        let (stdout, mut output) = mpsc::channel(16);
        let stderr = stdout.clone();
        let request = ExecRequest {
            container: id.clone(),
            command,
            ..ExecRequest::default()
        };
        let streams = Streams {
            stdin: None,
            stdout,
            stderr,
            resize: None,
        };
        let running = self.runtime.exec(request, streams);
        let mut said = Vec::new();
        let reading = async {
            while let Some(bytes) = output.recv().await {
                said.extend_from_slice(&bytes[..bytes.len().min(HEARD - said.len())]);
            }
        };
        let (code, ()) = tokio::join!(running, reading);
        match code {
            Ok(0) => Outcome::Success,
            Ok(_) => Outcome::Failure(String::from_utf8_lossy(&said).into_owned()),
            Err(error) => Outcome::Errored(error.to_string()),
        }
    }

    async fn http(&self, subject: &Subject, get: &HttpGet, limit: Duration) -> Outcome {
        let mut at = match self.request(subject, get).await {
            Ok(request) => request,
            Err(why) => return Outcome::Errored(why),
        };
        let host = at.host().to_owned();
        let following = async {
            for _ in 0..=REDIRECTS {
                let answer = match self.get(&at, &get.http_headers).await {
                    Ok(answer) => answer,
                    Err(why) => return Outcome::Failure(why),
                };
                match answer.redirect(&at) {
                    Some(next) if next.host() == host => at = next,
                    _ => return answer.outcome(),
                }
            }
            Outcome::Failure(format!("Get {:?}: stopped after 10 redirects", at.url()))
        };
        let done = self.clock.timeout(limit, following).await;
        done.unwrap_or_else(|| {
            let why = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
            Outcome::Failure(format!("Get {:?}: {why}", at.url()))
        })
    }

    /// The URL that a handler asks for.
    async fn request(&self, subject: &Subject, get: &HttpGet) -> Result<Url, String> {
        let port = subject.port(&get.port)?;
        let host = if get.host.is_empty() {
            &subject.ip
        } else {
            &get.host
        };
        let scheme = match get.scheme.as_str() {
            "" => "http".to_owned(),
            scheme => scheme.to_lowercase(),
        };
        let path = match get.path.strip_prefix('/') {
            Some(_) => get.path.clone(),
            None => format!("/{}", get.path),
        };
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.clone()
        };
        Url::parse(&format!("{scheme}://{host}:{port}{path}"))
    }

    /// One GET, without following.
    async fn get(&self, url: &Url, headers: &[crate::view::HttpHeader]) -> Result<Answer, String> {
        let said = |why: String| format!("Get {:?}: {why}", url.url());
        let ip = self.resolve(url.host()).await.map_err(said)?;
        let address = SocketAddr::new(ip, url.port());
        let stream = self.dial(address).await.map_err(said)?;
        let mut request = hyper::Request::get(url.path()).header(header::CONNECTION, "close");
        let usual = [
            (header::HOST, url.authority()),
            (header::USER_AGENT, "kube-probe/1.37"),
            (header::ACCEPT, "*/*"),
        ];
        let own = |name: &str| headers.iter().any(|h| h.name.eq_ignore_ascii_case(name));
        for (name, value) in usual.into_iter().filter(|(name, _)| !own(name.as_str())) {
            request = request.header(name, value);
        }
        for header in headers {
            request = request.header(&header.name, &header.value);
        }
        let request = request.body(Empty::new()).map_err(|e| said(e.to_string()))?;
        let answer = if url.is_https() {
            exchange(secure(stream, address).await.map_err(said)?, request).await
        } else {
            exchange(stream, request).await
        };
        answer.map_err(said)
    }

    async fn grpc(&self, address: SocketAddr, service: &str, limit: Duration, within: &str) -> Outcome {
        let began = self.clock.now();
        let reaching = async {
            loop {
                match self.dial(address).await {
                    Ok(stream) => return stream,
                    Err(_) => self.clock.sleep(RECONNECT).await,
                }
            }
        };
        let address_text = address.to_string();
        let Some(stream) = self.clock.timeout(limit, reaching).await else {
            return Outcome::Failure(format!(
                "timeout: failed to connect service {address_text:?} within {within}: context deadline exceeded"
            ));
        };
        let left = limit.saturating_sub(self.clock.now() - began);
        let asking = crate::grpc::check(stream, address, service, &self.tasks);
        match self.clock.timeout(left, asking).await {
            Some(Ok(())) => Outcome::Success,
            Some(Err(why)) => Outcome::Failure(why),
            None => Outcome::Failure(format!(
                "timeout: health rpc did not complete within {within}: context deadline exceeded"
            )),
        }
    }

    async fn address(&self, subject: &Subject, host: &str, port: &IntOrString) -> Result<SocketAddr, String> {
        let port = subject.port(port)?;
        let host = if host.is_empty() { &subject.ip } else { host };
        Ok(SocketAddr::new(self.resolve(host).await?, port))
    }

    async fn resolve(&self, host: &str) -> Result<IpAddr, String> {
        if let Ok(ip) = host.trim_matches(['[', ']']).parse() {
            return Ok(ip);
        }
        let found = self.machine.resolve(host.to_owned()).await;
        found.map_err(|_| format!("dial tcp: lookup {host}: no such host"))
    }

    async fn dial(&self, address: SocketAddr) -> Result<Box<dyn Duplex>, String> {
        let stream = self.machine.connect(address).await;
        stream.map_err(|error| format!("dial tcp {address}: {}", connect_error(&error)))
    }
}

/// In Go's words.
fn connect_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        io::ErrorKind::TimedOut => "connect: connection timed out".to_owned(),
        _ => error.to_string(),
    }
}

/// Whom and what to ask over HTTP.
#[derive(Clone, Debug)]
struct Url(Uri);

impl Url {
    fn parse(text: &str) -> Result<Self, String> {
        let bad = |why: &dyn std::fmt::Display| format!("parse {text:?}: {why}");
        let text_only = text.split('#').next().unwrap_or_default();
        let uri: Uri = text_only
            .parse()
            .map_err(|e: hyper::http::uri::InvalidUri| bad(&e))?;
        match (uri.scheme_str(), uri.host()) {
            (Some("http" | "https"), Some(_)) => Ok(Self(uri)),
            _ => Err(bad(&"unsupported protocol scheme")),
        }
    }

    fn url(&self) -> String {
        self.0.to_string()
    }

    fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    fn authority(&self) -> &str {
        self.0.authority().map_or("", |a| a.as_str())
    }

    fn port(&self) -> u16 {
        self.0
            .port_u16()
            .unwrap_or(if self.is_https() { 443 } else { 80 })
    }

    fn path(&self) -> &str {
        self.0.path_and_query().map_or("/", |p| p.as_str())
    }

    /// Where a `Location` leads from here.
    fn join(&self, location: &str) -> Option<Self> {
        let scheme = self.0.scheme_str().unwrap_or("http");
        let text = if location.contains("://") {
            location.to_owned()
        } else if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{scheme}://{}{location}", self.authority())
        } else {
            let folder = self.0.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{scheme}://{}{folder}/{location}", self.authority())
        };
        Self::parse(&text).ok()
    }
}

/// What a server answered.
struct Answer {
    status: u16,
    location: Option<String>,
    body: String,
}

impl Answer {
    fn redirect(&self, from: &Url) -> Option<Url> {
        let follows = matches!(self.status, 301 | 302 | 303 | 307 | 308);
        from.join(self.location.as_deref().filter(|_| follows)?)
    }

    fn outcome(self) -> Outcome {
        match self.status {
            200..300 => Outcome::Success,
            300..400 => Outcome::Warning(format!(
                "Probe terminated redirects, Response body: {}",
                self.body
            )),
            status => Outcome::Failure(format!("HTTP probe failed with statuscode: {status}")),
        }
    }
}

/// TLS with whatever certificate comes.
async fn secure(
    stream: Box<dyn Duplex>,
    address: SocketAddr,
) -> Result<tokio_rustls::client::TlsStream<Box<dyn Duplex>>, String> {
    let config = pki::unverified_client_config().map_err(|e| e.to_string())?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = rustls::pki_types::ServerName::IpAddress(address.ip().into());
    connector.connect(name, stream).await.map_err(|e| e.to_string())
}

async fn exchange<S>(stream: S, request: hyper::Request<Empty<Bytes>>) -> Result<Answer, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| spoken(&e))?;
    let asking = async {
        let answer = sender.send_request(request).await.map_err(|e| spoken(&e))?;
        let location = answer.headers().get(header::LOCATION);
        let location = location.and_then(|l| l.to_str().ok()).map(str::to_owned);
        let status = answer.status().as_u16();
        // A long body is cut; the status says it all.
        let body = Limited::new(answer.into_body(), HEARD).collect().await;
        let body = body.map(|b| b.to_bytes()).unwrap_or_default();
        Ok(Answer {
            status,
            location,
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    };
    tokio::pin!(asking);
    tokio::select! {
        biased;
        answer = &mut asking => answer,
        ended = connection => match ended {
            // What the connection brought before it ended is there to be read.
            Ok(()) => asking.await,
            Err(error) => Err(spoken(&error)),
        },
    }
}

/// In Go's words.
fn spoken(error: &hyper::Error) -> String {
    if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
        return "EOF".to_owned();
    }
    if error.is_parse() {
        return "net/http: HTTP/1.x transport connection broken: malformed HTTP response".to_owned();
    }
    error.to_string()
}

impl Subject {
    /// The number of a port.
    fn port(&self, port: &IntOrString) -> Result<u16, String> {
        let number = match port {
            IntOrString::Int(number) => u16::try_from(*number).ok(),
            IntOrString::Name(name) => name.parse().ok().or_else(|| {
                let container = self.pod.container(&self.container);
                let ports = container.map(|c| c.ports.as_slice()).unwrap_or_default();
                ports.iter().find(|p| p.name == *name).map(|p| p.container_port)
            }),
        };
        let text = match port {
            IntOrString::Int(number) => number.to_string(),
            IntOrString::Name(name) => name.clone(),
        };
        number
            .filter(|n| *n != 0)
            .ok_or_else(|| format!("invalid port number: {text}"))
    }
}

#[cfg(test)]
#[path = "prober/tests.rs"]
mod tests;
