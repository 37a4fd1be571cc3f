//! The other kinds.

use super::{IntOrString, Meta};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigMap {
    /// Text.
    pub data: BTreeMap<String, String>,
    /// Bytes in base64.
    pub binary_data: BTreeMap<String, String>,
}

/// A Secret.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Secret {
    /// `kubernetes.io/dockerconfigjson` and so on.
    #[serde(rename = "type")]
    pub kind: String,
    /// Bytes in base64.
    pub data: BTreeMap<String, String>,
}

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Service {
    /// Metadata.
    pub metadata: Meta,
    /// Spec.
    pub spec: ServiceSpec,
}

/// Its spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// Address; `None` when headless.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: String,
    /// Ports.
    pub ports: Vec<ServicePort>,
}

/// A port of a Service.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    /// Name.
    pub name: String,
    /// Number.
    pub port: u16,
    /// `TCP` when empty.
    pub protocol: String,
    /// In the pods.
    pub target_port: IntOrString,
}

/// A Node.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Node {
    /// Metadata.
    pub metadata: Meta,
    /// Spec.
    pub spec: NodeSpec,
}

/// Its spec.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NodeSpec {
    /// Range of pod addresses.
    #[serde(rename = "podCIDR")]
    pub pod_cidr: String,
}

/// What a TokenRequest brings.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct TokenResponse {
    /// Status.
    pub status: TokenStatus,
}

/// The token.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenStatus {
    /// Token.
    pub token: String,
    /// When it ends.
    pub expiration_timestamp: Option<jiff::Timestamp>,
}
