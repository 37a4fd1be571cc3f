//! The way to a server that a guard asks: token reviews, access reviews, keys of issuers. Where it is and who asks is in a
//! kubeconfig, as for upstream's webhooks (`apiserver/pkg/util/webhook`), or a URL.

use crate::webhook::{Caller, Endpoint, Failure, Question, authorities};
use bytes::Bytes;
use client::{Credential, Dial, Duplex, Peer, kubeconfig};
use component::{Env, pki};
use futures::{FutureExt, future::BoxFuture};
use http::{HeaderMap, HeaderValue, Method, header};
use std::{io, path::Path, sync::Arc, time::Duration};

/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often a question is put, how long to wait before the second time, and by how much longer each time.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
const GROWTH: f64 = 1.5;
const JITTER: f64 = 0.2;
/// An answer is no larger than this.
const MOST: usize = 4 << 20;

/// A server that is asked.
pub struct Asking {
    to: Endpoint,
    credential: Credential,
    caller: Caller,
    patience: Duration,
    pause: Duration,
}

/// Only what has an address is asked.
struct Nowhere;

impl Dial for Nowhere {
    fn dial(&self, _: &Peer) -> BoxFuture<'_, io::Result<Box<dyn Duplex>>> {
        async { Err(io::ErrorKind::HostUnreachable.into()) }.boxed()
    }

    fn trusted(&self, _: &Peer) -> bool {
        false
    }
}

impl Asking {
    /// The server of the current context of the kubeconfig at `path`.
    ///
    /// # Errors
    /// The file cannot be read or names nothing that can be asked.
    pub fn kubeconfig(path: &Path, env: &Env) -> Result<Self, String> {
        let endpoint = kubeconfig::read(path, None).map_err(|error| error.to_string())?;
        Self::to(&endpoint, env)
    }

    /// The server at an endpoint, whose URL may have a path. Without a CA it must be known to the authorities of the host.
    ///
    /// # Errors
    /// Its URL, CA, certificate or token cannot be used.
    pub fn to(endpoint: &client::Endpoint, env: &Env) -> Result<Self, String> {
        let own = authorities();
        let ca = if endpoint.ca.is_empty() {
            &own
        } else {
            &endpoint.ca
        };
        let tls = pki::client_config(ca, endpoint.leaf.as_ref()).map_err(|error| error.to_string())?;
        let url = &endpoint.server;
        if !url.starts_with("https://") && !url.starts_with("http://") {
            return Err(format!("server {url:?}: it must be an https:// or http:// URL"));
        }
        let to = Endpoint::at(url, endpoint.server_name.as_deref(), Ok(Some(Arc::new(tls))));
        Ok(Self {
            to: to.ok_or_else(|| format!("server {url:?}: it is no URL of a server"))?,
            credential: endpoint.credential.clone(),
            caller: Caller {
                dial: Arc::new(Nowhere),
                env: env.clone(),
            },
            patience: PATIENCE,
            pause: PAUSE,
        })
    }

    /// What is at `url`; `ca` (PEM; empty: the authorities of the host) says by whom it is known.
    ///
    /// # Errors
    /// The URL or the CA cannot be used.
    pub fn url(url: &str, ca: &str, env: &Env) -> Result<Self, String> {
        let endpoint = client::Endpoint {
            server: url.to_owned(),
            ca: ca.to_owned(),
            ..client::Endpoint::default()
        };
        Self::to(&endpoint, env)
    }

    /// The same with another time for one try.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The same with another pause before the second try.
    #[must_use]
    pub fn pause(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    /// Posts a review (JSON) and gives the body of the answer. What may be better the next time is tried again, as
    /// upstream tries it: 429, 500, 504, and connections that broke.
    ///
    /// # Errors
    /// No try was answered with a success.
    pub async fn review(&self, review: Bytes) -> Result<Bytes, Failure> {
        let mut pause = self.pause;
        for _ in 1..TRIES {
            match self.post(review.clone()).await {
                Err(failure) if passes(&failure) => {
                    tracing::debug!(%failure, "a webhook is asked again");
                    let env = &self.caller.env;
                    env.clock.sleep(env.random.jitter(pause, JITTER)).await;
                    pause = pause.mul_f64(GROWTH);
                }
                known => return known,
            }
        }
        self.post(review).await
    }

    async fn post(&self, body: Bytes) -> Result<Bytes, Failure> {
        let mark = if self.to.path().contains('?') { '&' } else { '?' };
        let path = format!("{}{mark}timeout={}s", self.to.path(), self.patience.as_secs());
        self.put(Method::POST, path, body).await
    }

    /// Gets the document that is there, tried once.
    ///
    /// # Errors
    /// It was not answered with a success.
    pub async fn get(&self) -> Result<Bytes, Failure> {
        self.put(Method::GET, self.to.path().to_owned(), Bytes::new())
            .await
    }

    async fn put(&self, method: Method, path: String, body: Bytes) -> Result<Bytes, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, */*"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("kube-apiserver"));
        if method == Method::POST {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(token) = self.token().await? {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let value =
                value.map_err(|_| Failure::Unreached("the token of the kubeconfig is none".to_owned()))?;
            headers.insert(header::AUTHORIZATION, value);
        }
        let question = Question {
            method,
            path,
            headers,
            body,
            most: MOST,
        };
        self.caller.put(&self.to, &question, self.patience).await
    }

    async fn token(&self) -> Result<Option<String>, Failure> {
        match &self.credential {
            Credential::None => Ok(None),
            Credential::Token(token) => Ok(Some(token.clone())),
            Credential::TokenFile(path) => match tokio::fs::read_to_string(path).await {
                Ok(token) => Ok(Some(token.trim().to_owned())),
                Err(error) => Err(Failure::Unreached(format!("{}: {error}", path.display()))),
            },
        }
    }
}

/// Whether it may be better the next time.
fn passes(failure: &Failure) -> bool {
    match failure {
        Failure::Refused(code, _) => matches!(code, 429 | 500 | 504),
        Failure::Unreached(why) => why.contains("onnection reset") || why.contains("connection error"),
    }
}
