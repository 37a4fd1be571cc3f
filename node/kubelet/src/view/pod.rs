//! Pod metadata and spec.

use super::{Container, PodStatus, SeccompProfile, Volume};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;

/// `metadata`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Name.
    pub name: String,
    /// Namespace.
    pub namespace: String,
    /// UID.
    pub uid: String,
    /// Generation.
    pub generation: i64,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Finalizers.
    pub finalizers: Vec<String>,
    /// Set once it is being deleted.
    pub deletion_timestamp: Option<Timestamp>,
    /// Seconds the pod has to stop.
    pub deletion_grace_period_seconds: Option<i64>,
}

/// A pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Metadata.
    pub metadata: Meta,
    /// What is wanted.
    pub spec: PodSpec,
    /// What was told last.
    pub status: PodStatus,
}

/// `spec`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Node.
    pub node_name: String,
    /// `Always` when empty.
    pub restart_policy: String,
    /// Containers that run one after the other before the others.
    pub init_containers: Vec<Container>,
    /// Containers.
    pub containers: Vec<Container>,
    /// Volumes.
    pub volumes: Vec<Volume>,
    /// Seconds.
    pub termination_grace_period_seconds: Option<i64>,
    /// Seconds from the start.
    pub active_deadline_seconds: Option<i64>,
    /// `ClusterFirst` when empty.
    pub dns_policy: String,
    /// More DNS.
    pub dns_config: PodDns,
    /// Service account.
    pub service_account_name: String,
    /// Secrets for registries.
    pub image_pull_secrets: Vec<super::RefName>,
    /// Host name.
    pub hostname: String,
    /// Subdomain.
    pub subdomain: String,
    /// Host name is the full name.
    #[serde(rename = "setHostnameAsFQDN")]
    pub set_hostname_as_fqdn: bool,
    /// Host's network.
    pub host_network: bool,
    /// Host's processes.
    #[serde(rename = "hostPID")]
    pub host_pid: bool,
    /// Host's IPC.
    #[serde(rename = "hostIPC")]
    pub host_ipc: bool,
    /// One process namespace.
    pub share_process_namespace: bool,
    /// More lines of /etc/hosts.
    pub host_aliases: Vec<HostAlias>,
    /// Variables for services; true when absent.
    pub enable_service_links: Option<bool>,
    /// Security of all containers.
    pub security_context: PodSecurityContext,
    /// Conditions others set.
    pub readiness_gates: Vec<ReadinessGate>,
    /// What the pod costs beyond its containers.
    pub overhead: BTreeMap<String, api::Quantity>,
    /// RuntimeClass.
    pub runtime_class_name: String,
}

/// `spec.dnsConfig`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PodDns {
    /// Servers.
    pub nameservers: Vec<String>,
    /// Search domains.
    pub searches: Vec<String>,
    /// Options.
    pub options: Vec<DnsOption>,
}

/// A resolver option.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct DnsOption {
    /// Name.
    pub name: String,
    /// Value.
    pub value: Option<String>,
}

/// Names of an address.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct HostAlias {
    /// Address.
    pub ip: String,
    /// Names.
    pub hostnames: Vec<String>,
}

/// A condition that must hold too.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReadinessGate {
    /// Its type.
    pub condition_type: String,
}

/// `spec.securityContext`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSecurityContext {
    /// User.
    pub run_as_user: Option<i64>,
    /// Group.
    pub run_as_group: Option<i64>,
    /// Not root.
    pub run_as_non_root: Option<bool>,
    /// More groups.
    pub supplemental_groups: Vec<i64>,
    /// Group of the volumes.
    pub fs_group: Option<i64>,
    /// Seccomp.
    pub seccomp_profile: Option<SeccompProfile>,
    /// Kernel parameters.
    pub sysctls: Vec<Sysctl>,
}

/// A kernel parameter.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Sysctl {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

impl Pod {
    /// The init containers, then the others.
    pub fn all_containers(&self) -> impl Iterator<Item = &Container> {
        self.spec.init_containers.iter().chain(&self.spec.containers)
    }

    /// The container or init container of that name.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.all_containers().find(|c| c.name == name)
    }

    /// `name_namespace(uid)`, as messages have it.
    pub fn full_name(&self) -> String {
        let meta = &self.metadata;
        format!("{}_{}({})", meta.name, meta.namespace, meta.uid)
    }

    /// Seconds the pod has to stop.
    pub fn grace(&self) -> i64 {
        let meta = self.metadata.deletion_grace_period_seconds;
        meta.or(self.spec.termination_grace_period_seconds).unwrap_or(30)
    }
}
