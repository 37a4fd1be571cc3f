//! VolumeRestrictions, VolumeBinding and VolumeZone.

use super::Rejection;
use crate::{
    snapshot::{Node, Snapshot},
    views::Pod,
    volumes::Conflict,
};
use api::{decision::Reason, volume::Claim};

const ONE_POD: &str = "ReadWriteOncePod";

/// Labels of volumes that say where they are reached.
const ZONES: [&str; 4] = [
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
];

/// What speaks against every node: a claim that is missing, or waits for others than this pod.
pub(super) fn check(pod: &Pod, snapshot: &Snapshot) -> Option<String> {
    snapshot.volumes.check(pod).err()
}

/// A claim for one pod that another has.
pub(super) fn restrictions(pod: &Pod, _: &Node, snapshot: &Snapshot, out: &mut Vec<Rejection>) {
    let claims = snapshot.volumes.claims_of(pod).unwrap_or_default();
    let alone = |claim: &Claim| claim.spec.access_modes.iter().any(|m| m == ONE_POD);
    for claim in claims.into_iter().filter(|c| alone(c)) {
        let name = claim.object.name();
        let used = snapshot.nodes().any(|(_, node)| {
            let mut others = node.pods.values();
            others.any(|other| {
                other.object.namespace() == pod.object.namespace()
                    && other.object.uid() != pod.object.uid()
                    && other.claims().any(|(held, _)| held == name)
            })
        });
        if used {
            let message = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode";
            out.push(Rejection::new(
                message,
                Reason::new("ClaimInUse").with("claim", name),
                true,
            ));
            return;
        }
    }
}

/// Volumes that are reached from the node, or can be had there.
pub(super) fn binding(pod: &Pod, node: &Node, snapshot: &Snapshot, out: &mut Vec<Rejection>) {
    let Some(object) = &node.object else { return };
    let message = match snapshot.volumes.assign(pod, object) {
        Ok(_) => return,
        Err(Conflict::Affinity) => "node(s) didn't match PersistentVolume's node affinity",
        Err(Conflict::NoVolume) => "node(s) didn't find available persistent volumes to bind",
        Err(Conflict::Lost) => "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
    };
    out.push(Rejection::new(message, Reason::new("VolumeConflict"), false));
}

/// Zones and regions of bound volumes.
pub(super) fn zone(pod: &Pod, node: &Node, snapshot: &Snapshot, out: &mut Vec<Rejection>) {
    if ZONES.iter().all(|zone| node.label(zone).is_none()) {
        return;
    }
    let claims = snapshot.volumes.claims_of(pod).unwrap_or_default();
    let elsewhere = |claim: &Claim| {
        let volume = snapshot.volumes.volume_of(claim);
        volume.is_some_and(|volume| {
            ZONES.iter().any(|zone| {
                // Several zones are one label, parted by two underscores.
                let of = volume.object.label(zone);
                of.is_some_and(|of| !of.split("__").any(|z| node.label(zone) == Some(z)))
            })
        })
    };
    if claims.into_iter().any(|claim| elsewhere(claim)) {
        let message = "node(s) had no available volume zone";
        out.push(Rejection::new(message, Reason::new("VolumeZone"), false));
    }
}
