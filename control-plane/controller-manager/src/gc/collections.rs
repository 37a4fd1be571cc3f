//! The caches of all resources that are served: those of built-in resources for good, the others while they are served.

use super::{Collectable, Resources};
use api::{Gvr, Key, Object};
use client::{Cache, Caches, Client, Selector};
use component::Env;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

struct Collection {
    cache: Cache,
    namespaced: bool,
    /// Where its cache lives; stopped when it is no longer served.
    env: Env,
}

#[derive(Default)]
struct Held {
    open: BTreeMap<Gvr, Collection>,
    undiscovered: Vec<String>,
}

/// The caches. Clones share them.
#[derive(Clone, Default)]
pub struct Collections(Arc<Mutex<Held>>);

impl Collections {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nobody says now what these groups and versions have.
    pub(super) fn undiscovered(&self, versions: Vec<String>) {
        self.held().undiscovered = versions;
    }

    /// That nobody says what some groups and versions have, in upstream's words; none: all is known.
    pub(crate) fn unknown(&self) -> Option<String> {
        let versions = &self.held().undiscovered;
        let each = |version: &String| format!("{version}: stale GroupVersion discovery: {version}");
        let each: Vec<String> = versions.iter().map(each).collect();
        (!each.is_empty()).then(|| {
            let all = each.join(", ");
            let many = each.len();
            format!(
                "Discovery failed for some groups, {many} failing: unable to retrieve the complete list of server APIs: {all}"
            )
        })
    }

    /// The namespaced resources, with their caches.
    pub(crate) fn namespaced(&self) -> Vec<Cache> {
        let held = self.held();
        let all = held.open.values().filter(|c| c.namespaced);
        all.map(|c| c.cache.clone()).collect()
    }

    /// An object, if its resource is served.
    pub(crate) fn get(&self, gvr: &Gvr, key: &Key) -> Option<Arc<Object>> {
        self.held().open.get(gvr)?.cache.get(key)
    }

    /// Opens and closes caches as `served` says. `opened` is called with each new cache and what it lives in.
    pub(super) fn update(
        &self,
        served: &Resources,
        client: &Client,
        caches: &Caches,
        env: &Env,
        opened: impl Fn(Cache, &Env),
    ) {
        self.close_all_but(&served.0);
        for resource in &served.0 {
            if let Some((cache, env)) = self.open(resource, client, caches, env) {
                opened(cache, &env);
            }
        }
    }

    /// None if it is open already.
    fn open(
        &self,
        resource: &Collectable,
        client: &Client,
        caches: &Caches,
        env: &Env,
    ) -> Option<(Cache, Env)> {
        let mut held = self.held();
        let all = &mut held.open;
        if all.contains_key(&resource.gvr) {
            return None;
        }
        let env = env.child();
        let cache = match resource.built_in {
            true => caches.all(&resource.gvr),
            false => Cache::start(client, resource.gvr.clone(), Selector::all(), &env),
        };
        let collection = Collection {
            cache: cache.clone(),
            namespaced: resource.namespaced,
            env: env.clone(),
        };
        all.insert(resource.gvr.clone(), collection);
        Some((cache, env))
    }

    fn close_all_but(&self, served: &[Collectable]) {
        self.held().open.retain(|gvr, collection| {
            let stays = served.iter().any(|r| r.gvr == *gvr);
            if !stays {
                collection.env.tasks.stop();
            }
            stays
        });
    }
}
