//! Bodies of requests, as they come.

use crate::{
    frame::LARGEST,
    outbox::{Item, Outbox},
    reason::Reason,
};
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

/// Bytes of a body that are taken before the client is told.
const TAKEN: usize = 256 << 10;

/// A body that ended before its time.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the request ended before its time: {0:?}")]
pub struct Broken(pub Reason);

#[derive(Default)]
struct State {
    parts: VecDeque<Vec<u8>>,
    trailers: Option<HeaderMap>,
    ended: bool,
    broken: Option<Broken>,
    waker: Option<Waker>,
    /// Nobody reads it.
    unread: bool,
    taken: usize,
}

/// What a connection puts a body into.
pub(crate) struct Feed {
    state: Mutex<State>,
    outbox: Arc<Outbox>,
    stream: u32,
}

impl Feed {
    pub fn new(outbox: Arc<Outbox>, stream: u32) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            outbox,
            stream,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, tell: impl FnOnce(&mut State)) {
        let mut state = self.state();
        tell(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// A part has come. False: nobody wants it.
    pub fn part(&self, part: &[u8]) -> bool {
        if self.state().unread {
            return false;
        }
        self.tell(|state| match state.parts.back_mut() {
            // Many small ones cost no more than they say.
            Some(back) if back.len() + part.len() <= LARGEST => back.extend_from_slice(part),
            _ if part.is_empty() => {}
            _ => state.parts.push_back(part.to_vec()),
        });
        true
    }

    /// All has come.
    pub fn end(&self, trailers: Option<HeaderMap>) {
        self.tell(|state| {
            state.ended = true;
            state.trailers = trailers;
        });
    }

    /// No more comes.
    pub fn fail(&self, reason: Reason) {
        self.tell(|state| {
            if !state.ended {
                state.broken = Some(Broken(reason));
            }
        });
    }
}

/// The body of a request. What is not read of it does not come.
pub struct Incoming(Arc<Feed>);

impl Incoming {
    pub(crate) fn new(feed: Arc<Feed>) -> Self {
        Self(feed)
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let feed = &self.0;
        let mut state = feed.state();
        if let Some(part) = state.parts.pop_front() {
            state.taken += part.len();
            let told = match state.taken >= TAKEN && !state.ended {
                true => std::mem::take(&mut state.taken),
                false => 0,
            };
            drop(state);
            let stream = feed.stream;
            feed.outbox.put(|batch| {
                batch.taken += part.len();
                if told > 0 {
                    batch.push(stream, Item::Taken(told));
                }
            });
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from(part)))));
        }
        if let Some(broken) = state.broken.take() {
            state.ended = true;
            return Poll::Ready(Some(Err(broken)));
        }
        if state.ended {
            return Poll::Ready(
                state
                    .trailers
                    .take()
                    .map(|trailers| Ok(Frame::trailers(trailers))),
            );
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let state = self.0.state();
        state.ended && state.parts.is_empty() && state.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.0.state();
        let here = state.parts.iter().map(|part| part.len() as u64).sum();
        match state.ended {
            true => SizeHint::with_exact(here),
            false => {
                let mut hint = SizeHint::new();
                hint.set_lower(here);
                hint
            }
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.unread = true;
        let left: usize = std::mem::take(&mut state.parts).iter().map(Vec::len).sum();
        let told = std::mem::take(&mut state.taken) + left;
        let ended = state.ended;
        drop(state);
        let stream = self.0.stream;
        self.0.outbox.put(|batch| {
            batch.taken += left;
            if told > 0 && !ended {
                batch.push(stream, Item::Taken(told));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::future::poll_fn;

    #[test]
    fn small_parts_of_a_body_lie_together() {
        let feed = Feed::new(Arc::default(), 1);
        for byte in 0..100_000_u32 {
            assert!(feed.part(&[byte as u8]));
        }
        feed.end(None);
        let mut body = Incoming::new(feed);
        let (mut read, mut parts) = (Vec::new(), 0);
        while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context))
            .now_or_never()
            .unwrap()
        {
            read.extend(frame.unwrap().into_data().unwrap());
            parts += 1;
        }
        assert!((0..100_000_u32).map(|byte| byte as u8).eq(read));
        assert_eq!(parts, 100_000_usize.div_ceil(LARGEST));
    }
}
