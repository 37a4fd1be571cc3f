//! How requests are answered: by handles that may go to any thread.

use crate::{
    outbox::{Item, Outbox, PLACES},
    reason::Reason,
};
use bytes::Bytes;
use futures::task::AtomicWaker;
use http::{HeaderMap, Response};
use http_body::Body;
use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
};
use tokio::sync::OwnedSemaphorePermit;

/// Bytes that wait for a client on a stream before who sends has to wait.
const WAITING: usize = 64 << 10;

/// The client has gone, or wants the answer no more.
#[derive(Debug, thiserror::Error)]
#[error("the client has gone")]
pub struct Gone;

/// What waits to be sent on a stream.
#[derive(Default)]
pub(crate) struct Flow {
    waiting: AtomicUsize,
    gone: AtomicBool,
    waker: AtomicWaker,
}

impl Flow {
    /// So much was sent.
    pub fn sent(&self, bytes: usize) {
        let before = self.waiting.fetch_sub(bytes, Ordering::AcqRel);
        if before >= WAITING && before - bytes < WAITING {
            self.waker.wake();
        }
    }

    /// Nothing more is sent.
    pub fn end(&self) {
        self.gone.store(true, Ordering::Release);
        self.waker.wake();
    }

    async fn room(&self) -> Result<(), Gone> {
        let has_room = || self.waiting.load(Ordering::Acquire) < WAITING;
        let is_gone = || self.gone.load(Ordering::Acquire);
        poll_fn(|context| {
            if !has_room() && !is_gone() {
                self.waker.register(context.waker());
                if !has_room() && !is_gone() {
                    return Poll::Pending;
                }
            }
            Poll::Ready(())
        })
        .await;
        if is_gone() { Err(Gone) } else { Ok(()) }
    }
}

/// Leave to make an answer that may be large; it is held until that is made.
pub struct Turn {
    outbox: Arc<Outbox>,
    _places: OwnedSemaphorePermit,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.outbox.made();
    }
}

/// Of the values that may be in answers that are made at once, so many for one of them at most: a few are always made.
const MOST: u32 = PLACES / 4;

/// What a request is answered by. Dropping it tells the client that the server failed.
pub struct Answering {
    outbox: Arc<Outbox>,
    stream: u32,
    open: bool,
}

impl Answering {
    pub(crate) fn new(outbox: Arc<Outbox>, stream: u32) -> Self {
        let open = true;
        Self { outbox, stream, open }
    }

    fn put(&mut self, item: Item) {
        let stream = self.stream;
        self.outbox.put(|batch| batch.push(stream, item));
    }

    /// Leave to make an answer of so many values, if it can be had at once.
    pub fn try_turn(&self, values: u32) -> Option<Turn> {
        let places = self.outbox.places.clone();
        let places = places.try_acquire_many_owned(values.min(MOST)).ok()?;
        self.outbox.has_room().then(|| self.leave(places))
    }

    /// Waits for it: until the client has taken most of what it was answered, and few other large answers are made.
    pub async fn turn(&self, values: u32) -> Result<Turn, Gone> {
        let places = self.outbox.places.clone();
        let places = places.acquire_many_owned(values.min(MOST)).await;
        let turn = self.leave(places.map_err(|_| Gone)?);
        self.outbox.room().await;
        Ok(turn)
    }

    fn leave(&self, places: OwnedSemaphorePermit) -> Turn {
        Turn {
            outbox: self.outbox.clone(),
            _places: places,
        }
    }

    /// Answers a call of gRPC well, with a message that `write` appends; how long it is with its prefix.
    pub fn message(mut self, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        self.open = false;
        let (stream, mut length) = (self.stream, 0);
        self.outbox.put(|batch| {
            length = batch.message(write);
            batch.push(stream, Item::Message(length));
        });
        length
    }

    /// The same with a message that is made already, and stands behind its prefix.
    pub fn framed(mut self, message: Bytes) {
        self.open = false;
        self.put(Item::Framed(message));
    }

    /// Answers with a head alone.
    pub fn head(mut self, response: Response<()>) {
        self.open = false;
        let (parts, ()) = response.into_parts();
        self.put(Item::Head(Box::new((parts.status, parts.headers)), true, None));
    }

    /// Begins an answer that is sent in parts.
    pub fn begin(mut self, response: Response<()>) -> Sending {
        self.open = false;
        let flow = Arc::new(Flow::default());
        let (parts, ()) = response.into_parts();
        let head = Box::new((parts.status, parts.headers));
        self.put(Item::Head(head, false, Some(flow.clone())));
        Sending {
            flow,
            outbox: self.outbox.clone(),
            stream: self.stream,
            open: true,
        }
    }

    /// Answers with a head and a body, as fast as the client takes it. Leave to make the answer is given back once the first
    /// part of it is on its way.
    pub async fn respond<B>(self, response: Response<B>, mut turn: Option<Turn>)
    where
        B: Body<Data = Bytes>,
        B::Error: std::fmt::Display,
    {
        let (parts, body) = response.into_parts();
        let head = Response::from_parts(parts, ());
        if body.is_end_stream() {
            return self.head(head);
        }
        let (mut sending, mut body) = (self.begin(head), pin!(body));
        loop {
            // Who has leave has room.
            if turn.is_none() && sending.room().await.is_err() {
                return;
            }
            let frame = match poll_fn(|context| body.as_mut().poll_frame(context)).await {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => {
                    tracing::debug!(%error, "a body failed");
                    return sending.reset(Reason::Internal);
                }
                None => return sending.data(Bytes::new(), true),
            };
            match frame.into_data() {
                Ok(data) if body.is_end_stream() => return sending.data(data, true),
                Ok(data) => {
                    sending.data(data, false);
                    turn = None;
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        return sending.end(trailers);
                    }
                }
            }
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if self.open {
            self.put(Item::Reset(Reason::Internal));
        }
    }
}

/// An answer that has begun. Dropping it tells the client that no more comes.
pub struct Sending {
    flow: Arc<Flow>,
    outbox: Arc<Outbox>,
    stream: u32,
    open: bool,
}

impl Sending {
    /// Waits until the client has taken most of what was sent, here and in all.
    pub async fn room(&self) -> Result<(), Gone> {
        self.flow.room().await?;
        self.outbox.stream_room().await;
        Ok(())
    }

    /// Resolves when the client has gone, or wants no more.
    pub async fn gone(&self) {
        poll_fn(|context| {
            self.flow.waker.register(context.waker());
            match self.flow.gone.load(Ordering::Acquire) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
    }

    /// Sends a message of gRPC that `write` appends, whether there is room or not; how long it is with its prefix.
    pub fn message(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let (stream, flow, mut length) = (self.stream, &self.flow, 0);
        self.outbox.put(|batch| {
            length = batch.message(write);
            flow.waiting.fetch_add(length, Ordering::AcqRel);
            batch.push(stream, Item::Part(length));
        });
        length
    }

    /// Ends it.
    pub fn end(mut self, trailers: HeaderMap) {
        self.close(Item::Trailers(Box::new(trailers)));
    }

    /// Ends it: it is well.
    pub fn well(mut self) {
        self.close(Item::Well);
    }

    fn data(&mut self, data: Bytes, last: bool) {
        self.flow.waiting.fetch_add(data.len(), Ordering::AcqRel);
        self.open = !last;
        self.put(Item::Data(data, last));
    }

    fn reset(mut self, reason: Reason) {
        self.close(Item::Reset(reason));
    }

    fn close(&mut self, item: Item) {
        self.open = false;
        self.put(item);
    }

    fn put(&mut self, item: Item) {
        let stream = self.stream;
        self.outbox.put(|batch| batch.push(stream, item));
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        if self.open {
            self.close(Item::Reset(Reason::Cancel));
        }
    }
}
