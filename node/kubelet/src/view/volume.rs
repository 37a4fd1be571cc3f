//! Volumes of a pod's spec.

use super::{FieldRef, ResourceFieldRef};
use api::Quantity;
use serde::Deserialize;

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
}

/// An empty directory.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EmptyDir {
    /// `Memory` or nothing.
    pub medium: String,
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
