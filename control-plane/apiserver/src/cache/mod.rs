//! The watch cache: per resource a persistent ordered map of objects and a ring of recent events.
//!
//! With our own store it is filled before a write is acknowledged, so that a read is never behind one. Reads never
//! decode: GET clones an `Arc`, LIST walks a snapshot, WATCH shares encoded frames.

mod event;
mod feed;
mod held;
mod mailbox;
mod selection;
#[cfg(test)]
pub(crate) mod stories;
mod watch;

pub use event::{Event, Include, Kind, Shape, Text};
pub use feed::{Feed, end_of};
pub use held::{Held, api_version};
pub use selection::Selection;
pub use watch::{Item, Watcher};

use api::{Object, ObjectError, Status};
use bytes::Bytes;
use imbl::OrdMap;
use resources::{Custom, Row};
use std::{
    collections::{BTreeMap, VecDeque},
    ops::Bound,
    sync::{Arc, PoisonError, RwLock},
};
use watch::{Start, Watchers};

/// Events kept, at most, and the bytes that they may hold.
const RING_EVENTS: usize = 16_384;
const RING_BYTES: usize = 24 << 20;

/// Objects by `namespace/name` (or `name`), in the order of the store's keys.
pub type Objects = OrdMap<Arc<str>, Held>;

/// A collection as it was at one revision. Taking and keeping one is cheap.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The objects.
    pub objects: Objects,
    /// The revision it is of.
    pub revision: u64,
}

type Hook = Box<dyn Fn(&Event) + Send + Sync>;

/// The cache of one resource.
pub struct Cache {
    /// The resource.
    pub row: &'static Row,
    feed: Arc<Feed>,
    /// What serves a custom resource now; changed only while the state is held.
    custom: RwLock<Option<Arc<Custom>>>,
    state: RwLock<State>,
    /// Sees each event before anyone else does.
    hook: std::sync::OnceLock<Hook>,
}

#[derive(Default)]
struct State {
    objects: Objects,
    ring: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Changes after this revision are in the ring.
    horizon: u64,
    /// Revision of the newest event.
    last: u64,
    /// What came while it is being filled; none when it is not.
    early: Option<Vec<Early>>,
    /// Older changes are in it already.
    filled: u64,
    watchers: Watchers,
    /// Stored values that cannot be read, by key, and why.
    unreadable: BTreeMap<String, String>,
}

/// A change that came too early: key, stored value, revision.
type Early = (String, Option<Bytes>, u64);

impl Cache {
    /// An empty cache.
    pub fn new(row: &'static Row, feed: Arc<Feed>) -> Self {
        Self {
            row,
            feed,
            custom: RwLock::default(),
            state: RwLock::default(),
            hook: std::sync::OnceLock::new(),
        }
    }

    /// An empty cache of a custom resource, which keeps what comes until it is filled.
    pub fn of_custom(custom: Arc<Custom>, feed: Arc<Feed>) -> Self {
        let state = State {
            early: Some(Vec::new()),
            ..State::default()
        };
        Self {
            row: custom.row,
            feed,
            custom: RwLock::new(Some(custom)),
            state: RwLock::new(state),
            hook: std::sync::OnceLock::new(),
        }
    }

    /// The definition that a custom resource has now; none for a built-in one.
    pub fn custom(&self) -> Option<Arc<Custom>> {
        self.custom.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads a stored value.
    pub fn held(&self, body: Bytes, revision: u64) -> Result<Held, ObjectError> {
        hold(self.row, self.custom().as_ref(), body, revision)
    }

    /// Takes another definition of the same row: all objects are read anew, and watches end.
    pub fn swap(&self, custom: Arc<Custom>) {
        self.write(|state| {
            let objects = state.objects.iter().filter_map(|(key, held)| {
                let revision = held.hub().resource_version();
                let held = hold(self.row, Some(&custom), held.stored().clone(), revision);
                Some((key.clone(), held.ok()?))
            });
            state.objects = objects.collect();
            state.forget_all();
            *self.custom.write().unwrap_or_else(PoisonError::into_inner) = Some(custom.clone());
        });
    }

    /// Takes over the objects of `before`, which served the same resource under another row, and ends its watches.
    pub(super) fn take_over(&self, before: &Self) {
        let custom = self.custom();
        before.write(|old| {
            self.write(|state| {
                let objects = old.objects.iter().filter_map(|(key, held)| {
                    let revision = held.hub().resource_version();
                    let held = hold(self.row, custom.as_ref(), held.stored().clone(), revision);
                    Some((key.clone(), held.ok()?))
                });
                state.objects = objects.collect();
                (state.last, state.horizon, state.filled) = (old.last, old.last, old.filled);
                state.early = old.early.take();
            });
            old.watchers.cut();
        });
    }

    /// Ends all watches.
    pub(super) fn close(&self) {
        self.write(|state| state.watchers.cut());
    }

    /// `namespace/name` or `name`: what follows the row's prefix in the store's key.
    pub fn suffix(row: &Row, namespace: &str, name: &str) -> String {
        if row.namespaced {
            format!("{namespace}/{name}")
        } else {
            name.to_owned()
        }
    }

    /// Sets the one hook that sees each event.
    pub fn set_hook(&self, hook: Hook) {
        let _ = self.hook.set(hook);
    }

    fn read<T>(&self, f: impl FnOnce(&State) -> T) -> T {
        f(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// One object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Held> {
        let key = Self::suffix(self.row, namespace, name);
        self.read(|state| state.objects.get(key.as_str()).cloned())
    }

    /// The collection now.
    pub fn snapshot(&self) -> Snapshot {
        // Read first: all events up to this revision are in the map that is read after it.
        let seen = self.feed.revision();
        self.read(|state| Snapshot {
            objects: state.objects.clone(),
            revision: seen.max(state.last),
        })
    }

    /// The collection as it was at `revision`; none when that is too long ago.
    pub fn snapshot_at(&self, revision: u64) -> Option<Snapshot> {
        self.read(|state| {
            if revision < state.horizon {
                return None;
            }
            let mut objects = state.objects.clone();
            for event in state
                .ring
                .iter()
                .rev()
                .take_while(|event| event.revision > revision)
            {
                match &event.old {
                    Some(old) => objects.insert(event.key.clone(), old.clone()),
                    None => objects.remove(&event.key),
                };
            }
            Some(Snapshot { objects, revision })
        })
    }

    /// Revision of the newest event.
    pub fn last(&self) -> u64 {
        self.read(|state| state.last)
    }

    /// The events after a revision, and the revision of the newest; none when that is too long ago.
    pub fn since(&self, after: u64) -> Option<(VecDeque<Arc<Event>>, u64)> {
        let known = |state: &State| (state.horizon..=state.last).contains(&after);
        self.read(|state| known(state).then(|| (state.since(after), state.last)))
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.read(|state| state.objects.len())
    }

    /// 500 if the object with that key (none: any object) is stored in a form that cannot be read: it is there, so that
    /// no answer may say that it is not.
    pub fn readable(&self, suffix: Option<&str>) -> Result<(), Status> {
        let found = self.read(|state| match suffix {
            Some(suffix) => state.unreadable.get_key_value(suffix).map(unreadable),
            None => state.unreadable.first_key_value().map(unreadable),
        });
        match found {
            None => Ok(()),
            Some((suffix, why)) => {
                let key = format!("{}/{suffix}", self.row.prefix);
                Err(Status::internal(format!(
                    "unable to transform key {key:?}: {why}"
                )))
            }
        }
    }

    /// Fills the cache with what the store held at `revision`; `broken` are the values that cannot be read.
    pub(super) fn fill(&self, objects: Objects, broken: BTreeMap<String, String>, revision: u64) {
        self.write(|state| {
            state.objects = objects;
            state.unreadable = broken;
            (state.last, state.filled) = (revision, revision);
            // What lies between was not seen: watchers must list again.
            state.forget_all();
            for (suffix, body, at) in state.early.take().into_iter().flatten() {
                if at <= revision {
                    continue;
                }
                match self.parse(self.custom().as_ref(), body, at) {
                    Ok(new) => self.enter(state, &suffix, new, at),
                    Err(why) => self.bar(state, &suffix, why),
                }
            }
        });
    }

    /// Reads the value of a change.
    fn parse(
        &self,
        custom: Option<&Arc<Custom>>,
        body: Option<Bytes>,
        revision: u64,
    ) -> Result<Option<Held>, ObjectError> {
        body.map(|body| hold(self.row, custom, body, revision))
            .transpose()
    }

    /// A change that cannot be read: the object stays as it was for those who watch, and cannot be read.
    fn bar(&self, state: &mut State, suffix: &str, why: ObjectError) {
        tracing::error!(resource = %self.row.gvr(), key = suffix, error = %why, "unreadable object in the store");
        state.unreadable.insert(suffix.to_owned(), why.to_string());
    }

    fn enter(&self, state: &mut State, suffix: &str, new: Option<Held>, revision: u64) {
        state.unreadable.remove(suffix);
        let event = state.apply(suffix, new, revision);
        if let (Some(event), Some(hook)) = (&event, self.hook.get()) {
            hook(event);
        }
        if let Some(event) = event {
            state.watchers.publish(self.row, &event);
        }
    }

    /// Takes in a change: `body` is the stored value, or none for a deletion.
    pub(super) fn apply(&self, suffix: &str, body: Option<Bytes>, revision: u64) {
        let custom = self.custom();
        let mut new = self.parse(custom.as_ref(), body.clone(), revision);
        self.write(|state| {
            if revision <= state.filled {
                return;
            }
            if let Some(early) = &mut state.early {
                early.push((suffix.to_owned(), body, revision));
                return;
            }
            let now = self.custom();
            if now.as_ref().map(Arc::as_ptr) != custom.as_ref().map(Arc::as_ptr) {
                new = self.parse(now.as_ref(), body, revision);
            }
            match new {
                Ok(new) => self.enter(state, suffix, new, revision),
                Err(why) => self.bar(state, suffix, why),
            }
        });
    }

    /// Starts a watch of `selection` in the served version `version`: everything after `after`, or, without it, the
    /// objects as they are and then what follows.
    pub fn watch(
        self: &Arc<Self>,
        selection: Selection,
        version: usize,
        after: Option<u64>,
    ) -> Result<Watcher, Status> {
        let seen = self.feed.revision();
        let (start, ticket, mailbox) = self.write(|state| {
            let start = match after {
                Some(after) if after < state.horizon => {
                    let message = format!("too old resource version: {after} ({})", state.horizon);
                    return Err(Status::expired(message));
                }
                Some(after) => Start::After(after, state.since(after)),
                None => Start::State(Snapshot {
                    objects: state.objects.clone(),
                    revision: seen.max(state.last),
                }),
            };
            let (ticket, mailbox) = state.watchers.register(self.row, &selection);
            Ok((start, ticket, mailbox))
        })?;
        Ok(Watcher::new(
            self.clone(),
            selection,
            version,
            ticket,
            mailbox,
            start,
        ))
    }

    /// Forgets all events, as a restart does.
    #[cfg(test)]
    pub fn forget_all(&self) {
        let revision = self.feed.revision();
        self.write(|state| {
            state.ring.clear();
            state.horizon = revision;
        });
    }

    pub(super) fn unregister(&self, ticket: &watch::Ticket) {
        self.write(|state| state.watchers.unregister(ticket));
    }

    /// The feed that fills it.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }
}

fn unreadable((suffix, why): (&String, &String)) -> (String, String) {
    (suffix.clone(), why.clone())
}

fn hold(
    row: &'static Row,
    custom: Option<&Arc<Custom>>,
    body: Bytes,
    revision: u64,
) -> Result<Held, ObjectError> {
    match custom {
        Some(custom) => Held::parse_custom(custom, body, revision),
        None => Held::parse(row, body, revision),
    }
}

impl Snapshot {
    /// The objects from the key `start` on, of one namespace (empty: all), in order.
    pub fn range<'a>(
        &'a self,
        row: &Row,
        namespace: &str,
        start: &str,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Held)> + use<'a> {
        let whole = !row.namespaced || namespace.is_empty();
        let prefix = if whole {
            String::new()
        } else {
            format!("{namespace}/")
        };
        let start: Arc<str> = if start > prefix.as_str() {
            start.into()
        } else {
            prefix.as_str().into()
        };
        let range = (Bound::Included(start), Bound::<Arc<str>>::Unbounded);
        self.objects
            .range(range)
            .take_while(move |(key, _)| key.starts_with(&prefix))
    }

    /// The stored forms of the objects of a namespace (empty: all).
    pub fn hubs(&self, row: &Row, namespace: &str) -> Vec<Arc<Object>> {
        self.range(row, namespace, "")
            .map(|(_, held)| held.hub().clone())
            .collect()
    }
}

impl State {
    fn apply(&mut self, suffix: &str, new: Option<Held>, revision: u64) -> Option<Arc<Event>> {
        let key: Arc<str> = match self.objects.get_key_value(suffix) {
            Some((key, _)) => key.clone(),
            None => suffix.into(),
        };
        let old = match &new {
            Some(held) => self.objects.insert(key.clone(), held.clone()),
            None => self.objects.remove(&key),
        };
        if new.is_none() && old.is_none() {
            return None;
        }
        let event = Arc::new(Event::new(revision, key, new, old));
        self.bytes += event.size();
        self.last = revision;
        self.ring.push_back(event.clone());
        while self.ring.len() > RING_EVENTS || (self.bytes > RING_BYTES && self.ring.len() > 1) {
            self.forget_oldest();
        }
        Some(event)
    }

    /// Forgets the events: who watches must list again.
    fn forget_all(&mut self) {
        self.ring.clear();
        self.bytes = 0;
        self.horizon = self.last;
        self.watchers.cut();
    }

    fn forget_oldest(&mut self) {
        if let Some(event) = self.ring.pop_front() {
            self.bytes -= event.size();
            self.horizon = event.revision;
        }
    }

    /// The events after a revision.
    fn since(&self, after: u64) -> VecDeque<Arc<Event>> {
        let first = self.ring.partition_point(|event| event.revision <= after);
        self.ring.range(first..).cloned().collect()
    }
}
