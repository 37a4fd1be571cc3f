//! What the rules look at in a pod.

use api::Object;
use serde::{Deserialize, de::IgnoredAny};
use std::collections::BTreeMap;

/// The annotation that once named the seccomp profile of a pod.
pub(super) const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
/// The same of a container, followed by its name.
pub(super) const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// A pod, or the template of one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pod {
    pub metadata: Meta,
    pub spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Meta {
    pub annotations: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    pub host_network: bool,
    #[serde(rename = "hostPID")]
    pub host_pid: bool,
    #[serde(rename = "hostIPC")]
    pub host_ipc: bool,
    pub host_users: Option<bool>,
    pub os: Os,
    pub runtime_class_name: String,
    pub security_context: Context,
    pub init_containers: Vec<Container>,
    pub containers: Vec<Container>,
    pub ephemeral_containers: Vec<Container>,
    pub volumes: Vec<Volume>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Os {
    pub name: String,
}

/// A security context, of a pod or of a container.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Context {
    pub allow_privilege_escalation: Option<bool>,
    pub app_armor_profile: Option<Profile>,
    pub capabilities: Capabilities,
    pub privileged: bool,
    pub proc_mount: Option<String>,
    pub run_as_non_root: Option<bool>,
    pub run_as_user: Option<i64>,
    pub se_linux_options: Option<SeLinux>,
    pub seccomp_profile: Option<Profile>,
    pub sysctls: Vec<Sysctl>,
    pub windows_options: Windows,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Profile {
    pub r#type: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Capabilities {
    pub add: Vec<String>,
    pub drop: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SeLinux {
    pub user: String,
    pub role: String,
    pub r#type: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sysctl {
    pub name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Windows {
    pub host_process: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Container {
    pub name: String,
    pub image: String,
    pub security_context: Context,
    pub ports: Vec<Port>,
    pub liveness_probe: Handler,
    pub readiness_probe: Handler,
    pub startup_probe: Handler,
    pub lifecycle: Lifecycle,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Port {
    pub host_port: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Lifecycle {
    pub post_start: Handler,
    pub pre_stop: Handler,
}

/// Where a probe or a hook goes.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Handler {
    pub http_get: Host,
    pub tcp_socket: Host,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Host {
    pub host: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Volume {
    pub name: String,
    /// What it is of.
    #[serde(flatten)]
    pub sources: BTreeMap<String, IgnoredAny>,
}

impl Spec {
    /// All containers, in upstream's order.
    pub fn all(&self) -> impl Iterator<Item = &Container> {
        self.init_containers
            .iter()
            .chain(&self.containers)
            .chain(&self.ephemeral_containers)
    }
}

impl Pod {
    /// Whether a change from `old` is one that the rules look at: an image, a container, a seccomp annotation.
    pub fn differs(&self, old: &Self) -> bool {
        let annotations = |pod: &Self, key: &str| pod.metadata.annotations.get(key).cloned();
        let other = |key: &str| annotations(self, key) != annotations(old, key);
        let changed = |new: &Container, old: &Container| {
            new.image != old.image || other(&format!("{SECCOMP_CONTAINER}{}", new.name))
        };
        let list = |new: &[Container], old: &[Container]| {
            new.len() != old.len() || new.iter().zip(old).any(|(new, old)| changed(new, old))
        };
        let added = |new: &Container| {
            let mut known = old.spec.ephemeral_containers.iter();
            let known = known.find(|known| known.name == new.name);
            known.is_none_or(|known| changed(new, known))
        };
        other(SECCOMP_POD)
            || list(&self.spec.containers, &old.spec.containers)
            || list(&self.spec.init_containers, &old.spec.init_containers)
            || self.spec.ephemeral_containers.iter().any(added)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Workload {
    spec: WorkloadSpec,
    template: Option<Pod>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WorkloadSpec {
    template: Option<Pod>,
    job_template: JobTemplate,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JobTemplate {
    spec: JobSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JobSpec {
    template: Option<Pod>,
}

/// Resources whose objects have a template of pods.
const WORKLOADS: [(&str, &str); 8] = [
    ("", "replicationcontrollers"),
    ("", "podtemplates"),
    ("apps", "replicasets"),
    ("apps", "deployments"),
    ("apps", "statefulsets"),
    ("apps", "daemonsets"),
    ("batch", "jobs"),
    ("batch", "cronjobs"),
];

pub(super) fn is_workload(group: &str, plural: &str) -> bool {
    WORKLOADS.contains(&(group, plural))
}

/// The template of a workload, if it has one.
pub(super) fn template(object: &Object) -> Option<Pod> {
    let Workload { spec, template } = object.view().ok()?;
    spec.template.or(spec.job_template.spec.template).or(template)
}
