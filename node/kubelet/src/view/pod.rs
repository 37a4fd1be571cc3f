//! Pod metadata and spec.

use super::{AppArmorProfile, Container, PodStatus, SeccompProfile, Volume};
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

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
    /// Containers that were added to look at the others.
    pub ephemeral_containers: Vec<Container>,
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
    /// Host name, over all other ways to have one.
    pub hostname_override: String,
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
    /// False: with users of its own.
    pub host_users: Option<bool>,
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
    /// Requests and limits of the pod as a whole.
    pub resources: super::Requirements,
    /// How important it is.
    pub priority: Option<i32>,
    /// RuntimeClass.
    pub runtime_class_name: String,
    /// What system it is for.
    pub os: PodOs,
}

/// `spec.os`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PodOs {
    /// `linux` when empty.
    pub name: String,
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
    /// `Merge` when empty, or `Strict`: none of those that the image's files name.
    pub supplemental_groups_policy: String,
    /// Group of the volumes.
    pub fs_group: Option<i64>,
    /// `Always` when empty, or `OnRootMismatch`.
    pub fs_group_change_policy: String,
    /// AppArmor.
    pub app_armor_profile: Option<AppArmorProfile>,
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

    /// All of them, with those that were added to look at the others.
    pub fn every_container(&self) -> impl Iterator<Item = &Container> {
        self.all_containers().chain(&self.spec.ephemeral_containers)
    }

    /// The container of that name, of whatever sort.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.every_container().find(|c| c.name == name)
    }

    /// Whether a container that ended with `code` is to run again (upstream: `ShouldContainerBeRestarted`).
    pub fn restarts(&self, container: &Container, code: i32) -> bool {
        if self
            .spec
            .ephemeral_containers
            .iter()
            .any(|c| c.name == container.name)
        {
            return false;
        }
        let said = |rule: &&super::RestartRule| rule.action == "Restart" && rule.holds(code);
        if container.restart_policy_rules.iter().any(|rule| said(&rule)) {
            return true;
        }
        let policy = if container.restart_policy.is_empty() {
            &self.spec.restart_policy
        } else {
            &container.restart_policy
        };
        match policy.as_str() {
            "Never" => false,
            "OnFailure" => code != 0,
            // An init container has done its work when it succeeded.
            _ => code != 0 || container.is_sidecar() || !self.is_init(&container.name),
        }
    }

    /// Whether `name` is an init container.
    pub fn is_init(&self, name: &str) -> bool {
        self.spec.init_containers.iter().any(|c| c.name == name)
    }

    /// The volumes that a container uses; nobody waits for the others.
    pub fn used_volumes(&self) -> BTreeSet<&str> {
        let mut used = BTreeSet::new();
        for container in self.every_container() {
            used.extend(container.volume_mounts.iter().map(|m| m.name.as_str()));
            used.extend(container.volume_devices.iter().map(|d| d.name.as_str()));
            let sources = container
                .env
                .iter()
                .filter_map(|e| e.value_from.as_ref()?.file_key_ref.as_ref());
            used.extend(sources.map(|f| f.volume_name.as_str()));
        }
        used
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
