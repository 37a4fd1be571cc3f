//! PodTopologyLabels: a pod that is bound gets the zone and region of its node as labels (upstream
//! `plugin/pkg/admission/podtopologylabels`).

use super::{
    Attributes, Operation, Parts, Plugin,
    change::{Change, part},
};
use crate::Reader;
use api::{Gvr, Status};
use serde::Deserialize;
use std::collections::BTreeMap;

const NODES: Gvr = Gvr::new("", "v1", "nodes");
const LABELS: [&str; 2] = ["topology.kubernetes.io/zone", "topology.kubernetes.io/region"];

/// The plugin.
pub struct PodTopologyLabels {
    reader: Reader,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Binding {
    metadata: Meta,
    target: Target,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Meta {
    labels: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Target {
    kind: String,
    name: String,
}

impl PodTopologyLabels {
    /// The plugin.
    pub fn new(parts: &Parts) -> Self {
        Self {
            reader: parts.reader.clone(),
        }
    }
}

impl Plugin for PodTopologyLabels {
    fn mutates(&self, request: &Attributes<'_>) -> bool {
        let of = request.request();
        let bound =
            (of.group.as_str(), of.resource.as_str(), of.subresource.as_str()) == ("", "pods", "binding");
        bound && request.operation == Operation::Create
    }

    fn admit(&self, request: &mut Attributes<'_>) -> Result<(), Status> {
        let Some(object) = &request.object else {
            return Ok(());
        };
        let Binding { metadata, target } = object.view().map_err(Status::internal)?;
        if target.kind != "Node" {
            return Ok(());
        }
        let Some(node) = self.reader.get(&NODES, "", &target.name) else {
            return Ok(());
        };
        let own = metadata.labels.as_ref();
        let lacks = |key: &&str| own.is_none_or(|own| !own.contains_key(*key));
        let mut change = Change::default();
        for (key, value) in LABELS
            .iter()
            .filter(|key| lacks(key))
            .filter_map(|key| Some((key, node.label(key)?)))
        {
            if own.is_none() && change.is_empty() {
                change.set("/metadata/labels", &BTreeMap::<String, String>::new())?;
            }
            change.set(&format!("/metadata/labels/{}", part(key)), &value)?;
        }
        change.apply(request)
    }
}
