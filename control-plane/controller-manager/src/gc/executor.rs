//! Carries the engine's effects out.

use super::{
    Collections, Served,
    engine::{Effect, Engine, Event},
};
use crate::quota::Feeder;
use api::{Gvr, Key, Owner, Status};
use client::{Cache, Caches, Change, Client, DeleteOptions, Patch, Recorder, Severity};
use component::Env;
use futures::{StreamExt, stream::FuturesUnordered};
use serde::Serialize;
use std::time::Duration;
use tokio::sync::mpsc;

/// Starts the garbage collector over all that is `served`; what it watches is kept in `collections`, and `counting` is
/// told of it.
pub(crate) fn start(
    client: &Client,
    caches: &Caches,
    served: &Served,
    collections: &Collections,
    counting: Feeder,
    env: &Env,
) {
    let (sender, events) = mpsc::unbounded_channel();
    let (told, counter) = (sender.clone(), counting.clone());
    let opened = move |cache: Cache, env: &Env| {
        let (mut changes, sender, gvr) = (cache.subscribe(), sender.clone(), cache.gvr().clone());
        let counter = counter.clone();
        env.tasks.spawn("gc-watch", async move {
            while let Some(change) = changes.recv().await {
                counter.tell(&gvr, &change);
                let event = match change {
                    Change::Applied { new, .. } => Event::Seen(gvr.clone(), new),
                    Change::Deleted { old } => Event::Gone(old),
                };
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
    };
    let (own, mut changing) = (collections.clone(), served.clone());
    let (opener, caches, within) = (client.clone(), caches.clone(), env.clone());
    let now = changing.borrow_and_update().clone();
    own.update(&now, &opener, &caches, &within, &opened);
    counting.served(&own);
    env.tasks.spawn("gc-resources", async move {
        while changing.changed().await.is_ok() {
            let now = changing.borrow_and_update().clone();
            own.update(&now, &opener, &caches, &within, &opened);
            counting.served(&own);
            if told.send(Event::Served).is_err() {
                return;
            }
        }
    });
    let executor = Executor {
        client: client.clone(),
        served: served.clone(),
        recorder: Recorder::start(client, "garbage-collector-controller", "", env),
        env: env.clone(),
    };
    env.tasks.spawn("gc", executor.run(events));
}

struct Executor {
    client: Client,
    served: Served,
    recorder: Recorder,
    env: Env,
}

impl Executor {
    async fn run(self, mut events: mpsc::UnboundedReceiver<Event>) {
        let mut engine = Engine::default();
        let mut running = FuturesUnordered::new();
        loop {
            let event = tokio::select! {
                biased;
                event = events.recv() => event,
                Some(answer) = running.next(), if !running.is_empty() => answer,
            };
            let Some(event) = event else { return };
            for effect in engine.on(event) {
                running.push(self.carry_out(effect));
            }
        }
    }

    /// The event that answers `effect`; a dependent that is gone stands for "nothing more to do".
    async fn carry_out(&self, effect: Effect) -> Option<Event> {
        let mut delay = Duration::from_millis(100);
        loop {
            match self.attempt(&effect).await {
                Ok(event) => return Some(event),
                // The object changed: look again.
                Err(status) if status.is_conflict() => {
                    if let Effect::Delete(uid, gvr, key, _) | Effect::Release(uid, gvr, key, ..) = &effect {
                        let look = Effect::LookDependent(uid.clone(), gvr.clone(), key.clone());
                        if let Ok(event) = self.attempt(&look).await {
                            return Some(event);
                        }
                    }
                }
                Err(status) => {
                    tracing::debug!(?effect, error = %status, "garbage collection will be tried again")
                }
            }
            self.env.clock.sleep(delay).await;
            delay = (delay * 2).min(Duration::from_secs(60));
        }
    }

    async fn attempt(&self, effect: &Effect) -> Result<Event, Status> {
        match effect {
            Effect::LookOwner(owner, namespace) => {
                let there = self.owner_is_there(owner, namespace).await?;
                Ok(Event::Owner(owner.clone(), namespace.clone(), there))
            }
            Effect::Warn(about, message) => {
                let reason = "OwnerRefInvalidNamespace";
                self.recorder
                    .record(about.clone(), Severity::Warning, reason, message);
                Ok(Event::Dependent(String::new(), None))
            }
            Effect::LookDependent(uid, gvr, key) => {
                Ok(Event::Dependent(uid.clone(), self.client.find(gvr, key).await?))
            }
            Effect::Delete(uid, gvr, key, propagation) => {
                let options = DeleteOptions {
                    uid: Some(uid.clone()),
                    propagation_policy: Some(propagation),
                    ..DeleteOptions::default()
                };
                match self.client.delete(gvr, key, options).await {
                    Err(status) if !status.is_not_found() => Err(status),
                    _ => Ok(Event::Dependent(uid.clone(), None)),
                }
            }
            Effect::Finish(uid, gvr, key, finalizer) => {
                self.finish(uid, gvr, key, finalizer).await?;
                Ok(Event::Dependent(uid.clone(), None))
            }
            Effect::Release(uid, gvr, key, version, owners) => {
                let patch = Release {
                    metadata: ReleaseMeta {
                        uid: uid.clone(),
                        resource_version: version.to_string(),
                        owner_references: owners.clone(),
                    },
                };
                match self.client.patch(gvr, key, "", Patch::Merge, &patch).await {
                    Err(status) if !status.is_not_found() => Err(status),
                    _ => Ok(Event::Dependent(uid.clone(), None)),
                }
            }
        }
    }

    /// Takes `finalizer` off, if the object still has it.
    async fn finish(&self, uid: &str, gvr: &Gvr, key: &Key, finalizer: &str) -> Result<(), Status> {
        let Some(live) = self.client.find(gvr, key).await?.filter(|o| o.uid() == uid) else {
            return Ok(());
        };
        if !live.finalizers().any(|f| f == finalizer) {
            return Ok(());
        }
        let finalizers = live
            .finalizers()
            .filter(|f| *f != finalizer)
            .map(str::to_owned)
            .collect();
        let resource_version = live.resource_version().to_string();
        let patch = Finish {
            metadata: FinishMeta {
                uid: uid.to_owned(),
                resource_version,
                finalizers,
            },
        };
        match self.client.patch(gvr, key, "", Patch::Merge, &patch).await {
            Err(status) if !status.is_not_found() => Err(status),
            _ => Ok(()),
        }
    }

    async fn owner_is_there(&self, owner: &Owner, namespace: &str) -> Result<bool, Status> {
        // A kind that is not served is left alone: it may be served later.
        let served = self.served.borrow().clone();
        let Some(resource) = served.of_kind(&owner.api_version, &owner.kind) else {
            return Ok(true);
        };
        // No namespace is looked in: what has none cannot be owned by what is in one, and is kept.
        if resource.namespaced && namespace.is_empty() {
            return Ok(true);
        }
        let key = Key::new(if resource.namespaced { namespace } else { "" }, &owner.name);
        let live = self.client.find(&resource.gvr, &key).await?;
        Ok(live.is_some_and(|o| o.uid() == owner.uid))
    }
}

#[derive(Serialize)]
struct Finish {
    metadata: FinishMeta,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FinishMeta {
    uid: String,
    resource_version: String,
    finalizers: Vec<String>,
}

#[derive(Serialize)]
struct Release {
    metadata: ReleaseMeta,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReleaseMeta {
    uid: String,
    resource_version: String,
    owner_references: Vec<Owner>,
}
