//! `/healthz` and `/livez`: whether changes reach the kernel, in upstream's words.

use crate::Error;
use component::{Clock, Env};
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Bytes, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::net::TcpListener;

/// A change that is not in the kernel after so long makes the proxy unhealthy (upstream: twice the sync period).
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(crate) struct Health {
    clock: Clock,
    times: Arc<Mutex<Times>>,
}

#[derive(Clone, Copy, Default)]
struct Times {
    updated: Option<Timestamp>,
    pending: Option<Timestamp>,
}

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    last_updated: String,
    current_time: String,
    node_eligible: bool,
}

impl Health {
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            times: Arc::default(),
        }
    }

    fn times<T>(&self, change: impl FnOnce(&mut Times) -> T) -> T {
        change(&mut self.times.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A change waits for the kernel.
    pub fn pending(&self) {
        let now = self.clock.wall();
        self.times(|times| times.pending = times.pending.or(Some(now)));
    }

    /// All changes are in the kernel.
    pub fn updated(&self) {
        let now = self.clock.wall();
        self.times(|times| {
            *times = Times {
                updated: Some(now),
                pending: None,
            }
        });
    }

    fn report(&self) -> (StatusCode, Report) {
        let (times, now) = (self.times(|times| *times), self.clock.wall());
        let late = |since: Timestamp| now.duration_since(since).unsigned_abs() > PATIENCE;
        let healthy = !times.pending.is_some_and(late);
        let last_updated = times.updated.unwrap_or(now).to_string();
        let status = if healthy {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        (
            status,
            Report {
                last_updated,
                current_time: now.to_string(),
                node_eligible: true,
            },
        )
    }

    /// Serves it; the address must be free.
    pub async fn serve(&self, env: &Env, address: SocketAddr) -> Result<SocketAddr, Error> {
        let taken = |error| Error::Config(format!("cannot listen at {address} for health: {error}"));
        let listener = TcpListener::bind(address).await.map_err(taken)?;
        let bound = listener.local_addr().map_err(taken)?;
        let (health, tasks, clock) = (self.clone(), env.tasks.clone(), env.clock.clone());
        env.tasks.spawn("proxy-health", async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    clock.sleep(Duration::from_millis(100)).await;
                    continue;
                };
                let health = health.clone();
                tasks.spawn("proxy-health-client", async move {
                    let answer = service_fn(|request| std::future::ready(health.answer(&request)));
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer)
                        .await;
                });
            }
        });
        Ok(bound)
    }

    fn answer(&self, request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        let (status, body) = match request.uri().path() {
            "/healthz" | "/livez" => {
                let (status, report) = self.report();
                (status, serde_json::to_vec(&report).unwrap_or_default())
            }
            _ => (StatusCode::NOT_FOUND, b"404 page not found\n".to_vec()),
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = status;
        if status != StatusCode::NOT_FOUND {
            let json = hyper::header::HeaderValue::from_static("application/json");
            response.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
        }
        Ok(response)
    }
}
