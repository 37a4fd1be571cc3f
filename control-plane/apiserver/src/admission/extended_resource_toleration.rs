//! ExtendedResourceToleration: who asks for a device tolerates the taint that keeps others off its nodes (upstream
//! `plugin/pkg/admission/extendedresourcetoleration`).

use super::{Attributes, Operation, Plugin, change::Change};
use api::{Status, Toleration, quota::Compute};
use serde::Deserialize;
use std::collections::BTreeSet;

/// The plugin.
pub struct ExtendedResourceToleration;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Spec {
    #[serde(flatten)]
    compute: Compute,
    tolerations: Vec<Toleration>,
}

impl Plugin for ExtendedResourceToleration {
    fn mutates(&self, request: &Attributes<'_>) -> bool {
        request.is("", "pods") && matches!(request.operation, Operation::Create | Operation::Update)
    }

    fn admit(&self, request: &mut Attributes<'_>) -> Result<(), Status> {
        let Some(object) = &request.object else {
            return Ok(());
        };
        let Spec {
            compute,
            mut tolerations,
        } = object.view::<Pod>().map_err(Status::internal)?.spec;
        let containers = compute.containers.iter().chain(&compute.init_containers);
        let asked = containers.flat_map(|container| container.resources.requests.keys());
        let own = |name: &&String| {
            name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
        };
        let names: BTreeSet<&String> = asked.filter(own).collect();
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            let wanted = Toleration {
                key: name.clone(),
                operator: "Exists".to_owned(),
                effect: "NoSchedule".to_owned(),
                ..Toleration::default()
            };
            if !tolerations.contains(&wanted) {
                tolerations.push(wanted);
            }
        }
        let mut change = Change::default();
        change.set("/spec/tolerations", &tolerations)?;
        change.apply(request)
    }
}
