//! The key queue: each key at most once in it and at most once at work, with delays and back-off.

use crate::metrics::Metrics;
use component::{Clock, Env};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque, btree_map::Entry},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

#[derive(Debug)]
struct State<K> {
    ready: VecDeque<K>,
    queued: BTreeSet<K>,
    /// Since when each is at work.
    working: BTreeMap<K, Instant>,
    /// Keys that came while they were at work.
    dirty: BTreeSet<K>,
    /// Since when each of `queued` and `dirty` waits.
    since: BTreeMap<K, Instant>,
    later: BTreeSet<(Instant, K)>,
    /// When each key of `later` comes: the earliest wish counts.
    due: BTreeMap<K, Instant>,
    /// How often each key failed in a row, and until when it is to wait for that.
    failures: BTreeMap<K, (u32, Instant)>,
}

/// A work queue. Clones are the same queue.
#[derive(Debug)]
pub struct Queue<K> {
    state: Arc<Mutex<State<K>>>,
    wake: Arc<Notify>,
    clock: Clock,
    metrics: Metrics,
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self {
            state: self.state.clone(),
            wake: self.wake.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
        }
    }
}

impl<K: Clone + Ord + Send + 'static> Queue<K> {
    /// An empty queue, which the metrics of `env` know as `name`.
    pub fn new(name: &str, env: &Env) -> Self {
        let state = State {
            ready: VecDeque::new(),
            queued: BTreeSet::new(),
            working: BTreeMap::new(),
            dirty: BTreeSet::new(),
            since: BTreeMap::new(),
            later: BTreeSet::new(),
            due: BTreeMap::new(),
            failures: BTreeMap::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let (metrics, clock) = (Metrics::new(name, &env.metrics), env.clock.clone());
        let (told, held, time) = (metrics.clone(), Arc::downgrade(&state), clock.clone());
        env.metrics.measure(move || {
            let state = held.upgrade();
            let now = time.now();
            told.under_way(state.iter().flat_map(|state| {
                let state = state.lock().unwrap_or_else(PoisonError::into_inner);
                let ages = state.working.values().map(|since| now - *since);
                ages.collect::<Vec<_>>()
            }));
        });
        Self {
            state,
            wake: Arc::new(Notify::new()),
            clock,
            metrics,
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut State<K>) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a key in. While it is at work it comes again afterwards.
    pub fn add(&self, key: K) {
        let now = self.clock.now();
        self.with(|s| s.add(key, now, &self.metrics));
        self.wake.notify_one();
    }

    /// Puts a key in after `delay`, or sooner if that was wished before.
    pub fn add_after(&self, key: K, delay: Duration) {
        self.metrics.retry();
        let at = self.clock.now() + delay;
        self.with(|s| s.add_at(key, at));
        self.wake.notify_one();
    }

    /// Puts a key in after a back-off that doubles with each failure, from 5 ms to 1000 s, as upstream's. What fails
    /// before that is over, since an event brought it, only keeps the wish: a burst of events is no reason to wait long.
    pub fn add_after_failure(&self, key: K) {
        self.metrics.retry();
        let now = self.clock.now();
        self.with(|s| {
            let (count, until) = s.failures.entry(key.clone()).or_insert((0, now));
            if *until <= now {
                let delay = Duration::from_millis(5).saturating_mul(1 << (*count).min(18));
                *until = now + delay.min(Duration::from_secs(1000));
                *count += 1;
            }
            let until = *until;
            s.add_at(key, until);
        });
        self.wake.notify_one();
    }

    /// Forgets the failures of a key.
    pub fn forget(&self, key: &K) {
        self.with(|s| s.failures.remove(key));
    }

    /// Takes the next key; it is at work until [`Queue::done`].
    pub async fn next(&self) -> K {
        loop {
            let now = self.clock.now();
            let (key, until) =
                self.with(|s| (s.take(now, &self.metrics), s.later.first().map(|(at, _)| *at)));
            if let Some(key) = key {
                // Another worker may be waiting for what is still in the queue.
                self.wake.notify_one();
                return key;
            }
            match until {
                Some(at) => tokio::select! {
                    biased;
                    () = self.wake.notified() => {}
                    () = self.clock.sleep_until(at) => {}
                },
                None => self.wake.notified().await,
            }
        }
    }

    /// Ends the work on a key.
    pub fn done(&self, key: &K) {
        let now = self.clock.now();
        self.with(|s| {
            if let Some(since) = s.working.remove(key) {
                self.metrics.worked(now - since);
            }
            if s.dirty.remove(key) {
                s.enqueue(key.clone());
            }
        });
        self.wake.notify_one();
    }

    /// Keys that wait or are at work.
    pub fn len(&self) -> usize {
        self.with(|s| s.queued.len() + s.working.len())
    }

    /// Whether nothing waits and nothing is at work.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<K: Clone + Ord> State<K> {
    fn add(&mut self, key: K, now: Instant, metrics: &Metrics) {
        if let Entry::Vacant(new) = self.since.entry(key.clone()) {
            new.insert(now);
            metrics.added();
        }
        if self.working.contains_key(&key) {
            self.dirty.insert(key);
        } else {
            self.enqueue(key);
        }
    }

    fn enqueue(&mut self, key: K) {
        if self.queued.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    fn add_at(&mut self, key: K, at: Instant) {
        match self.due.get(&key) {
            Some(earlier) if *earlier <= at => return,
            Some(later) => self.later.remove(&(*later, key.clone())),
            None => false,
        };
        self.due.insert(key.clone(), at);
        self.later.insert((at, key));
    }

    fn take(&mut self, now: Instant, metrics: &Metrics) -> Option<K> {
        while self.later.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.later.pop_first() {
                self.due.remove(&key);
                self.add(key, now, metrics);
            }
        }
        let key = self.ready.pop_front()?;
        self.queued.remove(&key);
        if let Some(since) = self.since.remove(&key) {
            metrics.taken(now - since);
        }
        self.working.insert(key.clone(), now);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_in_the_queue_once_and_at_work_once() {
        let queue = Queue::new("keys", &Env::simulated(1));
        queue.add(1);
        queue.add(1);
        queue.add(2);
        assert_eq!(queue.next().await, 1);
        queue.add(1);
        assert_eq!(queue.next().await, 2);
        assert!(
            queue
                .clock
                .timeout(Duration::from_secs(1), queue.next())
                .await
                .is_none()
        );
        queue.done(&1);
        assert_eq!(queue.next().await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn of_several_delays_of_a_key_the_shortest_counts() {
        let queue = Queue::new("keys", &Env::simulated(1));
        let start = queue.clock.now();
        for seconds in [50, 10, 30] {
            queue.add_after(1, Duration::from_secs(seconds));
        }
        queue.next().await;
        assert_eq!((queue.clock.now() - start).as_secs(), 10);
        queue.done(&1);
        assert!(
            queue
                .clock
                .timeout(Duration::from_secs(100), queue.next())
                .await
                .is_none(),
            "it came again"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn failures_back_off() {
        let queue = Queue::new("keys", &Env::simulated(1));
        let start = queue.clock.now();
        for _ in 0..3 {
            queue.add_after_failure(7);
            assert_eq!(queue.next().await, 7);
            queue.done(&7);
        }
        assert_eq!((queue.clock.now() - start).as_millis(), 5 + 10 + 20);
        queue.forget(&7);
        queue.add_after_failure(7);
        queue.next().await;
        assert_eq!((queue.clock.now() - start).as_millis(), 40);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_of_events_do_not_lengthen_the_delay() {
        let queue = Queue::new("keys", &Env::simulated(1));
        let start = queue.clock.now();
        for _ in 0..30 {
            queue.add(7);
            assert_eq!(queue.next().await, 7);
            queue.add_after_failure(7);
            queue.done(&7);
        }
        assert_eq!(queue.next().await, 7);
        assert_eq!((queue.clock.now() - start).as_millis(), 5);
    }
}
