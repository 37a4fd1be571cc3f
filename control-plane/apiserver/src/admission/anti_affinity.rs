//! LimitPodHardAntiAffinityTopology: pods keep others away from their node only, not from more (upstream
//! `plugin/pkg/admission/antiaffinity`).

use super::{Attributes, Operation, Plugin};
use api::Status;
use serde::Deserialize;

const HOST_NAME: &str = "kubernetes.io/hostname";

/// The plugin.
pub struct AntiAffinity;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    affinity: Affinity,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Affinity {
    pod_anti_affinity: Terms,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terms {
    required_during_scheduling_ignored_during_execution: Vec<Term>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Term {
    topology_key: String,
}

impl Plugin for AntiAffinity {
    fn validates(&self, request: &Attributes<'_>) -> bool {
        let writes = matches!(request.operation, Operation::Create | Operation::Update);
        request.is("", "pods") && writes
    }

    fn validate(&self, request: &Attributes<'_>) -> Result<(), Status> {
        let Some(object) = &request.object else {
            return Ok(());
        };
        let pod: Pod = object.view().map_err(Status::internal)?;
        let terms = pod.spec.affinity.pod_anti_affinity;
        let terms = terms.required_during_scheduling_ignored_during_execution;
        match terms.iter().find(|term| term.topology_key != HOST_NAME) {
            None => Ok(()),
            Some(Term { topology_key }) => Err(request.forbidden(&format!(
                "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {topology_key} but only key \
                 {HOST_NAME} is allowed"
            ))),
        }
    }
}
