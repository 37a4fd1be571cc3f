//! Tells the engine what the caches see, and carries its effects out.

use super::engine::{Effect, Engine, Event, Listed};
use crate::gc::Collections;
use api::{Gvr, Key, Object, quota::Status};
use client::{Cache, Caches, Change, Client, Target, Write};
use component::Env;
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::mpsc;

const QUOTAS: Gvr = Gvr::new("", "v1", "resourcequotas");

/// Takes the changes of caches in.
#[derive(Clone)]
pub(crate) struct Feeder(mpsc::UnboundedSender<Event>);

impl Feeder {
    /// A change of an object of a resource that is served.
    pub fn tell(&self, gvr: &Gvr, change: &Change) {
        let event = match change {
            Change::Applied { new, .. } => Event::Seen(gvr.clone(), new.clone()),
            Change::Deleted { old } => Event::Gone(gvr.clone(), old.clone()),
        };
        // Nobody listens once the controllers stop.
        let _ = self.0.send(event);
    }

    /// Other resources than before are served.
    pub fn served(&self, collections: &Collections) {
        let _ = self.0.send(Event::Served(resources(collections)));
    }
}

fn resources(collections: &Collections) -> Vec<Gvr> {
    let caches = collections.namespaced();
    caches.iter().map(|cache| cache.gvr().clone()).collect()
}

/// Starts to count. What is in `collections` counts, if the feeder is told of its changes.
pub(crate) fn start(client: &Client, caches: &Caches, collections: &Collections, env: &Env) -> Feeder {
    let (sender, events) = mpsc::unbounded_channel();
    let quotas = caches.all(&QUOTAS);
    let (mut changes, told) = (quotas.subscribe(), sender.clone());
    env.tasks.spawn("quota-watch", async move {
        while let Some(change) = changes.recv().await {
            let event = match change {
                Change::Applied { new, .. } => Event::Quota(new),
                Change::Deleted { old } => Event::QuotaGone(old.key()),
            };
            if told.send(event).is_err() {
                return;
            }
        }
    });
    let executor = Executor {
        client: client.clone(),
        collections: collections.clone(),
        env: env.clone(),
    };
    env.tasks.spawn("quota", executor.run(events));
    Feeder(sender)
}

struct Executor {
    client: Client,
    collections: Collections,
    env: Env,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Meta<'a>,
    status: &'a Status,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Meta<'a> {
    name: &'a str,
    namespace: &'a str,
    uid: &'a str,
    resource_version: String,
}

impl Executor {
    async fn run(self, mut events: mpsc::UnboundedReceiver<Event>) {
        let mut engine = Engine::default();
        let mut running: FuturesUnordered<BoxFuture<'_, Vec<Event>>> = FuturesUnordered::new();
        loop {
            let answers = tokio::select! {
                biased;
                event = events.recv() => match event {
                    Some(event) => vec![event],
                    None => return,
                },
                Some(answers) = running.next(), if !running.is_empty() => answers,
            };
            for event in answers {
                for effect in engine.on(event, self.env.clock.wall()) {
                    running.push(Box::pin(self.carry_out(effect)));
                }
            }
        }
    }

    /// The events that answer an effect.
    async fn carry_out(&self, effect: Effect) -> Vec<Event> {
        match effect {
            Effect::Wait(key, version, why, after) => {
                self.env.clock.sleep(after).await;
                vec![Event::Late(key, version, why)]
            }
            Effect::List(key, wanted) => {
                let objects = self.list(&key.namespace, &wanted).await;
                vec![Event::Listed(key, objects)]
            }
            Effect::Write(key, object, status) => match self.write(&key, &object, &status).await {
                Ok(written) => vec![Event::Quota(written), Event::Written(key, true)],
                Err(refused) => {
                    tracing::debug!(%key, error = %refused, "a quota will be written again");
                    let live = self.client.find(&QUOTAS, &key).await;
                    let seen = match live {
                        Ok(None) => Some(Event::QuotaGone(key.clone())),
                        Ok(Some(live)) => Some(Event::Quota(live)),
                        Err(_) => None,
                    };
                    seen.into_iter().chain([Event::Written(key, false)]).collect()
                }
            },
        }
    }

    async fn list(&self, namespace: &str, wanted: &[Gvr]) -> Vec<Listed> {
        let mut caches: Vec<Cache> = self.collections.namespaced();
        caches.retain(|cache| wanted.contains(cache.gvr()));
        for cache in &caches {
            cache.synced().await;
        }
        // From here on nothing is awaited: what the engine hears later is later than this.
        let of = |cache: &Cache| {
            let version = cache.version().unwrap_or_default();
            (cache.gvr().clone(), version, cache.in_namespace(namespace))
        };
        caches.iter().map(of).collect()
    }

    async fn write(&self, key: &Key, object: &Object, status: &Status) -> Result<Arc<Object>, api::Status> {
        let body = Body {
            api_version: "v1",
            kind: "ResourceQuota",
            metadata: Meta {
                name: object.name(),
                namespace: object.namespace(),
                uid: object.uid(),
                resource_version: object.resource_version().to_string(),
            },
            status,
        };
        let body = serde_json::to_vec(&body).map_err(api::Status::internal)?;
        let target = Target::object(&QUOTAS, key).sub("status");
        self.client.write(target, Write::Update(body.into())).await
    }
}
