//! Volumes of a pod's spec.

use super::{FieldRef, ResourceFieldRef};
use api::{MatchSelector, Quantity};
use serde::{Deserialize, de::IgnoredAny};
use std::collections::BTreeMap;

/// A volume: a name and one source.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Volume {
    /// Name.
    pub name: String,
    /// An empty directory.
    pub empty_dir: Option<EmptyDir>,
    /// A path of the host.
    pub host_path: Option<HostPath>,
    /// Keys of a ConfigMap.
    pub config_map: Option<NamedSource>,
    /// Keys of a Secret.
    pub secret: Option<SecretVolume>,
    /// Several of them.
    pub projected: Option<Projected>,
    /// Fields of the pod.
    #[serde(rename = "downwardAPI")]
    pub downward_api: Option<DownwardVolume>,
    /// A claim of the pod's namespace.
    pub persistent_volume_claim: Option<ClaimSource>,
    /// A claim that is made for the pod and goes with it.
    pub ephemeral: Option<Ephemeral>,
    /// The files of an image.
    pub image: Option<ImageVolume>,
    /// A volume of a driver, for this pod only.
    pub csi: Option<Csi>,
    /// Sources that this kubelet has no plugin for, by their field.
    #[serde(flatten)]
    pub others: BTreeMap<String, IgnoredAny>,
}

/// A claim as a volume.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimSource {
    /// The claim.
    pub claim_name: String,
    /// No container of the pod may write.
    pub read_only: bool,
}

/// A claim made for the pod: its template is the controller's business.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Ephemeral {}

/// The files of an image as a volume.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ImageVolume {
    /// The image.
    pub reference: String,
    /// As of a container.
    pub pull_policy: String,
}

/// A volume of a CSI driver.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Csi {
    /// The driver's name.
    pub driver: String,
}

/// A PersistentVolumeClaim.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Claim {
    /// Spec.
    pub spec: ClaimSpec,
    /// Status.
    pub status: ClaimStatus,
}

/// Its spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClaimSpec {
    /// The volume that it is bound to.
    pub volume_name: String,
}

/// Its status.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ClaimStatus {
    /// `Bound` when it is.
    pub phase: String,
}

/// A PersistentVolume.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PersistentVolume {
    /// Metadata.
    pub metadata: super::Meta,
    /// Spec.
    pub spec: PersistentVolumeSpec,
}

/// Its spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PersistentVolumeSpec {
    /// Who claimed it.
    pub claim_ref: Option<ClaimRef>,
    /// `Delete`, `Retain`.
    pub persistent_volume_reclaim_policy: String,
    /// `Filesystem` when empty, or `Block`.
    pub volume_mode: String,
    /// `ReadWriteOnce`, `ReadOnlyMany` and so on.
    pub access_modes: Vec<String>,
    /// A path of the host.
    pub host_path: Option<HostPath>,
    /// A directory or device of one node.
    pub local: Option<Local>,
    /// A volume of a driver.
    pub csi: Option<Csi>,
    /// Where it can be reached.
    pub node_affinity: VolumeAffinity,
}

/// Who claimed a volume.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ClaimRef {
    /// The claim's UID.
    pub uid: String,
}

/// A directory or device of one node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Local {
    /// Path.
    pub path: String,
}

/// Where a volume can be reached.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct VolumeAffinity {
    /// On nodes that one of the terms matches.
    pub required: NodeTerms,
}

/// Which nodes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeTerms {
    /// One of them must match.
    pub node_selector_terms: Vec<NodeTerm>,
}

/// What must be true of a node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeTerm {
    /// Of its labels.
    pub match_expressions: Vec<NodeMatch>,
    /// Of its fields.
    pub match_fields: Vec<NodeMatch>,
}

/// What must be true of a label or field.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NodeMatch {
    /// Label or field.
    pub key: String,
    /// `In` and so on.
    pub operator: String,
    /// The values.
    pub values: Vec<String>,
}

/// An empty directory.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EmptyDir {
    /// `Memory`, `HugePages`, `HugePages-SIZE` or nothing.
    pub medium: String,
    /// Mode bits; 0777 when absent.
    pub mode: Option<u32>,
    /// Limit.
    pub size_limit: Option<Quantity>,
}

/// A path of the host.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct HostPath {
    /// Path.
    pub path: String,
    /// `DirectoryOrCreate` and so on; empty: not checked.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A key as a file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Item {
    /// Key.
    pub key: String,
    /// File.
    pub path: String,
    /// Its mode.
    pub mode: Option<u32>,
}

/// Keys of a ConfigMap, or of a Secret in a projection.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NamedSource {
    /// Object.
    pub name: String,
    /// Some keys; all when empty.
    pub items: Vec<Item>,
    /// Mode of the files.
    pub default_mode: Option<u32>,
    /// It may be missing.
    pub optional: bool,
}

/// Keys of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretVolume {
    /// Object.
    pub secret_name: String,
    /// Some keys; all when empty.
    pub items: Vec<Item>,
    /// Mode of the files.
    pub default_mode: Option<u32>,
    /// It may be missing.
    pub optional: bool,
}

/// Several sources in one directory.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Projected {
    /// The sources.
    pub sources: Vec<Projection>,
    /// Mode of the files.
    pub default_mode: Option<u32>,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Projection {
    /// A ConfigMap.
    pub config_map: Option<NamedSource>,
    /// A Secret.
    pub secret: Option<NamedSource>,
    /// Fields of the pod.
    #[serde(rename = "downwardAPI")]
    pub downward_api: Option<DownwardVolume>,
    /// A token.
    pub service_account_token: Option<TokenSource>,
    /// Certificates to trust.
    pub cluster_trust_bundle: Option<BundleSource>,
    /// A key and a certificate of the pod.
    pub pod_certificate: Option<CertificateSource>,
    /// Sources that this kubelet has nothing for, by their field.
    #[serde(flatten)]
    pub others: BTreeMap<String, IgnoredAny>,
}

/// The certificates of a ClusterTrustBundle, or of those of a signer.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BundleSource {
    /// One bundle.
    pub name: Option<String>,
    /// Those of this signer.
    pub signer_name: Option<String>,
    /// Of them those with these labels; none without.
    pub label_selector: Option<MatchSelector>,
    /// There need not be any.
    pub optional: bool,
    /// File.
    pub path: String,
}

/// A key and a certificate for it, which a signer gives the pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CertificateSource {
    /// Who signs.
    pub signer_name: String,
    /// Kind of the key.
    pub key_type: String,
    /// The longest life that is asked for, in seconds.
    pub max_expiration_seconds: Option<i32>,
    /// File of the key and the certificates.
    pub credential_bundle_path: String,
    /// File of the key.
    pub key_path: String,
    /// File of the certificates.
    pub certificate_chain_path: String,
    /// What the signer is told.
    pub user_annotations: BTreeMap<String, String>,
}

/// A token of the pod's service account.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenSource {
    /// For whom; empty: the API server.
    pub audience: String,
    /// Seconds it lives; 3600 when absent.
    pub expiration_seconds: Option<i64>,
    /// File.
    pub path: String,
}

/// Fields of the pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DownwardVolume {
    /// The files.
    pub items: Vec<DownwardItem>,
    /// Mode of the files.
    pub default_mode: Option<u32>,
}

/// A field as a file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DownwardItem {
    /// File.
    pub path: String,
    /// A field.
    pub field_ref: Option<FieldRef>,
    /// A request or limit.
    pub resource_field_ref: Option<ResourceFieldRef>,
    /// Its mode.
    pub mode: Option<u32>,
}
