//! What others have for a connection: answers, and what they took of bodies.

use crate::{answer::Flow, reason::Reason};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Waker},
};
use tokio::sync::{Notify, Semaphore};

/// Bytes that are taken before the client is told, all bodies of a connection together.
const TAKEN: usize = 1 << 20;
/// Room that is kept for the next batch.
const KEPT: usize = 64 << 10;
/// Bytes of answers that the client has not taken, before none is made any more that may be large.
const UNTAKEN: usize = 64 << 20;
/// Values that may be in answers that are made at once.
pub const PLACES: u32 = 256;

/// What there is for a stream.
pub enum Item {
    /// The whole answer of a call, whose message is the next so many bytes of the batch.
    Message(usize),
    /// The same, made already.
    Framed(Bytes),
    /// The head of an answer; whether it is all; who sends more.
    Head(Box<(StatusCode, HeaderMap)>, bool, Option<Arc<Flow>>),
    /// A part of an answer, which is the next so many bytes of the batch.
    Part(usize),
    /// A part of an answer; whether it is the last.
    Data(Bytes, bool),
    /// The end of an answer that is well.
    Well,
    /// The end of an answer.
    Trailers(Box<HeaderMap>),
    /// It cannot be answered.
    Reset(Reason),
    /// So many bytes of its body were taken.
    Taken(usize),
}

/// What came together.
#[derive(Default)]
pub struct Batch {
    /// By stream, in order.
    pub items: Vec<(u32, Item)>,
    /// The bytes that they name.
    pub bytes: Vec<u8>,
    /// How many they bring themselves.
    pub apart: usize,
    /// Bytes of bodies that were taken.
    pub taken: usize,
}

impl Batch {
    /// Forgets all, and keeps some room.
    pub fn clear(&mut self) {
        self.items.clear();
        self.bytes.clear();
        self.apart = 0;
        self.taken = 0;
        if self.bytes.capacity() > KEPT {
            self.bytes.shrink_to(KEPT);
        }
    }

    /// Adds what there is for a stream.
    pub fn push(&mut self, stream: u32, item: Item) {
        if let Item::Framed(data) | Item::Data(data, _) = &item {
            self.apart += data.len();
        }
        self.items.push((stream, item));
    }

    /// Writes a message of gRPC behind its prefix; how long both are.
    pub fn message(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 5]);
        write(&mut self.bytes);
        let length = self.bytes.len() - start;
        self.bytes[start + 1..start + 5].copy_from_slice(&((length - 5) as u32).to_be_bytes());
        length
    }
}

#[derive(Default)]
struct State {
    batch: Batch,
    waker: Option<Waker>,
    /// The connection looks at it, or was told to.
    awake: bool,
    closed: bool,
}

/// Where a connection gets it from.
pub struct Outbox {
    state: Mutex<State>,
    /// Bytes of answers that wait here or for the client.
    untaken: AtomicUsize,
    /// There is room again: for all streams, and for one who makes an answer that may be large. Who has made it tells the next.
    stream_room: Notify,
    room: Notify,
    /// For who makes an answer that may be large.
    pub places: Arc<Semaphore>,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            untaken: AtomicUsize::new(0),
            stream_room: Notify::new(),
            room: Notify::new(),
            places: Arc::new(Semaphore::new(PLACES as usize)),
        }
    }
}

impl Outbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the client has taken most of what it was answered.
    pub fn has_room(&self) -> bool {
        self.untaken.load(Ordering::Acquire) < UNTAKEN
    }

    async fn room_by(&self, notify: &Notify) {
        while !self.has_room() {
            let mut told = std::pin::pin!(notify.notified());
            told.as_mut().enable();
            if !self.has_room() {
                told.await;
            }
        }
    }

    /// Waits until it has, to send more on a stream; when it has gone there is room.
    pub async fn stream_room(&self) {
        self.room_by(&self.stream_room).await;
    }

    /// The same, to make an answer that may be large. [`Outbox::made`] follows.
    pub async fn room(&self) {
        self.room_by(&self.room).await;
    }

    /// Such an answer was made, or is not.
    pub fn made(&self) {
        if self.has_room() {
            self.room.notify_one();
        }
    }

    /// So many bytes of answers went out, or are wanted no more.
    pub fn taken(&self, bytes: usize) {
        let before = self.untaken.fetch_sub(bytes, Ordering::AcqRel);
        if before >= UNTAKEN && before - bytes < UNTAKEN {
            self.stream_room.notify_waiters();
            self.room.notify_one();
        }
    }

    /// Puts something in. False: the connection is gone.
    pub fn put(&self, put: impl FnOnce(&mut Batch)) -> bool {
        let mut state = self.state();
        if state.closed {
            return false;
        }
        let before = state.batch.bytes.len() + state.batch.apart;
        put(&mut state.batch);
        let more = state.batch.bytes.len() + state.batch.apart - before;
        self.untaken.fetch_add(more, Ordering::AcqRel);
        let asleep = !state.awake && (!state.batch.items.is_empty() || state.batch.taken >= TAKEN);
        if asleep {
            state.awake = true;
            let waker = state.waker.take();
            drop(state);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        true
    }

    /// Whether there is something.
    pub fn has_items(&self) -> bool {
        !self.state().batch.items.is_empty()
    }

    /// Gives all that is there, for an empty batch.
    pub fn take(&self, batch: &mut Batch) {
        let mut state = self.state();
        state.awake = true;
        std::mem::swap(&mut state.batch, batch);
    }

    /// Sleeps until there is something. False: there is.
    pub fn sleep(&self, context: &Context<'_>) -> bool {
        let mut state = self.state();
        if !state.batch.items.is_empty() || state.batch.taken >= TAKEN {
            return false;
        }
        state.awake = false;
        state.waker = Some(context.waker().clone());
        true
    }

    /// From now on nothing is taken.
    pub fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        let batch = std::mem::take(&mut state.batch);
        drop(state);
        drop(batch);
        self.taken(self.untaken.load(Ordering::Acquire));
        self.places.close();
    }
}
