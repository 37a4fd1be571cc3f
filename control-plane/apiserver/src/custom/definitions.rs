//! Follows the definitions: serves what they define, and writes into their status what became of them.

use super::end;
use crate::{
    Server,
    cache::{Cache, Feed, Item, Kind, Selection},
    handler::{Call, Handler, Place, Places, Validation},
    security::User,
};
use api::{Gvr, Object, Status};
use etcd::Store;
use resources::{Custom, Names};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// The definitions themselves.
pub const DEFINITIONS: Gvr = Gvr::new("apiextensions.k8s.io", "v1", "customresourcedefinitions");

/// How often a definition is tried before the next change of it.
const TRIES: usize = 5;
/// How long to wait after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// What follows the definitions of custom resources.
pub struct Definitions {
    places: Arc<Places>,
    feed: Arc<Feed>,
    store: Arc<dyn Store>,
    /// What is installed, by name of the definition.
    installed: Mutex<BTreeMap<String, Installed>>,
}

struct Installed {
    cache: Arc<Cache>,
    /// The definition that it was compiled of.
    of: Arc<Object>,
}

impl Definitions {
    /// For the resources in `places`, which `feed` fills from `store`.
    pub fn new(places: Arc<Places>, feed: Arc<Feed>, store: Arc<dyn Store>) -> Self {
        Self {
            places,
            feed,
            store,
            installed: Mutex::default(),
        }
    }

    fn cache(&self) -> Option<Arc<Cache>> {
        self.places.cache(&DEFINITIONS.group, &DEFINITIONS.resource)
    }

    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<String, Installed>) -> T) -> T {
        f(&mut self.installed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Serves all that is defined already: before the server is ready.
    pub async fn install_all(&self) -> Result<(), etcd::Error> {
        let Some(cache) = self.cache() else { return Ok(()) };
        let mut added = Vec::new();
        for definition in cache.snapshot().hubs(cache.row, "") {
            if resources::established(&definition)
                && let Some(custom) = compile(&definition)
            {
                added.push(self.start(&definition, custom).await?);
            }
        }
        self.places.change(|caches| caches.extend(added));
        Ok(())
    }

    /// Makes and fills the cache of a definition.
    async fn start(&self, definition: &Arc<Object>, custom: Arc<Custom>) -> Result<Arc<Cache>, etcd::Error> {
        let cache = Arc::new(Cache::of_custom(custom, self.feed.clone()));
        self.feed.add(&cache, self.store.as_ref()).await?;
        let installed = Installed {
            cache: cache.clone(),
            of: definition.clone(),
        };
        self.with(|all| all.insert(definition.name().to_owned(), installed));
        Ok(cache)
    }

    /// Serves what a definition defines, as it is now.
    async fn install(&self, definition: &Arc<Object>) -> Result<(), etcd::Error> {
        let before = self.with(|all| {
            let there = all.get(definition.name())?;
            Some((there.cache.clone(), there.of.clone()))
        });
        if before.as_ref().is_some_and(|(_, of)| same(of, definition)) {
            return Ok(());
        }
        let Some(custom) = compile(definition) else {
            return Ok(());
        };
        let Some((cache, _)) = before else {
            let cache = self.start(definition, custom).await?;
            self.places.change(|caches| caches.push(cache));
            return Ok(());
        };
        let now = if std::ptr::eq(cache.row, custom.row) {
            cache.swap(custom);
            cache
        } else {
            let next = Arc::new(Cache::of_custom(custom, self.feed.clone()));
            self.feed.replace(&cache, &next);
            next
        };
        self.with(|all| {
            if let Some(there) = all.get_mut(definition.name()) {
                there.cache = now.clone();
                there.of = definition.clone();
            }
        });
        self.places.change(|caches| {
            caches.retain(|cache| cache.row.prefix != now.row.prefix);
            caches.push(now);
        });
        Ok(())
    }

    /// Serves it no more.
    fn uninstall(&self, name: &str) {
        if let Some(gone) = self.with(|all| all.remove(name)) {
            self.places
                .change(|caches| caches.retain(|cache| !Arc::ptr_eq(cache, &gone.cache)));
            self.feed.remove(&gone.cache);
        }
    }

    /// Follows the definitions as a task of `server`.
    pub fn follow(self, server: &Arc<Server>) {
        let Some(cache) = self.cache() else { return };
        let env = server.handler.env.clone();
        let server = Arc::downgrade(server);
        env.tasks
            .clone()
            .spawn("custom-resource-definitions", async move {
                let definitions = Arc::new(self);
                while let Ok(mut watcher) = cache.watch(Selection::default(), 0, None) {
                    definitions.sweep(&cache);
                    while let Some(item) = watcher.next().await {
                        let Some(server) = server.upgrade() else { return };
                        if let Item::Event(kind, event) = item {
                            definitions.saw(&server, &event.key, kind).await;
                        }
                    }
                    env.clock.sleep(PAUSE).await;
                }
            });
    }

    /// Serves no more what went while nobody watched.
    fn sweep(&self, cache: &Cache) {
        let installed: Vec<String> = self.with(|all| all.keys().cloned().collect());
        for name in installed.iter().filter(|name| cache.get("", name).is_none()) {
            self.uninstall(name);
        }
    }

    async fn saw(self: &Arc<Self>, server: &Arc<Server>, name: &str, kind: Kind) {
        let gone = kind == Kind::Deleted;
        if gone {
            self.uninstall(name);
        }
        let Some(cache) = self.cache() else { return };
        let now = cache.get("", name).map(|held| held.hub().clone());
        if let Some(definition) = &now
            && !gone
        {
            self.sync(server, definition).await;
            return;
        }
        // Its names are free: others of its group may have waited for them.
        let Some((_, group)) = name.split_once('.') else {
            return;
        };
        for other in cache.snapshot().hubs(cache.row, "") {
            if resources::accepted_names(&other).0 == group {
                self.sync(server, &other).await;
            }
        }
    }

    /// Brings what is served, and the status, to what the definition says.
    async fn sync(self: &Arc<Self>, server: &Arc<Server>, definition: &Arc<Object>) {
        for _ in 0..TRIES {
            match self.try_sync(server, definition).await {
                Ok(()) => return,
                // A newer definition comes by itself.
                Err(status) if status.is_conflict() || status.is_not_found() => return,
                Err(status) => {
                    tracing::warn!(definition = definition.name(), %status, "custom resource definition");
                    server.handler.env.clock.sleep(PAUSE).await;
                }
            }
        }
    }

    async fn try_sync(
        self: &Arc<Self>,
        server: &Arc<Server>,
        definition: &Arc<Object>,
    ) -> Result<(), Status> {
        let handler = &server.handler;
        let unread = |error: etcd::Error| Status::unavailable(error.to_string());
        if resources::established(definition) {
            self.install(definition).await.map_err(unread)?;
        }
        if definition.deletion_timestamp().is_some() {
            let cache = self.with(|all| all.get(definition.name()).map(|there| there.cache.clone()));
            end::begin(server, definition, cache);
            return Ok(());
        }
        let others = self.others(definition);
        let now = handler.env.clock.wall();
        let Some(wanted) = resources::decide(definition, &others, resources::room(), now)? else {
            return Ok(());
        };
        let wanted =
            Object::parse(wanted.into(), definition.resource_version(), &[]).map_err(Status::internal)?;
        let wanted = Arc::new(wanted);
        // Served first: who reads that it is established may use it.
        if resources::established(&wanted) {
            self.install(&wanted).await.map_err(unread)?;
        }
        write(handler, &wanted, "status").await
    }

    /// The names that other definitions of the group have.
    fn others(&self, definition: &Object) -> Vec<Names> {
        let (group, _) = resources::accepted_names(definition);
        let Some(cache) = self.cache() else {
            return Vec::new();
        };
        cache
            .snapshot()
            .hubs(cache.row, "")
            .iter()
            .filter(|other| other.name() != definition.name() && in_group(other.name(), &group))
            .map(|other| resources::accepted_names(other).1)
            .collect()
    }
}

/// Whether a definition of this name is of `group`: it is called PLURAL.GROUP.
fn in_group(name: &str, group: &str) -> bool {
    name.split_once('.').is_some_and(|(_, of)| of == group)
}

/// Whether nothing that is compiled has changed.
fn same(before: &Object, now: &Object) -> bool {
    before.uid() == now.uid()
        && before.generation() == now.generation()
        && before.deletion_timestamp().is_some() == now.deletion_timestamp().is_some()
        && resources::accepted_names(before) == resources::accepted_names(now)
}

fn compile(definition: &Object) -> Option<Arc<Custom>> {
    match Custom::compile(definition) {
        Ok(custom) => Some(Arc::new(custom)),
        Err(why) => {
            tracing::error!(definition = definition.name(), why, "not served");
            None
        }
    }
}

/// The place of a definition.
pub(super) fn place(handler: &Handler, name: &str, subresource: &str) -> Result<Place, Status> {
    handler.places.find(&DEFINITIONS, "", name, subresource)
}

/// What this server itself asks.
pub(super) fn call(verb: &str, place: &Place) -> Call {
    let user = Arc::new(User::new("system:apiserver", &["system:masters"]));
    Call {
        attributes: Server::attributes(&user, verb, place),
        validation: Validation::Ignore,
        field_manager: "kube-apiserver".to_owned(),
        ..Call::default()
    }
}

/// Writes a definition, or its status.
pub(super) async fn write(handler: &Handler, definition: &Object, subresource: &str) -> Result<(), Status> {
    let place = place(handler, definition.name(), subresource)?;
    let call = call("update", &place);
    handler
        .update(&place, &call, &definition.to_json())
        .await
        .map(drop)
}
