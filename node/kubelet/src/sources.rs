//! The ConfigMaps and Secrets that pods of this node name: each is watched by its own name, as the node authorizer
//! wants it, for as long as a pod names it.

use crate::{
    pod::{Objects, Reference},
    registry::Registry,
    resources::{CONFIG_MAPS, SECRETS},
};
use api::Key;
use client::{Cache, Client, Selector};
use component::{Env, Tasks};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

type SourceKey = (String, Reference);

#[derive(Debug)]
struct Source {
    cache: Cache,
    tasks: Tasks,
    users: BTreeSet<String>,
}

/// All of them.
#[derive(Debug)]
pub struct Sources {
    client: Client,
    env: Env,
    registry: Arc<Registry>,
    sources: Mutex<BTreeMap<SourceKey, Source>>,
}

const SYNC_LIMIT: Duration = Duration::from_secs(10);

impl Sources {
    /// None yet.
    pub fn new(client: Client, env: Env, registry: Arc<Registry>) -> Self {
        Self {
            client,
            env,
            registry,
            sources: Mutex::default(),
        }
    }

    /// Says which objects the pod `uid` names now; none lets go of all.
    pub fn set(self: &Arc<Self>, uid: &str, namespace: &str, wanted: &BTreeSet<Reference>) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        for ((in_namespace, reference), source) in sources.iter_mut() {
            if in_namespace != namespace || !wanted.contains(reference) {
                source.users.remove(uid);
            }
        }
        sources.retain(|_, source| {
            let used = !source.users.is_empty();
            if !used {
                source.tasks.stop();
            }
            used
        });
        for reference in wanted {
            let key = (namespace.to_owned(), reference.clone());
            let source = sources.entry(key.clone()).or_insert_with(|| self.start(key));
            source.users.insert(uid.to_owned());
        }
    }

    fn start(self: &Arc<Self>, key: SourceKey) -> Source {
        let (gvr, name) = match &key.1 {
            Reference::ConfigMap(name) => (CONFIG_MAPS, name),
            Reference::Secret(name) => (SECRETS, name),
        };
        let env = self.env.child();
        let selector = Selector {
            namespace: key.0.clone(),
            fields: format!("metadata.name={name}"),
            ..Selector::default()
        };
        let cache = Cache::start(&self.client, gvr, selector, &env);
        let (this, mut changes) = (self.clone(), cache.subscribe());
        env.tasks.spawn("source", async move {
            while changes.recv().await.is_some() {
                this.tell(&key);
            }
        });
        Source {
            cache,
            tasks: env.tasks,
            users: BTreeSet::new(),
        }
    }

    fn tell(&self, key: &SourceKey) {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let users = sources.get(key).map(|s| s.users.clone()).unwrap_or_default();
        drop(sources);
        users.iter().for_each(|uid| self.registry.poke(uid));
    }

    fn cache(&self, key: &SourceKey) -> Option<Cache> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.get(key).map(|s| s.cache.clone())
    }

    /// The objects among `wanted` that are there, once they were read.
    pub async fn objects(&self, namespace: &str, wanted: &BTreeSet<Reference>) -> Result<Objects, String> {
        let mut objects = Objects::default();
        for reference in wanted {
            let (Reference::ConfigMap(name) | Reference::Secret(name)) = reference;
            let Some(cache) = self.cache(&(namespace.to_owned(), reference.clone())) else {
                continue;
            };
            if self.env.clock.timeout(SYNC_LIMIT, cache.synced()).await.is_none() {
                return Err(format!(
                    "failed to sync {reference:?}: timed out waiting for the condition"
                ));
            }
            let Some(object) = cache.get(&Key::new(namespace, name)) else {
                continue;
            };
            match reference {
                Reference::ConfigMap(_) => {
                    objects
                        .config_maps
                        .insert(name.clone(), object.view().map_err(|e| e.to_string())?);
                }
                Reference::Secret(_) => {
                    objects
                        .secrets
                        .insert(name.clone(), object.view().map_err(|e| e.to_string())?);
                }
            }
        }
        Ok(objects)
    }
}
