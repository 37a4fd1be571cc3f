//! The resources of other API servers join those of this one, as their APIServices come and go.

use super::{Collectable, Collections, Resources, Served};
use api::{Gvr, Object};
use client::{Caches, Client, Discovered};
use component::Env;
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::sync::watch;

/// APIServices.
const API_SERVICES: Gvr = Gvr::new("apiregistration.k8s.io", "v1", "apiservices");

/// How often other servers are asked what they have (upstream's number).
const AGAIN: Duration = Duration::from_secs(30);

/// How soon one is asked again that did not answer.
const SOON: Duration = Duration::from_secs(2);

#[derive(Default, Deserialize)]
#[serde(default)]
struct ApiService {
    spec: Spec,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    group: String,
    version: String,
    service: Option<Service>,
}

#[derive(Deserialize)]
struct Service {}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    status: String,
}

/// A group and version that another server answers.
struct Elsewhere {
    group: String,
    version: String,
    available: bool,
}

fn elsewhere(object: &Object) -> Option<Elsewhere> {
    let ApiService { spec, status } = object.view().ok()?;
    spec.service?;
    let available = |c: &Condition| c.r#type == "Available" && c.status == "True";
    Some(Elsewhere {
        group: spec.group,
        version: spec.version,
        available: status.conditions.iter().any(available),
    })
}

/// What `base` says and other servers add. `collections` is told of those that cannot be asked.
pub(crate) fn with_other_servers(
    client: &Client,
    caches: &Caches,
    base: Served,
    collections: &Collections,
    env: &Env,
) -> Served {
    let now = base.borrow().clone();
    if !now.0.iter().any(|r| r.gvr == API_SERVICES) {
        return base;
    }
    let (sender, served) = watch::channel(now);
    let services = caches.all(&API_SERVICES);
    let mut changes = services.subscribe();
    let mut others = Others {
        client: client.clone(),
        known: BTreeMap::new(),
    };
    let (collections, clock) = (collections.clone(), env.clock.clone());
    env.tasks.spawn("gc-other-servers", async move {
        let mut base = base;
        services.synced().await;
        loop {
            let there: Vec<Elsewhere> = services.all().iter().filter_map(|s| elsewhere(s)).collect();
            let (unknown, failed) = others.look(&there).await;
            collections.undiscovered(unknown);
            let here = base.borrow_and_update().clone();
            let all = here.0.iter().chain(others.known.values().flatten()).cloned();
            let all = Arc::new(Resources(all.collect()));
            sender.send_if_modified(|held| {
                let other = *held != all;
                *held = all;
                other
            });
            let pause = match (there.is_empty(), failed) {
                (true, _) => None,
                (_, true) => Some(SOON),
                (_, false) => Some(AGAIN),
            };
            let later = async {
                match pause {
                    Some(pause) => clock.sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                change = changes.recv() => if change.is_none() { return },
                Ok(()) = base.changed() => {}
                () = later => {}
            }
            // Many changes at once are one.
            while changes.try_recv().is_ok() {}
        }
    });
    served
}

struct Others {
    client: Client,
    /// What each was known to have last.
    known: BTreeMap<(String, String), Vec<Collectable>>,
}

impl Others {
    /// Asks those that are there. The answer names what is not known for sure, and says whether one did not answer that
    /// should have.
    async fn look(&mut self, there: &[Elsewhere]) -> (Vec<String>, bool) {
        self.known.retain(|(group, version), _| {
            let mut there = there.iter();
            there.any(|one| one.group == *group && one.version == *version)
        });
        let (mut unknown, mut failed) = (Vec::new(), false);
        for one in there {
            let (group, version) = (one.group.clone(), one.version.clone());
            let answer = match one.available {
                true => self.client.transport().discover(group, version).await.ok(),
                false => None,
            };
            match answer {
                Some(found) => {
                    let found = found.into_iter().filter_map(|found| collectable(one, found));
                    let of = (one.group.clone(), one.version.clone());
                    self.known.insert(of, found.collect());
                }
                None => {
                    failed |= one.available;
                    unknown.push(format!("{}/{}", one.group, one.version));
                }
            }
        }
        (unknown, failed)
    }
}

fn collectable(of: &Elsewhere, found: Discovered) -> Option<Collectable> {
    let can = |verb: &str| found.verbs.iter().any(|known| known == verb);
    if !["list", "watch", "delete"].into_iter().all(can) {
        return None;
    }
    Some(Collectable {
        gvr: Gvr {
            group: of.group.clone().into(),
            version: of.version.clone().into(),
            resource: found.name.into(),
        },
        kind: found.kind,
        namespaced: found.namespaced,
        built_in: false,
    })
}
