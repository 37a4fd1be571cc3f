//! PersistentVolume: its phase, and what becomes of it when its claim is gone
//! (upstream `pkg/controller/volume/persistentvolume`).

use super::{BINDER, CLAIMS, Change, VOLUMES, claim_of, write_status};
use api::{
    Gvr, Key,
    decision::{Reason, Verdict},
    volume::{BOUND_BY_CONTROLLER, Claim, PROVISIONED_BY, Volume},
};
use client::{Caches, Patch};
use jiff::Timestamp;
use reconcile::{About, Controller, LastOutcome, Note, Plan, Watch, own_key};
use serde::Serialize;

/// The controller of volumes.
pub struct VolumeController;

/// A volume and the claim that it names.
pub struct Observed {
    volume: Volume,
    claim: Option<Claim>,
}

impl Controller for VolumeController {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        BINDER
    }

    fn primary(&self) -> Gvr {
        VOLUMES
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::all(VOLUMES, own_key), Watch::all(CLAIMS, claim_keys)]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Observed> {
        let volume = Volume::new(caches.all(&VOLUMES).get(key)?)?;
        let claim = volume.spec.claim_ref.as_ref().and_then(|r| claim_of(caches, r));
        Some(Observed { volume, claim })
    }

    fn reconcile(&self, observed: &Observed, _: &LastOutcome, _: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let volume = &observed.volume;
        let Some(reference) = volume.spec.claim_ref.as_ref().filter(|r| !r.uid.is_empty()) else {
            set_phase(&mut plan, volume, "Available", "");
            return plan;
        };
        // Another claim of the same name is not the one that is meant.
        let claim = observed.claim.as_ref();
        match claim.filter(|claim| claim.object.uid() == reference.uid) {
            None => release(&mut plan, volume),
            // The claim's own controller goes on with it.
            Some(claim) if claim.spec.volume_name.is_empty() => {}
            Some(claim) if claim.spec.volume_name == volume.object.name() => {
                set_phase(&mut plan, volume, "Bound", "");
            }
            Some(_) if is_provisioned(volume) && policy(volume) == "Delete" => release(&mut plan, volume),
            Some(_) => unbind(&mut plan, volume),
        }
        plan
    }
}

fn claim_keys(change: &client::Change, caches: &Caches) -> Vec<Key> {
    let Some(claim) = Claim::new(change.object().clone()) else {
        return Vec::new();
    };
    let names = |volume: &Volume| {
        volume.object.name() == claim.spec.volume_name
            || volume
                .spec
                .claim_ref
                .as_ref()
                .is_some_and(|r| r.uid == claim.object.uid())
    };
    let volumes = super::volumes(caches);
    volumes
        .iter()
        .filter(|v| names(v))
        .map(|v| v.object.key())
        .collect()
}

fn policy(volume: &Volume) -> &str {
    &volume.spec.persistent_volume_reclaim_policy
}

fn is_provisioned(volume: &Volume) -> bool {
    volume.object.annotation(PROVISIONED_BY).is_some()
}

#[derive(Serialize)]
struct Phase<'a> {
    phase: &'a str,
    message: Option<&'a str>,
}

fn set_phase(plan: &mut Plan, volume: &Volume, phase: &str, message: &str) -> bool {
    if volume.status.phase == phase && volume.status.message == message {
        return false;
    }
    let status = Phase {
        phase,
        message: Some(message).filter(|m| !m.is_empty()),
    };
    write_status(plan, "status", &VOLUMES, &volume.object, status);
    true
}

/// The claim is gone: the volume is released, and then what its policy says is done.
fn release(plan: &mut Plan, volume: &Volume) {
    let phase = volume.status.phase.as_str();
    if !matches!(phase, "Released" | "Failed") {
        set_phase(plan, volume, "Released", "");
        plan.because(
            Verdict::Done,
            Reason::new("Released").with("policy", policy(volume)),
        );
    }
    let (reason, message) = match policy(volume) {
        "Retain" => return,
        // Who made it deletes it.
        "Delete" if is_provisioned(volume) => return,
        "Delete" => {
            let name = volume.object.name();
            let why = format!(
                "error getting deleter volume plugin for volume {name:?}: no deletable volume plugin matched"
            );
            ("VolumeFailedDelete", why)
        }
        "Recycle" => (
            "VolumeFailedRecycle",
            "No recycler plugin found for the volume!".to_owned(),
        ),
        _ => (
            "VolumeUnknownReclaimPolicy",
            "Volume has unrecognized PersistentVolumeReclaimPolicy".to_owned(),
        ),
    };
    if phase != "Failed" && set_phase(plan, volume, "Failed", &message) {
        let note = Note::warning(About::object(&volume.object), reason, message);
        plan.noting(Some(note), None);
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Unbound {
    claim_ref: Option<NoUid>,
}

#[derive(Serialize)]
struct NoUid {
    uid: Option<()>,
}

/// The claim took another volume: this one is free again, or kept for the claim if the user said so.
fn unbind(plan: &mut Plan, volume: &Volume) {
    let ours = volume.object.annotation(BOUND_BY_CONTROLLER).is_some();
    let claim_ref = (!ours).then_some(NoUid { uid: None });
    let mut patch = Change::of(&volume.object, Some(Unbound { claim_ref }));
    if ours {
        patch.metadata.annotations.insert(BOUND_BY_CONTROLLER, None);
    }
    plan.patch("unbind", &VOLUMES, &volume.object.key(), "", Patch::Merge, &patch);
    set_phase(plan, volume, "Available", "");
}
