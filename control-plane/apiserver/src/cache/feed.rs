//! What fills the caches: the store's observer when it is in this process, else a watch of it.

use super::{Cache, Objects};
use api::Budget;
use bytes::Bytes;
use component::Env;
use etcd::{Error, Event, Observer, RangeRequest, Store, WatchItem, WatchRequest};
use futures::{StreamExt, stream::BoxStream};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// All keys of the API stand under this.
const ROOT: &str = "/registry/";

/// How long a read waits for a remote store's progress, as upstream.
const FRESH: Duration = Duration::from_secs(3);

/// Bytes of encodings other than JSON that are kept, of all objects.
const ENCODINGS: usize = 64 << 20;

/// A revision and its events.
type Committed = (u64, Vec<Event>);

/// The stream of committed revisions into the caches.
pub struct Feed {
    revision: watch::Sender<u64>,
    /// Caches by key prefix (with its closing slash).
    caches: RwLock<BTreeMap<String, Arc<Cache>>>,
    /// Revisions that came while the first list was read; none when it is done.
    early: Mutex<Option<Vec<Committed>>>,
    observed: AtomicBool,
    encodings: Arc<Budget>,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            revision: watch::Sender::new(0),
            caches: RwLock::default(),
            early: Mutex::new(Some(Vec::new())),
            observed: AtomicBool::new(false),
            encodings: Budget::new(ENCODINGS),
        }
    }
}

impl Feed {
    /// Whether the store is in this process, and so its alone.
    pub fn is_own(&self) -> bool {
        self.observed.load(Ordering::Acquire)
    }

    /// What encodings of objects may take.
    pub fn encodings(&self) -> &Arc<Budget> {
        &self.encodings
    }

    /// The newest revision that is in the caches.
    pub fn revision(&self) -> u64 {
        *self.revision.borrow()
    }

    /// Resolves when the caches hold `revision`.
    pub async fn reached(&self, revision: u64) {
        if self.revision() >= revision {
            return;
        }
        // The sender lives in self, so waiting cannot fail.
        let _ = self.revision.subscribe().wait_for(|seen| *seen >= revision).await;
    }

    /// Makes sure that a read of the caches sees all that was acknowledged before it. False: the store did not say
    /// in time.
    pub async fn fresh(&self, store: &dyn Store, env: &Env) -> bool {
        if self.observed.load(Ordering::Acquire) {
            return true;
        }
        let caught_up = async {
            match store.revision().await {
                Ok(revision) => {
                    self.reached(revision).await;
                    true
                }
                Err(_) => false,
            }
        };
        env.clock.timeout(FRESH, caught_up).await.unwrap_or(false)
    }

    /// Fills `caches` from the store and keeps them current.
    pub async fn start(
        self: &Arc<Self>,
        caches: &[Arc<Cache>],
        store: &Arc<dyn Store>,
        env: &Env,
    ) -> Result<(), Error> {
        self.with(|all| {
            all.extend(caches.iter().map(|cache| (prefix(cache), cache.clone())));
        });
        let observed = store.observe(self.clone());
        self.observed.store(observed, Ordering::Release);
        let revision = self.list(store.as_ref()).await?;
        self.go(revision);
        if !observed {
            let (feed, store, env) = (self.clone(), store.clone(), env.clone());
            // Opened here, not in the task: an empty store's revision is 0, which means "from now".
            let items = self.watch(&*store);
            let tasks = env.tasks.clone();
            tasks.spawn(
                "watch-cache",
                async move { feed.follow(&*store, items, &env).await },
            );
        }
        Ok(())
    }

    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<String, Arc<Cache>>) -> T) -> T {
        f(&mut self.caches.write().unwrap_or_else(PoisonError::into_inner))
    }

    fn caches(&self) -> Vec<Arc<Cache>> {
        let caches = self.caches.read().unwrap_or_else(PoisonError::into_inner);
        caches.values().cloned().collect()
    }

    /// Adds a cache that keeps what comes, and fills it.
    pub async fn add(&self, cache: &Arc<Cache>, store: &dyn Store) -> Result<(), Error> {
        self.with(|all| all.insert(prefix(cache), cache.clone()));
        self.fill(store, cache, 0).await
    }

    /// Puts a cache in the place of another that serves the same keys.
    pub fn replace(&self, before: &Cache, cache: &Arc<Cache>) {
        // Nothing comes in while the map is held.
        self.with(|all| {
            cache.take_over(before);
            all.insert(prefix(cache), cache.clone());
        });
    }

    /// Takes a cache away.
    pub fn remove(&self, cache: &Cache) {
        self.with(|all| all.remove(&prefix(cache)));
        cache.close();
    }

    /// Fills a cache as of a revision, 0: the newest.
    async fn fill(&self, store: &dyn Store, cache: &Cache, revision: u64) -> Result<(), Error> {
        let prefix = prefix(cache);
        let request = RangeRequest {
            start: Bytes::from(prefix.clone()),
            end: Bytes::from(end_of(&prefix)),
            revision,
            ..RangeRequest::default()
        };
        let mut broken = BTreeMap::new();
        let mut objects = Objects::new();
        let found = store.range(request).await?;
        for kv in found.kvs {
            let suffix = String::from_utf8_lossy(&kv.key[prefix.len()..]).into_owned();
            match cache.held(kv.value, kv.mod_revision) {
                Ok(held) => {
                    objects.insert(suffix.into(), held);
                }
                Err(error) => {
                    tracing::error!(resource = %cache.row.gvr(), key = suffix, %error, "unreadable object in the store");
                    broken.insert(suffix, error.to_string());
                }
            }
        }
        cache.fill(
            objects,
            broken,
            if revision == 0 { found.revision } else { revision },
        );
        Ok(())
    }

    /// Reads everything as of one revision.
    async fn list(&self, store: &dyn Store) -> Result<u64, Error> {
        let revision = store.revision().await?;
        for cache in self.caches() {
            self.fill(store, &cache, revision).await?;
        }
        Ok(revision)
    }

    /// Applies what came during the list, then lets events through.
    fn go(&self, revision: u64) {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        self.publish(revision);
        for (at, events) in early.take().unwrap_or_default() {
            if at > revision {
                self.take_in(at, &events);
            }
        }
    }

    fn publish(&self, revision: u64) {
        self.revision.send_if_modified(|seen| {
            let newer = *seen < revision;
            *seen = revision.max(*seen);
            newer
        });
    }

    fn take_in(&self, revision: u64, events: &[Event]) {
        // Held, so that no cache is put in another's place while an event is on its way into it.
        let caches = self.caches.read().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            let (key, body) = match event {
                Event::Put { kv, .. } => (&kv.key, Some(kv.value.clone())),
                Event::Delete { key, .. } => (key, None),
            };
            let Ok(key) = std::str::from_utf8(key) else {
                continue;
            };
            if let Some((cache, suffix)) = cache_of(&caches, key) {
                cache.apply(suffix, body, revision);
            }
        }
        drop(caches);
        self.publish(revision);
    }

    fn watch(&self, store: &dyn Store) -> BoxStream<'static, Result<WatchItem, Error>> {
        store.watch(WatchRequest {
            start: Bytes::from_static(ROOT.as_bytes()),
            end: Bytes::from(end_of(ROOT)),
            after: self.revision(),
            prev: false,
            progress: true,
        })
    }

    /// Follows a store in another process, listing anew when it forgot what was missed.
    async fn follow(
        &self,
        store: &dyn Store,
        mut items: BoxStream<'static, Result<WatchItem, Error>>,
        env: &Env,
    ) {
        loop {
            while let Some(item) = items.next().await {
                match item {
                    Ok(WatchItem::Events(events)) => self.take_in_all(&events),
                    Ok(WatchItem::Progress(revision)) => self.publish(revision),
                    Err(Error::Compacted(_)) => {
                        if let Ok(revision) = self.list(store).await {
                            self.publish(revision);
                        }
                    }
                    Err(error) => tracing::warn!(%error, "watch of the store ended"),
                }
            }
            env.clock.sleep(Duration::from_millis(500)).await;
            items = self.watch(store);
        }
    }

    fn take_in_all(&self, events: &[Event]) {
        for group in events.chunk_by(|a, b| a.revision() == b.revision()) {
            self.take_in(group[0].revision(), group);
        }
    }
}

impl Observer for Feed {
    fn committed(&self, revision: u64, events: &[Event]) {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        match early.as_mut() {
            Some(waiting) => waiting.push((revision, events.to_vec())),
            None => {
                drop(early);
                self.take_in(revision, events);
            }
        }
    }
}

/// The cache that a key belongs to, and the rest of the key.
fn cache_of<'a, 'b>(
    caches: &'a BTreeMap<String, Arc<Cache>>,
    key: &'b str,
) -> Option<(&'a Arc<Cache>, &'b str)> {
    // Prefixes may nest (`/registry/services/`): try each slash from the left.
    key.match_indices('/').skip(1).find_map(|(at, _)| {
        let (prefix, suffix) = key.split_at(at + 1);
        caches.get(prefix).map(|cache| (cache, suffix))
    })
}

/// The keys of a cache start with this.
fn prefix(cache: &Cache) -> String {
    format!("{}/", cache.row.prefix)
}

/// The first key past all that start with `prefix`.
pub fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}
