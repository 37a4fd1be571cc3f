//! NodeDeclaredFeatureValidator: a bound pod is changed only in ways that its node says it can follow (upstream
//! `plugin/pkg/admission/nodedeclaredfeatures`, `component-helpers/nodedeclaredfeatures`).

use super::{
    Attributes, Operation, Parts, Plugin,
    pod_resize::{NODES, changes},
};
use crate::Reader;
use api::{
    Quantity, Status,
    quota::{Container, Needs},
};
use serde::Deserialize;

/// The plugin.
pub struct DeclaredFeatures {
    reader: Reader,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    spec: Spec,
    status: PodStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: String,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
    resources: Option<Needs>,
    volumes: Vec<Volume>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    qos_class: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Volume {
    name: String,
    empty_dir: EmptyDir,
}

#[derive(Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct EmptyDir {
    medium: String,
    size_limit: Option<Quantity>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Node {
    status: NodeStatus,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NodeStatus {
    declared_features: Vec<String>,
}

/// Whether a change from one pod to another needs a feature of the node.
type Needed = fn(&Pod, &Pod) -> bool;

/// The features that a change can need, by name.
const FEATURES: [(&str, Needed); 4] = [
    ("GuaranteedQoSPodCPUResize", guaranteed_cpu),
    ("InPlacePodLevelResourcesVerticalScaling", |old, new| {
        old.spec.resources != new.spec.resources
    }),
    ("InPlacePodVerticalScalingInitContainers", init_containers),
    ("InPlacePodVerticalScalingMemoryBackedVolumes", memory_volumes),
];

fn guaranteed_cpu(old: &Pod, new: &Pod) -> bool {
    let cpu = |container: &Container| container.resources.requests.get("cpu").copied();
    let mut both = old.spec.containers.iter().zip(&new.spec.containers);
    old.status.qos_class == "Guaranteed" && both.any(|(old, new)| cpu(old) != cpu(new))
}

fn init_containers(old: &Pod, new: &Pod) -> bool {
    let mut both = old.spec.init_containers.iter().zip(&new.spec.init_containers);
    both.any(|(old, new)| old.restart_policy != "Always" && old.resources != new.resources)
}

fn memory_volumes(old: &Pod, new: &Pod) -> bool {
    let (old, new) = (&old.spec.volumes, &new.spec.volumes);
    let resized = |(old, new): (&Volume, &Volume)| {
        let memory = [old, new]
            .iter()
            .all(|volume| volume.empty_dir.medium == "Memory");
        memory && old.name == new.name && old.empty_dir != new.empty_dir
    };
    old.len() == new.len() && old.iter().zip(new).any(resized)
}

impl DeclaredFeatures {
    /// The plugin.
    pub fn new(parts: &Parts) -> Self {
        Self {
            reader: parts.reader.clone(),
        }
    }
}

impl Plugin for DeclaredFeatures {
    fn validates(&self, request: &Attributes<'_>) -> bool {
        let of = request.request();
        let pods = of.group.is_empty() && of.resource == "pods";
        pods && matches!(of.subresource.as_str(), "" | "resize") && request.operation == Operation::Update
    }

    fn validate(&self, request: &Attributes<'_>) -> Result<(), Status> {
        let (Some(new), Some(old), true) = (&request.object, &request.old, changes(request)) else {
            return Ok(());
        };
        let new: Pod = new.view().map_err(Status::internal)?;
        let name = &new.spec.node_name;
        if name.is_empty() {
            return Ok(());
        }
        let old: Pod = old.view().map_err(Status::internal)?;
        let needed = FEATURES.iter().filter(|(_, needed)| needed(&old, &new));
        let mut needed: Vec<&str> = needed.map(|(feature, _)| *feature).collect();
        if needed.is_empty() {
            return Ok(());
        }
        let Some(node) = self.reader.get(&NODES, "", name) else {
            return Err(request.forbidden(&format!("node {name:?} not found")));
        };
        let has = node
            .view::<Node>()
            .map_err(Status::internal)?
            .status
            .declared_features;
        needed.retain(|feature| has.iter().all(|has| has != feature));
        match needed.as_slice() {
            [] => Ok(()),
            lacks => Err(request.forbidden(&format!(
                "pod update requires features {} which are not available on node {name:?}",
                lacks.join(", ")
            ))),
        }
    }
}
