//! A watch is a cursor over the retained changes: it holds no queue, so a slow one costs nothing and is told
//! [`Error::Compacted`] when what it has not read is forgotten. Those of one range that are equally far share what the first
//! of them found.

use crate::{
    Error, Event, Revision, WatchItem, WatchRequest,
    engine::{Core, Shared, Tip, hold, load},
    segment::Found,
    state::{Change, contains},
};
use bytes::Bytes;
use futures::{StreamExt, stream, stream::BoxStream};
use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
};
use tokio::sync::watch::Receiver;

/// Events of one item; one more revision may come on top.
const ITEM_EVENTS: usize = 512;
/// Record bytes of one item, so that a slow reader never holds more.
const ITEM_BYTES: usize = 4 << 20;
/// Changes that are looked at while the lock is held.
const STEP: usize = 4096;
/// What was found last that is kept for others, and of how many bytes at most.
const SHARED: usize = 16;
const SHARED_BYTES: usize = 256 << 10;

/// An item of a watch, as [`WatchItem`], whose events may be those of other watches too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SharedItem {
    /// Changes of one or more whole revisions.
    Events(Arc<SharedEvents>),
    /// Everything up to this revision was delivered.
    Progress(Revision),
}

/// Events that all watches have got who watch the same range, ask alike for what was before, and were equally far. Most of
/// 100 watches of one range get the very same one, in whatever connections they are, so that it need be encoded once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SharedEvents {
    events: Vec<Event>,
    encoded: OnceLock<Bytes>,
}

impl SharedEvents {
    /// The events.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// The revision up to which they go.
    pub fn revision(&self) -> Revision {
        self.events.last().map_or(0, Event::revision)
    }

    /// What `encode` made of all the events when this was called first: always call it with the same one. Such as the bytes
    /// of the field `events` of a `WatchResponse`: behind those of its header and `watch_id`, which are each watch's own,
    /// they make the message, since the order of fields is free.
    pub fn encoded(&self, encode: impl FnOnce(&[Event]) -> Bytes) -> &Bytes {
        self.encoded.get_or_init(|| encode(&self.events))
    }
}

impl From<SharedItem> for WatchItem {
    fn from(item: SharedItem) -> Self {
        match item {
            SharedItem::Events(shared) => Self::Events(match Arc::try_unwrap(shared) {
                Ok(own) => own.events,
                Err(shared) => shared.events.clone(),
            }),
            SharedItem::Progress(revision) => Self::Progress(revision),
        }
    }
}

/// What a watch of this range found that was so far.
struct Looked {
    start: Bytes,
    end: Bytes,
    prev: bool,
    after: Revision,
    reached: Revision,
    events: Option<Arc<SharedEvents>>,
}

/// What watches found last.
#[derive(Default)]
pub(crate) struct Shown(VecDeque<Looked>);

impl Shown {
    fn find(&self, request: &WatchRequest, after: Revision) -> Option<&Looked> {
        let mut all = self.0.iter().rev();
        all.find(|found| {
            found.after == after
                && found.prev == request.prev
                && found.start == request.start
                && found.end == request.end
        })
    }

    fn keep(&mut self, found: Looked) {
        if self.0.len() >= SHARED {
            self.0.pop_front();
        }
        self.0.push_back(found);
    }
}

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
    /// Bytes of their records.
    bytes: usize,
}

pub(crate) fn watch(core: Arc<Core>, request: WatchRequest) -> BoxStream<'static, Result<SharedItem, Error>> {
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
    async fn next(&mut self) -> Result<SharedItem, Error> {
        loop {
            let tip = *self.tip.borrow_and_update();
            if self.after < tip.revision {
                let (events, reached) = self.look().await?;
                self.after = self.after.max(reached);
                if let Some(events) = events {
                    self.told = self.after;
                    return Ok(SharedItem::Events(events));
                }
                continue;
            }
            self.check(&self.core.read())?;
            if self.request.progress && self.told < self.after {
                self.told = self.after;
                return Ok(SharedItem::Progress(self.after));
            }
            if tip.closed || self.tip.changed().await.is_err() {
                return Err(Error::Unavailable("the store is closed".to_owned()));
            }
        }
    }

    /// The next events, if there are some, and how far they go: by a look, or by what another one found.
    async fn look(&self) -> Result<(Option<Arc<SharedEvents>>, Revision), Error> {
        self.check(&self.core.read())?;
        if let Some(found) = hold(&self.core.shown).find(&self.request, self.after) {
            return Ok((found.events.clone(), found.reached));
        }
        let Step {
            events,
            reached,
            bytes,
        } = self.step()?;
        let events = match events.is_empty() {
            true => None,
            false => Some(Arc::new(SharedEvents {
                events: self.resolve(events).await?,
                encoded: OnceLock::new(),
            })),
        };
        if bytes <= SHARED_BYTES && reached > self.after {
            hold(&self.core.shown).keep(Looked {
                start: self.request.start.clone(),
                end: self.request.end.clone(),
                prev: self.request.prev,
                after: self.after,
                reached,
                events: events.clone(),
            });
        }
        Ok((events, reached))
    }

    /// An error if what comes next is forgotten.
    fn check(&self, shared: &Shared) -> Result<(), Error> {
        if self.after + 1 < shared.compacted {
            return Err(Error::Compacted(shared.compacted));
        }
        let mut lost = shared.state.lost().iter();
        match lost.find(|(from, last)| *from < self.after && self.after <= *last) {
            Some((_, last)) => Err(Error::Compacted(last + 1)),
            None => Ok(()),
        }
    }

    fn step(&self) -> Result<Step, Error> {
        let shared = self.core.read();
        let (state, visible) = (&shared.state, shared.visible);
        self.check(&shared)?;
        let mut step = Step {
            events: Vec::new(),
            reached: visible,
            bytes: 0,
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
        step.bytes = bytes;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Durability, Engine, Op, Store, TxnRequest};
    use component::Env;

    #[tokio::test]
    async fn watches_of_one_range_share_what_they_get_and_others_do_not() {
        let store = Engine::in_memory(Env::system()).unwrap();
        let range = |start: &'static str, end: &'static str, prev| WatchRequest {
            start: Bytes::from_static(start.as_bytes()),
            end: Bytes::from_static(end.as_bytes()),
            prev,
            ..WatchRequest::default()
        };
        let mut watches: Vec<_> = [
            range("a", "b", false),
            range("a", "b", false),
            range("a", "b", true),
            range("a", "a2", false),
        ]
        .map(|request| store.watch_shared(request))
        .into();
        for (key, turn) in [("a1", 1), ("a3", 2), ("a1", 3)] {
            let write = TxnRequest {
                key: Bytes::from_static(key.as_bytes()),
                expect: None,
                op: Op::Put {
                    value: Bytes::from_static(b"v"),
                    lease: 0,
                },
                durability: Durability::Durable,
            };
            store.txn(write).await.unwrap();
            let mut got = Vec::new();
            // The last sees only one of the keys.
            for watch in watches.iter_mut().take(if turn == 2 { 3 } else { 4 }) {
                match watch.next().await.unwrap().unwrap() {
                    SharedItem::Events(events) => got.push(events),
                    SharedItem::Progress(_) => panic!("none asked"),
                }
            }
            assert!(Arc::ptr_eq(&got[0], &got[1]));
            assert!(got[2..].iter().all(|other| !Arc::ptr_eq(&got[0], other)));
            for events in &got {
                assert_eq!(events.revision(), turn);
                assert_eq!(events.events().len(), 1);
            }
            let encode = |events: &[Event]| Bytes::from(format!("{}", events.len()));
            assert_eq!(got[0].encoded(encode), "1");
            assert_eq!(got[1].encoded(|_| panic!("it is there")), "1");
            let Event::Put { prev, .. } = &got[2].events()[0] else {
                panic!("it was put");
            };
            assert_eq!(prev.is_some(), turn == 3);
        }
        store.close().await;
    }
}
