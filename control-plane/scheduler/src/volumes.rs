//! Claims, volumes and classes as the scheduler knows them, with what it decided and has not seen come true yet.

use crate::views::Pod;
use api::{
    Gvr, Key, Object,
    volume::{Claim, NO_PROVISIONER, SELECTED_NODE, Volume, best},
};
use client::Change;
use serde::Deserialize;
use std::{collections::BTreeMap, sync::Arc};

pub(crate) const CLAIMS: Gvr = Gvr::new("", "v1", "persistentvolumeclaims");
pub(crate) const VOLUMES: Gvr = Gvr::new("", "v1", "persistentvolumes");
pub(crate) const CLASSES: Gvr = Gvr::new("storage.k8s.io", "v1", "storageclasses");

/// Where a node keeps the directories of `ferrokube.io/local-path`.
const LOCAL_ROOT: &str = "ferrokube.io/local-path-root";

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Class {
    provisioner: String,
    volume_binding_mode: String,
    allowed_topologies: Vec<Topology>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Topology {
    match_label_expressions: Vec<Values>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Values {
    key: String,
    values: Vec<String>,
}

/// What there is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Volumes {
    claims: BTreeMap<Key, Arc<Claim>>,
    volumes: BTreeMap<String, Volume>,
    classes: BTreeMap<String, Class>,
    /// Volumes that were given to claims, and the nodes for which claims are to be provisioned, until that is seen.
    given: BTreeMap<String, Arc<Claim>>,
    placed: BTreeMap<String, String>,
}

/// What has to be written for the claims of a pod before it is bound.
#[derive(Clone, Debug, Default)]
pub(crate) struct Assignment {
    /// Volumes that exist.
    pub bind: Vec<(Volume, Arc<Claim>)>,
    /// Claims that get a volume made on the node.
    pub provision: Vec<Arc<Claim>>,
}

impl Assignment {
    /// Nothing has to be written.
    pub fn is_empty(&self) -> bool {
        self.bind.is_empty() && self.provision.is_empty()
    }

    /// The claims that must be bound before the pod is.
    pub fn claims(&self) -> impl Iterator<Item = &Arc<Claim>> {
        self.bind.iter().map(|(_, claim)| claim).chain(&self.provision)
    }
}

/// Why the volumes of a pod cannot be on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// A bound volume is not reached from there.
    Affinity,
    /// No volume is free there, and none can be made.
    NoVolume,
    /// A claim is bound to a volume that is not there.
    Lost,
}

impl Volumes {
    /// Takes a change of a claim.
    pub fn claim(&mut self, change: &Change) {
        let object = change.object();
        match (change, Claim::new(object.clone())) {
            (Change::Applied { .. }, Some(claim)) => {
                if !claim.spec.volume_name.is_empty() || object.annotation(SELECTED_NODE).is_some() {
                    self.placed.remove(object.uid());
                }
                self.claims.insert(object.key(), Arc::new(claim));
            }
            _ => _ = self.claims.remove(&object.key()),
        }
    }

    /// Takes a change of a volume.
    pub fn volume(&mut self, change: &Change) {
        let object = change.object();
        match (change, Volume::new(object.clone())) {
            (Change::Applied { .. }, Some(volume)) => {
                if volume.spec.claim_ref.is_some() {
                    self.given.remove(object.name());
                }
                self.volumes.insert(object.name().to_owned(), volume);
            }
            _ => _ = self.volumes.remove(object.name()),
        }
    }

    /// Takes a change of a class.
    pub fn class(&mut self, change: &Change) {
        let name = change.object().name();
        match (change, change.object().view()) {
            (Change::Applied { .. }, Ok(class)) => _ = self.classes.insert(name.to_owned(), class),
            _ => _ = self.classes.remove(name),
        }
    }

    /// The claims of a pod, or what is wrong with one of them.
    pub fn claims_of(&self, pod: &Pod) -> Result<Vec<&Arc<Claim>>, String> {
        let namespace = pod.object.namespace();
        let mut found = Vec::new();
        for (name, own) in pod.claims() {
            let claim = self.claims.get(&Key::new(namespace, &name));
            let Some(claim) = claim else {
                let why = if own {
                    format!(
                        "waiting for ephemeral volume controller to create the persistentvolumeclaim {name:?}"
                    )
                } else {
                    format!("persistentvolumeclaim {name:?} not found")
                };
                return Err(why);
            };
            if claim.object.deletion_timestamp().is_some() {
                return Err(format!("persistentvolumeclaim {name:?} is being deleted"));
            }
            if claim.status.phase == "Lost" {
                let volume = &claim.spec.volume_name;
                return Err(format!(
                    "persistentvolumeclaim {name:?} bound to non-existent persistentvolume {volume:?}"
                ));
            }
            let controlled = || {
                claim
                    .object
                    .controller()
                    .is_some_and(|o| o.uid == pod.object.uid())
            };
            if own && !controlled() {
                return Err(format!(
                    "PVC {namespace}/{name} was not created for pod {} (pod is not owner)",
                    pod.object.key()
                ));
            }
            found.push(claim);
        }
        Ok(found)
    }

    /// The volume of a bound claim.
    pub fn volume_of(&self, claim: &Claim) -> Option<&Volume> {
        self.volumes.get(&claim.spec.volume_name)
    }

    /// Whether the claim waits for its first pod, and not for a controller.
    fn waits_for_pod(&self, claim: &Claim) -> bool {
        let class = self.classes.get(&claim.class());
        claim.spec.volume_name.is_empty()
            && class.is_some_and(|c| c.volume_binding_mode == "WaitForFirstConsumer")
    }

    /// What is wrong with the claims of a pod, on whatever node.
    pub fn check(&self, pod: &Pod) -> Result<(), String> {
        let claims = self.claims_of(pod)?;
        let waits = claims.iter().any(|c| !c.is_bound() && !self.waits_for_pod(c));
        if waits {
            return Err("pod has unbound immediate PersistentVolumeClaims".to_owned());
        }
        Ok(())
    }

    /// What has to be written if the pod goes to the node.
    pub fn assign(&self, pod: &Pod, node: &Object) -> Result<Assignment, Conflict> {
        let claims = self.claims_of(pod).unwrap_or_default();
        let (bound, open): (Vec<_>, Vec<_>) = claims.into_iter().partition(|c| c.is_bound());
        for claim in bound {
            let volume = self.volume_of(claim).ok_or(Conflict::Lost)?;
            if !volume.is_reached_from(node) {
                return Err(Conflict::Affinity);
            }
        }
        let mut assignment = Assignment::default();
        for claim in open {
            let placed = self.placed.get(claim.object.uid()).cloned();
            let placed = placed.or_else(|| claim.object.annotation(SELECTED_NODE));
            if placed.as_deref().is_some_and(|placed| placed != node.name()) {
                return Err(Conflict::NoVolume);
            }
            let volume = match placed {
                Some(_) => None,
                None => self.free(claim, node, &assignment),
            };
            match volume {
                Some(volume) => assignment.bind.push((volume.clone(), claim.clone())),
                None if self.can_provision(claim, node) => assignment.provision.push(claim.clone()),
                None => return Err(Conflict::NoVolume),
            }
        }
        Ok(assignment)
    }

    /// The best volume that was not given to another claim.
    fn free(&self, claim: &Claim, node: &Object, taken: &Assignment) -> Option<&Volume> {
        let name = |v: &Volume| v.object.name().to_owned();
        let ours = |v: &Volume| {
            self.given
                .get(v.object.name())
                .map(|c| c.object.uid() == claim.object.uid())
        };
        if let Some(given) = self.volumes.values().find(|v| ours(v) == Some(true)) {
            return Some(given).filter(|v| v.is_reached_from(node));
        }
        let taken: Vec<String> = taken.bind.iter().map(|(v, _)| name(v)).collect();
        let free = |v: &&Volume| ours(v).is_none() && !taken.contains(&name(v));
        best(claim, self.volumes.values().filter(free), Some(node), true)
    }

    fn can_provision(&self, claim: &Claim, node: &Object) -> bool {
        let Some(class) = self.classes.get(&claim.class()) else {
            return false;
        };
        let within = |topology: &Topology| {
            let holds = |e: &Values| {
                node.label(&e.key)
                    .is_some_and(|v| e.values.iter().any(|w| w == v))
            };
            topology.match_label_expressions.iter().all(holds)
        };
        let allowed = class.allowed_topologies.is_empty() || class.allowed_topologies.iter().any(within);
        let possible = match class.provisioner.as_str() {
            NO_PROVISIONER => false,
            api::volume::LOCAL_PATH => node.annotation(LOCAL_ROOT).is_some(),
            _ => true,
        };
        allowed && possible
    }

    /// Counts what was assigned as if it were so.
    pub fn assume(&mut self, assignment: &Assignment, node: &str) {
        for (volume, claim) in &assignment.bind {
            if volume.spec.claim_ref.is_none() {
                self.given.insert(volume.object.name().to_owned(), claim.clone());
            }
        }
        for claim in &assignment.provision {
            self.placed.insert(claim.object.uid().to_owned(), node.to_owned());
        }
    }

    /// Counts it no more: it has come true, or will not.
    pub fn forget(&mut self, assignment: &Assignment) {
        for (volume, _) in &assignment.bind {
            self.given.remove(volume.object.name());
        }
        for claim in &assignment.provision {
            self.placed.remove(claim.object.uid());
        }
    }
}
