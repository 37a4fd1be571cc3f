//! A watch as a stream of frames over HTTP.

use super::shape::Shaper;
use crate::{
    Server,
    cache::{Item, Watcher},
    local::BOOKMARKS,
};
use bytes::{Bytes, BytesMut};
use futures::{Stream, stream};
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
    let end = server.handler.env.clock.now() + options.timeout;
    let Options {
        bookmarks, initial, ..
    } = *options;
    let state = State {
        server,
        watcher,
        shaper,
        bookmarks,
        initial,
        end,
        told: 0,
    };
    stream::unfold(state, |mut state| async move {
        let batch = state.next().await?;
        Some((Ok(batch), state))
    })
}

impl State {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let item = self.wait().await?;
            let (mut batch, mut events) = (BytesMut::new(), u64::from(matches!(item, Item::Event(..))));
            self.show(item, &mut batch).await?;
            while batch.len() < BATCH
                && let Some(item) = self.watcher.try_next()
            {
                events += u64::from(matches!(item, Item::Event(..)));
                self.show(item, &mut batch).await?;
            }
            self.count(events);
            if !batch.is_empty() {
                return Some(batch.freeze());
            }
        }
    }

    fn count(&self, events: u64) {
        let row = self.shaper.row;
        let labels = [row.group, row.plural, row.versions[self.shaper.version].name];
        self.server.handler.metrics.watch_events.of(&labels).add(events);
    }

    /// The next item; a bookmark when nothing came for a while.
    async fn wait(&mut self) -> Option<Item> {
        loop {
            let clock = self.server.handler.env.clock.clone();
            let tasks = self.server.handler.env.tasks.clone();
            let bookmark = clock.now() + BOOKMARKS;
            tokio::select! {
                biased;
                item = self.watcher.next() => return item,
                () = tasks.stopping() => return None,
                () = clock.sleep_until(self.end.min(bookmark)) => {}
            }
            if clock.now() >= self.end {
                return None;
            }
            if self.bookmarks {
                match self.watcher.bookmark() {
                    Err(item) => return Some(item),
                    Ok(revision) if revision > self.told => return Some(Item::Bookmark(revision)),
                    Ok(_) => {}
                }
            }
        }
    }

    /// Puts an item into the batch, in the version that is watched.
    async fn show(&mut self, item: Item, batch: &mut BytesMut) -> Option<()> {
        let handler = &self.server.handler;
        if !handler.ensure_item(&self.watcher, &item).await {
            return None;
        }
        self.put(item, batch);
        Some(())
    }

    fn put(&mut self, item: Item, batch: &mut BytesMut) {
        match item {
            Item::Event(kind, event) => {
                self.told = self.told.max(event.revision);
                let shaper = &self.shaper;
                let form = (shaper.shape, shaper.text);
                let frame = event.frame(kind, shaper.version, form, |held| shaper.frame(kind, held));
                batch.extend_from_slice(&frame);
            }
            Item::InitialEnd(revision) => {
                if self.initial && self.bookmarks {
                    self.told = revision;
                    batch.extend_from_slice(&self.shaper.bookmark(revision, true));
                }
            }
            Item::Bookmark(revision) => {
                self.told = revision;
                batch.extend_from_slice(&self.shaper.bookmark(revision, false));
            }
        }
    }
}
