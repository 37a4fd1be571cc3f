//! RuntimeClass: a pod gets the overhead of its class, and goes where the class runs (upstream
//! `plugin/pkg/admission/runtimeclass`).

use super::{Attributes, Operation, Parts, Plugin, change::Change, tolerations};
use crate::Reader;
use api::{Gvr, Status, Toleration, quota::Amounts};
use serde::Deserialize;
use std::collections::BTreeMap;

const CLASSES: Gvr = Gvr::new("node.k8s.io", "v1", "runtimeclasses");
const OTHER_OVERHEAD: &str = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

/// The plugin.
pub struct RuntimeClass {
    reader: Reader,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Class {
    overhead: Option<Overhead>,
    scheduling: Option<Scheduling>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Overhead {
    pod_fixed: Option<Amounts>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Scheduling {
    node_selector: BTreeMap<String, String>,
    tolerations: Vec<Toleration>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    runtime_class_name: Option<String>,
    overhead: Option<Amounts>,
    node_selector: BTreeMap<String, String>,
    tolerations: Vec<Toleration>,
}

impl RuntimeClass {
    /// The plugin.
    pub fn new(parts: &Parts) -> Self {
        Self {
            reader: parts.reader.clone(),
        }
    }

    /// The pod's spec, and its class if it names one.
    fn read(&self, request: &Attributes<'_>) -> Result<(Spec, Option<Class>), Status> {
        let Some(object) = &request.object else {
            return Ok((Spec::default(), None));
        };
        let spec = object.view::<Pod>().map_err(Status::internal)?.spec;
        let Some(name) = &spec.runtime_class_name else {
            return Ok((spec, None));
        };
        let Some(class) = self.reader.get(&CLASSES, "", name) else {
            return Err(request.forbidden(&format!("pod rejected: RuntimeClass {name:?} not found")));
        };
        let class = class.view().map_err(Status::internal)?;
        Ok((spec, Some(class)))
    }
}

fn is_new_pod(request: &Attributes<'_>) -> bool {
    request.is("", "pods") && request.operation == Operation::Create
}

impl Plugin for RuntimeClass {
    fn mutates(&self, request: &Attributes<'_>) -> bool {
        is_new_pod(request) && !self.reader.list(&CLASSES, "").is_empty()
    }

    fn admit(&self, request: &mut Attributes<'_>) -> Result<(), Status> {
        let (spec, Some(class)) = self.read(request)? else {
            return Ok(());
        };
        let mut change = Change::default();
        if let Some(fixed) = class.overhead.and_then(|overhead| overhead.pod_fixed) {
            if spec.overhead.is_some_and(|own| own != fixed) {
                return Err(request.forbidden(OTHER_OVERHEAD));
            }
            change.set("/spec/overhead", &fixed)?;
        }
        if let Some(scheduling) = class.scheduling {
            let mut selector = spec.node_selector;
            for (key, wanted) in scheduling.node_selector {
                if let Some(own) = selector.get(&key).filter(|own| **own != wanted) {
                    return Err(request.forbidden(&format!(
                        "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {wanted}; pod.spec.nodeSelector[{key}] = \
                         {own}"
                    )));
                }
                selector.insert(key, wanted);
            }
            if !selector.is_empty() {
                change.set("/spec/nodeSelector", &selector)?;
            }
            let merged = tolerations::merged(&spec.tolerations, &scheduling.tolerations);
            if merged != spec.tolerations {
                change.set("/spec/tolerations", &merged)?;
            }
        }
        change.apply(request)
    }

    fn validates(&self, request: &Attributes<'_>) -> bool {
        is_new_pod(request)
    }

    fn validate(&self, request: &Attributes<'_>) -> Result<(), Status> {
        let names = ["spec.runtimeClassName", "spec.overhead"];
        let says = |object: &api::Object| {
            let found = |name: &str| matches!(api::scan::find(object.body(), name), Ok(Some(_)));
            names.into_iter().any(found)
        };
        if !request.object.as_deref().is_some_and(says) {
            return Ok(());
        }
        let (spec, class) = self.read(request)?;
        match class.and_then(|class| class.overhead) {
            Some(overhead) if overhead.pod_fixed == spec.overhead => Ok(()),
            Some(_) => Err(request.forbidden(OTHER_OVERHEAD)),
            None if spec.overhead.is_none() => Ok(()),
            None => {
                let why =
                    "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead";
                Err(request.forbidden(why))
            }
        }
    }
}
