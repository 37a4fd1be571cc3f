//! Attends to other servers: one task each, which looks whether it answers, writes that down, and asks what it has.

use super::{
    available::{self, condition, obstacle},
    service::{API_SERVICES, ApiService, Condition, Remote, conditions, is_available},
};
use crate::{
    Server,
    backends::{ENDPOINTS, SERVICES},
    cache::{Cache, Item, Selection},
};
use api::{Key, Object, Status};
use client::{Client, Patch};
use futures::stream::{self, StreamExt};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use tokio::sync::Notify;

/// How long until a server is looked at again without a reason, as upstream; the longest pause after a failure.
const AGAIN: Duration = Duration::from_secs(30);
/// The first pause after a failure; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(250);
/// How long to wait when the caches end a watch.
const PAUSE: Duration = Duration::from_millis(500);

/// The servers that are attended to, by name of the APIService.
#[derive(Default)]
pub struct Attended(Mutex<BTreeMap<String, Arc<Notify>>>);

impl Attended {
    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<String, Arc<Notify>>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is followed.
#[derive(Clone, Copy)]
enum What {
    ApiService,
    /// A Service, or its endpoints.
    Behind,
}

impl Server {
    /// Follows APIServices, Services and endpoints as a task.
    pub(crate) fn attend(self: &Arc<Self>) {
        let cache = |gvr: &api::Gvr| self.handler.cache(&gvr.group, &gvr.resource);
        let (Some(api_services), Some(services), Some(endpoints)) =
            (cache(&API_SERVICES), cache(&SERVICES), cache(&ENDPOINTS))
        else {
            return;
        };
        let env = self.handler.env.clone();
        let server = Arc::downgrade(self);
        env.tasks.clone().spawn("aggregation", async move {
            let sources = [
                (What::ApiService, api_services),
                (What::Behind, services),
                (What::Behind, endpoints),
            ];
            loop {
                let all = sources.iter().map(|(what, cache)| events(*what, cache).boxed());
                // A watch that ends is begun again with the others.
                let mut all = stream::select_all(all.map(|one| one.chain(stream::iter([None])).boxed()));
                while let Some(Some((what, key))) = all.next().await {
                    let Some(server) = server.upgrade() else { return };
                    server.saw(what, &key).await;
                }
                env.clock.sleep(PAUSE).await;
            }
        });
    }

    async fn saw(self: &Arc<Self>, what: What, key: &str) {
        let attended = &self.aggregator.attended;
        if let What::Behind = what {
            let known = self.aggregator.known();
            let concerned = known.services.iter().filter(|(_, service)| {
                let remote = service.remote.as_ref();
                remote.is_some_and(|r| key == format!("{}/{}", r.namespace, r.name))
            });
            let nudges: Vec<Arc<Notify>> =
                attended.with(|all| concerned.filter_map(|(name, _)| all.get(name).cloned()).collect());
            nudges.iter().for_each(|nudge| nudge.notify_one());
            return;
        }
        let Some(object) = self.reader().get(&API_SERVICES, "", key) else {
            return;
        };
        if ApiService::of(&object).is_some_and(|service| service.remote.is_none()) {
            let local = condition("True", "Local", "Local APIServices are always available");
            self.write_condition(key, local).await;
            return;
        }
        let nudge = Arc::new(Notify::new());
        let fresh = attended.with(|all| match all.get(key) {
            Some(there) => {
                there.notify_one();
                false
            }
            None => {
                all.insert(key.to_owned(), nudge.clone());
                true
            }
        });
        if fresh {
            let (server, name) = (Arc::downgrade(self), key.to_owned());
            let tasks = self.handler.env.tasks.clone();
            tasks.spawn("aggregated-server", attend(server, name, nudge));
        }
    }

    /// Looks whether it answers, and what it has. False: it is worth looking again soon.
    async fn look(self: &Arc<Self>, name: &str, service: &ApiService, remote: &Remote) -> bool {
        let at = |gvr| self.reader().get(gvr, &remote.namespace, &remote.name);
        if let Some(obstacle) = obstacle(remote, at(&SERVICES).as_deref(), at(&ENDPOINTS).as_deref()) {
            self.write_condition(name, obstacle).await;
            // Its Service and endpoints are followed.
            return true;
        }
        if let Err(why) = self.probe(remote, &service.group, &service.version).await {
            self.write_condition(name, condition("False", "FailedDiscoveryCheck", why))
                .await;
            return false;
        }
        self.write_condition(name, condition("True", "Passed", "all checks passed"))
            .await;
        let before = self.aggregator.known().found.get(name).cloned();
        match self
            .discover(remote, &service.group, &service.version, before.as_deref())
            .await
        {
            Ok(found) => self.aggregator.found(name, found),
            Err(why) => {
                tracing::info!(apiservice = name, why, "discovery");
                return false;
            }
        }
        true
    }

    async fn write_condition(self: &Arc<Self>, name: &str, now: Condition) {
        let Some(object) = self.reader().get(&API_SERVICES, "", name) else {
            return;
        };
        if let Err(status) = self.try_write(&object, now).await
            && !status.is_conflict()
            && !status.is_not_found()
        {
            tracing::warn!(apiservice = name, %status, "the condition is not written");
        }
    }

    async fn try_write(self: &Arc<Self>, object: &Object, now: Condition) -> Result<(), Status> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Change<'a> {
            metadata: Metadata<'a>,
            status: Written,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Metadata<'a> {
            uid: &'a str,
        }
        #[derive(Serialize)]
        struct Written {
            conditions: Vec<Condition>,
        }
        let (before, reason) = (conditions(object), now.reason.clone());
        let conditions = available::with(before.clone(), now, self.handler.env.clock.wall());
        if conditions == before {
            return Ok(());
        }
        let lost = is_available(&before) && !is_available(&conditions);
        let change = Change {
            metadata: Metadata { uid: object.uid() },
            status: Written { conditions },
        };
        let key = Key::cluster(object.name());
        let client = self.aggregation_client();
        client
            .patch(&API_SERVICES, &key, "status", Patch::Merge, &change)
            .await?;
        if lost {
            let unavailable = &self.handler.metrics.unavailable;
            unavailable.of(&[object.name(), &reason]).add(1);
        }
        Ok(())
    }

    /// The server as its own client.
    pub(super) fn aggregation_client(self: &Arc<Self>) -> Client {
        self.own_client("kube-aggregator")
    }
}

/// The keys of what changes in `cache`, and of what is there.
fn events(
    what: What,
    cache: &Arc<Cache>,
) -> impl futures::Stream<Item = Option<(What, String)>> + Send + 'static {
    let watcher = cache.watch(Selection::default(), 0, None).ok();
    stream::unfold(watcher, move |watcher| async move {
        let mut watcher = watcher?;
        loop {
            if let Item::Event(_, event) = watcher.next().await? {
                return Some((Some((what, event.key.to_string())), Some(watcher)));
            }
        }
    })
}

/// Attends to the server of one APIService, until that is gone or means this server.
async fn attend(server: Weak<Server>, name: String, nudge: Arc<Notify>) {
    let mut pause = FIRST;
    loop {
        let Some(server) = server.upgrade() else { return };
        let aggregator = &server.aggregator;
        let service = aggregator.attended.with(|all| {
            let service = aggregator.known().services.get(&name).cloned();
            let service = service.filter(|service| service.remote.is_some());
            if service.is_none() {
                all.remove(&name);
            }
            service
        });
        let Some(service) = service else { return };
        let Some(remote) = &service.remote else { return };
        let wait = if server.look(&name, &service, remote).await {
            pause = FIRST;
            AGAIN
        } else {
            pause = (pause * 2).min(AGAIN);
            pause
        };
        let env = server.handler.env.clone();
        drop(server);
        tokio::select! {
            biased;
            () = env.tasks.stopping() => return,
            () = nudge.notified() => {}
            () = env.clock.sleep(wait) => {}
        }
    }
}
