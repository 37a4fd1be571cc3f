//! The words of the CNI specification: configurations, results and errors as JSON.

use crate::PortMapping;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Versions of the specification that are spoken, the newest last.
pub const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

/// What we write into results that nobody asked a version of.
pub const NEWEST: &str = "1.1.0";

/// Error codes of the specification and of the plugins.
pub mod code {
    /// The configuration's version is not spoken.
    pub const INCOMPATIBLE_VERSION: u32 = 1;
    /// A field of the configuration is not supported.
    pub const UNSUPPORTED_FIELD: u32 = 2;
    /// The container is not known.
    pub const UNKNOWN_CONTAINER: u32 = 3;
    /// An environment variable is missing or wrong.
    pub const INVALID_ENVIRONMENT: u32 = 4;
    /// Input or output failed.
    pub const IO: u32 = 5;
    /// The configuration is not JSON of the right shape.
    pub const DECODING: u32 = 6;
    /// The configuration does not make sense.
    pub const INVALID_CONFIG: u32 = 7;
    /// Try again later.
    pub const TRY_AGAIN: u32 = 11;
    /// The plugin cannot take new attachments.
    pub const NOT_AVAILABLE: u32 = 50;
    /// Anything else.
    pub const INTERNAL: u32 = 999;
}

/// Why a plugin did not do it, as it is printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{msg}")]
#[serde(rename_all = "camelCase", default)]
pub struct Failure {
    /// Version of the specification.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub cni_version: String,
    /// One of [`code`].
    pub code: u32,
    /// What went wrong, short.
    pub msg: String,
    /// More of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl Default for Failure {
    fn default() -> Self {
        Self {
            cni_version: String::new(),
            code: code::INTERNAL,
            msg: String::new(),
            details: String::new(),
        }
    }
}

impl Failure {
    /// A failure with a code.
    pub fn new(code: u32, msg: impl Into<String>) -> Self {
        Self {
            code,
            msg: msg.into(),
            ..Self::default()
        }
    }

    /// Something failed in `doing`.
    pub fn internal(doing: &str, error: impl std::fmt::Display) -> Self {
        Self::new(code::INTERNAL, format!("{doing}: {error}"))
    }
}

/// What a plugin did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Outcome {
    /// Version of the specification.
    pub cni_version: String,
    /// Interfaces made.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<Interface>,
    /// Addresses given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<IpConfig>,
    /// Routes set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// Name servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns: Option<Dns>,
}

/// Name servers, as in resolv.conf.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// `nameserver` lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// `domain` line.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// `search` line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// `options` line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

impl Dns {
    /// Reads a resolv.conf.
    pub fn parse(resolv_conf: &str) -> Self {
        let mut dns = Self::default();
        for line in resolv_conf.lines() {
            let mut words = line.split_whitespace();
            let key = words.next().unwrap_or_default();
            let mut values = words.map(str::to_owned);
            match key {
                "nameserver" => dns.nameservers.extend(values.take(1)),
                "domain" => dns.domain = values.next().unwrap_or_default(),
                "search" => dns.search.extend(values),
                "options" => dns.options.extend(values),
                _ => {}
            }
        }
        dns
    }
}

impl Outcome {
    /// In the shape that a version of the specification has.
    pub fn in_version(mut self, version: &str) -> Self {
        self.cni_version = version.to_owned();
        for ip in &mut self.ips {
            let family = if ip.address.contains(':') { "6" } else { "4" };
            ip.version = if version.starts_with("0.") {
                family.to_owned()
            } else {
                String::new()
            };
        }
        self
    }
}

/// An interface in an [`Outcome`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Its hardware address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// Path of the namespace it is in; empty: the host's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub sandbox: String,
}

/// An address in an [`Outcome`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IpConfig {
    /// `4` or `6`, in versions before 1.0.0 only.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Index of its interface in the outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<usize>,
    /// With prefix length.
    pub address: String,
    /// The subnet's gateway.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gateway: String,
}

/// A route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Route {
    /// Where to, as CIDR.
    pub dst: String,
    /// By which gateway; empty: the subnet's.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gw: String,
}

/// Configuration of one plugin: the fields of the specification and of our plugins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Config {
    /// Version of the specification.
    pub cni_version: String,
    /// Name of the network.
    pub name: String,
    /// Name of the plugin.
    #[serde(rename = "type")]
    pub kind: String,
    /// bridge: name of the bridge.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub bridge: String,
    /// bridge: give the bridge the gateway's address.
    pub is_gateway: bool,
    /// bridge: as `isGateway`, and route everything by it.
    pub is_default_gateway: bool,
    /// bridge: masquerade what leaves the network.
    pub ip_masq: bool,
    /// bridge: let a port send back what came in by it.
    pub hairpin_mode: bool,
    /// bridge: MTU; 0: the kernel's choice.
    pub mtu: u32,
    /// bridge, ours: neighbours on the bridge are reached through the gateway too, so that the host's rules see their
    /// packets in both directions without the br_netfilter module.
    pub route_via_gateway: bool,
    /// bridge, ours: what leaves to these networks is not masqueraded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub no_masquerade: Vec<String>,
    /// Address management.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipam: Option<Ipam>,
    /// What the runtime adds by capability.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_config: Option<RuntimeConfig>,
    /// What the plugins before made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prev_result: Option<Outcome>,
    /// GC: the attachments that still stand.
    #[serde(rename = "cni.dev/valid-attachments", skip_serializing_if = "Option::is_none")]
    pub valid_attachments: Option<Vec<ValidAttachment>>,
}

/// An attachment that still stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ValidAttachment {
    /// The sandbox's id.
    #[serde(rename = "containerID")]
    pub container_id: String,
    /// The interface.
    pub ifname: String,
}

/// Values by capability.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RuntimeConfig {
    /// Ports to publish.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub port_mappings: Vec<PortMapping>,
}

/// Configuration of address management: host-local's fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ipam {
    /// Name of the plugin.
    #[serde(rename = "type")]
    pub kind: String,
    /// Sets of ranges; an address is given from each set.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ranges: Vec<Vec<Range>>,
    /// One more range, in the older form.
    #[serde(flatten)]
    pub range: Range,
    /// Routes to hand on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// host-local: a resolv.conf, whose contents are handed on.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resolv_conf: String,
    /// Where state is kept.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub data_dir: String,
}

/// A range of addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Range {
    /// The subnet, as CIDR.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub subnet: String,
    /// First address; empty: the subnet's first.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub range_start: String,
    /// Last address; empty: the subnet's last.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub range_end: String,
    /// The gateway; empty: the subnet's first address.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub gateway: String,
}

/// A configuration with all its fields as they are written, to be handed to a plugin.
pub type RawConfig = BTreeMap<String, Box<RawValue>>;
