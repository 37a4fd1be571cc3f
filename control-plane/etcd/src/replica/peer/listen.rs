//! What the other members ask.

use super::{
    CALL, CLUSTER, FROM, MEMBERS, OTHER_CLUSTER, REMOVED, SNAPSHOT, STREAM, TO,
    call::{self, Call},
    connect, snapshot, unframe,
};
use crate::{
    replica::{Replica, Settings, node::Input, wire},
    server::accept::{Acceptor, Body, Each, reply},
};
use bytes::{Bytes, BytesMut};
use component::{Env, Tasks};
use futures::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Limited, StreamBody};
use std::{io, sync::Arc};
use tokio::{net::TcpListener, sync::watch};

/// Bytes of a question, at most.
const QUESTION: usize = 1 << 10;
/// Bytes of a message, at most.
const MESSAGE: usize = 512 << 20;

/// What is said while a member starts.
pub(super) const STARTING: &str = "the member is starting";

/// What tells a listener that its member is open; that it did not open, if it is dropped.
pub struct Opening(watch::Sender<Option<Replica>>);

impl Opening {
    /// From now on the others are served, until the member ends.
    pub fn done(self, replica: Replica) {
        self.0.send_replace(Some(replica));
    }
}

/// Serves the other members.
pub struct PeerListener {
    replica: watch::Receiver<Option<Replica>>,
    acceptor: Arc<Acceptor>,
    /// Its connections live as long as its member, which hands over while it ends.
    tasks: Tasks,
}

impl PeerListener {
    /// What serves the others of a member that is about to be opened with these settings, with TLS if it is `secure`. Until
    /// [`Opening::done`] the others are told so at once: members that start together do not wait for each other.
    pub fn ahead(settings: &Settings, secure: bool, env: &Env) -> (Self, Opening) {
        let tls = settings.tls.as_ref().filter(|_| secure);
        let tasks = Tasks::new();
        let apart = Env {
            tasks: tasks.clone(),
            ..env.clone()
        };
        let acceptor = Acceptor::new(tls.map(|tls| tls.server.clone()), apart, "peer-connection");
        let (opening, replica) = watch::channel(None);
        let this = Self {
            acceptor: Arc::new(acceptor),
            replica,
            tasks,
        };
        (this, Opening(opening))
    }

    /// What serves the others of `replica`.
    pub fn new(replica: Replica, secure: bool) -> Self {
        let inner = replica.0.clone();
        let (this, opening) = Self::ahead(&inner.settings, secure, &inner.env);
        opening.done(replica);
        this
    }

    /// Takes connections, as long as there is its member.
    pub async fn serve(self, listener: TcpListener) {
        let opening = self.replica.clone();
        let answering = move |_| {
            let opening = opening.clone();
            Each(move |request| {
                let replica = opening.borrow().clone();
                async move {
                    match replica {
                        Some(replica) => answer(&replica, request).await,
                        None => reply(StatusCode::SERVICE_UNAVAILABLE, STARTING.to_owned() + "\n"),
                    }
                }
            })
        };
        let _stop = Stop(self.tasks);
        tokio::select! {
            biased;
            () = ended(self.replica) => {}
            () = self.acceptor.serve(listener, answering) => {}
        }
    }
}

/// Stops them when it is dropped.
struct Stop(Tasks);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Resolves when a member has ended, or did not open.
async fn ended(mut opening: watch::Receiver<Option<Replica>>) {
    let opened = opening.wait_for(Option::is_some).await;
    let Some(replica) = opened.ok().and_then(|replica| replica.clone()) else {
        return;
    };
    // It is gone with its member.
    let _ = replica.0.ended.subscribe().wait_for(|ended| *ended).await;
}

fn hex(headers: &HeaderMap, name: &str) -> Option<u64> {
    let text = headers.get(name)?.to_str().ok()?;
    u64::from_str_radix(text, 16).ok()
}

async fn answer(replica: &Replica, request: Request<Body>) -> Response<Body> {
    let mine = replica.identity();
    let mut response = match refusal(replica, &request) {
        Some((status, why)) => reply(status, why.to_owned() + "\n"),
        None => match request.uri().path() {
            STREAM => stream_of(replica, request).await,
            SNAPSHOT => snapshot::take(replica, request.into_body()).await,
            MEMBERS => Response::new(Body::new(http_body_util::Full::new(connect::list(
                &replica.members(),
            )))),
            CALL => question(replica, request.into_body()).await,
            _ => reply(StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
        },
    };
    if let Ok(cluster) = HeaderValue::from_str(&format!("{:x}", mine.cluster)) {
        response.headers_mut().insert(CLUSTER, cluster);
    }
    response
}

/// Why a request is not answered.
fn refusal(replica: &Replica, request: &Request<Body>) -> Option<(StatusCode, &'static str)> {
    let (mine, headers) = (replica.identity(), request.headers());
    if request.uri().path() == MEMBERS {
        return None;
    }
    if hex(headers, CLUSTER) != Some(mine.cluster) {
        let theirs = hex(headers, CLUSTER).unwrap_or(0);
        tracing::warn!(
            local = format!("{:x}", mine.cluster),
            remote = format!("{theirs:x}"),
            "request cluster ID mismatch"
        );
        return Some((StatusCode::PRECONDITION_FAILED, OTHER_CLUSTER));
    }
    if hex(headers, FROM).is_some_and(|from| replica.members().is_removed(from)) {
        return Some((StatusCode::GONE, REMOVED));
    }
    if hex(headers, TO) != Some(mine.member) {
        return Some((StatusCode::PRECONDITION_FAILED, "member ID mismatch"));
    }
    None
}

/// Messages, as long as they come. The answer begins at once and never ends by itself.
async fn stream_of(replica: &Replica, request: Request<Body>) -> Response<Body> {
    let inner = replica.0.clone();
    let (open, closing) = tokio::sync::oneshot::channel::<()>();
    let from = hex(request.headers(), FROM).unwrap_or(0);
    let received = inner.metrics().received.of(&[&format!("{from:x}")]).clone();
    let mut body = request.into_body().into_data_stream();
    replica.0.tasks.spawn("peer-messages", async move {
        let _open = open;
        let mut read = BytesMut::new();
        while let Some(Ok(data)) = body.next().await {
            received.add(data.len() as u64);
            if inner.members().is_removed(from) {
                // Nobody hears it any more; when it comes anew it is told so.
                return;
            }
            read.extend_from_slice(&data);
            while let Some(message) = unframe(&mut read) {
                match wire::read_message(message) {
                    Ok(message) if message.to == inner.identity.member => {
                        if inner.input.send(Input::Step(message)).await.is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(error) => return tracing::warn!(%error, "a message of another member"),
                }
            }
            if read.len() > MESSAGE {
                return tracing::warn!("a message of another member is too large");
            }
        }
    });
    let end = stream::once(async move {
        // It ends with the task, and so the other side learns that nobody reads.
        let _ = closing.await;
        Err::<Frame<Bytes>, _>(io::Error::from(io::ErrorKind::ConnectionAborted))
    });
    Response::new(Body::new(StreamBody::new(end)))
}

async fn question(replica: &Replica, body: Body) -> Response<Body> {
    let read = Limited::new(body, QUESTION).collect().await;
    match read.ok().and_then(|body| Call::decode(body.to_bytes()).ok()) {
        Some(asked) => {
            let told = call::answer(replica, asked).await.encode();
            Response::new(Body::new(http_body_util::Full::new(told)))
        }
        None => reply(
            StatusCode::BAD_REQUEST,
            "the question cannot be read\n".to_owned(),
        ),
    }
}
