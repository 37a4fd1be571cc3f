//! The engine: objects and quotas in, writes of what is used out.

use api::{
    Gvr, Key, Object,
    quota::{self, Amounts, Item, Quota, Spec, Status},
};
use jiff::{SignedDuration, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// So long nobody may have written a quota before what is used is taken down to what is there: longer than a create
/// takes from its admission to its being seen.
const QUIET: Duration = Duration::from_secs(10);
/// After so long a write that failed is tried again, and what is there without having been charged is added: the
/// quota may be seen later than the object.
const SOON: Duration = Duration::from_secs(1);

/// Why a quota is looked at again although nothing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Why {
    /// It says less than there is, or a write failed.
    Short,
    /// It says more than there is.
    Long,
    /// The time of a pod is over.
    Over,
}

/// The objects of a resource, and the version that they were seen at.
pub(super) type Listed = (Gvr, u64, Vec<Arc<Object>>);

/// What the engine hears.
#[derive(Debug)]
pub(super) enum Event {
    /// A quota is there, at this version.
    Quota(Arc<Object>),
    /// A quota is gone.
    QuotaGone(Key),
    /// An object is there.
    Seen(Gvr, Arc<Object>),
    /// An object is gone.
    Gone(Gvr, Arc<Object>),
    /// The answer to [`Effect::List`].
    Listed(Key, Vec<Listed>),
    /// The answer to [`Effect::Wait`].
    Late(Key, u64, Why),
    /// The answer to [`Effect::Write`]: whether it was done.
    Written(Key, bool),
    /// These resources can be counted.
    Served(Vec<Gvr>),
}

/// What the engine wants.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    /// List all objects of these resources in the quota's namespace.
    List(Key, Vec<Gvr>),
    /// Write the status of the quota, if it is still at that version.
    Write(Key, Arc<Object>, Status),
    /// Tell after a while that the quota was at that version.
    Wait(Key, u64, Why, Duration),
}

/// What an object adds to a quota.
#[derive(Debug)]
struct Part {
    uid: String,
    version: u64,
    usage: Arc<Amounts>,
    /// When it will use less by itself.
    until: Option<Timestamp>,
}

/// A quota and what is known of its namespace.
#[derive(Debug)]
struct Held {
    object: Arc<Object>,
    quota: Quota,
    parts: BTreeMap<(Gvr, String), Part>,
    /// What the objects use that are there.
    sum: Amounts,
    /// What went and is not yet taken off.
    owed: Amounts,
    /// Whether all objects are known.
    counted: bool,
    /// What of `owed` is being written off.
    writing: Option<Amounts>,
    /// The versions that were listed: what is not newer is known.
    floors: BTreeMap<Gvr, u64>,
    /// What is waited for.
    waits: BTreeSet<(u64, Why)>,
}

/// All quotas.
#[derive(Debug, Default)]
pub(super) struct Engine {
    quotas: BTreeMap<Key, Held>,
    /// Namespaces that have quotas, and how many.
    namespaces: BTreeMap<String, usize>,
    served: BTreeSet<Gvr>,
}

impl Engine {
    /// Takes an event in.
    pub fn on(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        match event {
            Event::Quota(object) => self.quota(object, now),
            Event::QuotaGone(key) => {
                if self.quotas.remove(&key).is_some() {
                    self.leave(&key.namespace);
                }
                Vec::new()
            }
            Event::Seen(gvr, object) => self.change(&gvr, &object, true, now),
            Event::Gone(gvr, object) => self.change(&gvr, &object, false, now),
            Event::Listed(key, objects) => self.listed(&key, objects, now),
            Event::Late(key, version, why) => self.late(&key, version, why, now),
            Event::Written(key, done) => self.written(&key, done, now),
            Event::Served(served) => {
                self.served = served.into_iter().collect();
                let keys: Vec<Key> = self.quotas.keys().cloned().collect();
                keys.iter().filter_map(|key| self.list(key)).collect()
            }
        }
    }

    fn leave(&mut self, namespace: &str) {
        if let Some(count) = self.namespaces.get_mut(namespace) {
            *count -= 1;
            if *count == 0 {
                self.namespaces.remove(namespace);
            }
        }
    }

    fn quota(&mut self, object: Arc<Object>, now: Timestamp) -> Vec<Effect> {
        let (Some(quota), key) = (Quota::new(&object), object.key()) else {
            return Vec::new();
        };
        match self.quotas.get_mut(&key) {
            Some(held) if held.object.uid() == object.uid() && held.quota.spec == quota.spec => {
                if object.resource_version() > held.object.resource_version() {
                    (held.object, held.quota) = (object, quota);
                }
                self.settle(&key, now)
            }
            known => {
                if known.is_none() {
                    *self.namespaces.entry(key.namespace.clone()).or_default() += 1;
                }
                let held = Held {
                    object,
                    quota,
                    parts: BTreeMap::new(),
                    sum: Amounts::new(),
                    owed: Amounts::new(),
                    counted: false,
                    writing: None,
                    floors: BTreeMap::new(),
                    waits: BTreeSet::new(),
                };
                self.quotas.insert(key.clone(), held);
                self.list(&key).into_iter().collect()
            }
        }
    }

    /// Asks for all objects that may count.
    fn list(&mut self, key: &Key) -> Option<Effect> {
        let held = self.quotas.get_mut(key)?;
        held.counted = false;
        let spec = &held.quota.spec;
        let may = |gvr: &&Gvr| {
            spec.hard
                .keys()
                .any(|name| quota::tracks(&gvr.group, &gvr.resource, name))
        };
        Some(Effect::List(
            key.clone(),
            self.served.iter().filter(may).cloned().collect(),
        ))
    }

    fn listed(&mut self, key: &Key, lists: Vec<Listed>, now: Timestamp) -> Vec<Effect> {
        let Some(held) = self.quotas.get_mut(key) else {
            return Vec::new();
        };
        held.parts.clear();
        held.sum.clear();
        held.floors.clear();
        for (gvr, version, objects) in lists {
            for object in objects {
                held.set(&gvr, &object, true, now);
            }
            held.floors.insert(gvr, version);
        }
        held.owed.clear();
        held.counted = true;
        self.settle(key, now)
    }

    fn change(&mut self, gvr: &Gvr, object: &Object, there: bool, now: Timestamp) -> Vec<Effect> {
        if !self.namespaces.contains_key(object.namespace()) || quota::is_ignored(&gvr.group, &gvr.resource) {
            return Vec::new();
        }
        let first = Key::new(object.namespace(), "");
        let own = self
            .quotas
            .range_mut(first..)
            .take_while(|(key, _)| key.namespace == object.namespace());
        let changed = own.filter_map(|(key, held)| {
            (held.counted && held.set(gvr, object, there, now)).then(|| key.clone())
        });
        let changed: Vec<Key> = changed.collect();
        changed.iter().flat_map(|key| self.settle(key, now)).collect()
    }

    /// What is used is written as it must be now, or looked at again later.
    fn settle(&mut self, key: &Key, now: Timestamp) -> Vec<Effect> {
        let Some(held) = self.quotas.get_mut(key) else {
            return Vec::new();
        };
        if !held.counted || held.writing.is_some() || held.object.deletion_timestamp().is_some() {
            return Vec::new();
        }
        let status = held.status(&self.served, false);
        let known = &held.quota.status;
        let owed = held.owed.values().any(|quantity| !quantity.is_zero());
        let fresh = status.hard != known.hard || !status.used.keys().eq(known.used.keys());
        if status != *known && (owed || fresh) {
            return vec![held.write(key, status)];
        }
        held.owed.clear();
        let over = held.parts.values().filter_map(|part| part.until).min();
        let over = over.and_then(|over| Duration::try_from(over.duration_since(now)).ok());
        let mut effects = Vec::new();
        if status != *known {
            effects.extend(held.wait(key, Why::Short, SOON));
        }
        if held.status(&self.served, true) != status {
            effects.extend(held.wait(key, Why::Long, QUIET));
        }
        effects.extend(over.and_then(|after| held.wait(key, Why::Over, after)));
        effects
    }

    fn late(&mut self, key: &Key, version: u64, why: Why, now: Timestamp) -> Vec<Effect> {
        let Some(held) = self.quotas.get_mut(key) else {
            return Vec::new();
        };
        held.waits.remove(&(version, why));
        if held.object.resource_version() != version || !held.counted || held.writing.is_some() {
            return Vec::new();
        }
        if why == Why::Over {
            return self.list(key).into_iter().collect();
        }
        let status = held.status(&self.served, why == Why::Long);
        if status != held.quota.status {
            return vec![held.write(key, status)];
        }
        self.settle(key, now)
    }

    fn written(&mut self, key: &Key, done: bool, now: Timestamp) -> Vec<Effect> {
        let Some(held) = self.quotas.get_mut(key) else {
            return Vec::new();
        };
        let writing = held.writing.take().unwrap_or_default();
        if done {
            return self.settle(key, now);
        }
        quota::add(&mut held.owed, &writing);
        // The same again would fail again: another version must be seen, or some time pass.
        held.wait(key, Why::Short, SOON).into_iter().collect()
    }
}

impl Held {
    fn write(&mut self, key: &Key, status: Status) -> Effect {
        self.writing = Some(std::mem::take(&mut self.owed));
        Effect::Write(key.clone(), self.object.clone(), status)
    }

    /// None if it is waited for already.
    fn wait(&mut self, key: &Key, why: Why, after: Duration) -> Option<Effect> {
        let version = self.object.resource_version();
        let new = self.waits.insert((version, why));
        new.then(|| Effect::Wait(key.clone(), version, why, after))
    }

    /// Notes what an object adds now. Whether that is something else than before.
    fn set(&mut self, gvr: &Gvr, object: &Object, there: bool, now: Timestamp) -> bool {
        let place = (gvr.clone(), object.name().to_owned());
        let part = if there { self.part(gvr, object, now) } else { None };
        let before = self.parts.get(&place);
        let version = object.resource_version();
        let known = before.is_some_and(|part| match part.uid == object.uid() {
            true => there && part.version >= version,
            false => !there,
        });
        if known || (there && self.floors.get(gvr).is_some_and(|floor| version <= *floor)) {
            return false;
        }
        let nothing = Amounts::new();
        let old = before.map_or(&nothing, |part| &*part.usage);
        let new = part.as_ref().map_or(&nothing, |part| &*part.usage);
        let changed = old != new;
        if changed {
            let less = positive(&quota::subtract(old, new));
            quota::add(&mut self.owed, &less);
            let mut sum = self.sum.clone();
            quota::add(&mut sum, new);
            self.sum = quota::subtract(&sum, old);
        }
        match part {
            Some(part) => self.parts.insert(place, part),
            None => self.parts.remove(&place),
        };
        changed
    }

    fn part(&self, gvr: &Gvr, object: &Object, now: Timestamp) -> Option<Part> {
        let Spec { hard, .. } = &self.quota.spec;
        let tracked = |name: &str| hard.contains_key(name) && quota::tracks(&gvr.group, &gvr.resource, name);
        if !hard.keys().any(|name| tracked(name)) {
            return None;
        }
        let item = Item::new(&gvr.group, &gvr.resource, object)?;
        if !self.quota.terms().iter().all(|term| item.is_within(term)) {
            return None;
        }
        let usage = positive(&quota::mask(&item.usage(now), tracked));
        // Most objects of a namespace use the same.
        let alike = self
            .parts
            .values()
            .next_back()
            .filter(|part| *part.usage == usage);
        let grace = object.deletion_timestamp().zip(object.deletion_grace_seconds());
        let over =
            grace.and_then(|(at, seconds)| at.checked_add(SignedDuration::from_secs(seconds + 1)).ok());
        Some(Part {
            uid: object.uid().to_owned(),
            version: object.resource_version(),
            usage: alike.map_or_else(|| Arc::new(usage), |part| part.usage.clone()),
            until: over.filter(|over| *over > now && gvr.resource == "pods"),
        })
    }

    /// What the status must be. What is used is never less than what is there; `exactly` that, or what it was without
    /// what went.
    fn status(&self, served: &BTreeSet<Gvr>, exactly: bool) -> Status {
        let Quota { spec, status } = &self.quota;
        let zero = api::Quantity::from_int(0);
        let tracked = |name: &&String| {
            served
                .iter()
                .any(|gvr| quota::tracks(&gvr.group, &gvr.resource, name))
        };
        let used = |name: &String| {
            let there = self.sum.get(name).copied().unwrap_or(zero);
            let known = status
                .used
                .get(name)
                .filter(|_| !exactly && status.hard.contains_key(name));
            let left = known.map(|used| *used - self.owed.get(name).copied().unwrap_or(zero));
            (name.clone(), left.filter(|left| *left > there).unwrap_or(there))
        };
        Status {
            hard: spec.hard.clone(),
            used: spec.hard.keys().filter(tracked).map(used).collect(),
        }
    }
}

fn positive(amounts: &Amounts) -> Amounts {
    let more = amounts.iter().filter(|(_, quantity)| !quantity.is_zero());
    more.map(|(name, quantity)| (name.clone(), *quantity)).collect()
}
