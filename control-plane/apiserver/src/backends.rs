//! Services and Endpoints, as requests that are passed on are led by them.

use api::Gvr;
use serde::Deserialize;

/// Services.
pub const SERVICES: Gvr = Gvr::new("", "v1", "services");
/// Endpoints.
pub const ENDPOINTS: Gvr = Gvr::new("", "v1", "endpoints");

/// A Service.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Service {
    pub spec: ServiceSpec,
}

/// What is wanted.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    pub r#type: String,
    pub external_name: String,
    #[serde(rename = "clusterIP")]
    pub cluster_ip: String,
    pub ports: Vec<Port>,
}

/// A port, of a Service or of endpoints.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Port {
    pub name: String,
    pub port: u16,
}

/// Endpoints.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Endpoints {
    pub subsets: Vec<Subset>,
}

/// Addresses with the same ports.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Subset {
    pub addresses: Vec<Address>,
    pub ports: Vec<Port>,
}

/// An address.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Address {
    pub ip: String,
    pub target_ref: Reference,
}

/// Whose it is.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Reference {
    pub kind: String,
    pub name: String,
}
