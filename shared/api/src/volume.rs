//! Persistent volumes and claims as those who bind them read them, and which volume does for a claim
//! (upstream `component-helpers/storage/volume`).

use crate::{MatchSelector, NodeSelector, Object, Quantity};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::Arc};

/// The claim and its volume know each other.
pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// The binding was a controller's choice, not the user's.
pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// Who made the volume.
pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";
/// Where the scheduler wants the claim's volume.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// The class, as it was named before there was a field.
pub const CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// The provisioner that makes nothing.
pub const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";
/// The provisioner of directories on nodes.
pub const LOCAL_PATH: &str = "ferrokube.io/local-path";

/// A claim.
#[derive(Clone, Debug)]
pub struct Claim {
    /// As it is stored.
    pub object: Arc<Object>,
    /// What is wanted.
    pub spec: ClaimSpec,
    /// What is.
    pub status: ClaimStatus,
}

/// `v1.PersistentVolumeClaimSpec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the API's own fields")]
pub struct ClaimSpec {
    pub access_modes: Vec<String>,
    pub volume_name: String,
    pub storage_class_name: Option<String>,
    pub volume_attributes_class_name: Option<String>,
    pub volume_mode: String,
    pub selector: Option<MatchSelector>,
    pub resources: Requests,
}

/// What a claim asks for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Requests {
    /// By resource.
    pub requests: BTreeMap<String, Quantity>,
}

/// `v1.PersistentVolumeClaimStatus`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the API's own fields")]
pub struct ClaimStatus {
    pub phase: String,
    pub access_modes: Vec<String>,
    pub capacity: BTreeMap<String, Quantity>,
}

/// A volume.
#[derive(Clone, Debug)]
pub struct Volume {
    /// As it is stored.
    pub object: Arc<Object>,
    /// What it is.
    pub spec: VolumeSpec,
    /// How it is.
    pub status: VolumeStatus,
}

/// `v1.PersistentVolumeSpec`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the API's own fields")]
pub struct VolumeSpec {
    pub capacity: BTreeMap<String, Quantity>,
    pub access_modes: Vec<String>,
    pub claim_ref: Option<ClaimRef>,
    pub persistent_volume_reclaim_policy: String,
    pub storage_class_name: String,
    pub volume_attributes_class_name: Option<String>,
    pub volume_mode: String,
    pub node_affinity: Option<VolumeNodeAffinity>,
}

/// The claim that a volume is bound to or kept for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the API's own fields")]
pub struct ClaimRef {
    pub kind: String,
    pub api_version: String,
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

/// `v1.VolumeNodeAffinity`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeNodeAffinity {
    /// The nodes that reach the volume.
    pub required: Option<NodeSelector>,
}

/// `v1.PersistentVolumeStatus`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct VolumeStatus {
    /// `Available`, `Bound`, `Released`, `Failed`.
    pub phase: String,
    /// Why.
    pub message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View<S: Default, T: Default> {
    spec: S,
    status: T,
}

const FILESYSTEM: &str = "Filesystem";

fn mode(text: &str) -> &str {
    if text.is_empty() { FILESYSTEM } else { text }
}

impl Claim {
    /// None if the object does not decode.
    pub fn new(object: Arc<Object>) -> Option<Self> {
        let View { spec, status } = object.view().ok()?;
        Some(Self { object, spec, status })
    }

    /// The name of its class; empty: none.
    pub fn class(&self) -> String {
        let named = || self.spec.storage_class_name.clone().unwrap_or_default();
        self.object.annotation(CLASS).unwrap_or_else(named)
    }

    /// Whether it says nothing of a class, not even that it wants none.
    pub fn is_classless(&self) -> bool {
        self.spec.storage_class_name.is_none() && self.object.annotation(CLASS).is_none()
    }

    /// The size it asks for.
    pub fn size(&self) -> Quantity {
        let size = self.spec.resources.requests.get("storage");
        size.copied().unwrap_or(Quantity::from_int(0))
    }

    /// `Filesystem` or `Block`.
    pub fn mode(&self) -> &str {
        mode(&self.spec.volume_mode)
    }

    /// Whether the binding is through.
    pub fn is_bound(&self) -> bool {
        !self.spec.volume_name.is_empty() && self.object.annotation(BIND_COMPLETED).is_some()
    }

    /// A reference to it.
    pub fn reference(&self) -> ClaimRef {
        ClaimRef {
            kind: "PersistentVolumeClaim".to_owned(),
            api_version: "v1".to_owned(),
            namespace: self.object.namespace().to_owned(),
            name: self.object.name().to_owned(),
            uid: self.object.uid().to_owned(),
        }
    }
}

impl Volume {
    /// None if the object does not decode.
    pub fn new(object: Arc<Object>) -> Option<Self> {
        let View { spec, status } = object.view().ok()?;
        Some(Self { object, spec, status })
    }

    /// The name of its class; empty: none.
    pub fn class(&self) -> String {
        let named = || self.spec.storage_class_name.clone();
        self.object.annotation(CLASS).unwrap_or_else(named)
    }

    /// Its size.
    pub fn size(&self) -> Quantity {
        let size = self.spec.capacity.get("storage");
        size.copied().unwrap_or(Quantity::from_int(0))
    }

    /// Whether it is bound to the claim, or kept for one of its name.
    pub fn is_for(&self, claim: &Claim) -> bool {
        self.spec.claim_ref.as_ref().is_some_and(|r| {
            r.name == claim.object.name()
                && r.namespace == claim.object.namespace()
                && (r.uid.is_empty() || r.uid == claim.object.uid())
        })
    }

    /// Whether the node reaches it.
    pub fn is_reached_from(&self, node: &Object) -> bool {
        let required = self.spec.node_affinity.as_ref().and_then(|a| a.required.as_ref());
        required.is_none_or(|required| required.matches(node))
    }

    /// Why the volume cannot be what the claim asks for, in upstream's words.
    pub fn mismatch(&self, claim: &Claim) -> Option<String> {
        let modes = &self.spec.access_modes;
        if self.object.deletion_timestamp().is_some() {
            let name = self.object.name();
            return Some(format!("the volume is marked for deletion {name:?}"));
        }
        let why = if self.size().value() < claim.size().value() {
            "requested PV is too small"
        } else if self.class() != claim.class() {
            "storageClassName does not match"
        } else if mode(&self.spec.volume_mode) != claim.mode() {
            "incompatible volumeMode"
        } else if self.attributes() != claim.attributes() {
            "VolumeAttributesClassName does not match"
        } else if !claim.spec.access_modes.iter().all(|m| modes.contains(m)) {
            "incompatible accessMode"
        } else {
            return None;
        };
        Some(why.to_owned())
    }

    fn attributes(&self) -> &str {
        self.spec.volume_attributes_class_name.as_deref().unwrap_or("")
    }
}

impl Claim {
    fn attributes(&self) -> &str {
        self.spec.volume_attributes_class_name.as_deref().unwrap_or("")
    }
}

/// The volume for a claim: one that is kept for it, else the one that fits best: of the fewest access modes, then the
/// smallest. `node` is where it has to be reached. Volumes that nobody keeps for the claim are taken only if `free`.
pub fn best<'a>(
    claim: &Claim,
    volumes: impl IntoIterator<Item = &'a Volume>,
    node: Option<&Object>,
    free: bool,
) -> Option<&'a Volume> {
    let selector = claim
        .spec
        .selector
        .as_ref()
        .map(MatchSelector::selector)
        .transpose();
    let selector = selector.ok()?;
    let reached = |volume: &Volume| node.is_none_or(|node| volume.is_reached_from(node));
    let mut best: Option<&Volume> = None;
    let order = |v: &Volume| (v.spec.access_modes.len(), v.size());
    for volume in volumes {
        if volume.is_for(claim) {
            let same_mode = mode(&volume.spec.volume_mode) == claim.mode();
            let fits = volume.object.deletion_timestamp().is_none()
                && volume.size().value() >= claim.size().value()
                && same_mode;
            if fits {
                return Some(volume).filter(|v| reached(v));
            }
            continue;
        }
        let labels = || {
            selector
                .as_ref()
                .is_none_or(|s| s.matches(|key| volume.object.label(key)))
        };
        let may = free
            && volume.spec.claim_ref.is_none()
            && volume.status.phase == "Available"
            && volume.mismatch(claim).is_none()
            && labels()
            && reached(volume);
        if may && best.is_none_or(|b| order(volume) < order(b)) {
            best = Some(volume);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: String) -> Arc<Object> {
        Arc::new(Object::parse(text.into(), 1, &[]).unwrap())
    }

    fn claim(spec: &str) -> Claim {
        let text = format!(
            r#"{{"kind":"PersistentVolumeClaim","metadata":{{"name":"c","namespace":"d","uid":"u"}},
            "spec":{{"accessModes":["ReadWriteOnce"],"resources":{{"requests":{{"storage":"2Gi"}}}}{spec}}}}}"#
        );
        Claim::new(object(text)).unwrap()
    }

    fn volume(name: &str, size: &str, modes: &str, spec: &str) -> Volume {
        let text = format!(
            r#"{{"kind":"PersistentVolume","metadata":{{"name":"{name}","labels":{{"disk":"{name}"}}}},
            "spec":{{"capacity":{{"storage":"{size}"}},"accessModes":[{modes}]{spec}}},"status":{{"phase":"Available"}}}}"#
        );
        Volume::new(object(text)).unwrap()
    }

    const ONE: &str = r#""ReadWriteOnce""#;
    const TWO: &str = r#""ReadWriteOnce","ReadWriteMany""#;

    #[test]
    fn the_smallest_that_fits_is_taken() {
        let class = r#","storageClassName":"fast""#;
        let taken = r#","claimRef":{"namespace":"d","name":"other"}"#;
        let volumes = [
            volume("many", "2Gi", TWO, ""),
            volume("big", "10Gi", ONE, ""),
            volume("enough", "3Gi", ONE, ""),
            volume("small", "1Gi", ONE, ""),
            volume("class", "2Gi", ONE, class),
            volume("taken", "2Gi", ONE, taken),
            volume("block", "2Gi", ONE, r#","volumeMode":"Block""#),
            volume("read", "2Gi", r#""ReadOnlyMany""#, ""),
        ];
        let name = |claim: &Claim| best(claim, &volumes, None, true).map(|v| v.object.name().to_owned());
        assert_eq!(name(&claim("")).as_deref(), Some("enough"));
        assert_eq!(name(&claim(class)).as_deref(), Some("class"));
        let selector = r#","selector":{"matchLabels":{"disk":"big"}}"#;
        assert_eq!(name(&claim(selector)).as_deref(), Some("big"));
        assert_eq!(
            best(&claim(""), &volumes, None, false).map(|v| v.object.name()),
            None
        );
    }

    #[test]
    fn what_is_kept_for_a_claim_comes_first_and_must_be_reached() {
        let kept = r#","claimRef":{"namespace":"d","name":"c"},"nodeAffinity":{"required":{"nodeSelectorTerms":[
            {"matchExpressions":[{"key":"kubernetes.io/hostname","operator":"In","values":["n1"]}]}]}}"#;
        let volumes = [volume("free", "2Gi", ONE, ""), volume("kept", "5Gi", ONE, kept)];
        let node = |name: &str| {
            object(format!(
                r#"{{"kind":"Node","metadata":{{"name":"{name}","labels":{{"kubernetes.io/hostname":"{name}"}}}}}}"#
            ))
        };
        let name = |node: Option<&Object>| best(&claim(""), &volumes, node, true).map(|v| v.object.name());
        assert_eq!(name(None), Some("kept"));
        assert_eq!(name(Some(&node("n1"))), Some("kept"));
        assert_eq!(name(Some(&node("n2"))), None);
    }
}
