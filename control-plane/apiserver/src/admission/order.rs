//! The plugins, in upstream's order (`pkg/kubeapiserver/options/plugins.go`).

use super::{Guard, Parts, policy, limit_ranger::LimitRanger, resource_quota::ResourceQuota, webhook::AdmissionWebhooks};
use crate::security::{Certificates, ClaimResize, NodeRestriction};

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
    /// Part of how its kinds are written, and cannot be off.
    Inherent,
    /// Not there yet.
    Absent,
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

use Presence::{Absent, Inherent, Plugin};

/// All plugins in their order. What mutates by asking others comes last, then what validates; quota counts what is left.
pub static ORDER: &[Row] = &[
    off("AlwaysAdmit", Inherent),
    off("NamespaceAutoProvision", Absent),
    on("NamespaceLifecycle", Inherent),
    off("NamespaceExists", Inherent),
    off("LimitPodHardAntiAffinityTopology", Absent),
    on("LimitRanger", Plugin(|parts| Guard::here(LimitRanger::new(parts)))),
    on("ServiceAccount", Inherent),
    on("NodeRestriction", Plugin(|_| Guard::here(NodeRestriction))),
    on("TaintNodesByCondition", Inherent),
    off("AlwaysPullImages", Absent),
    off("ImagePolicyWebhook", Absent),
    on("PodSecurity", Absent),
    off("PodNodeSelector", Absent),
    on("Priority", Inherent),
    on("DefaultTolerationSeconds", Inherent),
    off("PodTolerationRestriction", Absent),
    off("EventRateLimit", Absent),
    off("ExtendedResourceToleration", Absent),
    on("DefaultStorageClass", Inherent),
    on("StorageObjectInUseProtection", Inherent),
    off("OwnerReferencesPermissionEnforcement", Absent),
    on(
        "PersistentVolumeClaimResize",
        Plugin(|parts| Guard::here(ClaimResize::new(parts.reader.clone()))),
    ),
    on("RuntimeClass", Absent),
    // CertificateSigning and CertificateSubjectRestriction are in it.
    on(
        "CertificateApproval",
        Plugin(|parts| Guard::Here(Certificates::new(parts.authorizer.clone()))),
    ),
    on("CertificateSigning", Inherent),
    on("ClusterTrustBundleAttest", Absent),
    on("CertificateSubjectRestriction", Inherent),
    on("DefaultIngressClass", Inherent),
    off("DenyServiceExternalIPs", Absent),
    on("PodTopologyLabels", Absent),
    on(
        "MutatingAdmissionPolicy",
        Plugin(|parts| {
            let (reader, authorizer) = (parts.reader.clone(), parts.authorizer.clone());
            Guard::here(policy::Mutating::new(reader, authorizer, parts.env.clock.clone()))
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
            Guard::here(policy::Validating::new(reader, authorizer))
        }),
    ),
    on(
        "ValidatingAdmissionWebhook",
        Plugin(|parts| Guard::elsewhere(AdmissionWebhooks::validating(parts))),
    ),
    on("ResourceQuota", Plugin(|parts| Guard::elsewhere(ResourceQuota::new(parts)))),
    off("AlwaysDeny", Absent),
];
