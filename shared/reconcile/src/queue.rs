//! The key queue: each key at most once in it and at most once at work, with delays and back-off.

use component::Clock;
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

#[derive(Debug)]
struct State<K> {
    ready: VecDeque<K>,
    queued: BTreeSet<K>,
    working: BTreeSet<K>,
    /// Keys that came while they were at work.
    dirty: BTreeSet<K>,
    later: BTreeSet<(Instant, K)>,
    /// When each key of `later` comes: the earliest wish counts.
    due: BTreeMap<K, Instant>,
    failures: BTreeMap<K, u32>,
}

/// A work queue. Clones are the same queue.
#[derive(Debug)]
pub struct Queue<K> {
    state: Arc<Mutex<State<K>>>,
    wake: Arc<Notify>,
    clock: Clock,
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self {
            state: self.state.clone(),
            wake: self.wake.clone(),
            clock: self.clock.clone(),
        }
    }
}

impl<K: Clone + Ord> Queue<K> {
    /// An empty queue.
    pub fn new(clock: Clock) -> Self {
        let state = State {
            ready: VecDeque::new(),
            queued: BTreeSet::new(),
            working: BTreeSet::new(),
            dirty: BTreeSet::new(),
            later: BTreeSet::new(),
            due: BTreeMap::new(),
            failures: BTreeMap::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            wake: Arc::new(Notify::new()),
            clock,
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut State<K>) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts a key in. While it is at work it comes again afterwards.
    pub fn add(&self, key: K) {
        self.with(|s| s.add(key));
        self.wake.notify_one();
    }

    /// Puts a key in after `delay`, or sooner if that was wished before.
    pub fn add_after(&self, key: K, delay: Duration) {
        let at = self.clock.now() + delay;
        self.with(|s| s.add_at(key, at));
        self.wake.notify_one();
    }

    /// Puts a key in after a back-off that doubles with each failure, from 5 ms to 1000 s, as upstream's.
    pub fn add_after_failure(&self, key: K) {
        let failures = self.with(|s| {
            let count = s.failures.entry(key.clone()).or_default();
            *count += 1;
            *count - 1
        });
        let delay = Duration::from_millis(5)
            .saturating_mul(1 << failures.min(18))
            .min(Duration::from_secs(1000));
        self.add_after(key, delay);
    }

    /// Forgets the failures of a key.
    pub fn forget(&self, key: &K) {
        self.with(|s| s.failures.remove(key));
    }

    /// Takes the next key; it is at work until [`Queue::done`].
    pub async fn next(&self) -> K {
        loop {
            let now = self.clock.now();
            let (key, until) = self.with(|s| (s.take(now), s.later.first().map(|(at, _)| *at)));
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
        self.with(|s| {
            s.working.remove(key);
            if s.dirty.remove(key) {
                s.add(key.clone());
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
    fn add(&mut self, key: K) {
        if self.working.contains(&key) {
            self.dirty.insert(key);
        } else if self.queued.insert(key.clone()) {
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

    fn take(&mut self, now: Instant) -> Option<K> {
        while self.later.first().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, key)) = self.later.pop_first() {
                self.due.remove(&key);
                self.add(key);
            }
        }
        let key = self.ready.pop_front()?;
        self.queued.remove(&key);
        self.working.insert(key.clone());
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_key_is_in_the_queue_once_and_at_work_once() {
        let queue = Queue::new(Clock::system());
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
        let queue = Queue::new(Clock::system());
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
        let queue = Queue::new(Clock::system());
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
}
