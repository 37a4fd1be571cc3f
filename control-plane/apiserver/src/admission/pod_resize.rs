//! PodResizeValidator: a bound pod is resized only to what its node could ever give it, and only where nodes can resize
//! (upstream `plugin/pkg/admission/podresize`).

use super::{Attributes, Operation, Parts, Plugin};
use crate::Reader;
use api::{
    Gvr, Object, Status,
    quota::Compute,
    requests::{Amounts, Asking, Quantities, amount},
};
use serde::Deserialize;

pub(super) const NODES: Gvr = Gvr::new("", "v1", "nodes");
const OS: &str = "kubernetes.io/os";

/// The plugin.
pub struct PodResize {
    reader: Reader,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: String,
    #[serde(flatten)]
    compute: Compute,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Node {
    status: NodeStatus,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeStatus {
    allocatable: Quantities,
}

impl PodResize {
    /// The plugin.
    pub fn new(parts: &Parts) -> Self {
        Self {
            reader: parts.reader.clone(),
        }
    }
}

fn asked(compute: &Compute) -> Amounts {
    let init = compute.init_containers.iter();
    let asking = Asking {
        containers: compute.containers.iter().map(|c| &c.resources.requests).collect(),
        init_containers: init
            .map(|c| (&c.resources.requests, c.restart_policy == "Always"))
            .collect(),
        whole: Some(&compute.resources.requests),
        overhead: &compute.overhead,
    };
    asking.amounts()
}

/// What is asked for that the node has not even when it is empty.
fn beyond(asked: &Amounts, allocatable: &Quantities) -> Vec<String> {
    let lack = |name: &str| {
        let requested = asked.get(name).copied().unwrap_or_default();
        let has = allocatable.get(name).map_or(0, |has| amount(name, *has));
        (requested > has).then(|| format!("{name}, requested: {requested}, allocatable: {has}"))
    };
    ["cpu", "memory"].into_iter().filter_map(lack).collect()
}

/// Whether an update changes what is wanted of a pod.
pub(super) fn changes(request: &Attributes<'_>) -> bool {
    let generation = |object: &Option<std::sync::Arc<Object>>| object.as_ref().map(|o| o.generation());
    generation(&request.object) != generation(&request.old)
}

impl Plugin for PodResize {
    fn validates(&self, request: &Attributes<'_>) -> bool {
        let of = request.request();
        let resize =
            (of.group.as_str(), of.resource.as_str(), of.subresource.as_str()) == ("", "pods", "resize");
        resize && request.operation == Operation::Update
    }

    fn validate(&self, request: &Attributes<'_>) -> Result<(), Status> {
        let Some(object) = request.object.as_deref().filter(|_| changes(request)) else {
            return Ok(());
        };
        let Spec { node_name, compute } = object.view::<Pod>().map_err(Status::internal)?.spec;
        if node_name.is_empty() {
            return Ok(());
        }
        let Some(node) = self.reader.get(&NODES, "", &node_name) else {
            return Err(request.forbidden(&format!("node {node_name:?} not found")));
        };
        let status = node.view::<Node>().map_err(Status::internal)?.status;
        let lacks = beyond(&asked(&compute), &status.allocatable);
        if !lacks.is_empty() {
            let lacks = lacks.join("; ");
            let refused =
                request.forbidden(&format!("Node didn't have enough allocatable resources: {lacks}"));
            return Err(refused.with_cause("NodeCapacity", "", ""));
        }
        match node.label(OS).unwrap_or_default() {
            "linux" => Ok(()),
            other => {
                let why =
                    format!("pod resize is only supported on linux nodes, node {node_name:?} is {other:?}");
                Err(request.forbidden(&why).with_cause("UnsupportedPlatform", "", ""))
            }
        }
    }
}
