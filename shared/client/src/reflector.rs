//! The reflector: a copy in memory of a selection of objects, kept current by a watch.

use crate::{Client, ListParams, WatchEvent, WatchParams};
use api::{Gvr, Key, Object, Status};
use component::Env;
use futures::StreamExt;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};
use tokio::sync::{mpsc, watch};

/// Which objects of a resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Selector {
    /// Namespace; empty: all.
    pub namespace: String,
    /// Label selector, in its query form.
    pub labels: String,
    /// Field selector, in its query form.
    pub fields: String,
}

impl Selector {
    /// All objects.
    pub fn all() -> Self {
        Self::default()
    }

    /// By field selector.
    pub fn fields(fields: impl Into<String>) -> Self {
        Self {
            fields: fields.into(),
            ..Self::default()
        }
    }
}

/// A change that a cache saw. `old` is what the cache held before.
#[derive(Clone, Debug)]
pub enum Change {
    /// Added or changed (or told again after a relist: `old` and `new` may be equal).
    Applied {
        /// Before.
        old: Option<Arc<Object>>,
        /// Now.
        new: Arc<Object>,
    },
    /// Gone.
    Deleted {
        /// As it was last.
        old: Arc<Object>,
    },
}

impl Change {
    /// The object the change is about, as new as is known.
    pub fn object(&self) -> &Arc<Object> {
        match self {
            Self::Applied { new, .. } => new,
            Self::Deleted { old } => old,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<Key, Arc<Object>>,
    by_uid: HashMap<String, Key>,
    /// By the UID of the owner that manages them.
    owned: HashMap<String, BTreeMap<Key, Arc<Object>>>,
    /// Those that nobody manages.
    orphans: BTreeMap<Key, Arc<Object>>,
}

impl State {
    fn insert(&mut self, key: Key, object: Arc<Object>) -> Option<Arc<Object>> {
        let old = self.remove(&key);
        self.by_uid.insert(object.uid().to_owned(), key.clone());
        let of = match object.controller() {
            Some(owner) => self.owned.entry(owner.uid.clone()).or_default(),
            None => &mut self.orphans,
        };
        of.insert(key.clone(), object.clone());
        self.objects.insert(key, object);
        old
    }

    fn remove(&mut self, key: &Key) -> Option<Arc<Object>> {
        let old = self.objects.remove(key)?;
        self.by_uid.remove(old.uid());
        match old.controller() {
            Some(owner) => {
                if let Some(keys) = self.owned.get_mut(&owner.uid) {
                    keys.remove(key);
                    if keys.is_empty() {
                        self.owned.remove(&owner.uid);
                    }
                }
            }
            None => {
                self.orphans.remove(key);
            }
        }
        Some(old)
    }
}

/// The copy. Clones share it. Reads never wait for the network.
#[derive(Clone, Debug)]
pub struct Cache {
    gvr: Gvr,
    state: Arc<RwLock<State>>,
    version: Arc<watch::Sender<Option<u64>>>,
    listeners: Arc<Mutex<Vec<mpsc::UnboundedSender<Change>>>>,
}

impl Cache {
    /// Starts a reflector of `gvr` under `selector` in the task tree of `env`.
    pub fn start(client: &Client, gvr: Gvr, selector: Selector, env: &Env) -> Self {
        let cache = Self::detached(gvr);
        let (inner, client, env) = (cache.clone(), client.clone(), env.clone());
        let tasks = env.tasks.clone();
        tasks.spawn(
            "reflector",
            async move { inner.run(&client, &selector, &env).await },
        );
        cache
    }

    /// A cache that is fed by hand, for tests and simulation.
    pub fn detached(gvr: Gvr) -> Self {
        Self {
            gvr,
            state: Arc::default(),
            version: Arc::new(watch::Sender::new(None)),
            listeners: Arc::default(),
        }
    }

    /// The resource.
    pub fn gvr(&self) -> &Gvr {
        &self.gvr
    }

    fn read<T>(&self, f: impl FnOnce(&State) -> T) -> T {
        f(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.read(|s| s.objects.get(key).cloned())
    }

    /// One object by UID.
    pub fn by_uid(&self, uid: &str) -> Option<Arc<Object>> {
        self.read(|s| s.by_uid.get(uid).and_then(|key| s.objects.get(key)).cloned())
    }

    /// All objects, by namespace and name.
    pub fn all(&self) -> Vec<Arc<Object>> {
        self.read(|s| s.objects.values().cloned().collect())
    }

    /// The objects of a namespace, by name.
    pub fn in_namespace(&self, namespace: &str) -> Vec<Arc<Object>> {
        let from = Key::new(namespace, "");
        self.read(|s| {
            s.objects
                .range(from..)
                .take_while(|(k, _)| k.namespace == namespace)
                .map(|(_, o)| o.clone())
                .collect()
        })
    }

    /// The objects that the owner of this UID manages, by namespace and name.
    pub fn owned_by(&self, uid: &str) -> Vec<Arc<Object>> {
        self.read(|s| {
            let owned = s.owned.get(uid).into_iter();
            owned.flat_map(BTreeMap::values).cloned().collect()
        })
    }

    /// The objects of a namespace that nobody manages, by name.
    pub fn orphans_in(&self, namespace: &str) -> Vec<Arc<Object>> {
        let from = Key::new(namespace, "");
        self.read(|s| {
            let orphans = s.orphans.range(from..);
            orphans
                .take_while(|(key, _)| key.namespace == namespace)
                .map(|(_, object)| object.clone())
                .collect()
        })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.read(|s| s.objects.len())
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Resolves once the first list is in.
    pub async fn synced(&self) {
        // The sender lives in self, so waiting cannot fail.
        let _ = self.version.subscribe().wait_for(Option::is_some).await;
    }

    /// The version up to which everything is in the cache; `None` before the first list.
    pub fn version(&self) -> Option<u64> {
        *self.version.borrow()
    }

    /// Wakes on each new [`Cache::version`].
    pub fn versions(&self) -> watch::Receiver<Option<u64>> {
        self.version.subscribe()
    }

    /// Every change from now on, preceded by the objects that are in the cache already.
    pub fn subscribe(&self) -> mpsc::UnboundedReceiver<Change> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        for object in state.objects.values() {
            let _ = sender.send(Change::Applied {
                old: None,
                new: object.clone(),
            });
        }
        self.listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sender);
        receiver
    }

    fn tell(&self, change: &Change) {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|l| l.send(change.clone()).is_ok());
    }

    /// Puts an object in, unless the cache holds it as new or newer.
    pub fn apply(&self, object: Arc<Object>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let key = object.key();
        let newer = |old: &Arc<Object>| {
            old.uid() != object.uid() || old.resource_version() < object.resource_version()
        };
        if !state.objects.get(&key).is_none_or(newer) {
            return;
        }
        let old = state.insert(key, object.clone());
        if let Some(old) = old.as_ref().filter(|old| old.uid() != object.uid()) {
            self.tell(&Change::Deleted { old: old.clone() });
            self.tell(&Change::Applied {
                old: None,
                new: object,
            });
        } else {
            self.tell(&Change::Applied { old, new: object });
        }
    }

    /// Takes an object out; another one of its name stays.
    pub fn remove(&self, object: &Arc<Object>) {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let key = object.key();
        let same = state
            .objects
            .get(&key)
            .is_some_and(|held| held.uid() == object.uid());
        if same && state.remove(&key).is_some() {
            // The last state is the one the server sent with the deletion.
            self.tell(&Change::Deleted { old: object.clone() });
        }
    }

    /// Says that everything up to `version` is in.
    pub fn reached(&self, version: u64) {
        self.version.send_if_modified(|v| {
            let newer = v.is_none_or(|v| v < version);
            if newer {
                *v = Some(version);
            }
            newer
        });
    }

    fn replace(&self, items: Vec<Arc<Object>>, version: u64) {
        let listed: BTreeMap<Key, Arc<Object>> = items.into_iter().map(|o| (o.key(), o)).collect();
        let gone: Vec<_> = self
            .all()
            .into_iter()
            .filter(|o| !listed.contains_key(&o.key()))
            .collect();
        for object in gone {
            self.remove(&object);
        }
        for object in listed.into_values() {
            self.apply(object);
        }
        self.reached(version);
    }

    async fn run(&self, client: &Client, selector: &Selector, env: &Env) {
        let mut delay = Duration::ZERO;
        let mut from: Option<u64> = None;
        loop {
            env.clock.sleep(delay).await;
            match self.follow(client, selector, from).await {
                Ok(()) => {
                    delay = Duration::ZERO;
                    from = self.version();
                }
                Err(status) => {
                    if status.code != 410 {
                        tracing::debug!(resource = %self.gvr, error = %status, "watch ended; starting again");
                    }
                    // A version that is too old, or an outage, is mended by a new list.
                    from = if status.code == 410 { None } else { self.version() };
                    delay = if status.code == 410 {
                        Duration::ZERO
                    } else {
                        backoff(delay, env)
                    };
                }
            }
        }
    }

    /// Lists (unless `from` is given), then watches until the stream ends.
    async fn follow(&self, client: &Client, selector: &Selector, from: Option<u64>) -> Result<(), Status> {
        let start = match from {
            Some(version) => version,
            None => {
                let params = ListParams {
                    label_selector: selector.labels.clone(),
                    field_selector: selector.fields.clone(),
                    ..ListParams::default()
                };
                let list = client.list(&self.gvr, &selector.namespace, params).await?;
                self.replace(list.items, list.resource_version);
                list.resource_version
            }
        };
        let params = WatchParams {
            label_selector: selector.labels.clone(),
            field_selector: selector.fields.clone(),
            resource_version: start,
            bookmarks: true,
        };
        let mut events = client.watch(&self.gvr, &selector.namespace, params).await?;
        while let Some(event) = events.next().await {
            match event? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    let version = object.resource_version();
                    self.apply(object);
                    self.reached(version);
                }
                WatchEvent::Deleted(object) => {
                    let version = object.resource_version();
                    self.remove(&object);
                    self.reached(version);
                }
                WatchEvent::Bookmark(version) => self.reached(version),
            }
        }
        Ok(())
    }
}

/// The caches of a process: one reflector a resource and selector, started when first asked for. Clones share them.
#[derive(Clone, Debug)]
pub struct Caches {
    client: Client,
    env: Env,
    caches: Arc<Mutex<BTreeMap<(Gvr, Selector), Cache>>>,
}

impl Caches {
    /// Caches filled by `client`, in the task tree of `env`.
    pub fn new(client: Client, env: Env) -> Self {
        Self {
            client,
            env,
            caches: Arc::default(),
        }
    }

    /// The cache of all objects of a resource.
    pub fn all(&self, gvr: &Gvr) -> Cache {
        self.select(gvr, Selector::all())
    }

    /// The cache of a selection.
    pub fn select(&self, gvr: &Gvr, selector: Selector) -> Cache {
        let mut caches = self.caches.lock().unwrap_or_else(PoisonError::into_inner);
        let start = || Cache::start(&self.client, gvr.clone(), selector.clone(), &self.env);
        caches
            .entry((gvr.clone(), selector.clone()))
            .or_insert_with(start)
            .clone()
    }

    /// The client that fills them.
    pub fn client(&self) -> &Client {
        &self.client
    }
}

/// Upstream's reflector back-off: 800 ms doubling to 30 s, with jitter.
fn backoff(last: Duration, env: &Env) -> Duration {
    let next = (last * 2).clamp(Duration::from_millis(800), Duration::from_secs(30));
    env.random.jitter(next, 1.0).min(Duration::from_secs(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, version: u64, owner: &str) -> Arc<Object> {
        let owners = if owner.is_empty() {
            String::new()
        } else {
            format!(
                r#","ownerReferences":[{{"apiVersion":"v1","kind":"Set","name":"s","uid":"{owner}","controller":true}}]"#
            )
        };
        let body = format!(
            r#"{{"kind":"Pod","metadata":{{"name":"{name}","namespace":"d","uid":"{name}"{owners}}}}}"#
        );
        Arc::new(Object::parse(body.into(), version, &[]).unwrap())
    }

    fn names(objects: &[Arc<Object>]) -> Vec<&str> {
        objects.iter().map(|object| object.name()).collect()
    }

    #[test]
    fn objects_are_found_by_who_manages_them() {
        let cache = Cache::detached(Gvr::new("", "v1", "pods"));
        for (version, (name, owner)) in [("b", "x"), ("a", "x"), ("c", ""), ("d", "y")]
            .into_iter()
            .enumerate()
        {
            cache.apply(pod(name, version as u64 + 1, owner));
        }
        assert_eq!(names(&cache.owned_by("x")), ["a", "b"]);
        assert_eq!(names(&cache.orphans_in("d")), ["c"]);
        assert!(cache.orphans_in("c").is_empty() && cache.orphans_in("e").is_empty());
        // Adopted, released, gone.
        cache.apply(pod("c", 10, "x"));
        cache.apply(pod("a", 11, ""));
        cache.remove(&pod("b", 12, "x"));
        assert_eq!(names(&cache.owned_by("x")), ["c"]);
        assert_eq!(names(&cache.orphans_in("d")), ["a"]);
        assert_eq!(names(&cache.owned_by("y")), ["d"]);
    }
}
