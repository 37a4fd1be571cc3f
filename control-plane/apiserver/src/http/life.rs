//! From the wish to stop until the last request is answered.

use super::{
    Limits,
    answer::{self, Body},
};
use component::{Clock, Tasks};
use http::{HeaderValue, Request, Response, header};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::AcqRel},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// What those ask who look whether a server is well: they are answered to the end.
const ALWAYS: [&str; 4] = ["/readyz", "/livez", "/healthz", "/metrics"];

/// How far a server is on its way to its end.
pub struct Life {
    /// The tree that is asked to stop; what the server itself spawns is another one, which ends after it.
    outside: Tasks,
    draining: Tasks,
    closing: Tasks,
    connections: Tasks,
    under_way: AtomicUsize,
    none: Notify,
    retry_after: bool,
}

/// A request that does not go on, until it is answered.
pub struct UnderWay(Arc<Life>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, AcqRel) == 1 {
            self.0.none.notify_one();
        }
    }
}

impl Life {
    /// Of a server that is asked to stop by `outside`.
    pub fn new(outside: Tasks, retry_after: bool) -> Arc<Self> {
        Arc::new(Self {
            outside,
            draining: Tasks::new(),
            closing: Tasks::new(),
            connections: Tasks::new(),
            under_way: AtomicUsize::new(0),
            none: Notify::new(),
            retry_after,
        })
    }

    /// Whether it was asked to stop.
    pub fn is_stopping(&self) -> bool {
        self.outside.is_stopping()
    }

    /// Until connections are to end when their requests are answered, and no more are taken.
    pub async fn closing(&self) {
        self.closing.stopping().await;
    }

    /// Spawns a connection, which ends after `closing`.
    pub fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        self.connections.spawn_draining("connection", connection);
    }

    /// Until all connections have ended, but not for long.
    pub async fn closed(&self) {
        self.connections.drain(LAST).await;
    }

    /// A request is under way.
    pub fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, AcqRel);
        UnderWay(self.clone())
    }

    /// What a request is told that comes when others are drained; none: it is taken.
    pub fn refuses<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let path = request.uri().path();
        if !self.retry_after
            || !self.draining.is_stopping()
            || ALWAYS.iter().any(|always| path.starts_with(always))
        {
            return None;
        }
        let message = "The apiserver is shutting down, please try again later.\n";
        let mut response = answer::plain(429, message);
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        Some(response)
    }

    /// Waits for the requests under way.
    async fn answered(&self) {
        while self.under_way.load(std::sync::atomic::Ordering::Acquire) > 0 {
            self.none.notified().await;
        }
    }

    /// Sees a server to its end: it is not ready from when it is asked to stop; after a while it takes no more
    /// requests; when those under way are answered, watches end with all that the server does, its tree `inside`, and
    /// so do connections.
    pub fn follow(self: &Arc<Self>, limits: &Limits, inside: Tasks, clock: Clock) {
        let (life, delay, patience) = (self.clone(), limits.shutdown_delay, limits.request_timeout);
        self.outside
            .clone()
            .spawn_draining("kube-apiserver-drain", async move {
                life.outside.stopping().await;
                clock.sleep(delay).await;
                life.draining.stop();
                if !life.retry_after {
                    life.closing.stop();
                }
                // Those that take longer are cut off.
                let _ = clock.timeout(patience, life.answered()).await;
                inside.drain(LAST).await;
                life.closing.stop();
                life.closed().await;
            });
    }
}

/// How long what the server itself does may take to end.
const LAST: Duration = Duration::from_secs(5);
