//! The plugins, in upstream's order (`pkg/kubeapiserver/options/plugins.go`).

use super::{
    Guard, Parts, Settings, always_deny::AlwaysDeny, always_pull_images::AlwaysPullImages,
    anti_affinity::AntiAffinity, auto_provision::AutoProvision, declared_features::DeclaredFeatures,
    event_rate_limit::EventRateLimit, extended_resource_toleration::ExtendedResourceToleration,
    external_ips::ExternalIps, image_policy::ImagePolicy, limit_ranger::LimitRanger,
    namespace_exists::NamespaceExists, owner_references::OwnerReferences, pod_node_selector::PodNodeSelector,
    pod_resize::PodResize, pod_security::PodSecurity, pod_toleration_restriction::PodTolerationRestriction,
    pod_topology_labels::PodTopologyLabels, policy, resource_quota::ResourceQuota,
    runtime_class::RuntimeClass, service_account::ServiceAccount, trust_bundle::TrustBundleAttest,
    webhook::AdmissionWebhooks,
};
use crate::security::{Certificates, ClaimResize, NodeRestriction};
use component::gates::Gates;

/// A plugin.
pub struct Row {
    /// Name, as the flags say it.
    pub name: &'static str,
    /// Whether it is on by default.
    pub on: bool,
    /// Where it is.
    pub presence: Presence,
}

/// Where a plugin is.
#[derive(Clone, Copy)]
pub enum Presence {
    /// Made of these parts.
    Plugin(fn(&Parts) -> Guard),
    /// Part of how its kinds are written: they ask whether it is on.
    Inherent,
    /// The same, with a part that refuses.
    Checked(fn(&Parts) -> Guard),
    /// Nothing to do: it keeps PodGroups and what refers to them in order, which upstream serves only with the gate
    /// `GenericWorkload` (off by default) and this server does not serve.
    OfPodGroups,
}

/// The gate of PodGroups and Workloads.
const WORKLOADS: &str = "GenericWorkload";

impl Row {
    /// Warns if a plugin is wanted that has nothing to do.
    pub fn tell(&self, settings: &Settings, gates: &Gates) {
        let wanted = gates.enabled(WORKLOADS) || settings.enable.iter().any(|name| name == self.name);
        if wanted && matches!(self.presence, Presence::OfPodGroups) {
            tracing::warn!(
                plugin = self.name,
                "this plugin has no effect: PodGroups and Workloads are not served, also with the feature gate {WORKLOADS}"
            );
        }
    }
}

const fn on(name: &'static str, presence: Presence) -> Row {
    Row {
        name,
        on: true,
        presence,
    }
}

const fn off(name: &'static str, presence: Presence) -> Row {
    Row {
        name,
        on: false,
        presence,
    }
}

use Presence::{Checked, Inherent, OfPodGroups, Plugin};

/// All plugins in their order. What mutates by asking others comes last, then what validates; quota counts what is left.
pub static ORDER: &[Row] = &[
    off("AlwaysAdmit", Inherent),
    off(
        "NamespaceAutoProvision",
        Plugin(|parts| Guard::elsewhere(AutoProvision::new(parts))),
    ),
    on("NamespaceLifecycle", Inherent),
    off(
        "NamespaceExists",
        Plugin(|parts| Guard::here(NamespaceExists::new(parts))),
    ),
    off(
        "LimitPodHardAntiAffinityTopology",
        Plugin(|_| Guard::here(AntiAffinity)),
    ),
    on(
        "LimitRanger",
        Plugin(|parts| Guard::here(LimitRanger::new(parts))),
    ),
    on(
        "ServiceAccount",
        Checked(|parts| Guard::here(ServiceAccount::new(parts))),
    ),
    on(
        "NodeRestriction",
        Plugin(|parts| Guard::elsewhere(NodeRestriction::new(parts))),
    ),
    on("TaintNodesByCondition", Inherent),
    off("AlwaysPullImages", Plugin(|_| Guard::here(AlwaysPullImages))),
    off(
        "ImagePolicyWebhook",
        Plugin(|parts| Guard::elsewhere(ImagePolicy::new(parts))),
    ),
    on(
        "PodSecurity",
        Plugin(|parts| Guard::here(PodSecurity::new(parts))),
    ),
    off(
        "PodNodeSelector",
        Plugin(|parts| Guard::here(PodNodeSelector::new(parts))),
    ),
    on("Priority", Inherent),
    on("DefaultTolerationSeconds", Inherent),
    off(
        "PodTolerationRestriction",
        Plugin(|parts| Guard::here(PodTolerationRestriction::new(parts))),
    ),
    off(
        "EventRateLimit",
        Plugin(|parts| Guard::here(EventRateLimit::new(parts))),
    ),
    off(
        "ExtendedResourceToleration",
        Plugin(|_| Guard::here(ExtendedResourceToleration)),
    ),
    on("DefaultStorageClass", Inherent),
    on("StorageObjectInUseProtection", Inherent),
    on("PodGroupProtection", OfPodGroups),
    off(
        "OwnerReferencesPermissionEnforcement",
        Plugin(|parts| Guard::elsewhere(OwnerReferences::new(parts))),
    ),
    on(
        "PersistentVolumeClaimResize",
        Plugin(|parts| Guard::here(ClaimResize::new(parts.reader.clone()))),
    ),
    on(
        "RuntimeClass",
        Plugin(|parts| Guard::here(RuntimeClass::new(parts))),
    ),
    on(
        "CertificateApproval",
        Plugin(|parts| Guard::elsewhere(Certificates::approval(parts.authorizer.clone()))),
    ),
    on(
        "CertificateSigning",
        Plugin(|parts| Guard::elsewhere(Certificates::signing(parts.authorizer.clone()))),
    ),
    on(
        "ClusterTrustBundleAttest",
        Plugin(|parts| Guard::elsewhere(TrustBundleAttest::new(parts))),
    ),
    on(
        "CertificateSubjectRestriction",
        Plugin(|parts| Guard::elsewhere(Certificates::subject_restriction(parts.authorizer.clone()))),
    ),
    on("DefaultIngressClass", Inherent),
    off("DenyServiceExternalIPs", Plugin(|_| Guard::here(ExternalIps))),
    on(
        "PodTopologyLabels",
        Plugin(|parts| Guard::here(PodTopologyLabels::new(parts))),
    ),
    on(
        "NodeDeclaredFeatureValidator",
        Plugin(|parts| Guard::here(DeclaredFeatures::new(parts))),
    ),
    on("JobValidation", OfPodGroups),
    on(
        "PodResizeValidator",
        Plugin(|parts| Guard::here(PodResize::new(parts))),
    ),
    on(
        "MutatingAdmissionPolicy",
        Plugin(|parts| {
            let (reader, authorizer) = (parts.reader.clone(), parts.authorizer.clone());
            Guard::elsewhere(policy::Mutating::new(reader, authorizer))
        }),
    ),
    on(
        "MutatingAdmissionWebhook",
        Plugin(|parts| Guard::elsewhere(AdmissionWebhooks::mutating(parts))),
    ),
    on(
        "ValidatingAdmissionPolicy",
        Plugin(|parts| {
            let (reader, authorizer) = (parts.reader.clone(), parts.authorizer.clone());
            Guard::elsewhere(policy::Validating::new(reader, authorizer))
        }),
    ),
    on(
        "ValidatingAdmissionWebhook",
        Plugin(|parts| Guard::elsewhere(AdmissionWebhooks::validating(parts))),
    ),
    on(
        "ResourceQuota",
        Plugin(|parts| Guard::elsewhere(ResourceQuota::new(parts))),
    ),
    off("AlwaysDeny", Plugin(|_| Guard::here(AlwaysDeny))),
];
