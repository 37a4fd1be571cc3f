//! What the proxy knows of Services and EndpointSlices.

use crate::Protocol;
use serde::Deserialize;
use std::{collections::BTreeMap, net::IpAddr, str::FromStr};

/// Namespace and name.
pub type ObjectName = (String, String);

/// All Services, by their names.
pub type Services = BTreeMap<ObjectName, Service>;

/// All EndpointSlices, by their own names.
pub type Endpoints = BTreeMap<ObjectName, Slice>;

/// A Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Service {
    /// Cluster addresses; empty for a headless service.
    #[serde(rename = "clusterIPs")]
    pub cluster_ips: Vec<IpAddr>,
    /// External and load-balancer addresses.
    #[serde(rename = "externalIPs")]
    pub external_ips: Vec<IpAddr>,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// Seconds that a client stays with its endpoint (session affinity `ClientIP`).
    pub client_ip_timeout: Option<u32>,
    /// internalTrafficPolicy `Local`.
    pub internal_local: bool,
    /// externalTrafficPolicy `Local`.
    pub external_local: bool,
}

/// A port of a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    /// Its name, which the endpoints' ports carry too; empty when the Service has one port.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// On the service address.
    pub port: u16,
    /// On each node; 0: none.
    pub node_port: u16,
}

/// An EndpointSlice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Slice {
    /// Name of its Service, in the same namespace.
    pub service: String,
    /// Ports.
    pub ports: Vec<EndpointPort>,
    /// Endpoints.
    pub endpoints: Vec<Endpoint>,
}

/// A port of a slice's endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointPort {
    /// The Service port's name.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Where the endpoint listens.
    pub port: u16,
}

/// An endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// Its address (of an endpoint's addresses only the first is used, as upstream).
    pub address: IpAddr,
    /// It takes new connections.
    #[serde(default)]
    pub ready: bool,
    /// It works, though it may be ending.
    #[serde(default)]
    pub serving: bool,
    /// It is ending.
    #[serde(default)]
    pub terminating: bool,
    /// Its node.
    #[serde(default)]
    pub node: String,
}

/// A range of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// An address in it.
    pub address: IpAddr,
    /// Length of the prefix.
    pub prefix: u8,
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("invalid CIDR address: {text}");
        let (address, prefix) = text.split_once('/').ok_or_else(invalid)?;
        let address: IpAddr = address.parse().map_err(|_| invalid())?;
        let prefix: u8 = prefix.parse().map_err(|_| invalid())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if prefix > longest {
            Err(invalid())
        } else {
            Ok(Self { address, prefix })
        }
    }
}
