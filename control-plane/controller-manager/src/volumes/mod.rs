//! Persistent volumes: binding, reclaim, protection, and the provisioner of directories on nodes.

mod claim;
mod local_path;
mod protection;
mod volume;

use api::{
    Gvr, Key, Object,
    volume::{Claim, ClaimRef, Volume},
};
use client::{Caches, Patch};
use reconcile::{Plan, Runtime};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

const CLAIMS: Gvr = Gvr::new("", "v1", "persistentvolumeclaims");
const VOLUMES: Gvr = Gvr::new("", "v1", "persistentvolumes");
const CLASSES: Gvr = Gvr::new("storage.k8s.io", "v1", "storageclasses");

/// Who records what happens to claims and volumes.
const BINDER: &str = "persistentvolume-controller";

/// Starts the controllers of volumes.
pub(crate) fn start(runtime: &Runtime) {
    runtime.start(claim::ClaimController);
    runtime.start(volume::VolumeController);
    runtime.start(protection::ClaimProtection);
    runtime.start(protection::VolumeProtection);
    runtime.start(local_path::LocalPathProvisioner);
    runtime.start(local_path::LocalPathReclaimer);
}

/// A storage class.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Class {
    provisioner: String,
    reclaim_policy: String,
    volume_binding_mode: String,
    mount_options: Vec<String>,
}

impl Class {
    fn delays(&self) -> bool {
        self.volume_binding_mode == "WaitForFirstConsumer"
    }
}

fn class(caches: &Caches, name: &str) -> Option<Class> {
    caches.all(&CLASSES).get(&Key::cluster(name))?.view().ok()
}

fn volumes(caches: &Caches) -> Vec<Volume> {
    caches
        .all(&VOLUMES)
        .all()
        .into_iter()
        .filter_map(Volume::new)
        .collect()
}

fn claim_of(caches: &Caches, reference: &ClaimRef) -> Option<Claim> {
    let key = Key::new(&reference.namespace, &reference.name);
    Claim::new(caches.all(&CLAIMS).get(&key)?)
}

/// A merge patch of an object at the version that was seen.
#[derive(Serialize)]
struct Change<S: Serialize> {
    metadata: ChangeMeta,
    #[serde(skip_serializing_if = "Option::is_none")]
    spec: Option<S>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChangeMeta {
    uid: String,
    resource_version: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, Option<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finalizers: Option<Vec<String>>,
}

impl<S: Serialize> Change<S> {
    fn of(object: &Object, spec: Option<S>) -> Self {
        let metadata = ChangeMeta {
            uid: object.uid().to_owned(),
            resource_version: object.resource_version().to_string(),
            annotations: BTreeMap::new(),
            finalizers: None,
        };
        Self { metadata, spec }
    }
}

/// A merge patch of a status. Only the object must be the same, not its version: the plan itself may have written to it.
#[derive(Serialize)]
struct StatusChange<S: Serialize> {
    metadata: UidMeta,
    status: S,
}

#[derive(Serialize)]
struct UidMeta {
    uid: String,
}

fn write_status<S: Serialize>(plan: &mut Plan, label: &'static str, gvr: &Gvr, object: &Object, status: S) {
    let patch = StatusChange {
        metadata: UidMeta {
            uid: object.uid().to_owned(),
        },
        status,
    };
    plan.patch(label, gvr, &object.key(), "status", Patch::Merge, &patch);
}

/// Puts a finalizer on, or takes it off.
fn set_finalizer(plan: &mut Plan, gvr: &Gvr, object: &Arc<Object>, finalizer: &str, on: bool) {
    let others = object.finalizers().filter(|f| *f != finalizer);
    let mut finalizers: Vec<String> = others.map(str::to_owned).collect();
    if on {
        finalizers.push(finalizer.to_owned());
    }
    let mut patch: Change<()> = Change::of(object, None);
    patch.metadata.finalizers = Some(finalizers);
    plan.patch("finalizer", gvr, &object.key(), "", Patch::Merge, &patch);
}
