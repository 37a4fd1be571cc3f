//! Makes the frames of one watch.

use super::super::shape::Shaper;
use crate::{
    Server,
    cache::{Item, Watcher},
    local::BOOKMARKS,
};
use bytes::{Bytes, BytesMut};
use component::metrics::Counter;
use futures::future::BoxFuture;
use std::sync::Arc;
use tokio::time::Instant;

/// Frames that are there together go out together, up to this size.
pub const BATCH: usize = 64 << 10;

/// Frames that go out together, each with the revision that it tells of; none is empty.
#[derive(Debug, Default)]
pub struct Batch {
    frames: Vec<(u64, Bytes)>,
    /// How many of them are events.
    pub events: u64,
}

impl Batch {
    /// Frames in order.
    #[cfg(test)]
    pub fn new(frames: Vec<(u64, Bytes)>) -> Self {
        let events = frames.len() as u64;
        Self { frames, events }
    }

    /// The frames that tell of revisions after `from`, in one piece: one that is alone is shared by all who watch.
    pub fn after(&self, from: u64) -> Bytes {
        let first = self.frames.partition_point(|(revision, _)| *revision <= from);
        joined(self.frames[first..].iter().map(|(_, frame)| frame))
    }

    /// The revisions of its first and last frame.
    pub fn revisions(&self) -> Option<(u64, u64)> {
        Some((self.frames.first()?.0, self.frames.last()?.0))
    }
}

/// Pieces as one.
pub fn joined<'a>(mut pieces: impl Iterator<Item = &'a Bytes> + Clone) -> Bytes {
    let size = pieces.clone().map(Bytes::len).sum();
    let Some(first) = pieces.next() else {
        return Bytes::new();
    };
    if first.len() == size {
        return first.clone();
    }
    let mut out = BytesMut::with_capacity(size);
    out.extend_from_slice(first);
    pieces.for_each(|piece| out.extend_from_slice(piece));
    out.freeze()
}

/// What is told of a watch.
pub struct Teller {
    /// The server.
    pub server: Arc<Server>,
    /// Where events come from.
    pub watcher: Watcher,
    /// How they are written.
    pub shaper: Shaper,
    /// Whether bookmarks are wanted.
    pub bookmarks: bool,
    /// Whether it is to be told when the state at the start was told.
    initial: bool,
    /// When it ends, if that is known.
    pub end: Option<Instant>,
    told: u64,
    /// What is to be told before all that waits.
    ahead: Option<Item>,
    /// Until a bookmark may be due, or the end. It and the next are kept, for to wait anew after each event costs more
    /// than the event.
    pause: BoxFuture<'static, ()>,
    /// Until the server stops.
    stopping: BoxFuture<'static, ()>,
    /// Counts the events that are sent.
    pub sent: Arc<Counter>,
}

impl Teller {
    /// Tells what `watcher` sees, until `end`.
    pub fn new(
        server: Arc<Server>,
        watcher: Watcher,
        shaper: Shaper,
        (bookmarks, initial): (bool, bool),
        end: Option<Instant>,
    ) -> Self {
        let tasks = server.handler.env.tasks.clone();
        let labels = [
            shaper.row.group,
            shaper.row.plural,
            shaper.row.versions[shaper.version].name,
        ];
        Self {
            bookmarks,
            initial,
            end,
            told: 0,
            ahead: None,
            pause: pause(&server, end),
            stopping: Box::pin(async move { tasks.stopping().await }),
            sent: server.handler.metrics.watch_events.of(&labels).clone(),
            server,
            watcher,
            shaper,
        }
    }

    /// The revision up to which all is told; none if something waits.
    pub fn current(&mut self) -> Option<u64> {
        if self.ahead.is_some() {
            return None;
        }
        self.watcher
            .bookmark()
            .map_err(|item| self.ahead = Some(item))
            .ok()
    }

    /// What comes next, with all that is there; none at the end.
    pub async fn next(&mut self) -> Option<Batch> {
        loop {
            let mut batch = Batch::default();
            let mut item = Some(self.wait().await?);
            let mut size = 0;
            while let Some(next) = item {
                let event = matches!(next, Item::Event(..));
                let (revision, frame) = self.show(next).await?;
                if !frame.is_empty() {
                    batch.events += u64::from(event);
                    size += frame.len();
                    batch.frames.push((revision, frame));
                }
                item = if size < BATCH {
                    self.watcher.try_next()
                } else {
                    None
                };
            }
            if !batch.frames.is_empty() {
                return Some(batch);
            }
        }
    }

    /// The next item; a bookmark once in a while.
    async fn wait(&mut self) -> Option<Item> {
        if let Some(item) = self.ahead.take() {
            return Some(item);
        }
        loop {
            tokio::select! {
                biased;
                item = self.watcher.next() => return item,
                () = &mut self.stopping => return None,
                () = &mut self.pause => {}
            }
            if self
                .end
                .is_some_and(|end| self.server.handler.env.clock.now() >= end)
            {
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

    /// The frame of an item, in the version that is watched, and the revision that it tells of; empty for what this
    /// watcher does not want to know.
    async fn show(&mut self, item: Item) -> Option<(u64, Bytes)> {
        let handler = &self.server.handler;
        let item = handler.ensure_item(&self.watcher, item).await.ok()?;
        let frame = item.map_or_else(Bytes::new, |item| self.frame(item));
        Some((self.told, frame))
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

/// Until a bookmark may be due, at most until `end`.
fn pause(server: &Server, end: Option<Instant>) -> BoxFuture<'static, ()> {
    let clock = server.handler.env.clock.clone();
    let bookmark = clock.now() + BOOKMARKS;
    let until = end.map_or(bookmark, |end| end.min(bookmark));
    Box::pin(async move { clock.sleep_until(until).await })
}
