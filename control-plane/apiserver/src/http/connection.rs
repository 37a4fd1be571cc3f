//! A connection: HTTP/1.1 or HTTP/2 over TLS or any stream, and what it may do.

use super::{
    Caller,
    activity::{Activity, Open},
    door::{Door, Way},
    flow,
};
use crate::Server;
use component::Tasks;
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
use std::{convert::Infallible, pin::pin, sync::Arc};
use tokio::io::{AsyncRead, AsyncWrite};

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
        let activity = Activity::new(&self.handler.env.clock);
        let (all, heard) = (activity.clone(), activity.clone());
        let door = Door::new(stream, move || heard.heard());
        let way = door.way();
        let service = service_fn(move |mut request: Request<Incoming>| {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            if request.version() == Version::HTTP_11 {
                request.extensions_mut().insert(Second(way.clone()));
            }
            let (server, peer, open) = (server.clone(), peer.clone(), all.begin(request.version()));
            async move { Ok::<_, Infallible>(server.answer_on(peer, request, open).await) }
        });
        let builder = self.builder();
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(door), service);
        let mut connection = pin!(connection);
        let mut ending = false;
        loop {
            let outcome = tokio::select! {
                biased;
                outcome = connection.as_mut() => Some(outcome),
                () = self.life.closing(), if !ending => None,
                () = activity.enough.notified(), if !ending => None,
                () = activity.idle(), if caller.is_some() && !ending => None,
            };
            match outcome {
                // It would wait for the end of the first head.
                None if !activity.was_asked() => return,
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
            .header_read_timeout(None)
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
