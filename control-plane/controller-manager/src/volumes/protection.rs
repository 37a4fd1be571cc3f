//! Claims and volumes that are in use are not deleted (upstream `pkg/controller/volume/{pvc,pv}protection`).

use super::{CLAIMS, VOLUMES, set_finalizer};
use crate::views::PODS;
use api::{
    Gvr, Key, Object,
    decision::{Reason, Verdict},
    volume::Volume,
};
use client::{Caches, Change};
use jiff::Timestamp;
use reconcile::{Controller, LastOutcome, Plan, Watch, own_key};
use serde::Deserialize;
use std::sync::Arc;

const CLAIM_FINALIZER: &str = "kubernetes.io/pvc-protection";
const VOLUME_FINALIZER: &str = "kubernetes.io/pv-protection";

/// Keeps claims that pods use.
pub struct ClaimProtection;

/// A claim, and a pod that uses it.
pub struct ObservedClaim {
    claim: Arc<Object>,
    user: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodView {
    spec: PodSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    node_name: String,
    volumes: Vec<PodVolume>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodVolume {
    name: String,
    persistent_volume_claim: Option<Named>,
    ephemeral: Option<serde::de::IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Named {
    claim_name: String,
}

/// The names of the claims that a pod uses: only one that is on a node does, since none starts with a claim that is
/// being deleted.
fn claims(pod: &Object) -> Vec<String> {
    let spec = pod.view::<PodView>().unwrap_or_default().spec;
    if spec.node_name.is_empty() {
        return Vec::new();
    }
    let claim = |volume: PodVolume| {
        let own = || format!("{}-{}", pod.name(), volume.name);
        let named = volume.persistent_volume_claim.map(|c| c.claim_name);
        named.or_else(|| volume.ephemeral.map(|_| own()))
    };
    spec.volumes.into_iter().filter_map(claim).collect()
}

fn pod_keys(change: &Change, _: &Caches) -> Vec<Key> {
    let pod = change.object();
    claims(pod)
        .into_iter()
        .map(|claim| Key::new(pod.namespace(), claim))
        .collect()
}

impl Controller for ClaimProtection {
    type Observed = ObservedClaim;

    fn name(&self) -> &'static str {
        "pvc-protection-controller"
    }

    fn queue(&self) -> &'static str {
        "pvcprotection"
    }

    fn primary(&self) -> Gvr {
        CLAIMS
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::all(CLAIMS, own_key), Watch::all(PODS, pod_keys)]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<ObservedClaim> {
        let claim = caches.all(&CLAIMS).get(key)?;
        // Only for a claim that wants to go it matters who uses it.
        let pods = match claim.deletion_timestamp() {
            Some(_) => caches.all(&PODS).in_namespace(&key.namespace),
            None => Vec::new(),
        };
        let user = pods.iter().find(|pod| claims(pod).contains(&key.name));
        let user = user.map(|pod| pod.name().to_owned());
        Some(ObservedClaim { claim, user })
    }

    fn reconcile(&self, observed: &ObservedClaim, _: &LastOutcome, _: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        protect(
            &mut plan,
            &CLAIMS,
            &observed.claim,
            CLAIM_FINALIZER,
            observed.user.as_deref(),
        );
        plan
    }
}

/// Puts the finalizer on what lives and takes it off what goes and nobody uses.
fn protect(plan: &mut Plan, gvr: &Gvr, object: &Arc<Object>, finalizer: &str, user: Option<&str>) {
    let protected = object.finalizers().any(|f| f == finalizer);
    match (object.deletion_timestamp().is_some(), user) {
        (false, _) if !protected => set_finalizer(plan, gvr, object, finalizer, true),
        (true, None) if protected => set_finalizer(plan, gvr, object, finalizer, false),
        (true, Some(user)) if protected => {
            plan.because(Verdict::Blocked, Reason::new("InUse").with("by", user));
        }
        _ => {}
    }
}

/// Keeps volumes that are bound.
pub struct VolumeProtection;

impl Controller for VolumeProtection {
    type Observed = Volume;

    fn name(&self) -> &'static str {
        "pv-protection-controller"
    }

    fn queue(&self) -> &'static str {
        "pvprotection"
    }

    fn primary(&self) -> Gvr {
        VOLUMES
    }

    fn watches(&self) -> Vec<Watch> {
        vec![Watch::all(VOLUMES, own_key)]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Volume> {
        Volume::new(caches.all(&VOLUMES).get(key)?)
    }

    fn reconcile(&self, volume: &Volume, _: &LastOutcome, _: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let claim = volume.spec.claim_ref.as_ref().map_or("", |r| r.name.as_str());
        let user = (volume.status.phase == "Bound").then_some(claim);
        protect(&mut plan, &VOLUMES, &volume.object, VOLUME_FINALIZER, user);
        plan
    }
}
