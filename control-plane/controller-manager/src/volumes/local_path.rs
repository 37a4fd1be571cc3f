//! `ferrokube.io/local-path`: volumes that are directories on the node of the first pod that wants them. The kubelet
//! of the node makes the directory when a pod mounts it, and removes it when the volume is deleted.

use super::{CLAIMS, CLASSES, Change, Class, VOLUMES, class, set_finalizer};
use crate::views::NODES;
use api::{
    Gvr, Key, NodeSelector, NodeSelectorTerm, Object, Quantity,
    decision::{Reason, Verdict},
    volume::{Claim, ClaimRef, LOCAL_PATH, PROVISIONED_BY, SELECTED_NODE, Volume, VolumeNodeAffinity},
};
use client::{Caches, Patch};
use jiff::Timestamp;
use reconcile::{About, Controller, LastOutcome, Note, Plan, Watch, own_key};
use serde::Serialize;
use std::{collections::BTreeMap, sync::Arc};

/// The annotation of a node that says where its directories are.
const ROOT: &str = "ferrokube.io/local-path-root";
/// Holds a volume until its node has removed the data.
const DATA: &str = "ferrokube.io/local-path-data";
const HOSTNAME: &str = "kubernetes.io/hostname";

/// Makes volumes.
pub struct LocalPathProvisioner;

/// A claim without a volume, and the node that it wants one on.
pub struct Wanted {
    claim: Claim,
    class: Class,
    node: Option<Arc<Object>>,
}

impl Controller for LocalPathProvisioner {
    type Observed = Wanted;

    fn name(&self) -> &'static str {
        LOCAL_PATH
    }

    fn primary(&self) -> Gvr {
        CLAIMS
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::all(CLAIMS, own_key),
            Watch::all(CLASSES, |_, _| Vec::new()),
            Watch::all(NODES, |_, _| Vec::new()),
            Watch::all(VOLUMES, |_, _| Vec::new()),
        ]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Wanted> {
        let claim = Claim::new(caches.all(&CLAIMS).get(key)?)?;
        let class = class(caches, &claim.class()).filter(|c| c.provisioner == LOCAL_PATH)?;
        let wants = claim.spec.volume_name.is_empty() && claim.object.deletion_timestamp().is_none();
        let made = caches
            .all(&VOLUMES)
            .get(&Key::cluster(volume_name(&claim)))
            .is_some();
        if !wants || made {
            return None;
        }
        let nodes = caches.all(&NODES);
        let node = match claim.object.annotation(SELECTED_NODE) {
            Some(name) => nodes.get(&Key::cluster(name)),
            None if class.delays() => return None,
            // Nobody waits for a pod: any node will do.
            None => nodes.all().into_iter().find(|n| n.annotation(ROOT).is_some()),
        };
        Some(Wanted { claim, class, node })
    }

    fn reconcile(&self, wanted: &Wanted, _: &LastOutcome, _: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let about = About::object(&wanted.claim.object);
        match volume(wanted) {
            Ok(volume) => {
                let name = volume.metadata.name.clone();
                plan.create("create-volume", &VOLUMES, "", &volume);
                let done = Note::normal(
                    about.clone(),
                    "ProvisioningSucceeded",
                    format!("Successfully provisioned volume {name}"),
                );
                let refused = Note::warning(about, "ProvisioningFailed", "{error}");
                plan.noting(Some(done), Some(refused));
            }
            Err(why) => {
                let message = format!(
                    "failed to provision volume with StorageClass {:?}: {why}",
                    wanted.claim.class()
                );
                plan.event(Note::warning(about, "ProvisioningFailed", message));
                plan.because(Verdict::Blocked, Reason::new("CannotProvision").with("why", &why));
                reschedule(&mut plan, &wanted.claim);
            }
        }
        plan
    }
}

/// Lets the scheduler choose again.
fn reschedule(plan: &mut Plan, claim: &Claim) {
    if claim.object.annotation(SELECTED_NODE).is_some() {
        let mut patch: Change<()> = Change::of(&claim.object, None);
        patch.metadata.annotations.insert(SELECTED_NODE, None);
        plan.patch(
            "reschedule",
            &CLAIMS,
            &claim.object.key(),
            "",
            Patch::Merge,
            &patch,
        );
    }
}

fn volume_name(claim: &Claim) -> String {
    format!("pvc-{}", claim.object.uid())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewVolume {
    api_version: &'static str,
    kind: &'static str,
    metadata: NewMeta,
    spec: NewSpec,
}

#[derive(Serialize)]
struct NewMeta {
    name: String,
    annotations: BTreeMap<&'static str, &'static str>,
    finalizers: [&'static str; 2],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewSpec {
    capacity: BTreeMap<&'static str, Quantity>,
    access_modes: Vec<String>,
    claim_ref: ClaimRef,
    persistent_volume_reclaim_policy: String,
    storage_class_name: String,
    volume_mode: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mount_options: Vec<String>,
    host_path: HostPath,
    node_affinity: VolumeNodeAffinity,
}

#[derive(Serialize)]
struct HostPath {
    path: String,
    r#type: &'static str,
}

/// The volume for a claim, or why there can be none.
fn volume(wanted: &Wanted) -> Result<NewVolume, String> {
    let Wanted { claim, class, node } = wanted;
    let node = node.as_deref().ok_or("the selected node is gone")?;
    let root = node
        .annotation(ROOT)
        .ok_or_else(|| format!("node {:?} has no annotation {ROOT}", node.name()))?;
    if claim.spec.selector.is_some() {
        return Err("claim.spec.selector is not supported".to_owned());
    }
    if claim.mode() == "Block" {
        return Err("block volumes are not supported".to_owned());
    }
    let one_node = |mode: &String| mode.starts_with("ReadWriteOnce");
    if !claim.spec.access_modes.iter().all(one_node) {
        return Err("only the access modes ReadWriteOnce and ReadWriteOncePod are supported".to_owned());
    }
    let name = volume_name(claim);
    let (namespace, own) = (claim.object.namespace(), claim.object.name());
    let path = format!("{}/{name}_{namespace}_{own}", root.trim_end_matches('/'));
    let spec = NewSpec {
        capacity: [("storage", claim.size())].into(),
        access_modes: claim.spec.access_modes.clone(),
        claim_ref: claim.reference(),
        persistent_volume_reclaim_policy: match class.reclaim_policy.as_str() {
            "" => "Delete".to_owned(),
            policy => policy.to_owned(),
        },
        storage_class_name: claim.class(),
        volume_mode: "Filesystem",
        mount_options: class.mount_options.clone(),
        host_path: HostPath {
            path,
            r#type: "DirectoryOrCreate",
        },
        node_affinity: only(node),
    };
    Ok(NewVolume {
        api_version: "v1",
        kind: "PersistentVolume",
        metadata: NewMeta {
            name,
            annotations: [(PROVISIONED_BY, LOCAL_PATH)].into(),
            finalizers: ["kubernetes.io/pv-protection", DATA],
        },
        spec,
    })
}

fn only(node: &Object) -> VolumeNodeAffinity {
    let hostname = node.label(HOSTNAME).unwrap_or(node.name());
    let expression = api::MatchExpression {
        key: HOSTNAME.to_owned(),
        operator: "In".to_owned(),
        values: vec![hostname.to_owned()],
    };
    let term = NodeSelectorTerm {
        match_expressions: vec![expression],
        match_fields: Vec::new(),
    };
    VolumeNodeAffinity {
        required: Some(NodeSelector {
            node_selector_terms: vec![term],
        }),
    }
}

/// Deletes volumes whose claims are gone, and gives up the data of nodes that are.
pub struct LocalPathReclaimer;

/// A volume of ours, and whether its node is there.
pub struct Ours {
    volume: Volume,
    node_is_there: bool,
}

impl Controller for LocalPathReclaimer {
    type Observed = Ours;

    fn name(&self) -> &'static str {
        LOCAL_PATH
    }

    fn primary(&self) -> Gvr {
        VOLUMES
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::all(VOLUMES, own_key), Watch::all(NODES, node_keys)]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Ours> {
        let volume = Volume::new(caches.all(&VOLUMES).get(key)?)?;
        if volume.object.annotation(PROVISIONED_BY).as_deref() != Some(LOCAL_PATH) {
            return None;
        }
        let nodes = caches.all(&NODES).all();
        Some(Ours {
            node_is_there: nodes.iter().any(|node| volume.is_reached_from(node)),
            volume,
        })
    }

    fn reconcile(&self, ours: &Ours, _: &LastOutcome, _: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let volume = &ours.volume;
        let going = volume.object.deletion_timestamp().is_some();
        let done_with =
            volume.status.phase == "Released" && volume.spec.persistent_volume_reclaim_policy == "Delete";
        if done_with && !going {
            plan.delete("delete-volume", &VOLUMES, &volume.object);
        } else if going && !ours.node_is_there && volume.object.finalizers().any(|f| f == DATA) {
            set_finalizer(&mut plan, &VOLUMES, &volume.object, DATA, false);
            plan.because(Verdict::Done, Reason::new("NodeGone"));
        }
        plan
    }
}

/// The end of a node concerns the volumes on it.
fn node_keys(change: &client::Change, caches: &Caches) -> Vec<Key> {
    let client::Change::Deleted { old } = change else {
        return Vec::new();
    };
    let volumes = super::volumes(caches);
    let on = volumes.iter().filter(|v| v.is_reached_from(old));
    on.map(|v| v.object.key()).collect()
}
