//! A connection: HTTP/1.1 or HTTP/2 over TLS or any stream, and what it may do.

use super::{
    Caller,
    door::{Door, Way},
    flow,
};
use crate::Server;
use component::{Clock, Tasks};
use http::{Request, Response, Version, header};
use http_body_util::BodyExt;
use hyper::{
    body::{Body as _, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::pki_types::CertificateDer;
use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::AcqRel},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
};

/// How long a client may take for the head of a request, as upstream.
const HEAD: Duration = Duration::from_secs(32);
/// How long a connection may do nothing, as upstream.
const IDLE: Duration = Duration::from_secs(90);
/// How large the head of a request may be, as Go has it.
const HEAD_BYTES: u32 = 1 << 20;
/// How many headers it may have.
const HEADERS: usize = 512;

/// The second way to the connection of a request that is alone on it, and is answered in chunks if its end is not known; one
/// of its extensions.
#[derive(Clone)]
pub(super) struct Second(pub(super) Arc<dyn Way>);

/// Spawns what a connection needs. It ends with the connection, which is asked to end when the server drains.
#[derive(Clone)]
struct Spawner(Tasks);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Spawner {
    fn execute(&self, future: F) {
        self.0.spawn_draining("http2-stream", future);
    }
}

/// What goes on on a connection.
#[derive(Default)]
struct Activity {
    open: AtomicUsize,
    changed: Notify,
    /// It is to end when its requests are answered.
    enough: Notify,
}

/// A request that is not answered yet.
struct Open(Arc<Activity>);

impl Open {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.open.fetch_add(1, AcqRel);
        activity.changed.notify_one();
        Self(activity.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, AcqRel);
        self.0.changed.notify_one();
    }
}

impl Activity {
    /// Until nothing went on for long enough.
    async fn idle(&self, clock: &Clock) {
        let mut patience = HEAD;
        loop {
            let open = self.open.load(std::sync::atomic::Ordering::Acquire) > 0;
            let changed = self.changed.notified();
            if open {
                changed.await;
            } else if clock.timeout(patience, changed).await.is_none() {
                return;
            }
            patience = IDLE;
        }
    }
}

impl Server {
    /// Serves one connection over any stream. `peer` is the verified certificate chain of the client, the leaf first;
    /// empty for none.
    pub async fn serve_stream<S>(self: &Arc<Self>, stream: S, peer: Vec<CertificateDer<'static>>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.serve_from(stream, peer, None).await;
    }

    /// Serves one connection, which came from `caller` if that is known. One over a network ends when it is idle.
    pub(super) async fn serve_from<S>(
        self: &Arc<Self>,
        stream: S,
        peer: Vec<CertificateDer<'static>>,
        caller: Option<Caller>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (server, peer): (_, Arc<[_]>) = (self.clone(), peer.into());
        let activity = Arc::<Activity>::default();
        let all = activity.clone();
        let door = Door::new(stream);
        let way = door.way();
        let service = service_fn(move |mut request: Request<Incoming>| {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            if request.version() == Version::HTTP_11 {
                request.extensions_mut().insert(Second(way.clone()));
            }
            let (server, peer, open) = (server.clone(), peer.clone(), Open::new(&all));
            async move { Ok::<_, Infallible>(server.answer_on(peer, request, open).await) }
        });
        let builder = self.builder();
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(door), service);
        let (mut connection, clock) = (pin!(connection), &self.handler.env.clock);
        let mut ending = false;
        loop {
            let outcome = tokio::select! {
                biased;
                outcome = connection.as_mut() => Some(outcome),
                () = self.life.closing(), if !ending => None,
                () = activity.enough.notified(), if !ending => None,
                () = activity.idle(clock), if caller.is_some() && !ending => None,
            };
            match outcome {
                None => {
                    ending = true;
                    connection.as_mut().graceful_shutdown();
                }
                Some(Ok(())) => return,
                Some(Err(error)) => {
                    tracing::debug!(error, "connection ended");
                    return;
                }
            }
        }
    }

    fn builder(&self) -> auto::Builder<Spawner> {
        let mut builder = auto::Builder::new(Spawner(Tasks::new()));
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(usize::try_from(HEAD_BYTES).unwrap_or(usize::MAX))
            .max_headers(HEADERS);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(HEAD_BYTES)
            .max_concurrent_streams(self.limits.streams);
        builder
    }

    /// Answers a request of a connection, and ends the connection when that is asked for.
    async fn answer_on(
        self: Arc<Self>,
        peer: Arc<[CertificateDer<'static>]>,
        request: Request<Incoming>,
        open: Open,
    ) -> Response<super::answer::Body> {
        let http2 = request.version() == Version::HTTP_2;
        let chance = self.limits.goaway_chance;
        if http2 && chance > 0.0 && self.happens(chance) {
            open.0.enough.notify_one();
        }
        let mut response = match self.life.refuses(&request) {
            Some(refused) => refused,
            None => flow::answer(self.clone(), peer, request).await,
        };
        if http2 && response.headers_mut().remove(header::CONNECTION).is_some() {
            open.0.enough.notify_one();
        }
        if response.body().size_hint().exact().is_some() {
            return response;
        }
        response.map(|body| {
            let keep = move |frame| {
                let _keep = &open;
                frame
            };
            body.map_frame(keep).boxed_unsync()
        })
    }

    fn happens(&self, chance: f64) -> bool {
        const PARTS: u32 = 1 << 30;
        let drawn = self.handler.env.random.below(u64::from(PARTS));
        f64::from(u32::try_from(drawn).unwrap_or(PARTS)) < chance * f64::from(PARTS)
    }
}
