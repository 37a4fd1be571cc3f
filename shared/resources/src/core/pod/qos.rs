//! The quality-of-service class of a pod.

use super::whole;
use api::Quantity;
use k8s_openapi::{api::core::v1::PodSpec, apimachinery::pkg::api::resource::Quantity as Text};
use std::collections::BTreeMap;

/// `Guaranteed` if every container limits CPU and memory to what it requests, `BestEffort` if none asks for any. What the
/// pod asks for as a whole goes over what its containers ask for.
pub(super) fn class(spec: &PodSpec) -> &'static str {
    let (mut any, mut guaranteed) = (false, true);
    let all = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    let each = match whole::of(spec) {
        Some(whole) => vec![whole.clone()],
        None => all.map(|c| c.resources.clone().unwrap_or_default()).collect(),
    };
    for resources in each {
        for name in ["cpu", "memory"] {
            let (request, limit) = (amount(&resources.requests, name), amount(&resources.limits, name));
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && request.or(limit) == limit;
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

fn amount(list: &Option<BTreeMap<String, Text>>, name: &str) -> Option<Quantity> {
    list.as_ref()?
        .get(name)?
        .0
        .parse::<Quantity>()
        .ok()
        .filter(|quantity| !quantity.is_zero())
}
