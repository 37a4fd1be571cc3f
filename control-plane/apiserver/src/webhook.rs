//! The way to webhooks: HTTPS to a service of the cluster or a URL, over connections that are kept for the next question.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use client::{Credential, Dial, Duplex, Peer};
use component::{Env, pki};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The authorities of the host, for webhooks without a bundle of their own: where distributions have them.
const AUTHORITIES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];
/// An answer is no larger than this.
const MOST: usize = 64 << 20;
/// Of a refusal so much is told.
const TOLD: usize = 2048;
/// How many connections to one webhook are kept, and how long.
const KEPT: usize = 16;
const IDLE: Duration = Duration::from_secs(90);

type Sender = http1::SendRequest<Full<Bytes>>;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It was not reached, or did not answer in time or as HTTP.
    Unreached(String),
    /// It answered another code than success.
    Refused(u16, String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Unreached(why) | Self::Refused(_, why)) = self;
        f.write_str(why)
    }
}

/// A webhook, with its connections that wait for the next question.
pub struct Endpoint {
    /// The service; none: the host itself.
    peer: Option<Peer>,
    host: String,
    /// The name in its certificate.
    name: String,
    port: u16,
    authority: String,
    path: String,
    /// None: plain HTTP.
    tls: Result<Option<Arc<ClientConfig>>, String>,
    /// By what the server knows who asks, beside a certificate.
    credential: Credential,
    idle: Mutex<Vec<(Sender, Instant)>>,
}

/// A question and how it is put.
pub struct Question {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// What stands in the head besides the host.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// An answer is no larger than this.
    pub most: usize,
}

impl Endpoint {
    /// The service `name` in `namespace`; `bundle` is PEM in base64, of whom its certificate must be; empty: of the
    /// authorities of the host.
    pub fn service(namespace: &str, name: &str, port: u16, path: &str, bundle: &str) -> Self {
        let host = format!("{name}.{namespace}.svc");
        Self {
            peer: Some(Peer::Service(namespace.to_owned(), name.to_owned(), port)),
            authority: format!("{host}:{port}"),
            path: if path.is_empty() { "/" } else { path }.to_owned(),
            name: host.clone(),
            host,
            port,
            tls: trusting(bundle, None),
            credential: Credential::None,
            idle: Mutex::default(),
        }
    }

    /// The same, asked by who has this certificate or token.
    #[must_use]
    pub fn known_as(mut self, leaf: Option<&pki::Leaf>, credential: Credential, bundle: &str) -> Self {
        self.tls = trusting(bundle, leaf);
        self.credential = credential;
        self
    }

    /// The header that says who asks.
    fn authorization(&self) -> Result<Option<HeaderValue>, String> {
        let token = match &self.credential {
            Credential::None => return Ok(None),
            Credential::Token(token) => token.clone(),
            Credential::TokenFile(path) => std::fs::read_to_string(path)
                .map_err(|error| format!("{}: {error}", path.display()))?
                .trim()
                .to_owned(),
        };
        let mut value =
            HeaderValue::from_str(&format!("Bearer {token}")).map_err(|error| error.to_string())?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// What is at `url`.
    pub fn url(url: &str, bundle: &str) -> Option<Self> {
        Self::at(url, None, trusting(bundle, None))
    }

    /// What is at `url` inside `tls`; with the scheme `http` without it. `name` is that of the certificate, if it is not
    /// the host's.
    pub fn at(url: &str, name: Option<&str>, tls: Result<Option<Arc<ClientConfig>>, String>) -> Option<Self> {
        let uri: http::Uri = url.parse().ok()?;
        let secure = uri.scheme_str() != Some("http");
        let host = uri.host()?.trim_matches(['[', ']']);
        Some(Self {
            peer: None,
            host: host.to_owned(),
            name: name.unwrap_or(host).to_owned(),
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            authority: uri.authority()?.to_string(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            tls: if secure { tls } else { Ok(None) },
            credential: Credential::None,
            idle: Mutex::default(),
        })
    }

    /// Its path and query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// That a question had no answer, as Go's client says it.
    fn lost(&self, question: &Question, why: &str) -> String {
        let scheme = if matches!(self.tls, Ok(None)) {
            "http"
        } else {
            "https"
        };
        let method = question.method.as_str();
        let method = format!("{}{}", &method[..1], method[1..].to_ascii_lowercase());
        format!(
            "{method} {:?}: {why}",
            format!("{scheme}://{}{}", self.authority, question.path)
        )
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, Vec<(Sender, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that was kept and is still there.
    fn reuse(&self, now: Instant) -> Option<Sender> {
        let mut kept = self.kept();
        kept.retain(|(sender, since)| now.saturating_duration_since(*since) < IDLE && !sender.is_closed());
        kept.pop().map(|(sender, _)| sender)
    }

    fn keep(&self, sender: Sender, now: Instant) {
        let mut kept = self.kept();
        if kept.len() < KEPT && !sender.is_closed() {
            kept.push((sender, now));
        }
    }
}

/// The authorities of the host, PEM; empty for none.
pub fn authorities() -> String {
    let found = AUTHORITIES
        .iter()
        .find_map(|path| std::fs::read_to_string(path).ok());
    found.unwrap_or_default()
}

fn trusting(bundle: &str, leaf: Option<&pki::Leaf>) -> Result<Option<Arc<ClientConfig>>, String> {
    let pem = if bundle.is_empty() {
        authorities()
    } else {
        let broken = |why: &dyn std::fmt::Display| format!("unable to load root certificates: {why}");
        let pem = STANDARD.decode(bundle).map_err(|why| broken(&why))?;
        String::from_utf8(pem).map_err(|why| broken(&why))?
    };
    if pem.is_empty() {
        return nobody();
    }
    if !pem.contains("-----BEGIN CERTIFICATE-----") {
        return Err("unable to load root certificates: unable to parse bytes as PEM block".to_owned());
    }
    let made = pki::client_config(&pem, leaf);
    made.map(|made| Some(Arc::new(made)))
        .map_err(|why| format!("unable to load root certificates: {why}"))
}

/// Trusts nobody: the host has no authorities.
fn nobody() -> Result<Option<Arc<ClientConfig>>, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|why| why.to_string())?;
    Ok(Some(Arc::new(
        builder
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth(),
    )))
}

/// Asks webhooks.
#[derive(Clone)]
pub struct Caller {
    /// The way to services.
    pub dial: Arc<dyn Dial>,
    /// Time and tasks.
    pub env: Env,
}

impl Caller {
    /// Posts `question` (JSON) and gives the body of the answer. The webhook is told how long it has.
    ///
    /// # Errors
    /// There is no answer within `patience`, or it is not a success.
    pub async fn post(&self, to: &Endpoint, question: Bytes, patience: Duration) -> Result<Bytes, Failure> {
        let mark = if to.path.contains('?') { '&' } else { '?' };
        let mut headers = HeaderMap::new();
        for (name, value) in [
            (header::CONTENT_TYPE, "application/json"),
            (header::ACCEPT, "application/json, */*"),
            (header::USER_AGENT, "kube-apiserver-admission"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let question = Question {
            method: Method::POST,
            path: format!("{}{mark}timeout={}s", to.path, patience.as_secs()),
            headers,
            body: question,
            most: MOST,
        };
        self.put(to, &question, patience).await
    }

    /// Puts a question and gives the body of the answer. No redirect is followed.
    ///
    /// # Errors
    /// There is no answer within `patience`, or it is not a success.
    pub async fn put(
        &self,
        to: &Endpoint,
        question: &Question,
        patience: Duration,
    ) -> Result<Bytes, Failure> {
        let asked = self.env.clock.timeout(patience, self.ask(to, question)).await;
        let late = || Err(Problem::Lost("context deadline exceeded".to_owned()));
        asked.unwrap_or_else(late).map_err(|problem| match problem {
            Problem::Lost(why) => Failure::Unreached(to.lost(question, &why)),
            Problem::Refused(code, text) => Failure::Refused(code, refusal(code, &text)),
        })
    }

    async fn ask(&self, to: &Endpoint, question: &Question) -> Result<Bytes, Problem> {
        // One that was kept may have been closed by the other end just now.
        while let Some(sender) = to.reuse(self.env.clock.now()) {
            if let Some(answer) = self.talk(to, sender, question, true).await? {
                return Ok(answer);
            }
        }
        let sender = self.connect(to).await?;
        let answer = self.talk(to, sender, question, false).await?;
        answer.ok_or_else(|| Problem::Lost("EOF".to_owned()))
    }

    /// One question on one connection; none if the connection was over before the question.
    async fn talk(
        &self,
        to: &Endpoint,
        mut sender: Sender,
        question: &Question,
        used: bool,
    ) -> Result<Option<Bytes>, Problem> {
        if sender.ready().await.is_err() {
            return Ok(None);
        }
        let mut request = Request::new(Full::new(question.body.clone()));
        *request.method_mut() = question.method.clone();
        *request.uri_mut() = question
            .path
            .parse()
            .map_err(|error: http::uri::InvalidUri| Problem::Lost(error.to_string()))?;
        *request.headers_mut() = question.headers.clone();
        let host = HeaderValue::from_str(&to.authority).map_err(|error| Problem::Lost(error.to_string()))?;
        request.headers_mut().insert(header::HOST, host);
        if let Some(value) = to.authorization().map_err(Problem::Lost)? {
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let response = match sender.send_request(request).await {
            Ok(response) => response,
            Err(error)
                if used && (error.is_canceled() || error.is_closed() || error.is_incomplete_message()) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(Problem::Lost(crate::http::way::said(&error))),
        };
        let code = response.status();
        let body = Limited::new(response.into_body(), question.most).collect().await;
        let text = body.map_err(|error| Problem::Lost(error.to_string()))?.to_bytes();
        to.keep(sender, self.env.clock.now());
        if code < StatusCode::OK || code > StatusCode::PARTIAL_CONTENT {
            let head = String::from_utf8_lossy(&text[..text.len().min(TOLD)]);
            return Err(Problem::Refused(code.as_u16(), head.trim().to_owned()));
        }
        Ok(Some(text))
    }

    async fn connect(&self, to: &Endpoint) -> Result<Sender, Problem> {
        let lost = |error: io::Error| Problem::Lost(words(&error));
        let tls = to.tls.clone().map_err(Problem::Lost)?;
        let dialed = match &to.peer {
            Some(peer) => self.dial.dial(peer).await,
            None => tokio::net::TcpStream::connect((to.host.as_str(), to.port))
                .await
                .map(|stream| Box::new(stream) as Box<dyn Duplex>),
        };
        let mut stream = dialed.map_err(lost)?;
        if let Some(tls) = tls {
            let name = ServerName::try_from(to.name.clone()).map_err(|e| Problem::Lost(e.to_string()))?;
            let secured = tokio_rustls::TlsConnector::from(tls).connect(name, stream).await;
            stream = Box::new(secured.map_err(lost)?);
        }
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| Problem::Lost(crate::http::way::said(&error)))?;
        let tasks = self.env.tasks.child();
        tasks.spawn("webhook-connection", async move {
            let _ = connection.await;
        });
        Ok(sender)
    }
}

enum Problem {
    Lost(String),
    Refused(u16, String),
}

/// What Go's client says of a certificate that it does not take.
fn words(error: &io::Error) -> String {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(
            rustls::CertificateError::UnknownIssuer | rustls::CertificateError::BadSignature,
        )) => "tls: failed to verify certificate: x509: certificate signed by unknown authority".to_owned(),
        Some(rustls::Error::InvalidCertificate(why)) => {
            format!("tls: failed to verify certificate: x509: {why}")
        }
        _ => crate::http::way::told(error),
    }
}

/// A code that is no success, in the words of upstream's REST client.
fn refusal(code: u16, text: &str) -> String {
    let text = if text.is_empty() { "unknown" } else { text };
    let words = match code {
        400 => "the server rejected our request for an unknown reason",
        401 => "the server has asked for the client to provide credentials",
        404 => "the server could not find the requested resource",
        405 => "the server does not allow this method on the requested resource",
        409 => "the server reported a conflict",
        403 | 406 | 415 => text,
        413 => "Request entity too large: limit is 3145728",
        422 => "the server rejected our request due to an error in our request",
        429 => "the server has received too many requests and has asked us to try again later",
        503 => "the server is currently unable to handle the request",
        504 => {
            "the server was unable to return a response in the time allotted, but may still be processing the request"
        }
        500.. => {
            return format!("an error on the server ({text:?}) has prevented the request from succeeding");
        }
        _ => {
            return format!(
                "the server responded with the status code {code} but did not return more information"
            );
        }
    };
    words.to_owned()
}
