//! Containers of a pod's spec.

use api::Quantity;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Name.
    pub name: String,
    /// Image.
    pub image: String,
    /// `Always`, `IfNotPresent`, `Never`; empty: by the image's tag.
    pub image_pull_policy: String,
    /// Entry point.
    pub command: Vec<String>,
    /// Arguments.
    pub args: Vec<String>,
    /// Working directory.
    pub working_dir: String,
    /// Ports.
    pub ports: Vec<Port>,
    /// Variables.
    pub env: Vec<EnvVar>,
    /// Variables from whole objects.
    pub env_from: Vec<EnvFrom>,
    /// Requests and limits.
    pub resources: Requirements,
    /// Volumes.
    pub volume_mounts: Vec<VolumeMount>,
    /// Raw devices.
    pub volume_devices: Vec<VolumeDevice>,
    /// Security.
    pub security_context: SecurityContext,
    /// Restarts it when it fails.
    pub liveness_probe: Option<Probe>,
    /// Says whether it may be used.
    pub readiness_probe: Option<Probe>,
    /// Holds the others back until it succeeds.
    pub startup_probe: Option<Probe>,
    /// Hooks.
    pub lifecycle: Lifecycle,
    /// `/dev/termination-log` when empty.
    pub termination_message_path: String,
    /// `File` or `FallbackToLogsOnError`.
    pub termination_message_policy: String,
    /// Input is kept open.
    pub stdin: bool,
    /// Input closes after the first attach.
    pub stdin_once: bool,
    /// Terminal.
    pub tty: bool,
    /// Over the pod's; of init containers `Always` makes it a sidecar.
    pub restart_policy: String,
    /// Exit codes that decide before the policy does.
    pub restart_policy_rules: Vec<RestartRule>,
    /// What a change of its resources does.
    pub resize_policy: Vec<ResizePolicy>,
    /// Of ephemeral containers only: the container whose processes it sees.
    pub target_container_name: String,
}

/// A rule about exit codes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RestartRule {
    /// `Restart`.
    pub action: String,
    /// When it holds.
    pub exit_codes: Option<ExitCodes>,
}

impl RestartRule {
    /// Whether it is about that exit code.
    pub fn holds(&self, code: i32) -> bool {
        let among = |codes: &ExitCodes| codes.values.contains(&code) == (codes.operator == "In");
        self.exit_codes.as_ref().is_some_and(among)
    }
}

/// Exit codes.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ExitCodes {
    /// `In` or `NotIn`.
    pub operator: String,
    /// The codes.
    pub values: Vec<i32>,
}

/// What a change of a resource does.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResizePolicy {
    /// `cpu` or `memory`.
    pub resource_name: String,
    /// `NotRequired` or `RestartContainer`.
    pub restart_policy: String,
}

impl Container {
    /// Whether it is an init container that goes on beside the others.
    pub fn is_sidecar(&self) -> bool {
        self.restart_policy == "Always"
    }

    /// Where it writes its last words.
    pub fn message_path(&self) -> &str {
        if self.termination_message_path.is_empty() {
            "/dev/termination-log"
        } else {
            &self.termination_message_path
        }
    }
}

/// A port.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Port {
    /// Name.
    pub name: String,
    /// Number.
    pub container_port: u16,
    /// On the host; 0: not.
    pub host_port: u16,
    /// On this address of the host.
    #[serde(rename = "hostIP")]
    pub host_ip: String,
    /// `TCP` when empty.
    pub protocol: String,
}

/// A variable.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvVar {
    /// Name.
    pub name: String,
    /// Value, with `$(NAME)` of earlier ones.
    pub value: String,
    /// Where the value is from.
    pub value_from: Option<EnvSource>,
}

/// Where a variable's value is from.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvSource {
    /// A field of the pod.
    pub field_ref: Option<FieldRef>,
    /// A request or limit.
    pub resource_field_ref: Option<ResourceFieldRef>,
    /// A key of a ConfigMap.
    pub config_map_key_ref: Option<KeyRef>,
    /// A key of a Secret.
    pub secret_key_ref: Option<KeyRef>,
    /// A key of a file in a volume.
    pub file_key_ref: Option<FileKeyRef>,
}

/// A key of a file of variables in a volume.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileKeyRef {
    /// The volume.
    pub volume_name: String,
    /// The file in it.
    pub path: String,
    /// Key.
    pub key: String,
    /// It may be missing.
    pub optional: bool,
}

/// A field of the pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FieldRef {
    /// Its path.
    pub field_path: String,
}

/// A request or limit of a container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceFieldRef {
    /// The container; empty: this one.
    pub container_name: String,
    /// Such as `limits.cpu`.
    pub resource: String,
    /// Unit; 1 when absent.
    pub divisor: Option<Quantity>,
}

/// A key of an object.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct KeyRef {
    /// Object.
    pub name: String,
    /// Key.
    pub key: String,
    /// It may be missing.
    pub optional: bool,
}

/// All keys of an object as variables.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EnvFrom {
    /// Goes before each name.
    pub prefix: String,
    /// A ConfigMap.
    pub config_map_ref: Option<NameOptional>,
    /// A Secret.
    pub secret_ref: Option<NameOptional>,
}

/// An object that may be optional.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct NameOptional {
    /// Name.
    pub name: String,
    /// It may be missing.
    pub optional: bool,
}

/// A name in the pod's namespace.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct RefName {
    /// Name.
    pub name: String,
}

/// Requests and limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Requirements {
    /// At least.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, Quantity>,
    /// At most.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, Quantity>,
}

/// A volume in a container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeMount {
    /// The volume.
    pub name: String,
    /// Where.
    pub mount_path: String,
    /// A path in the volume.
    pub sub_path: String,
    /// The same, with variables.
    pub sub_path_expr: String,
    /// Not writable.
    pub read_only: bool,
    /// `None`, `HostToContainer`, `Bidirectional`.
    pub mount_propagation: String,
    /// `Disabled` when empty, `IfPossible`, `Enabled`.
    pub recursive_read_only: String,
}

/// A raw device in a container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VolumeDevice {
    /// The volume.
    pub name: String,
    /// Where.
    pub device_path: String,
}

/// Security of a container.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecurityContext {
    /// Everything allowed.
    pub privileged: Option<bool>,
    /// Capabilities.
    pub capabilities: Capabilities,
    /// User.
    pub run_as_user: Option<i64>,
    /// Group.
    pub run_as_group: Option<i64>,
    /// Not root.
    pub run_as_non_root: Option<bool>,
    /// Root file system not writable.
    pub read_only_root_filesystem: Option<bool>,
    /// May gain privileges.
    pub allow_privilege_escalation: Option<bool>,
    /// `Default` or `Unmasked`.
    pub proc_mount: Option<String>,
    /// Seccomp.
    pub seccomp_profile: Option<SeccompProfile>,
    /// AppArmor.
    pub app_armor_profile: Option<AppArmorProfile>,
}

/// An AppArmor profile.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct AppArmorProfile {
    /// `RuntimeDefault`, `Unconfined`, `Localhost`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Capabilities.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    /// Added.
    pub add: Vec<String>,
    /// Taken.
    pub drop: Vec<String>,
}

/// A seccomp profile.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SeccompProfile {
    /// `RuntimeDefault`, `Unconfined`, `Localhost`.
    #[serde(rename = "type")]
    pub kind: String,
    /// File of a `Localhost` profile.
    pub localhost_profile: String,
}

/// Hooks.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lifecycle {
    /// After the start.
    pub post_start: Option<Handler>,
    /// Before the stop.
    pub pre_stop: Option<Handler>,
    /// The signal that stops it.
    pub stop_signal: String,
}

/// What a probe or hook does.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Handler {
    /// Runs a command.
    pub exec: Option<ExecAction>,
    /// Asks over HTTP.
    pub http_get: Option<HttpGet>,
    /// Connects.
    pub tcp_socket: Option<TcpSocket>,
    /// Asks over gRPC.
    pub grpc: Option<Grpc>,
    /// Waits.
    pub sleep: Option<SleepAction>,
}

/// A command.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct ExecAction {
    /// Arguments, the program first.
    pub command: Vec<String>,
}

/// A wait.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SleepAction {
    /// Seconds.
    pub seconds: i64,
}

/// A gRPC health check.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Grpc {
    /// Port.
    pub port: u16,
    /// Service.
    pub service: String,
}

/// A GET.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpGet {
    /// Path.
    pub path: String,
    /// Port or its name.
    pub port: IntOrString,
    /// Host; the pod's address when empty.
    pub host: String,
    /// `HTTP` when empty.
    pub scheme: String,
    /// Headers.
    pub http_headers: Vec<HttpHeader>,
}

/// A header.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct HttpHeader {
    /// Name.
    pub name: String,
    /// Value.
    pub value: String,
}

/// A port.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct TcpSocket {
    /// Port or its name.
    pub port: IntOrString,
    /// Host; the pod's address when empty.
    pub host: String,
}

/// A number or a name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum IntOrString {
    /// A number.
    Int(i32),
    /// A name.
    Name(String),
}

impl Default for IntOrString {
    fn default() -> Self {
        Self::Int(0)
    }
}

/// A probe.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Probe {
    /// What it does.
    #[serde(flatten)]
    pub handler: Handler,
    /// Seconds before the first.
    pub initial_delay_seconds: u64,
    /// Seconds between; 10 when 0.
    pub period_seconds: u64,
    /// Seconds it may take; 1 when 0.
    pub timeout_seconds: u64,
    /// Successes in a row; 1 when 0.
    pub success_threshold: u32,
    /// Failures in a row; 3 when 0.
    pub failure_threshold: u32,
    /// Seconds to stop after it failed.
    pub termination_grace_period_seconds: Option<i64>,
}
