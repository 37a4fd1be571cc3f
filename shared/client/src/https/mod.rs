//! The transport over HTTP/2, inside TLS or, on loopback, without it.

mod connection;
mod dial;
mod exchange;
#[cfg(test)]
mod stories;
mod watch;
mod wire;

pub use connection::ConnectError;
pub use dial::TcpDial;
pub use exchange::{Ask, Body, Exchange};

use crate::metrics::Metrics;
use api::Status;
use bytes::Bytes;
use component::{Clock, Env, pki::Leaf};
use connection::Connection;
use exchange::ANSWER_LIMIT;
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::Mutex, time::Instant};

/// A token file is read again after so long (upstream's transport does the same).
const TOKEN_AGE: Duration = Duration::from_secs(60);

/// So often is a request repeated that the server had no time for (client-go's number).
const RETRIES: u32 = 10;

/// Who the client says it is, beside its certificate.
#[derive(Clone, Debug, Default)]
pub enum Credential {
    /// Nothing.
    #[default]
    None,
    /// A bearer token.
    Token(String),
    /// A file that holds a bearer token; it is read again when it grows old.
    TokenFile(PathBuf),
}

/// Where an API server is, and how to reach it.
#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// `https://host:port`, or `http://` on loopback. The host is an address, `localhost`, or in `/etc/hosts`.
    pub server: String,
    /// The CA of the server's certificate, PEM.
    pub ca: String,
    /// The name in the server's certificate, where it is not the host.
    pub server_name: Option<String>,
    /// The client's certificate.
    pub leaf: Option<Leaf>,
    /// The client's token.
    pub credential: Credential,
}

#[derive(Default)]
struct Token {
    text: Option<String>,
    read: Option<Instant>,
}

/// A way to an API server over the network, as one identity. All requests share one connection, made when it is
/// needed and made anew when it breaks.
pub struct HttpsTransport {
    connection: Connection,
    credential: Credential,
    token: Mutex<Token>,
    metrics: Metrics,
    env: Env,
}

impl HttpsTransport {
    /// Checks the settings; nothing is connected yet.
    pub fn new(endpoint: Endpoint, env: Env) -> Result<Arc<Self>, ConnectError> {
        let credential = endpoint.credential.clone();
        let connection = Connection::new(endpoint, env.clone())?;
        let host = connection.origin().split_once("://").map_or("", |(_, host)| host);
        let metrics = Metrics::new(host, &env);
        Ok(Arc::new(Self {
            connection,
            credential,
            token: Mutex::default(),
            metrics,
            env,
        }))
    }

    /// Shows another certificate from now on; requests under way end on the old connection.
    pub async fn renew(&self, leaf: Leaf) -> Result<(), ConnectError> {
        self.connection.renew(leaf).await
    }

    async fn token(&self) -> Result<Option<String>, Status> {
        let path = match &self.credential {
            Credential::None => return Ok(None),
            Credential::Token(token) => return Ok(Some(token.clone())),
            Credential::TokenFile(path) => path,
        };
        let mut held = self.token.lock().await;
        let now = self.env.clock.now();
        if held.text.is_none() || held.read.is_none_or(|read| now - read >= TOKEN_AGE) {
            match tokio::fs::read_to_string(path).await {
                Ok(text) => {
                    *held = Token {
                        text: Some(text.trim().to_owned()),
                        read: Some(now),
                    }
                }
                Err(error) if held.text.is_none() => {
                    return Err(Status::unavailable(format!("{}: {error}", path.display())));
                }
                // The old one may still do.
                Err(error) => tracing::warn!(path = %path.display(), %error, "token file cannot be read"),
            }
        }
        Ok(held.text.clone())
    }

    async fn authorized(&self, ask: &Ask) -> Result<Request<Full<Bytes>>, Status> {
        let mut request = ask.request(self.connection.origin()).map_err(Status::internal)?;
        if let Some(token) = self.token().await? {
            let value = format!("Bearer {token}").try_into().map_err(Status::internal)?;
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// Sends a request and waits for the head of the answer. A request that the server had no time for is sent again
    /// when it says so.
    async fn send(&self, ask: &Ask) -> Result<Response<Body>, Status> {
        let mut tries = 0;
        loop {
            let request = self.authorized(ask).await?;
            let start = self.env.clock.now();
            let answer = self
                .env
                .clock
                .timeout(ANSWER_LIMIT, self.connection.send(request))
                .await;
            let code = answer.as_ref().and_then(|answer| answer.as_ref().ok());
            let code = code.map(|answer| answer.status().as_u16());
            self.metrics.answered(&ask.method, code, start);
            let answer = answer.ok_or_else(|| Status::timeout("the API server did not answer in time"))??;
            let answer = answer.map(|body| body.map_err(std::io::Error::other).boxed_unsync());
            if answer.status() == StatusCode::UNAUTHORIZED {
                // The file may hold another one by now.
                self.token.lock().await.read = None;
            }
            let wait = answer.headers().get(header::RETRY_AFTER);
            let wait = wait.and_then(|wait| wait.to_str().ok()?.parse::<u64>().ok());
            match wait {
                Some(wait) if answer.status() == StatusCode::TOO_MANY_REQUESTS && tries < RETRIES => {
                    tries += 1;
                    self.env.clock.sleep(Duration::from_secs(wait)).await;
                }
                _ => return Ok(answer),
            }
        }
    }
}

impl Exchange for HttpsTransport {
    fn exchange<'a>(&'a self, ask: &'a Ask) -> BoxFuture<'a, Result<Response<Body>, Status>> {
        self.send(ask).boxed()
    }

    fn clock(&self) -> &Clock {
        &self.env.clock
    }
}

impl std::fmt::Debug for HttpsTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HttpsTransport({})", self.connection.origin())
    }
}
