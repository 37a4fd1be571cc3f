//! Registers what this server answers itself: an APIService for each group and version.
//! Upstream: `kube-aggregator/pkg/controllers/autoregister`, `pkg/controlplane/controller/crdregistration`.

use super::{
    priority::{self, Priority},
    service::{ALWAYS, API_SERVICES, ApiService, MANAGED, ON_START, name_of},
};
use crate::{
    Server,
    cache::{Item, Selection},
};
use api::{Key, Object, Status};
use client::{Client, DeleteOptions, Patch};
use futures::future;
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// How long to wait after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// The group of APIServices themselves, which needs none.
const OWN: &str = "apiregistration.k8s.io";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Registered<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata<'a>,
    spec: Spec<'a>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    labels: BTreeMap<&'static str, &'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    group: &'a str,
    version: &'a str,
    group_priority_minimum: i32,
    version_priority: i32,
}

/// A group and version that this server answers.
struct Own {
    group: &'static str,
    version: &'static str,
    priority: Priority,
    managed: &'static str,
}

impl Own {
    fn object<'a>(&self, name: &'a str) -> Registered<'a>
    where
        Self: 'a,
    {
        Registered {
            api_version: "apiregistration.k8s.io/v1",
            kind: "APIService",
            metadata: Metadata {
                name,
                labels: [(MANAGED, self.managed)].into(),
            },
            spec: Spec {
                group: self.group,
                version: self.version,
                group_priority_minimum: self.priority.group,
                version_priority: self.priority.version,
            },
        }
    }

    /// Whether `object` says the same.
    fn is(&self, object: &Object) -> bool {
        let service = ApiService::of(object);
        service.is_some_and(|service| {
            service.remote.is_none()
                && service.priority == self.priority
                && (service.group.as_str(), service.version.as_str()) == (self.group, self.version)
        })
    }
}

impl Server {
    /// What this server answers, by name of the APIService.
    fn own(&self) -> BTreeMap<String, Own> {
        let documents = self.documents();
        let own = documents.served.iter().filter(|served| served.group != OWN);
        own.map(|served| {
            let (group, version) = (served.group, served.version);
            let own = match priority::built_in(group, version) {
                Some(priority) => (priority, ON_START),
                None => (priority::CUSTOM, ALWAYS),
            };
            let own = Own {
                group,
                version,
                priority: own.0,
                managed: own.1,
            };
            (name_of(group, version), own)
        })
        .collect()
    }

    /// Registers all at the start, and takes back what was registered for what is no more.
    pub(crate) async fn register_all(&self, client: &Client) -> Result<(), Status> {
        let own = self.own();
        let objects = self.reader().list(&API_SERVICES, "");
        let there: BTreeMap<&str, &Arc<Object>> =
            objects.iter().map(|object| (object.name(), object)).collect();
        let there = &there;
        let made = own.iter().map(|(name, own)| async move {
            match there.get(name.as_str()) {
                Some(object) if object.label(MANAGED).is_none() || own.is(object) => Ok(()),
                Some(_) => replace(client, name, own).await,
                None => create(client, name, own).await,
            }
        });
        future::try_join_all(made).await?;
        let managed = objects.iter().filter(|object| object.label(MANAGED).is_some());
        let gone = managed.filter(|object| !own.contains_key(object.name()));
        future::try_join_all(gone.map(|object| remove(client, object))).await?;
        Ok(())
    }

    /// Registers custom resources as they come and go.
    async fn register_custom(self: &Arc<Self>) -> Result<(), Status> {
        let own = self.own();
        let client = self.aggregation_client();
        let reader = self.reader();
        for (name, own) in own.iter().filter(|(_, own)| own.managed == ALWAYS) {
            match reader.get(&API_SERVICES, "", name) {
                Some(object) if object.label(MANAGED) != Some(ALWAYS) || own.is(&object) => {}
                Some(_) => replace(&client, name, own).await?,
                None => create(&client, name, own).await?,
            }
        }
        for object in reader.list(&API_SERVICES, "") {
            if object.label(MANAGED) == Some(ALWAYS) && !own.contains_key(object.name()) {
                remove(&client, &object).await?;
            }
        }
        Ok(())
    }

    /// Follows what is served as a task.
    pub(crate) fn register(self: &Arc<Self>) {
        let Some(cache) = self.handler.cache(&API_SERVICES.group, &API_SERVICES.resource) else {
            return;
        };
        let mut rows = self.rows();
        let env = self.handler.env.clone();
        let server = Arc::downgrade(self);
        env.tasks.clone().spawn("api-registration", async move {
            while let Ok(mut watcher) = cache.watch(Selection::default(), 0, Some(cache.last())) {
                let mut again = false;
                loop {
                    tokio::select! {
                        biased;
                        changed = rows.changed() => if changed.is_err() { return },
                        item = watcher.next() => match item {
                            None => break,
                            Some(Item::Event(..)) => {}
                            Some(_) => continue,
                        },
                        () = env.clock.sleep(PAUSE), if again => {}
                    }
                    while watcher.try_next().is_some() {}
                    let Some(server) = server.upgrade() else { return };
                    again = match server.register_custom().await {
                        Ok(()) => false,
                        Err(status) => {
                            tracing::debug!(%status, "registration");
                            true
                        }
                    };
                }
                env.clock.sleep(PAUSE).await;
            }
        });
    }
}

async fn create(client: &Client, name: &str, own: &Own) -> Result<(), Status> {
    match client.create(&API_SERVICES, "", &own.object(name)).await {
        // Another server was faster.
        Err(status) if !status.is_already_exists() => Err(status),
        _ => Ok(()),
    }
}

/// Puts the spec right.
async fn replace(client: &Client, name: &str, own: &Own) -> Result<(), Status> {
    #[derive(Serialize)]
    struct Change<'a> {
        spec: Whole<'a>,
    }
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Whole<'a> {
        #[serde(flatten)]
        spec: Spec<'a>,
        // A merge takes away what is null.
        service: Option<()>,
        ca_bundle: Option<()>,
        #[serde(rename = "insecureSkipTLSVerify")]
        insecure: Option<()>,
    }
    let change = Change {
        spec: Whole {
            spec: own.object(name).spec,
            service: None,
            ca_bundle: None,
            insecure: None,
        },
    };
    let key = Key::cluster(name);
    match client.patch(&API_SERVICES, &key, "", Patch::Merge, &change).await {
        Err(status) if !status.is_not_found() => Err(status),
        _ => Ok(()),
    }
}

async fn remove(client: &Client, object: &Object) -> Result<(), Status> {
    let options = DeleteOptions {
        uid: Some(object.uid().to_owned()),
        ..DeleteOptions::default()
    };
    match client
        .delete(&API_SERVICES, &Key::cluster(object.name()), options)
        .await
    {
        Err(status) if !status.is_not_found() && !status.is_conflict() => Err(status),
        _ => Ok(()),
    }
}
