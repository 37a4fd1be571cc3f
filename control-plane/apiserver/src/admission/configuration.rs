//! What `--admission-control-config-file` says (`apiserver.config.k8s.io/v1 AdmissionConfiguration`).

use super::{
    ORDER, event_rate_limit, image_policy, pod_node_selector, pod_security, pod_toleration_restriction,
    resource_quota, webhook,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// The configurations of those plugins that take one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// EventRateLimit.
    pub event_rate_limit: event_rate_limit::Configuration,
    /// ImagePolicyWebhook.
    pub image_policy: image_policy::Configuration,
    /// PodNodeSelector.
    pub pod_node_selector: pod_node_selector::Configuration,
    /// PodTolerationRestriction.
    pub pod_toleration_restriction: pod_toleration_restriction::Configuration,
    /// PodSecurity.
    pub pod_security: pod_security::Configuration,
    /// ResourceQuota.
    pub resource_quota: resource_quota::Configuration,
    /// MutatingAdmissionWebhook.
    pub mutating_webhooks: webhook::Configuration,
    /// ValidatingAdmissionWebhook.
    pub validating_webhooks: webhook::Configuration,
}

/// Versions and kinds of the plugins' configurations.
type Kinds = &'static [(&'static str, &'static str)];

const EVENTS: Kinds = &[("eventratelimit.admission.k8s.io/v1alpha1", "Configuration")];
const TOLERATIONS: Kinds = &[(
    "podtolerationrestriction.admission.k8s.io/v1alpha1",
    "Configuration",
)];
const QUOTA: Kinds = &[
    ("apiserver.config.k8s.io/v1", "ResourceQuotaConfiguration"),
    ("resourcequota.admission.k8s.io/v1beta1", "Configuration"),
    ("resourcequota.admission.k8s.io/v1alpha1", "Configuration"),
];
const SECURITY: Kinds = &[
    (
        "pod-security.admission.config.k8s.io/v1",
        "PodSecurityConfiguration",
    ),
    (
        "pod-security.admission.config.k8s.io/v1beta1",
        "PodSecurityConfiguration",
    ),
    (
        "pod-security.admission.config.k8s.io/v1alpha1",
        "PodSecurityConfiguration",
    ),
];
const WEBHOOKS: Kinds = &[
    ("apiserver.config.k8s.io/v1", "WebhookAdmissionConfiguration"),
    ("apiserver.config.k8s.io/v1alpha1", "WebhookAdmission"),
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    api_version: String,
    kind: String,
    #[serde(default)]
    plugins: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    configuration: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ImagePolicy {
    image_policy: image_policy::Configuration,
}

/// Kind and version of a plugin's configuration.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    api_version: String,
    kind: String,
}

impl Configuration {
    /// Reads the text of the file. Files that it names are read by `read`.
    pub fn parse(text: &str, read: impl Fn(&str) -> Result<String, String>) -> Result<Self, String> {
        let json = json(text)?;
        let file: File = serde_json::from_slice(&json).map_err(|e| e.to_string())?;
        let known = matches!(
            file.api_version.as_str(),
            "apiserver.config.k8s.io/v1" | "apiserver.k8s.io/v1alpha1"
        );
        if file.kind != "AdmissionConfiguration" || !known {
            let (kind, version) = (&file.kind, &file.api_version);
            return Err(format!("no kind {kind:?} is registered for version {version:?}"));
        }
        let mut all = Self::default();
        for entry in file.plugins {
            if !ORDER.iter().any(|row| row.name == entry.name) {
                return Err(format!("unknown plugin: {:?}", entry.name));
            }
            let body = match entry.configuration.as_deref().map(RawValue::get) {
                Some(inline) if inline != "null" => inline.as_bytes().to_vec(),
                _ if entry.path.is_empty() => continue,
                _ => json_of(&entry.path, &read)?,
            };
            all.set(&entry.name, &body)
                .map_err(|why| format!("couldn't init admission plugin {:?}: {why}", entry.name))?;
        }
        Ok(all)
    }

    fn set(&mut self, plugin: &str, body: &[u8]) -> Result<(), String> {
        match plugin {
            "ResourceQuota" => {
                self.resource_quota = decode(body, QUOTA)?;
                self.resource_quota.check()
            }
            "EventRateLimit" => {
                self.event_rate_limit = decode(body, EVENTS)?;
                self.event_rate_limit.check()
            }
            // They never had a kind.
            "ImagePolicyWebhook" => {
                let image: ImagePolicy = serde_json::from_slice(body).map_err(|e| e.to_string())?;
                self.image_policy = image.image_policy;
                self.image_policy.check()
            }
            "PodNodeSelector" => {
                self.pod_node_selector = serde_json::from_slice(body).map_err(|e| e.to_string())?;
                self.pod_node_selector.check()
            }
            "PodTolerationRestriction" => {
                self.pod_toleration_restriction = decode(body, TOLERATIONS)?;
                self.pod_toleration_restriction.check()
            }
            "PodSecurity" => {
                self.pod_security = decode(body, SECURITY)?;
                self.pod_security.check()
            }
            "MutatingAdmissionWebhook" => {
                self.mutating_webhooks = decode(body, WEBHOOKS)?;
                self.mutating_webhooks.check()
            }
            "ValidatingAdmissionWebhook" => {
                self.validating_webhooks = decode(body, WEBHOOKS)?;
                self.validating_webhooks.check()
            }
            _ => Ok(()),
        }
    }
}

fn json_of(path: &str, read: impl Fn(&str) -> Result<String, String>) -> Result<Vec<u8>, String> {
    json(&read(path).map_err(|why| format!("{path}: {why}"))?)
}

fn json(text: &str) -> Result<Vec<u8>, String> {
    schema::yaml_to_json(text.as_bytes()).map_err(|e| e.to_string())
}

/// Decodes a configuration of one of `kinds`.
fn decode<T: DeserializeOwned>(body: &[u8], kinds: &[(&str, &str)]) -> Result<T, String> {
    let Meta { api_version, kind } = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    if !kinds.contains(&(api_version.as_str(), kind.as_str())) {
        return Err(format!(
            "no kind {kind:?} is registered for version {api_version:?}"
        ));
    }
    let mut fields: BTreeMap<&str, &RawValue> = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    fields.retain(|name, _| !["apiVersion", "kind"].contains(name));
    let fields = serde_json::to_vec(&fields).map_err(|e| e.to_string())?;
    serde_json::from_slice(&fields).map_err(|e| e.to_string())
}
