//! The scheduling queue: active pods by priority, pods that back off, pods that wait for the cluster to change.

use crate::views::Pod;
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

#[derive(Debug)]
struct Entry {
    pod: Arc<Pod>,
    order: (Reverse<i32>, u64),
    attempts: u32,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Active,
    Backoff(Instant),
    Waiting,
}

/// The queue, by UID.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: BTreeMap<String, Entry>,
    active: BTreeSet<(Reverse<i32>, u64, String)>,
    backoff: BTreeSet<(Instant, String)>,
    counter: u64,
}

/// Upstream's pod back-off: 1 s doubling to 10 s.
fn delay(attempts: u32) -> Duration {
    Duration::from_secs(1 << attempts.saturating_sub(1).min(4)).min(Duration::from_secs(10))
}

impl Queue {
    /// Puts a pod in, or its new state; a changed pod that waited is tried again.
    pub fn add(&mut self, pod: Arc<Pod>, now: Instant) {
        let uid = pod.object.uid().to_owned();
        match self.entries.get_mut(&uid) {
            Some(entry) => {
                let changed = entry.pod.object.generation() != pod.object.generation()
                    || !entry.pod.object.labels().eq(pod.object.labels());
                entry.pod = pod;
                if changed && entry.place == Place::Waiting {
                    self.wake(&uid, now);
                }
            }
            None => {
                self.counter += 1;
                let order = (Reverse(pod.spec.priority), self.counter);
                self.active.insert((order.0, order.1, uid.clone()));
                self.entries.insert(uid, Entry { pod, order, attempts: 0, place: Place::Active });
            }
        }
    }

    /// Takes a pod out for good.
    pub fn remove(&mut self, uid: &str) {
        let Some(entry) = self.entries.remove(uid) else { return };
        self.unplace(uid, &entry);
    }

    fn unplace(&mut self, uid: &str, entry: &Entry) {
        match entry.place {
            Place::Active => self.active.remove(&(entry.order.0, entry.order.1, uid.to_owned())),
            Place::Backoff(at) => self.backoff.remove(&(at, uid.to_owned())),
            Place::Waiting => false,
        };
    }

    /// The next pod to try. It stays in the queue, waiting, until it is removed or woken.
    pub fn pop(&mut self, now: Instant) -> Option<Arc<Pod>> {
        while let Some((at, uid)) = self.backoff.first().cloned().filter(|(at, _)| *at <= now) {
            self.backoff.remove(&(at, uid.clone()));
            if let Some(entry) = self.entries.get_mut(&uid) {
                entry.place = Place::Active;
                self.active.insert((entry.order.0, entry.order.1, uid));
            }
        }
        let (_, _, uid) = self.active.pop_first()?;
        let entry = self.entries.get_mut(&uid)?;
        entry.place = Place::Waiting;
        entry.attempts += 1;
        Some(entry.pod.clone())
    }

    /// The cluster changed: what waits is tried again after its back-off.
    pub fn wake_all(&mut self, now: Instant) {
        let waiting: Vec<String> =
            self.entries.iter().filter(|(_, e)| e.place == Place::Waiting).map(|(uid, _)| uid.clone()).collect();
        waiting.iter().for_each(|uid| self.wake(uid, now));
    }

    /// One pod is tried again after its back-off.
    pub fn wake(&mut self, uid: &str, now: Instant) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        if entry.place == Place::Waiting {
            let at = now + delay(entry.attempts);
            entry.place = Place::Backoff(at);
            self.backoff.insert((at, uid.to_owned()));
        }
    }

    /// When the next back-off ends.
    pub fn next_wake(&self) -> Option<Instant> {
        self.backoff.first().map(|(at, _)| *at)
    }
}
