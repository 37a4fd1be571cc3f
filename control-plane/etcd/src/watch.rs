//! A watch is a cursor over the retained changes: it holds no queue, so a slow one costs nothing and is told
//! [`Error::Compacted`] when what it has not read is forgotten.

use crate::{
    Error, Event, Revision, WatchItem, WatchRequest,
    engine::{Core, Tip, load},
    segment::Found,
    state::{Change, contains},
};
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use std::sync::Arc;
use tokio::sync::watch::Receiver;

/// Events of one item; one more revision may come on top.
const ITEM_EVENTS: usize = 512;
/// Record bytes of one item, so that a slow reader never holds more.
const ITEM_BYTES: usize = 4 << 20;
/// Changes that are looked at while the lock is held.
const STEP: usize = 4096;

struct Cursor {
    core: Arc<Core>,
    tip: Receiver<Tip>,
    request: WatchRequest,
    /// All changes up to here were looked at.
    after: Revision,
    /// The newest revision that the reader knows of.
    told: Revision,
    ended: bool,
}

/// What a step over the changes found: events by their key, and how far it came.
struct Step {
    events: Vec<(Bytes, Revision, Option<Found>, Option<Found>)>,
    reached: Revision,
    visible: Revision,
}

pub(crate) fn watch(core: Arc<Core>, request: WatchRequest) -> BoxStream<'static, Result<WatchItem, Error>> {
    let tip = core.tip.subscribe();
    let after = if request.after == 0 {
        tip.borrow().revision
    } else {
        request.after
    };
    let cursor = Cursor {
        core,
        tip,
        request,
        after,
        told: after,
        ended: false,
    };
    stream::unfold(cursor, |mut cursor| async move {
        if cursor.ended {
            return None;
        }
        let item = cursor.next().await;
        cursor.ended = item.is_err();
        Some((item, cursor))
    })
    .boxed()
}

impl Cursor {
    async fn next(&mut self) -> Result<WatchItem, Error> {
        loop {
            let tip = *self.tip.borrow_and_update();
            let step = self.step()?;
            self.after = self.after.max(step.reached);
            if !step.events.is_empty() {
                self.told = self.after;
                return self.resolve(step.events).await.map(WatchItem::Events);
            }
            if self.after < step.visible {
                continue;
            }
            if self.request.progress && self.told < self.after {
                self.told = self.after;
                return Ok(WatchItem::Progress(self.after));
            }
            if tip.closed || self.tip.changed().await.is_err() {
                return Err(Error::Unavailable("the store is closed".to_owned()));
            }
        }
    }

    fn step(&self) -> Result<Step, Error> {
        let shared = self.core.read();
        let (state, visible) = (&shared.state, shared.visible);
        if self.after + 1 < shared.compacted {
            return Err(Error::Compacted(shared.compacted));
        }
        if let Some((_, last)) = state
            .lost()
            .iter()
            .find(|(from, last)| *from < self.after && self.after <= *last)
        {
            return Err(Error::Compacted(last + 1));
        }
        let mut step = Step {
            events: Vec::new(),
            reached: visible,
            visible,
        };
        let (mut bytes, mut current) = (0, self.after);
        for (looked, change) in state.changes_after(self.after).enumerate() {
            let Change { revision, key, .. } = change;
            if *revision > visible {
                break;
            }
            // Only whole revisions: stop where a new one begins.
            let full = looked >= STEP || step.events.len() >= ITEM_EVENTS || bytes >= ITEM_BYTES;
            if full && *revision > current {
                step.reached = current;
                break;
            }
            current = *revision;
            if !contains(&self.request.start, &self.request.end, key) {
                continue;
            }
            let Some((version, prev)) = state.versions(change) else {
                continue;
            };
            let prev = prev
                .filter(|_| self.request.prev)
                .map(|prev| shared.find(key, prev));
            bytes +=
                version.at.length as usize + prev.as_ref().map_or(0, |prev| prev.version.at.length as usize);
            let put = (!version.is_removal()).then(|| shared.find(key, version));
            step.events.push((key.clone(), *revision, put, prev));
        }
        Ok(step)
    }

    async fn resolve(
        &self,
        events: Vec<(Bytes, Revision, Option<Found>, Option<Found>)>,
    ) -> Result<Vec<Event>, Error> {
        let mut shape = Vec::with_capacity(events.len());
        let mut found = Vec::with_capacity(events.len());
        for (key, revision, put, prev) in events {
            shape.push((key, revision, put.is_some(), prev.is_some()));
            found.extend(put.into_iter().chain(prev));
        }
        let mut loaded = load(&self.core, found).await?.into_iter();
        let mut resolved = Vec::with_capacity(shape.len());
        for (key, revision, put, prev) in shape {
            let kv = if put { loaded.next() } else { None };
            let prev = if prev { loaded.next() } else { None };
            resolved.push(match kv {
                Some(kv) => Event::Put { kv, prev },
                None => Event::Delete { key, revision, prev },
            });
        }
        Ok(resolved)
    }
}
