//! What a pod asks for as a whole (KEP-2837).

use super::containers;
use api::{Quantity, field, field::Error, quota::Compute};
use k8s_openapi::{
    api::core::v1::{PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity as Text,
};

const HUGE_PAGES: &str = "hugepages-";
const SUPPORTED: [&str; 3] = ["cpu", HUGE_PAGES, "memory"];

/// What a pod can ask for as a whole.
fn supported(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with(HUGE_PAGES)
}

/// What the pod asks for as a whole, if it does.
pub(super) fn of(spec: &PodSpec) -> Option<&ResourceRequirements> {
    spec.resources.as_ref().filter(|resources| {
        let mut lists = [&resources.limits, &resources.requests].into_iter().flatten();
        lists.any(|list| list.keys().any(|name| supported(name)))
    })
}

/// The containers' parts, as quantities.
fn compute(spec: &PodSpec) -> Option<Compute> {
    serde_json::from_slice(&serde_json::to_vec(spec).ok()?).ok()
}

/// A limit without a request requests what the containers request, or else all of it.
pub(super) fn defaults(spec: &mut PodSpec) {
    let limited = of(spec)
        .and_then(|whole| whole.limits.clone())
        .unwrap_or_default();
    let Some(compute) = (!limited.is_empty()).then(|| compute(spec)).flatten() else {
        return;
    };
    let whole = spec.resources.get_or_insert_default();
    let requests = whole.requests.get_or_insert_default();
    for (name, sum) in compute.together(|container| Some(&container.resources.requests)) {
        // Of huge pages no more is promised than there is.
        if supported(&name) && !name.starts_with(HUGE_PAGES) {
            requests.entry(name).or_insert_with(|| Text(sum.to_string()));
        }
    }
    for (name, limit) in limited {
        if supported(&name) {
            requests.entry(name).or_insert(limit);
        }
    }
}

/// Rules for what a pod asks for as a whole.
pub(super) fn validate(spec: &PodSpec, path: &str, errors: &mut Vec<Error>) {
    let Some(whole) = &spec.resources else { return };
    if spec.os.as_ref().is_some_and(|os| os.name == "windows") {
        errors.push(Error::forbidden(path, "may not be set for a windows pod"));
        return;
    }
    for i in 0..whole.claims.as_ref().map_or(0, Vec::len) {
        let path = field::index(&field::child(path, "claims"), i);
        errors.push(Error::forbidden(
            path,
            "may not be set for Resources at pod-level",
        ));
    }
    let mut known = true;
    for (list, amounts) in [("limits", &whole.limits), ("requests", &whole.requests)] {
        for name in amounts.iter().flat_map(|amounts| amounts.keys()) {
            if !supported(name) {
                let path = field::key(&field::child(path, list), name);
                errors.push(Error::not_supported(path, name, &SUPPORTED));
                known = false;
            }
        }
    }
    if known {
        containers::resources(whole, path, errors);
        consistency(spec, path, errors);
    }
}

/// The pod has at least what its containers ask for together, and at most is what each may have.
fn consistency(spec: &PodSpec, path: &str, errors: &mut Vec<Error>) {
    let Some(compute) = compute(spec) else { return };
    let whole = &compute.resources;
    let requested = compute.together(|container| Some(&container.resources.requests));
    let limited = compute.together(|container| Some(&container.resources.limits));
    let sums = [
        ("requests", &whole.requests, &requested),
        ("limits", &whole.limits, &limited),
    ];
    for (list, own, sums) in sums {
        // Of limits only those of huge pages add up.
        let counts = |name: &str| list == "requests" || name.starts_with(HUGE_PAGES);
        for (name, sum) in sums.iter().filter(|(name, _)| counts(name)) {
            let Some(own) = own.get(name).filter(|own| *own < sum) else {
                continue;
            };
            let why = format!("must be greater than or equal to aggregate container {list} of {sum}");
            let path = field::key(&field::child(path, list), name);
            errors.push(Error::invalid(path, own.to_string(), why));
        }
    }
    for (i, container) in compute.containers.iter().enumerate() {
        for (name, limit) in &container.resources.limits {
            let Some(own) = whole.limits.get(name).filter(|own: &&Quantity| *own < limit) else {
                continue;
            };
            let path = field::key(&field::index(&field::child(path, "containers"), i), name);
            let why = format!("must be less than or equal to pod limits of {own}");
            errors.push(Error::invalid(
                field::child(&path, "limits"),
                limit.to_string(),
                why,
            ));
        }
    }
}
