//! Watchers: who is told of which event.

use super::{Cache, Event, Kind, Selection, Snapshot, mailbox::Mailbox};
use api::Status;
use resources::Row;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// Where a watcher is indexed, so that an event finds only those that may want it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Object(Arc<str>),
    Trigger(String),
    Namespace(String),
    All,
}

/// What unregisters a watcher.
#[derive(Debug)]
pub struct Ticket {
    place: Place,
    number: u64,
}

/// A watcher's number and its mailbox.
type Registered = (u64, Arc<Mailbox>);

#[derive(Default)]
pub(super) struct Watchers {
    places: HashMap<Place, Vec<Registered>>,
    next: u64,
}

impl Watchers {
    pub(super) fn register(&mut self, row: &Row, selection: &Selection) -> (Ticket, Arc<Mailbox>) {
        let place = if let Some(key) = selection.only(row) {
            Place::Object(key.into())
        } else if let Some(value) = selection.trigger(row) {
            Place::Trigger(value.to_owned())
        } else if row.namespaced && !selection.namespace.is_empty() {
            Place::Namespace(selection.namespace.clone())
        } else {
            Place::All
        };
        let mailbox = Arc::<Mailbox>::default();
        self.next += 1;
        self.places
            .entry(place.clone())
            .or_default()
            .push((self.next, mailbox.clone()));
        (
            Ticket {
                place,
                number: self.next,
            },
            mailbox,
        )
    }

    pub(super) fn unregister(&mut self, ticket: &Ticket) {
        if let Some(list) = self.places.get_mut(&ticket.place) {
            list.retain(|(number, _)| *number != ticket.number);
            if list.is_empty() {
                self.places.remove(&ticket.place);
            }
        }
    }

    /// Ends all watches.
    pub(super) fn cut(&mut self) {
        let mut cut: Vec<_> = std::mem::take(&mut self.places).into_values().flatten().collect();
        cut.sort_by_key(|(number, _)| *number);
        cut.iter().for_each(|(_, mailbox)| mailbox.close());
    }

    pub(super) fn publish(&mut self, row: &Row, event: &Arc<Event>) {
        let sides = [event.old.as_ref(), event.new.as_ref()];
        let trigger = |index: usize| sides.map(|side| side.map(|held| held.hub().field(index)));
        if let Some(index) = row.trigger {
            let [old, new] = trigger(index);
            if let Some(old) = old.filter(|old| Some(*old) != new) {
                self.tell(&Place::Trigger(old.to_owned()), event);
            }
            if let Some(new) = new {
                self.tell(&Place::Trigger(new.to_owned()), event);
            }
        }
        if row.namespaced
            && let Some((namespace, _)) = event.key.split_once('/')
        {
            self.tell(&Place::Namespace(namespace.to_owned()), event);
        }
        self.tell(&Place::Object(event.key.clone()), event);
        self.tell(&Place::All, event);
    }

    fn tell(&mut self, place: &Place, event: &Arc<Event>) {
        // A watcher that does not keep up gets what waits for it, then its stream ends.
        if let Some(list) = self.places.get_mut(place) {
            list.retain(|(_, mailbox)| mailbox.put(event));
        }
    }
}

/// What a watcher yields.
#[derive(Debug)]
pub enum Item {
    /// An event to show.
    Event(Kind, Arc<Event>),
    /// The objects that were there at the start were told; the state is of this revision.
    InitialEnd(u64),
    /// Nothing happened up to this revision; made by who forwards the watch.
    Bookmark(u64),
}

/// What a watch starts with.
pub(super) enum Start {
    /// The events after a revision.
    After(u64, VecDeque<Arc<Event>>),
    /// The state.
    State(Snapshot),
}

/// The objects of a snapshot that are wanted, as additions.
fn told(row: &'static Row, selection: &Selection, snapshot: &Snapshot) -> VecDeque<Arc<Event>> {
    let wanted = snapshot
        .range(row, &selection.namespace, "")
        .filter(|(_, h)| selection.matches(row, h.hub()));
    let told = |(key, held): (&Arc<str>, &super::Held)| {
        Arc::new(Event::new(
            held.hub().resource_version(),
            key.clone(),
            Some(held.clone()),
            None,
        ))
    };
    wanted.map(told).collect()
}

/// What an event is to who wants the objects that match: entering the selection is an addition, leaving it a deletion.
fn kind(event: &Event, matches: impl Fn(&super::Held) -> bool) -> Option<Kind> {
    let matched = |held: &Option<super::Held>| held.as_ref().is_some_and(&matches);
    match (matched(&event.old), matched(&event.new)) {
        (false, true) => Some(Kind::Added),
        (true, true) => Some(Kind::Modified),
        (true, false) => Some(Kind::Deleted),
        (false, false) => None,
    }
}

/// A watch in progress.
pub struct Watcher {
    cache: Arc<Cache>,
    selection: Selection,
    /// The served version that is wanted.
    pub version: usize,
    ticket: Ticket,
    mailbox: Arc<Mailbox>,
    /// What was taken out of the mailbox, or what the watch started with.
    backlog: VecDeque<Arc<Event>>,
    /// The backlog is the state at the start, not events.
    initial: bool,
    from: u64,
}

impl Watcher {
    pub(super) fn new(
        cache: Arc<Cache>,
        selection: Selection,
        version: usize,
        ticket: Ticket,
        mailbox: Arc<Mailbox>,
        start: Start,
    ) -> Self {
        let (backlog, initial, from) = match start {
            Start::After(after, events) => (events, false, after),
            Start::State(snapshot) => (told(cache.row, &selection, &snapshot), true, snapshot.revision),
        };
        Self {
            cache,
            selection,
            version,
            ticket,
            mailbox,
            backlog,
            initial,
            from,
        }
    }

    /// What is watched.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Which objects are watched.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// A watch of the same from now on.
    pub fn another(&self) -> Result<Self, Status> {
        let now = self.cache.feed().revision();
        self.cache.watch(self.selection.clone(), self.version, Some(now))
    }

    /// The next item; none when the watcher was cut or the cache was filled anew.
    pub async fn next(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.waiting() {
                return Some(item);
            }
            if !self.mailbox.take(&mut self.backlog).await {
                return None;
            }
        }
    }

    /// The next item, if one is there now.
    pub fn try_next(&mut self) -> Option<Item> {
        self.waiting().or_else(|| {
            self.mailbox.take_now(&mut self.backlog);
            self.waiting()
        })
    }

    fn waiting(&mut self) -> Option<Item> {
        while let Some(event) = self.backlog.pop_front() {
            if self.initial {
                return Some(Item::Event(Kind::Added, event));
            }
            if let Some(item) = self.wanted(event) {
                return Some(item);
            }
        }
        std::mem::take(&mut self.initial).then_some(Item::InitialEnd(self.from))
    }

    /// What the event is to this watcher.
    fn wanted(&self, event: Arc<Event>) -> Option<Item> {
        if event.revision <= self.from {
            return None;
        }
        let row = self.cache.row;
        let kind = kind(&event, |held| self.selection.matches(row, held.hub()))?;
        Some(Item::Event(kind, event))
    }

    /// What an event is by all that is selected by, when the objects have the form of the watched version.
    pub fn kind(&self, event: &Event) -> Option<Kind> {
        kind(event, |held| self.selection.wants(self.cache.row, held))
    }

    /// The revision up to which nothing more can come, if nothing waits now.
    pub fn bookmark(&mut self) -> Result<u64, Item> {
        // Read first: all events up to this revision are in the mailbox by now.
        let revision = self.cache.feed().revision().max(self.from);
        self.try_next().map_or(Ok(revision), Err)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.cache.unregister(&self.ticket);
    }
}
