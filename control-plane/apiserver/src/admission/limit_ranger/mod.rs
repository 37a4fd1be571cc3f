//! LimitRanger: what a pod or a claim asks for stays within the LimitRanges of its namespace; a container that asks for
//! nothing asks for their defaults (upstream `plugin/pkg/admission/limitranger`).

mod constraints;
#[cfg(test)]
mod tests;

use super::{
    Attributes, Operation, Parts, Plugin,
    change::{Change, part},
};
use crate::Reader;
use api::{
    Gvr, Object, Status,
    quota::{Amounts, Compute, Needs},
};
use constraints::Limit;
use serde::Deserialize;
use std::sync::Arc;

const RANGES: Gvr = Gvr::new("", "v1", "limitranges");
const ANNOTATION: &str = "kubernetes.io/limit-ranger";

/// The plugin.
pub struct LimitRanger {
    reader: Reader,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Range {
    spec: RangeSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RangeSpec {
    limits: Vec<Limit>,
}

/// A pod or a claim.
#[derive(Default, Deserialize)]
#[serde(default)]
struct View<S> {
    spec: S,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ClaimSpec {
    resources: Needs,
}

/// A pod, and what there is of its containers' lists.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    metadata: Meta,
    spec: Containers,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    annotations: Option<serde::de::IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Containers {
    containers: Vec<Container>,
    init_containers: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    name: String,
    resources: Option<Lists>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Lists {
    requests: Option<Amounts>,
    limits: Option<Amounts>,
}

impl LimitRanger {
    /// The plugin.
    pub fn new(parts: &Parts) -> Self {
        Self {
            reader: parts.reader.clone(),
        }
    }

    /// The limits of each LimitRange of the namespace.
    fn ranges(&self, request: &Attributes<'_>) -> Vec<Vec<Limit>> {
        let objects = self.reader.list(&RANGES, &request.request().namespace);
        let limits = |range: Arc<Object>| range.view::<Range>().ok().map(|range| range.spec.limits);
        objects.into_iter().filter_map(limits).collect()
    }
}

impl Plugin for LimitRanger {
    fn mutates(&self, request: &Attributes<'_>) -> bool {
        let new = request.is("", "pods") && request.operation == Operation::Create;
        new && self.ranges(request).iter().flatten().any(Limit::has_defaults)
    }

    fn admit(&self, request: &mut Attributes<'_>) -> Result<(), Status> {
        for limits in self.ranges(request) {
            let (mut requests, mut most) = (Amounts::new(), Amounts::new());
            for limit in limits.iter().filter(|limit| limit.r#type == "Container") {
                requests.extend(limit.default_request.clone());
                most.extend(limit.default.clone());
            }
            let Some(object) = &request.object else {
                return Ok(());
            };
            let pod: Pod = object.view().map_err(Status::internal)?;
            let change = defaulted(&pod, &requests, &most)?;
            change.apply(request)?;
        }
        Ok(())
    }

    fn validates(&self, request: &Attributes<'_>) -> bool {
        let of = request.request();
        let concerns = match (of.resource.as_str(), of.subresource.as_str()) {
            ("pods", "") => request.operation == Operation::Create,
            ("pods", "resize") => request.operation == Operation::Update,
            ("persistentvolumeclaims", "") => {
                matches!(request.operation, Operation::Create | Operation::Update)
            }
            _ => false,
        };
        of.group.is_empty() && concerns && !self.reader.list(&RANGES, &of.namespace).is_empty()
    }

    fn validate(&self, request: &Attributes<'_>) -> Result<(), Status> {
        let Some(object) = &request.object else {
            return Ok(());
        };
        if request
            .old
            .as_ref()
            .is_some_and(|old| old.deletion_timestamp().is_some())
        {
            return Ok(());
        }
        let claim = request.request().resource == "persistentvolumeclaims";
        let (mut needs, mut compute) = (Needs::default(), Compute::default());
        match claim {
            true => {
                needs = object
                    .view::<View<ClaimSpec>>()
                    .map_err(Status::internal)?
                    .spec
                    .resources
            }
            false => compute = object.view::<View<Compute>>().map_err(Status::internal)?.spec,
        }
        for limits in self.ranges(request) {
            let of = |limit: &Limit| match claim {
                true => limit.claim(&needs),
                false => limit.pod(&compute),
            };
            let mut broken: Vec<String> = Vec::new();
            for why in limits.iter().flat_map(of) {
                if !broken.contains(&why) {
                    broken.push(why);
                }
            }
            match broken.as_slice() {
                [] => {}
                [why] => return Err(request.forbidden(why)),
                all => return Err(request.forbidden(&format!("[{}]", all.join(", ")))),
            }
        }
        Ok(())
    }
}

/// What the pod lacks of the defaults, and an annotation that tells it.
fn defaulted(pod: &Pod, requests: &Amounts, limits: &Amounts) -> Result<Change, Status> {
    let (mut change, mut told) = (Change::default(), Vec::new());
    let spec = &pod.spec;
    for (list, kind, containers) in [
        ("containers", "container", &spec.containers),
        ("initContainers", "init container", &spec.init_containers),
    ] {
        for (at, container) in containers.iter().enumerate() {
            let path = format!("/spec/{list}/{at}/resources");
            if container.resources.is_none() {
                change.set(&path, &Amounts::new())?;
            }
            let own = container.resources.as_ref();
            for (name, word, defaults, own) in [
                (
                    "requests",
                    "request",
                    requests,
                    own.and_then(|own| own.requests.as_ref()),
                ),
                ("limits", "limit", limits, own.and_then(|own| own.limits.as_ref())),
            ] {
                let set = fill(&mut change, &format!("{path}/{name}"), defaults, own)?;
                if !set.is_empty() {
                    told.push(format!("{} {word} for {kind} {}", set.join(", "), container.name));
                }
            }
        }
    }
    if told.is_empty() {
        return Ok(Change::default());
    }
    if pod.metadata.annotations.is_none() {
        change.set("/metadata/annotations", &Amounts::new())?;
    }
    let text = format!("LimitRanger plugin set: {}", told.join("; "));
    change.set(&format!("/metadata/annotations/{}", part(ANNOTATION)), &text)?;
    Ok(change)
}

/// Adds what `own` lacks of `defaults`, and answers the names of it.
fn fill<'a>(
    change: &mut Change,
    path: &str,
    defaults: &'a Amounts,
    own: Option<&Amounts>,
) -> Result<Vec<&'a str>, Status> {
    let lacks = |name: &&String| own.is_none_or(|own| !own.contains_key(*name));
    let names: Vec<&str> = defaults.keys().filter(lacks).map(String::as_str).collect();
    if own.is_none() && !names.is_empty() {
        change.set(path, &Amounts::new())?;
    }
    for name in &names {
        change.set(&format!("{path}/{}", part(name)), &defaults[*name])?;
    }
    Ok(names)
}
