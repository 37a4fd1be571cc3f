//! The edge between the runtime and the pod network: any CNI plugins on this machine, or ours in this crate.

use futures::future::BoxFuture;
use std::path::PathBuf;

/// A port of the pod that is published on the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortMapping {
    /// `tcp`, `udp` or `sctp`; any case.
    pub protocol: String,
    /// In the pod.
    pub container_port: u16,
    /// On the host.
    pub host_port: u16,
    /// On this host address only; empty: on all.
    #[serde(rename = "hostIP", skip_serializing_if = "String::is_empty")]
    pub host_ip: String,
}

/// A network namespace to attach to the pod network, or to detach from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachment {
    /// The sandbox's id.
    pub container_id: String,
    /// A path that names the network namespace. On detaching it may be gone, or empty.
    pub netns_path: PathBuf,
    /// Name of the interface in it, `eth0` as a rule.
    pub ifname: String,
    /// The pod's namespace.
    pub pod_namespace: String,
    /// The pod's name.
    pub pod_name: String,
    /// The pod's UID.
    pub pod_uid: String,
    /// Ports to publish.
    pub port_mappings: Vec<PortMapping>,
}

/// What the network gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assigned {
    /// Pod addresses without prefix length, the first one is the pod's main address.
    pub ips: Vec<String>,
}

/// Why the network did not do it. Codes are the CNI specification's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no network to attach to yet.
    #[error("network plugin not ready: {0}")]
    NotReady(String),
    /// A plugin answered with an error.
    #[error("plugin type={plugin:?} failed ({command}): {message}")]
    Plugin {
        /// Which plugin.
        plugin: String,
        /// ADD, DEL, CHECK, STATUS, GC or VERSION.
        command: String,
        /// The code it gave.
        code: u32,
        /// What it said.
        message: String,
    },
    /// A configuration that cannot be used.
    #[error("invalid network config: {0}")]
    Config(String),
    /// Anything else.
    #[error("{0}")]
    Internal(String),
}

/// A pod network. All calls can be repeated: detaching what is gone succeeds.
pub trait Cni: Send + Sync + 'static {
    /// Attaches a namespace.
    fn add(&self, attachment: &Attachment) -> BoxFuture<'_, Result<Assigned, Error>>;
    /// Detaches a namespace and gives its addresses back.
    fn del(&self, attachment: &Attachment) -> BoxFuture<'_, Result<(), Error>>;
    /// Looks whether an attachment still stands as it was made.
    fn check(&self, attachment: &Attachment) -> BoxFuture<'_, Result<(), Error>>;
    /// Why the network cannot take attachments now; `Ok` when it can.
    fn status(&self) -> BoxFuture<'_, Result<(), Error>>;
}
