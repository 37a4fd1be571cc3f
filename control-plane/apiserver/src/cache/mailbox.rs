//! What waits for a watcher: events in order, for one reader, which takes all at once.

use super::Event;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
};

/// Events that may wait for a slow watcher before it is cut.
const BACKLOG: usize = 4096;

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<Arc<Event>>,
    /// Nothing more will come.
    closed: bool,
    reader: Option<Waker>,
}

/// Where events are put for a watcher.
#[derive(Debug, Default)]
pub(super) struct Mailbox(Mutex<Waiting>);

impl Mailbox {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an event in. False if the reader does not keep up: it gets what waits, and nothing more.
    pub(super) fn put(&self, event: &Arc<Event>) -> bool {
        let mut waiting = self.waiting();
        let room = waiting.events.len() < BACKLOG;
        if room {
            waiting.events.push_back(event.clone());
        } else {
            waiting.closed = true;
        }
        let reader = waiting.reader.take();
        drop(waiting);
        reader.into_iter().for_each(Waker::wake);
        room
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        let reader = waiting.reader.take();
        drop(waiting);
        reader.into_iter().for_each(Waker::wake);
    }

    /// Takes all that waits into `into`, which is empty. False when nothing waits and nothing more will come.
    pub(super) async fn take(&self, into: &mut VecDeque<Arc<Event>>) -> bool {
        std::future::poll_fn(|context| {
            let mut waiting = self.waiting();
            std::mem::swap(&mut waiting.events, into);
            if !into.is_empty() || waiting.closed {
                return Poll::Ready(!into.is_empty());
            }
            if waiting
                .reader
                .as_ref()
                .is_none_or(|reader| !reader.will_wake(context.waker()))
            {
                waiting.reader = Some(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    /// The same without waiting.
    pub(super) fn take_now(&self, into: &mut VecDeque<Arc<Event>>) {
        std::mem::swap(&mut self.waiting().events, into);
    }
}
