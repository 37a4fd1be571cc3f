//! The transport over HTTP/2, inside TLS or, on loopback, without it.

mod connection;
mod dial;
#[cfg(test)]
mod stories;
mod watch;
mod wire;

pub use connection::ConnectError;
pub use dial::TcpDial;

use crate::{
    List, ListParams, Target, Transport, WatchParams, WatchStream, Write, WriteOptions, metrics::Metrics,
};
use api::{Object, Status};
use bytes::Bytes;
use component::{Env, pki::Leaf};
use connection::Connection;
use futures::{FutureExt, future::BoxFuture};
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{sync::Mutex, time::Instant};

/// An answer must have come, whole, after so long; of a watch, its head.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// A token file is read again after so long (upstream's transport does the same).
const TOKEN_AGE: Duration = Duration::from_secs(60);

/// So often is a request repeated that the server had no time for (client-go's number).
const RETRIES: u32 = 10;

/// The largest answer that is taken, but for lists.
const MAX_OBJECT: usize = 32 << 20;

/// The largest list that is taken.
const MAX_LIST: usize = 1 << 30;

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

    async fn authorized(&self, ask: &wire::Ask) -> Result<Request<Full<Bytes>>, Status> {
        let mut request = ask.request(self.connection.origin()).map_err(Status::internal)?;
        if let Some(token) = self.token().await? {
            let value = format!("Bearer {token}").try_into().map_err(Status::internal)?;
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// Sends a request and waits for the head of the answer, which is a success. A request that the server had no time
    /// for is sent again when it says so.
    async fn send(&self, ask: &wire::Ask) -> Result<Response<Incoming>, Status> {
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
            if answer.status().is_success() {
                return Ok(answer);
            }
            if answer.status() == http::StatusCode::UNAUTHORIZED {
                // The file may hold another one by now.
                self.token.lock().await.read = None;
            }
            let status = self.refusal(answer).await;
            let wait = status
                .details
                .as_ref()
                .map_or(0, |details| details.retry_after_seconds);
            if status.code != 429 || wait == 0 || tries == RETRIES {
                return Err(status);
            }
            tries += 1;
            self.env.clock.sleep(Duration::from_secs(wait.into())).await;
        }
    }

    async fn refusal(&self, answer: Response<Incoming>) -> Status {
        let (head, body) = answer.into_parts();
        let body = self.body(body, MAX_OBJECT).await.unwrap_or_default();
        wire::status(&head, &body)
    }

    async fn body(&self, body: Incoming, limit: usize) -> Result<Bytes, Status> {
        let collected = self
            .env
            .clock
            .timeout(ANSWER_LIMIT, Limited::new(body, limit).collect())
            .await;
        let collected = collected.ok_or_else(|| Status::timeout("the API server did not answer in time"))?;
        collected
            .map(http_body_util::Collected::to_bytes)
            .map_err(|e| Status::timeout(e.to_string()))
    }

    async fn object(&self, ask: &wire::Ask) -> Result<Arc<Object>, Status> {
        let answer = self.send(ask).await?;
        let body = self.body(answer.into_body(), MAX_OBJECT).await?;
        Object::parse_any(body, &[])
            .map(Arc::new)
            .map_err(Status::internal)
    }
}

impl Transport for HttpsTransport {
    fn get(&self, target: Target) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
        async move { self.object(&wire::get(&target)).await }.boxed()
    }

    fn list(&self, target: Target, params: ListParams) -> BoxFuture<'_, Result<List, Status>> {
        async move {
            let answer = self.send(&wire::list(&target, &params)).await?;
            let body = self.body(answer.into_body(), MAX_LIST).await?;
            wire::items(&body).map_err(Status::internal)
        }
        .boxed()
    }

    fn watch(&self, target: Target, params: WatchParams) -> BoxFuture<'_, Result<WatchStream, Status>> {
        async move {
            let answer = self.send(&wire::watch(&target, &params)).await?;
            Ok(watch::events(answer.into_body()))
        }
        .boxed()
    }

    fn write(
        &self,
        target: Target,
        write: Write,
        options: WriteOptions,
    ) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
        async move {
            let ask = wire::write(&target, write, &options).map_err(Status::internal)?;
            self.object(&ask).await
        }
        .boxed()
    }
}

impl std::fmt::Debug for HttpsTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HttpsTransport({})", self.connection.origin())
    }
}
