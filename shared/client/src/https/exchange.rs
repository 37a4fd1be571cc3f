//! Requests over HTTP, however they get there.

pub use super::wire::Ask;
use super::{watch, wire};
use crate::{Discovered, List, ListParams, Target, Transport, WatchParams, WatchStream, Write, WriteOptions};
use api::{Object, Status};
use bytes::Bytes;
use component::Clock;
use futures::{FutureExt, future::BoxFuture};
use http::Response;
use http_body_util::{BodyExt, Limited, combinators::UnsyncBoxBody};
use std::{sync::Arc, time::Duration};

/// An answer must have come, whole, after so long; of a watch, its head.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// The largest answer that is taken, but for lists.
const MAX_OBJECT: usize = 32 << 20;

/// The largest list that is taken.
const MAX_LIST: usize = 1 << 30;

/// The body of an answer, as it comes.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A way to a server that speaks HTTP. It is a transport.
pub trait Exchange: Send + Sync + 'static {
    /// Sends a request and waits for the head of the answer, whatever it says.
    fn exchange<'a>(&'a self, ask: &'a Ask) -> BoxFuture<'a, Result<Response<Body>, Status>>;

    /// Time.
    fn clock(&self) -> &Clock;
}

/// The head of the answer, which is a success.
async fn send(way: &impl Exchange, ask: &Ask) -> Result<Response<Body>, Status> {
    let answer = way.exchange(ask).await?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    Err(refusal(way.clock(), answer).await)
}

/// What an answer says that is no success.
pub(super) async fn refusal(clock: &Clock, answer: Response<Body>) -> Status {
    let (head, body) = answer.into_parts();
    let body = read(clock, body, MAX_OBJECT).await.unwrap_or_default();
    wire::status(&head, &body)
}

async fn read(clock: &Clock, body: Body, limit: usize) -> Result<Bytes, Status> {
    let collected = clock
        .timeout(ANSWER_LIMIT, Limited::new(body, limit).collect())
        .await;
    let collected = collected.ok_or_else(|| Status::timeout("the API server did not answer in time"))?;
    collected
        .map(http_body_util::Collected::to_bytes)
        .map_err(|e| Status::timeout(e.to_string()))
}

async fn object(way: &impl Exchange, ask: &Ask) -> Result<Arc<Object>, Status> {
    let answer = send(way, ask).await?;
    let body = read(way.clock(), answer.into_body(), MAX_OBJECT).await?;
    Object::parse_any(body, &[])
        .map(Arc::new)
        .map_err(Status::internal)
}

impl<E: Exchange> Transport for E {
    fn get(&self, target: Target) -> BoxFuture<'_, Result<Arc<Object>, Status>> {
        async move { object(self, &wire::get(&target)).await }.boxed()
    }

    fn list(&self, target: Target, params: ListParams) -> BoxFuture<'_, Result<List, Status>> {
        async move {
            let answer = send(self, &wire::list(&target, &params)).await?;
            let body = read(self.clock(), answer.into_body(), MAX_LIST).await?;
            wire::items(&body).map_err(Status::internal)
        }
        .boxed()
    }

    fn watch(&self, target: Target, params: WatchParams) -> BoxFuture<'_, Result<WatchStream, Status>> {
        async move {
            let answer = send(self, &wire::watch(&target, &params)).await?;
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
            object(self, &ask).await
        }
        .boxed()
    }

    fn discover(&self, group: String, version: String) -> BoxFuture<'_, Result<Vec<Discovered>, Status>> {
        async move {
            let answer = send(self, &wire::discover(&group, &version)).await?;
            let body = read(self.clock(), answer.into_body(), MAX_OBJECT).await?;
            wire::resources(&body).map_err(Status::internal)
        }
        .boxed()
    }
}
