//! What others have for a connection: answers, and what they took of bodies.

use crate::{answer::Flow, reason::Reason};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Waker},
};

/// Bytes that are taken before the client is told, all bodies of a connection together.
const TAKEN: usize = 1 << 20;
/// Room that is kept for the next batch.
const KEPT: usize = 64 << 10;

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
    /// Bytes of bodies that were taken.
    pub taken: usize,
}

impl Batch {
    /// Forgets all, and keeps some room.
    pub fn clear(&mut self) {
        self.items.clear();
        self.bytes.clear();
        self.taken = 0;
        if self.bytes.capacity() > KEPT {
            self.bytes.shrink_to(KEPT);
        }
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
#[derive(Default)]
pub struct Outbox(Mutex<State>);

impl Outbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something in. False: the connection is gone.
    pub fn put(&self, put: impl FnOnce(&mut Batch)) -> bool {
        let mut state = self.state();
        if state.closed {
            return false;
        }
        put(&mut state.batch);
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
    }
}
