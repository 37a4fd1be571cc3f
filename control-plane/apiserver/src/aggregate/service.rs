//! APIServices as the aggregation layer reads them.

use super::priority::Priority;
use api::{Gvr, Object};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

/// The objects.
pub const API_SERVICES: Gvr = Gvr::new("apiregistration.k8s.io", "v1", "apiservices");
/// The label of those that the server registers: [`ON_START`] or [`ALWAYS`].
pub const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";
/// Written once, at start.
pub const ON_START: &str = "onstart";
/// Kept as long as the server serves it.
pub const ALWAYS: &str = "true";

/// The name of the APIService of a group and version.
pub fn name_of(group: &str, version: &str) -> String {
    format!("{version}.{group}")
}

/// What is looked at of an APIService.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiService {
    /// Group.
    pub group: String,
    /// Version.
    pub version: String,
    /// Its place in discovery.
    pub priority: Priority,
    /// Another server; none: this one.
    pub remote: Option<Remote>,
    /// Whether its condition says so.
    pub available: bool,
}

/// Another server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Namespace of its Service.
    pub namespace: String,
    /// Name of its Service.
    pub name: String,
    /// Port of its Service.
    pub port: u16,
    /// Who vouches for its certificate, PEM; empty: the authorities of the host.
    pub ca: String,
    /// Nobody has to.
    pub insecure: bool,
}

impl Remote {
    /// The name in its certificate.
    pub fn server_name(&self) -> String {
        format!("{}.{}.svc", self.name, self.namespace)
    }

    /// Name and port, as requests name it.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.server_name(), self.port)
    }
}

/// A condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// `Available`.
    pub r#type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// When the status changed last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<String>,
    /// Why, in a word.
    pub reason: String,
    /// Why.
    pub message: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: Spec,
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    group: String,
    version: String,
    group_priority_minimum: i32,
    version_priority: i32,
    service: Option<Service>,
    ca_bundle: String,
    #[serde(rename = "insecureSkipTLSVerify")]
    insecure: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Service {
    namespace: String,
    name: String,
    port: Option<u16>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    conditions: Vec<Condition>,
}

impl ApiService {
    /// Of an object.
    pub fn of(object: &Object) -> Option<Self> {
        let View { spec, status } = object.view().ok()?;
        let ca = STANDARD.decode(&spec.ca_bundle).unwrap_or_default();
        let ca = String::from_utf8_lossy(&ca).into_owned();
        let insecure = spec.insecure;
        Some(Self {
            remote: spec.service.map(|service| Remote {
                namespace: service.namespace,
                name: service.name,
                port: service.port.unwrap_or(443),
                ca,
                insecure,
            }),
            available: is_available(&status.conditions),
            group: spec.group,
            version: spec.version,
            priority: Priority {
                group: spec.group_priority_minimum,
                version: spec.version_priority,
            },
        })
    }
}

/// Whether the conditions say so.
pub fn is_available(conditions: &[Condition]) -> bool {
    conditions
        .iter()
        .any(|condition| condition.r#type == "Available" && condition.status == "True")
}

/// The conditions of an object.
pub fn conditions(object: &Object) -> Vec<Condition> {
    let view: View = object.view().unwrap_or_default();
    view.status.conditions
}
