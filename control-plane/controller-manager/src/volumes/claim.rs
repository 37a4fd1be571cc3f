//! PersistentVolumeClaim: finds it a volume, or asks for one (upstream `pkg/controller/volume/persistentvolume`).

use super::{BINDER, CLAIMS, CLASSES, Change, Class, VOLUMES, class, volumes, write_status};
use api::{
    Gvr, Key, Quantity,
    decision::{Reason, Verdict},
    volume::{
        BIND_COMPLETED, BOUND_BY_CONTROLLER, Claim, ClaimRef, NO_PROVISIONER, SELECTED_NODE, Volume, best,
    },
};
use client::{Caches, Patch};
use jiff::Timestamp;
use reconcile::{About, Controller, LastOutcome, Note, Plan, Watch, own_key};
use serde::Serialize;
use std::collections::BTreeMap;

const PROVISIONER: [&str; 2] = [
    "volume.beta.kubernetes.io/storage-provisioner",
    "volume.kubernetes.io/storage-provisioner",
];
const IS_DEFAULT: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];

/// The controller of claims.
pub struct ClaimController;

/// A claim, its class, and the volumes that could be its own.
pub struct Observed {
    claim: Claim,
    class: Option<Class>,
    default_class: Option<String>,
    volumes: Vec<Volume>,
}

impl Controller for ClaimController {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        BINDER
    }

    fn primary(&self) -> Gvr {
        CLAIMS
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::all(CLAIMS, own_key),
            Watch::all(VOLUMES, volume_keys),
            Watch::all(CLASSES, class_keys),
        ]
    }

    /// Claims are looked at in turn, so that they do not reach for the same volume.
    fn workers(&self) -> usize {
        1
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Observed> {
        let claim = Claim::new(caches.all(&CLAIMS).get(key)?)?;
        let mut volumes = volumes(caches);
        if !claim.spec.volume_name.is_empty() {
            volumes.retain(|v| v.object.name() == claim.spec.volume_name);
        }
        Some(Observed {
            class: class(caches, &claim.class()),
            default_class: claim.is_classless().then(|| default_class(caches)).flatten(),
            claim,
            volumes,
        })
    }

    fn reconcile(&self, observed: &Observed, _: &LastOutcome, _: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let claim = &observed.claim;
        let completed = claim.object.annotation(BIND_COMPLETED).is_some();
        match (completed, claim.spec.volume_name.is_empty()) {
            (true, _) => check_bound(&mut plan, observed),
            (false, true) => look_for_volume(&mut plan, observed),
            (false, false) => take_named(&mut plan, observed),
        }
        plan
    }
}

/// A volume concerns the claim that it is for; one that is free, all that wait.
fn volume_keys(change: &client::Change, caches: &Caches) -> Vec<Key> {
    let Some(volume) = Volume::new(change.object().clone()) else {
        return Vec::new();
    };
    if let Some(claim) = &volume.spec.claim_ref {
        return vec![Key::new(&claim.namespace, &claim.name)];
    }
    waiting(caches, |claim| {
        let wanted = &claim.spec.volume_name;
        claim.class() == volume.class() && (wanted.is_empty() || wanted == volume.object.name())
    })
}

/// A class concerns the claims that name it, and as the default those that name none.
fn class_keys(change: &client::Change, caches: &Caches) -> Vec<Key> {
    let name = change.object().name();
    waiting(caches, |claim| claim.class() == name || claim.is_classless())
}

fn waiting(caches: &Caches, concerns: impl Fn(&Claim) -> bool) -> Vec<Key> {
    let claims = caches.all(&CLAIMS).all().into_iter().filter_map(Claim::new);
    let waiting = claims.filter(|claim| !claim.is_bound() && concerns(claim));
    waiting.map(|claim| claim.object.key()).collect()
}

/// The newest of the default classes, as upstream.
fn default_class(caches: &Caches) -> Option<String> {
    let classes = caches.all(&CLASSES).all();
    let is_default = |c: &&std::sync::Arc<api::Object>| {
        IS_DEFAULT
            .iter()
            .any(|a| c.annotation(a).as_deref() == Some("true"))
    };
    let defaults = classes.iter().filter(is_default);
    let newest = defaults.max_by_key(|c| (c.creation_timestamp(), std::cmp::Reverse(c.name())));
    newest.map(|c| c.name().to_owned())
}

/// The claim was bound once; it is lost with its volume.
fn check_bound(plan: &mut Plan, observed: &Observed) {
    let claim = &observed.claim;
    let volume = observed.volumes.first();
    let lost = if claim.spec.volume_name.is_empty() {
        Some((
            "ClaimLost",
            "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!",
        ))
    } else {
        match volume.map(|v| v.spec.claim_ref.as_ref()) {
            None => Some((
                "ClaimLost",
                "Bound claim has lost its PersistentVolume. Data on the volume is lost!",
            )),
            Some(Some(r)) if r.uid != claim.object.uid() => Some((
                "ClaimMisbound",
                "Two claims are bound to the same volume, this one is bound incorrectly",
            )),
            Some(_) => None,
        }
    };
    match (lost, volume) {
        (Some((reason, message)), _) => {
            if claim.status.phase != "Lost" {
                write_phase(plan, claim, "Lost", None);
                plan.noting(Some(Note::warning(about(claim), reason, message)), None);
            }
        }
        (None, Some(volume)) => bind(plan, claim, volume),
        (None, None) => {}
    }
}

/// The user asked for a certain volume.
fn take_named(plan: &mut Plan, observed: &Observed) {
    let claim = &observed.claim;
    let Some(volume) = observed.volumes.first() else {
        return pending(plan, claim);
    };
    if volume.spec.claim_ref.is_some() {
        if volume.is_for(claim) {
            return bind(plan, claim, volume);
        }
        let message = format!(
            "volume {:?} already bound to a different claim.",
            volume.object.name()
        );
        plan.event(Note::warning(about(claim), "FailedBinding", message));
    } else if let Some(why) = volume.mismatch(claim) {
        let message = format!(
            "Cannot bind to requested volume {:?}: {why}",
            volume.object.name()
        );
        plan.event(Note::warning(about(claim), "VolumeMismatch", message));
    } else {
        return bind(plan, claim, volume);
    }
    pending(plan, claim);
}

/// Any volume that fits will do.
fn look_for_volume(plan: &mut Plan, observed: &Observed) {
    let claim = &observed.claim;
    if let Some(default) = &observed.default_class {
        return set_class(plan, claim, default);
    }
    let delayed = observed.class.as_ref().is_some_and(Class::delays);
    // Where pods decide, the scheduler picks free volumes.
    if let Some(volume) = best(claim, &observed.volumes, None, !delayed) {
        return bind(plan, claim, volume);
    }
    let note = |reason, message: &str| Note::normal(about(claim), reason, message);
    if delayed && claim.object.annotation(SELECTED_NODE).is_none() {
        let message = "waiting for first consumer to be created before binding";
        plan.event(note("WaitForFirstConsumer", message));
    } else if claim.class().is_empty() {
        let message = "no persistent volumes available for this claim and no storage class is set";
        plan.event(note("FailedBinding", message));
        plan.because(Verdict::Blocked, Reason::new("NoVolume"));
    } else {
        ask_provisioner(plan, observed);
    }
    pending(plan, claim);
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClassSpec<'a> {
    storage_class_name: &'a str,
}

/// A claim that names no class gets the default one, when there is one.
fn set_class(plan: &mut Plan, claim: &Claim, storage_class_name: &str) {
    let spec = ClassSpec { storage_class_name };
    let patch = Change::of(&claim.object, Some(spec));
    plan.patch("class", &CLAIMS, &claim.object.key(), "", Patch::Merge, &patch);
}

fn ask_provisioner(plan: &mut Plan, observed: &Observed) {
    let claim = &observed.claim;
    let failed = |message| Note::warning(about(claim), "ProvisioningFailed", message);
    let Some(class) = &observed.class else {
        let name = claim.class();
        plan.event(failed(format!("storageclass.storage.k8s.io {name:?} not found")));
        return plan.because(Verdict::Blocked, Reason::new("ClassNotFound").with("class", name));
    };
    let provisioner = &class.provisioner;
    if provisioner == NO_PROVISIONER {
        plan.event(failed(format!("no volume plugin matched name: {provisioner}")));
        return plan.because(Verdict::Blocked, Reason::new("NoVolume"));
    }
    let told = PROVISIONER
        .iter()
        .all(|key| claim.object.annotation(key).as_ref() == Some(provisioner));
    if !told {
        let mut patch: Change<()> = Change::of(&claim.object, None);
        for key in PROVISIONER {
            patch.metadata.annotations.insert(key, Some(provisioner.clone()));
        }
        plan.patch(
            "provisioner",
            &CLAIMS,
            &claim.object.key(),
            "",
            Patch::Merge,
            &patch,
        );
    }
    let message = format!(
        "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the \
         system administrator. If volume creation is delayed, please verify that the provisioner is running and \
         correctly registered."
    );
    plan.event(Note::normal(about(claim), "ExternalProvisioning", message));
}

fn about(claim: &Claim) -> About {
    About::object(&claim.object)
}

fn pending(plan: &mut Plan, claim: &Claim) {
    if claim.status.phase != "Pending" {
        write_phase(plan, claim, "Pending", None);
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Phase<'a> {
    phase: &'a str,
    access_modes: Option<&'a [String]>,
    capacity: Option<&'a BTreeMap<String, Quantity>>,
}

fn write_phase(plan: &mut Plan, claim: &Claim, phase: &str, volume: Option<&Volume>) {
    let status = Phase {
        phase,
        access_modes: volume.map(|v| v.spec.access_modes.as_slice()),
        capacity: volume.map(|v| &v.spec.capacity),
    };
    write_status(plan, "status", &CLAIMS, &claim.object, status);
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bound {
    #[serde(skip_serializing_if = "Option::is_none")]
    claim_ref: Option<ClaimRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    volume_name: Option<String>,
}

/// Makes the volume the claim's and the claim the volume's, as far as they are not.
fn bind(plan: &mut Plan, claim: &Claim, volume: &Volume) {
    bind_volume(plan, claim, volume);
    if volume.status.phase != "Bound" {
        let status = Phase {
            phase: "Bound",
            access_modes: None,
            capacity: None,
        };
        write_status(plan, "volume-status", &VOLUMES, &volume.object, status);
    }
    let unnamed = claim.spec.volume_name.is_empty();
    let completed = claim.object.annotation(BIND_COMPLETED).is_some();
    if unnamed || !completed {
        let bound = Bound {
            claim_ref: None,
            volume_name: unnamed.then(|| volume.object.name().to_owned()),
        };
        let mut patch = Change::of(&claim.object, Some(bound));
        patch
            .metadata
            .annotations
            .insert(BIND_COMPLETED, Some("yes".to_owned()));
        if unnamed {
            patch
                .metadata
                .annotations
                .insert(BOUND_BY_CONTROLLER, Some("yes".to_owned()));
        }
        plan.patch(
            "bind-claim",
            &CLAIMS,
            &claim.object.key(),
            "",
            Patch::Merge,
            &patch,
        );
        plan.because(
            Verdict::Done,
            Reason::new("Bound").with("volume", volume.object.name()),
        );
    }
    let status = &claim.status;
    let told = status.phase == "Bound"
        && status.access_modes == volume.spec.access_modes
        && status.capacity.contains_key("storage");
    if !told {
        write_phase(plan, claim, "Bound", Some(volume));
    }
}

fn bind_volume(plan: &mut Plan, claim: &Claim, volume: &Volume) {
    let reference = claim.reference();
    let same = |held: &ClaimRef| {
        (&held.name, &held.namespace, &held.uid) == (&reference.name, &reference.namespace, &reference.uid)
    };
    if volume.spec.claim_ref.as_ref().is_some_and(same) {
        return;
    }
    let kept = volume.is_for(claim);
    let bound = Bound {
        claim_ref: Some(reference),
        volume_name: None,
    };
    let mut patch = Change::of(&volume.object, Some(bound));
    if !kept {
        patch
            .metadata
            .annotations
            .insert(BOUND_BY_CONTROLLER, Some("yes".to_owned()));
    }
    plan.patch(
        "bind-volume",
        &VOLUMES,
        &volume.object.key(),
        "",
        Patch::Merge,
        &patch,
    );
}
