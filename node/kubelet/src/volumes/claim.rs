//! What a pod's claims are bound to (upstream: `desired_state_of_world_populator.go`). A node may get a claim by its
//! name but not watch it, so that one that is not bound yet is asked for again.

use super::{Claimed, Memory, MountFailure, Volumes};
use crate::{
    resources::{CLAIMS, VOLUMES},
    view::{Claim, PersistentVolume, Pod, Volume},
};
use api::{Key, Object};
use std::sync::Arc;

impl Volumes {
    /// Looks up the claims of the volumes that the pod's containers use and that are not known yet.
    pub(super) async fn claims(&self, pod: &Pod, memory: &mut Memory) -> Result<(), MountFailure> {
        let (mut unknown, mut errors) = (Vec::new(), Vec::new());
        let used = pod.used_volumes();
        for volume in pod.spec.volumes.iter().filter(|v| used.contains(v.name.as_str())) {
            let Some((claim, read_only)) = claim_of(pod, volume) else {
                continue;
            };
            if memory.claimed.contains_key(&volume.name) {
                continue;
            }
            let key = Key::new(&pod.metadata.namespace, &claim);
            let found = self.bound(pod, volume, &key).await;
            match found.and_then(|found| fitting(pod, volume, found)) {
                Ok(found) => {
                    let claimed = Claimed {
                        volume: found,
                        read_only,
                    };
                    memory.claimed.insert(volume.name.clone(), claimed);
                }
                Err(error) => {
                    unknown.push(volume.name.as_str());
                    errors.push(error);
                }
            }
        }
        if errors.is_empty() {
            return Ok(());
        }
        let (names, errors) = (unknown.join(" "), errors.join("; "));
        Err(MountFailure {
            reason: "FailedMount",
            message: format!(
                "Unable to attach or mount volumes: unmounted volumes=[{names}], unattached volumes=[], failed to process \
                 volumes=[{names}]: {errors}"
            ),
            waits: true,
        })
    }

    async fn bound(&self, pod: &Pod, volume: &Volume, key: &Key) -> Result<PersistentVolume, String> {
        let at = |why: String| format!("error processing PVC {}/{}: {why}", key.namespace, key.name);
        let claim = self.claim(key).await.map_err(at)?;
        let owner = claim.controller();
        if volume.ephemeral.is_some() && owner.is_none_or(|owner| owner.uid != pod.metadata.uid) {
            return Err(format!(
                "PVC {}/{} was not created for pod {}/{} (pod is not owner)",
                key.namespace, key.name, pod.metadata.namespace, pod.metadata.name
            ));
        }
        self.volume_of(&claim).await.map_err(at)
    }

    /// The claim, if it is bound.
    async fn claim(&self, key: &Key) -> Result<Arc<Object>, String> {
        let claim = self.client.get(&CLAIMS, key).await;
        let claim = claim.map_err(|error| format!("failed to fetch PVC from API server: {error}"))?;
        let view: Claim = claim.view().map_err(|e| e.to_string())?;
        if claim.deletion_timestamp().is_some() {
            return Err("PVC is being deleted".to_owned());
        }
        if view.status.phase != "Bound" {
            return Err("PVC is not bound".to_owned());
        }
        if view.spec.volume_name.is_empty() {
            return Err("PVC has empty pvc.Spec.VolumeName".to_owned());
        }
        Ok(claim)
    }

    async fn volume_of(&self, claim: &Object) -> Result<PersistentVolume, String> {
        let view: Claim = claim.view().map_err(|e| e.to_string())?;
        let name = view.spec.volume_name;
        let found = self.client.get(&VOLUMES, &Key::cluster(&name)).await;
        let found = found.map_err(|error| format!("failed to fetch PV {name} from API server: {error}"))?;
        let found: PersistentVolume = found.view().map_err(|e| e.to_string())?;
        match &found.spec.claim_ref {
            None => Err(format!(
                "found PV object {name} but it has a nil pv.Spec.ClaimRef indicating it is not yet bound to the claim"
            )),
            Some(of) if of.uid != claim.uid() => Err(format!(
                "found PV object {name} but its pv.Spec.ClaimRef.UID {} does not point to claim.UID {}",
                of.uid,
                claim.uid()
            )),
            Some(_) => Ok(found),
        }
    }
}

/// The claim of a volume, and whether it may only be read.
fn claim_of(pod: &Pod, volume: &Volume) -> Option<(String, bool)> {
    match (&volume.persistent_volume_claim, &volume.ephemeral) {
        (Some(source), _) => Some((source.claim_name.clone(), source.read_only)),
        (None, Some(_)) => Some((format!("{}-{}", pod.metadata.name, volume.name), false)),
        (None, None) => None,
    }
}

/// A volume of files cannot be a device, and the other way round.
fn fitting(pod: &Pod, volume: &Volume, found: PersistentVolume) -> Result<PersistentVolume, String> {
    let name = &volume.name;
    let block = found.spec.volume_mode == "Block";
    let mut containers = pod.every_container();
    let wrong = if block {
        containers
            .any(|c| c.volume_mounts.iter().any(|m| m.name == *name))
            .then_some(("Block", "volumeMounts"))
    } else {
        let devices = containers.any(|c| c.volume_devices.iter().any(|d| d.name == *name));
        devices.then_some(("Filesystem", "volumeDevices"))
    };
    match wrong {
        Some((mode, list)) => Err(format!(
            "volume {name} has volumeMode {mode}, but is specified in {list}"
        )),
        None => Ok(found),
    }
}
