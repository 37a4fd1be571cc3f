//! What clients count of their requests, under upstream's names.

use crate::{Discovered, List, ListParams, Target, Transport, WatchParams, WatchStream, Write, WriteOptions};
use api::{Object, Status};
use component::{
    Clock, Env,
    metrics::{Counter, Description, Family, Histogram},
};
use futures::{FutureExt, future::BoxFuture};
use http::Method;
use std::sync::Arc;
use tokio::time::Instant;

const REQUESTS: Description = Description::new(
    "rest_client_requests_total",
    "[BETA] Number of HTTP requests, partitioned by status code, method, and host.",
    &["code", "host", "method"],
);
const DURATIONS: Description = Description::new(
    "rest_client_request_duration_seconds",
    "[BETA] Request latency in seconds. Broken down by verb, and host.",
    &["host", "verb"],
)
.with(&[0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0]);

/// The numbers of the requests to one server.
pub(crate) struct Metrics {
    requests: Arc<Family<Counter>>,
    durations: Arc<Family<Histogram>>,
    host: String,
    clock: Clock,
}

impl Metrics {
    pub fn new(host: &str, env: &Env) -> Self {
        Self {
            requests: env.metrics.family(REQUESTS),
            durations: env.metrics.family(DURATIONS),
            host: host.to_owned(),
            clock: env.clock.clone(),
        }
    }

    /// A request that was sent at `start` was answered with `code`; none: it was not answered.
    pub fn answered(&self, method: &Method, code: Option<u16>, start: Instant) {
        let code = code.map_or_else(|| "<error>".to_owned(), |code| code.to_string());
        self.requests.of(&[&code, &self.host, method.as_str()]).add(1);
        let took = (self.clock.now() - start).as_secs_f64();
        self.durations.of(&[&self.host, method.as_str()]).observe(took);
    }
}

/// A transport whose requests are counted; for those that count by themselves there is no need.
struct Counted {
    inner: Arc<dyn Transport>,
    metrics: Metrics,
}

/// `inner` with its requests counted in `env`, as requests to `host`.
pub fn counted(inner: Arc<dyn Transport>, host: &str, env: &Env) -> Arc<dyn Transport> {
    Arc::new(Counted {
        inner,
        metrics: Metrics::new(host, env),
    })
}

impl Counted {
    async fn count<T>(
        &self,
        method: Method,
        success: u16,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let start = self.metrics.clock.now();
        let answer = work.await;
        let code = answer.as_ref().map_or_else(|status| status.code, |_| success);
        self.metrics.answered(&method, Some(code), start);
        answer
    }
}

impl Transport for Counted {
    fn get(&self, target: Target) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
        self.count(Method::GET, 200, self.inner.get(target)).boxed()
    }

    fn list(&self, target: Target, params: ListParams) -> BoxFuture<'_, Result<List, Status>> {
        self.count(Method::GET, 200, self.inner.list(target, params))
            .boxed()
    }

    fn watch(&self, target: Target, params: WatchParams) -> BoxFuture<'_, Result<WatchStream, Status>> {
        self.count(Method::GET, 200, self.inner.watch(target, params))
            .boxed()
    }

    fn write(
        &self,
        target: Target,
        write: Write,
        options: WriteOptions,
    ) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
        let (method, success) = match &write {
            Write::Create(_) => (Method::POST, 201),
            Write::Update(_) => (Method::PUT, 200),
            Write::Patch(..) => (Method::PATCH, 200),
            Write::Delete(_) => (Method::DELETE, 200),
        };
        self.count(method, success, self.inner.write(target, write, options))
            .boxed()
    }

    fn discover(&self, group: String, version: String) -> BoxFuture<'_, Result<Vec<Discovered>, Status>> {
        self.count(Method::GET, 200, self.inner.discover(group, version))
            .boxed()
    }
}
