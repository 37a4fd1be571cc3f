//! What is hardly meant in a Service, or will go (upstream `pkg/api/service/warnings.go`).

use k8s_openapi::api::core::v1::{Service, ServiceSpec};

const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const MODE: &str = "service.kubernetes.io/topology-mode";

pub(super) fn of(service: &Service) -> Vec<String> {
    let Some(spec) = &service.spec else {
        return Vec::new();
    };
    let annotations = service.metadata.annotations.as_ref();
    let hints = annotations.is_some_and(|all| all.contains_key(HINTS));
    let kind = spec.type_.as_deref().unwrap_or_default();
    let external = spec.external_ips.iter().flatten().next().is_some();
    let named = !spec.external_name.as_deref().unwrap_or_default().is_empty();
    let close = spec.traffic_distribution.as_deref() == Some("PreferClose");
    let told = [
        (
            hints,
            format!("annotation {HINTS} is deprecated, please use {MODE} instead"),
        ),
        (external, "spec.externalIPs is deprecated".to_owned()),
        (
            kind == "ExternalName" && external,
            "spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned(),
        ),
        (
            kind != "ExternalName" && named,
            "spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned(),
        ),
        (
            close,
            "spec.trafficDistribution: \"PreferClose\" is deprecated; use \"PreferSameZone\"".to_owned(),
        ),
    ];
    let told = told.into_iter().filter(|(is, _)| *is).map(|(_, words)| words);
    told.chain(ignored(spec, kind, external)).collect()
}

/// What a Service without an address has no use for.
fn ignored(spec: &ServiceSpec, kind: &str, external: bool) -> impl Iterator<Item = String> {
    let headless = kind == "ClusterIP" && spec.cluster_ip.as_deref() == Some("None");
    let balancer = !spec.load_balancer_ip.as_deref().unwrap_or_default().is_empty();
    let sticky = spec.session_affinity.as_deref() != Some("None");
    let fields = [
        (balancer, "spec.loadBalancerIP"),
        (external, "spec.externalIPs"),
        (sticky, "spec.SessionAffinity"),
    ];
    let fields = fields.into_iter().filter(move |(is, _)| headless && *is);
    fields.map(|(_, field)| format!("{field} is ignored for headless services"))
}
