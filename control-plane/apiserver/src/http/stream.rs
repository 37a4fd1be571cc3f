//! A watch as a stream of frames over HTTP.

use super::shape::Shaper;
use crate::{
    Server,
    cache::{Item, Watcher},
    local::BOOKMARKS,
};
use bytes::{Bytes, BytesMut};
use component::metrics::Counter;
use futures::{Stream, future::BoxFuture, stream};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// Frames that are there together go out together, up to this size.
const BATCH: usize = 64 << 10;

struct State {
    server: Arc<Server>,
    watcher: Watcher,
    shaper: Shaper,
    bookmarks: bool,
    initial: bool,
    end: Instant,
    told: u64,
    /// Until a bookmark may be due, or the end. It and the next are kept, for to wait anew after each event costs more
    /// than the event.
    pause: BoxFuture<'static, ()>,
    /// Until the server stops.
    stopping: BoxFuture<'static, ()>,
    sent: Arc<Counter>,
}

/// What a watcher is told, and for how long.
pub struct Options {
    /// It wants bookmarks.
    pub bookmarks: bool,
    /// It wants to know when the state at the start was told.
    pub initial: bool,
    /// How long it lasts.
    pub timeout: Duration,
}

/// The frames of `watcher`. The stream ends with its time, when the watcher is cut, and when the server stops.
pub fn frames(
    server: Arc<Server>,
    watcher: Watcher,
    shaper: Shaper,
    options: &Options,
) -> impl Stream<Item = std::io::Result<Bytes>> + Send + use<> {
    let env = &server.handler.env;
    let end = env.clock.now() + options.timeout;
    let tasks = env.tasks.clone();
    let labels = [
        shaper.row.group,
        shaper.row.plural,
        shaper.row.versions[shaper.version].name,
    ];
    let state = State {
        bookmarks: options.bookmarks,
        initial: options.initial,
        end,
        told: 0,
        pause: pause(&server, end),
        stopping: Box::pin(async move { tasks.stopping().await }),
        sent: server.handler.metrics.watch_events.of(&labels).clone(),
        server,
        watcher,
        shaper,
    };
    stream::unfold(state, |mut state| async move {
        let batch = state.next().await?;
        Some((Ok(batch), state))
    })
}

/// Until a bookmark may be due, at most until `end`.
fn pause(server: &Server, end: Instant) -> BoxFuture<'static, ()> {
    let clock = server.handler.env.clock.clone();
    let until = end.min(clock.now() + BOOKMARKS);
    Box::pin(async move { clock.sleep_until(until).await })
}

impl State {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let item = self.wait().await?;
            let mut events = u64::from(matches!(item, Item::Event(..)));
            let first = self.show(item).await?;
            let mut batch = BytesMut::new();
            while first.len() + batch.len() < BATCH
                && let Some(item) = self.watcher.try_next()
            {
                events += u64::from(matches!(item, Item::Event(..)));
                let frame = self.show(item).await?;
                if batch.is_empty() {
                    batch.extend_from_slice(&first);
                }
                batch.extend_from_slice(&frame);
            }
            self.sent.add(events);
            // A frame that is alone is the one that all watchers share.
            let out = if batch.is_empty() { first } else { batch.freeze() };
            if !out.is_empty() {
                return Some(out);
            }
        }
    }

    /// The next item; a bookmark once in a while.
    async fn wait(&mut self) -> Option<Item> {
        loop {
            tokio::select! {
                biased;
                item = self.watcher.next() => return item,
                () = &mut self.stopping => return None,
                () = &mut self.pause => {}
            }
            if self.server.handler.env.clock.now() >= self.end {
                return None;
            }
            self.pause = pause(&self.server, self.end);
            if self.bookmarks {
                match self.watcher.bookmark() {
                    Err(item) => return Some(item),
                    Ok(revision) if revision > self.told => return Some(Item::Bookmark(revision)),
                    Ok(_) => {}
                }
            }
        }
    }

    /// The frame of an item, in the version that is watched; empty for what this watcher does not want to know.
    async fn show(&mut self, item: Item) -> Option<Bytes> {
        let handler = &self.server.handler;
        if !handler.ensure_item(&self.watcher, &item).await {
            return None;
        }
        Some(self.frame(item))
    }

    fn frame(&mut self, item: Item) -> Bytes {
        match item {
            Item::Event(kind, event) => {
                self.told = self.told.max(event.revision);
                let shaper = &self.shaper;
                let form = (shaper.shape, shaper.text);
                event.frame(kind, shaper.version, form, |held| shaper.frame(kind, held))
            }
            Item::InitialEnd(revision) if self.initial && self.bookmarks => {
                self.told = revision;
                self.shaper.bookmark(revision, true)
            }
            Item::InitialEnd(_) => Bytes::new(),
            Item::Bookmark(revision) => {
                self.told = revision;
                self.shaper.bookmark(revision, false)
            }
        }
    }
}
