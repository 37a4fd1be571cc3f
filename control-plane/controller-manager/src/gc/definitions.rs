//! The resources of custom resource definitions join those that are built in.

use super::{Collectable, Resources, Served};
use api::{Gvr, Object};
use client::Caches;
use component::Env;
use serde::Deserialize;
use std::sync::Arc;
use tokio::sync::watch;

/// Definitions of custom resources.
pub(crate) const DEFINITIONS: Gvr = Gvr::new("apiextensions.k8s.io", "v1", "customresourcedefinitions");

#[derive(Default, Deserialize)]
#[serde(default)]
struct Definition {
    spec: Spec,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    group: String,
    names: Names,
    scope: String,
    versions: Vec<Version>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Names {
    plural: String,
    kind: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Version {
    name: String,
    served: bool,
    storage: bool,
}

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

/// What `base` says and the established definitions add.
pub(crate) fn with_definitions(caches: &Caches, base: Served, env: &Env) -> Served {
    let now = base.borrow().clone();
    if !now.0.iter().any(|r| r.gvr == DEFINITIONS) {
        return base;
    }
    let (sender, served) = watch::channel(now);
    let definitions = caches.all(&DEFINITIONS);
    let mut changes = definitions.subscribe();
    env.tasks.spawn("gc-definitions", async move {
        let mut base = base;
        definitions.synced().await;
        loop {
            let fixed = base.borrow_and_update().clone();
            let custom = definitions.all().into_iter().filter_map(|d| collectable(&d));
            let all = Arc::new(Resources(fixed.0.iter().cloned().chain(custom).collect()));
            sender.send_if_modified(|held| {
                let other = *held != all;
                *held = all;
                other
            });
            tokio::select! {
                biased;
                change = changes.recv() => if change.is_none() { return },
                Ok(()) = base.changed() => {}
            }
        }
    });
    served
}

/// The resource of a definition that is established; one that is going stays until its objects are gone.
fn collectable(definition: &Object) -> Option<Collectable> {
    let Definition { spec, status } = definition.view().ok()?;
    let established = |c: &Condition| c.r#type == "Established" && c.status == "True";
    if !status.conditions.iter().any(established) {
        return None;
    }
    let served = spec.versions.iter().filter(|v| v.served);
    let version = served.max_by_key(|v| v.storage)?;
    Some(Collectable {
        gvr: Gvr {
            group: spec.group.into(),
            version: version.name.clone().into(),
            resource: spec.names.plural.into(),
        },
        kind: spec.names.kind,
        namespaced: spec.scope == "Namespaced",
        built_in: false,
    })
}
