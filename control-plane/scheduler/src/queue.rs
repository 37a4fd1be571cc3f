//! The scheduling queue: active pods by priority, pods that back off, pods that wait for the cluster to change.

use crate::{
    metrics::{Attempt, Metrics},
    views::Pod,
};
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
    /// When it was tried first.
    first: Instant,
    /// When it was tried last: from then on the back-off counts.
    tried: Instant,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Active,
    Backoff(Instant),
    Waiting,
}

/// The queue, by UID.
pub(crate) struct Queue {
    entries: BTreeMap<String, Entry>,
    active: BTreeSet<(Reverse<i32>, u64, String)>,
    backoff: BTreeSet<(Instant, String)>,
    /// Those that no node takes, and which plugins object.
    unschedulable: BTreeMap<String, BTreeSet<String>>,
    /// Those that are not to be tried yet; they have no entry.
    gated: BTreeSet<String>,
    counter: u64,
    metrics: Metrics,
}

/// How many pods are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub active: usize,
    pub backoff: usize,
    pub unschedulable: usize,
    pub gated: usize,
}

/// Upstream's pod back-off: 1 s doubling to 10 s.
fn delay(attempts: u32) -> Duration {
    Duration::from_secs(1 << attempts.saturating_sub(1).min(4)).min(Duration::from_secs(10))
}

impl Queue {
    /// An empty queue.
    pub fn new(metrics: Metrics) -> Self {
        Self {
            entries: BTreeMap::new(),
            active: BTreeSet::new(),
            backoff: BTreeSet::new(),
            unschedulable: BTreeMap::new(),
            gated: BTreeSet::new(),
            counter: 0,
            metrics,
        }
    }

    /// How many are where.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            active: self.active.len(),
            backoff: self.backoff.len(),
            unschedulable: self.unschedulable.len(),
            gated: self.gated.len(),
        }
    }

    /// Puts a pod in, or its new state; a changed pod that waited is tried again.
    pub fn add(&mut self, pod: Arc<Pod>, now: Instant) {
        let uid = pod.object.uid().to_owned();
        match self.entries.get_mut(&uid) {
            Some(entry) => {
                let changed = entry.pod.object.generation() != pod.object.generation()
                    || !entry.pod.object.labels().eq(pod.object.labels());
                entry.pod = pod;
                if changed && entry.place == Place::Waiting {
                    self.wake(&uid, now, "UnschedulablePodUpdate");
                }
            }
            None => {
                let opened = self.gated.remove(&uid);
                let event = if opened {
                    "UnschedulablePodUpdate"
                } else {
                    "UnschedulablePodAdd"
                };
                self.metrics.incoming(event, "active");
                self.counter += 1;
                let order = (Reverse(pod.spec.priority), self.counter);
                self.active.insert((order.0, order.1, uid.clone()));
                self.entries.insert(
                    uid,
                    Entry {
                        pod,
                        order,
                        attempts: 0,
                        first: now,
                        tried: now,
                        place: Place::Active,
                    },
                );
            }
        }
    }

    /// Takes a pod out for good.
    pub fn remove(&mut self, uid: &str) {
        self.gated.remove(uid);
        let Some(entry) = self.entries.remove(uid) else {
            return;
        };
        self.unplace(uid, &entry);
    }

    /// Takes a pod out until its gates are gone.
    pub fn gate(&mut self, uid: &str) {
        self.remove(uid);
        if self.gated.insert(uid.to_owned()) {
            self.metrics.incoming("UnschedulablePodAdd", "gated");
        }
    }

    /// No node takes a pod: these plugins object. It waits for the cluster to change.
    pub fn refuse(&mut self, uid: &str, plugins: BTreeSet<String>) {
        self.metrics.incoming("ScheduleAttemptFailure", "unschedulable");
        self.metrics.objecting(&plugins, 1);
        self.unschedulable.insert(uid.to_owned(), plugins);
    }

    /// The attempt that was made last.
    pub fn attempt(&self, uid: &str) -> Option<Attempt> {
        self.entries.get(uid).map(|entry| Attempt {
            number: entry.attempts,
            first: entry.first,
            start: entry.tried,
        })
    }

    fn schedulable(&mut self, uid: &str) {
        if let Some(plugins) = self.unschedulable.remove(uid) {
            self.metrics.objecting(&plugins, -1);
        }
    }

    fn unplace(&mut self, uid: &str, entry: &Entry) {
        self.schedulable(uid);
        match entry.place {
            Place::Active => self
                .active
                .remove(&(entry.order.0, entry.order.1, uid.to_owned())),
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
                self.metrics.incoming("BackoffComplete", "active");
                self.active.insert((entry.order.0, entry.order.1, uid));
            }
        }
        let (_, _, uid) = self.active.pop_first()?;
        let entry = self.entries.get_mut(&uid)?;
        entry.place = Place::Waiting;
        entry.attempts += 1;
        if entry.attempts == 1 {
            entry.first = now;
        }
        entry.tried = now;
        Some(entry.pod.clone())
    }

    /// The cluster changed: what waits is tried again after its back-off.
    pub fn wake_all(&mut self, now: Instant, event: &str) {
        self.wake_those(now, event, |_| true);
    }

    /// The same for pods that the change may concern.
    pub fn wake_those(&mut self, now: Instant, event: &str, concerns: impl Fn(&Pod) -> bool) {
        let waiting: Vec<String> = self
            .entries
            .iter()
            .filter(|(_, e)| e.place == Place::Waiting && concerns(&e.pod))
            .map(|(uid, _)| uid.clone())
            .collect();
        waiting.iter().for_each(|uid| self.wake(uid, now, event));
    }

    /// One pod is tried again after its back-off.
    pub fn wake(&mut self, uid: &str, now: Instant, event: &str) {
        self.schedulable(uid);
        let Some(entry) = self.entries.get_mut(uid) else {
            return;
        };
        if entry.place == Place::Waiting {
            let at = (entry.tried + delay(entry.attempts)).max(now);
            entry.place = Place::Backoff(at);
            self.metrics.incoming(event, "backoff");
            self.backoff.insert((at, uid.to_owned()));
        }
    }

    /// When the next back-off ends.
    pub fn next_wake(&self) -> Option<Instant> {
        self.backoff.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::Object;
    use component::{Clock, metrics::Registry};

    fn queue() -> Queue {
        Queue::new(Metrics::new("default-scheduler", &Registry::default()))
    }

    fn pod(name: &str, priority: i32) -> Arc<Pod> {
        let text = format!(
            r#"{{"kind":"Pod","metadata":{{"name":"{name}","namespace":"d","uid":"{name}"}},"spec":{{"priority":{priority}}}}}"#
        );
        Arc::new(Pod::new(Arc::new(Object::parse(text.into(), 1, &[]).unwrap())).unwrap())
    }

    fn next(queue: &mut Queue, now: Instant) -> Option<String> {
        queue.pop(now).map(|pod| pod.object.name().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn the_important_come_first_and_equals_in_their_order() {
        let (mut queue, now) = (queue(), Clock::system().now());
        for (name, priority) in [("a", 0), ("b", 5), ("c", 0)] {
            queue.add(pod(name, priority), now);
        }
        let order: Vec<String> = std::iter::from_fn(|| next(&mut queue, now)).collect();
        assert_eq!(order, ["b", "a", "c"]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_back_off_counts_from_the_last_attempt() {
        let (mut queue, start) = (queue(), Clock::system().now());
        let after = |seconds: u64| start + Duration::from_secs(seconds);
        queue.add(pod("a", 0), start);
        assert!(next(&mut queue, start).is_some());
        // Nothing changed: it is not tried again by itself.
        assert!(next(&mut queue, after(100)).is_none());
        // It waited longer than its back-off: the change lets it go at once.
        queue.wake_all(after(100), "NodeAdd");
        assert!(next(&mut queue, after(100)).is_some());
        // The second attempt was just now: two seconds.
        queue.wake_all(after(100), "NodeAdd");
        assert_eq!(queue.next_wake(), Some(after(102)));
        assert!(next(&mut queue, after(101)).is_none());
        assert!(next(&mut queue, after(102)).is_some());
    }
}
