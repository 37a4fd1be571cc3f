//! PodNodeSelector: the pods of a namespace go to the nodes that its annotation, or the configuration, names (upstream
//! `plugin/pkg/admission/podnodeselector`).

use super::{Attributes, Operation, Parts, Plugin, change::Change};
use crate::Reader;
use api::{Gvr, Status};
use serde::Deserialize;
use std::collections::BTreeMap;

const NAMESPACES: Gvr = Gvr::new("", "v1", "namespaces");
const ANNOTATION: &str = "scheduler.alpha.kubernetes.io/node-selector";
const DEFAULT: &str = "clusterDefaultNodeSelector";
const CONFLICT: &str = "pod node label selector conflicts with its namespace node label selector";

type Labels = BTreeMap<String, String>;

/// What the file of the plugin says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Configuration {
    /// Selectors by namespace, which pods may not leave; and the one of namespaces without annotation.
    pub pod_node_selector_plugin_config: Labels,
}

impl Configuration {
    /// Says what is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        let texts = self.pod_node_selector_plugin_config.values();
        texts
            .map(|text| labels(text))
            .find_map(Result::err)
            .map_or(Ok(()), Err)
    }
}

/// The plugin.
pub struct PodNodeSelector {
    reader: Reader,
    selectors: Labels,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pod {
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_selector: Labels,
}

/// `a=b,c=d`.
fn labels(text: &str) -> Result<Labels, String> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let pair = |part: &str| {
        let (key, value) = part
            .split_once('=')
            .filter(|(_, value)| !value.contains('='))
            .ok_or_else(|| format!("invalid selector: {part}"))?;
        Ok((key.trim().to_owned(), value.trim().to_owned()))
    };
    parts.map(pair).collect()
}

impl PodNodeSelector {
    /// The plugin.
    pub fn new(parts: &Parts) -> Self {
        let configuration = &parts.configuration.pod_node_selector;
        Self {
            reader: parts.reader.clone(),
            selectors: configuration.pod_node_selector_plugin_config.clone(),
        }
    }

    fn selector(&self, namespace: &str) -> Result<Labels, Status> {
        let object = self.reader.get(&NAMESPACES, "", namespace);
        let own = object.and_then(|object| object.annotation(ANNOTATION));
        let text = own.as_ref().or_else(|| self.selectors.get(DEFAULT));
        text.map_or(Ok(Labels::new()), |text| labels(text).map_err(Status::internal))
    }

    /// The pod's selector with that of its namespace.
    fn merged(&self, request: &Attributes<'_>) -> Result<Labels, Status> {
        let Some(object) = &request.object else {
            return Ok(Labels::new());
        };
        let own = object.view::<Pod>().map_err(Status::internal)?.spec.node_selector;
        let mut merged = self.selector(&request.request().namespace)?;
        if merged
            .iter()
            .any(|(key, value)| own.get(key).is_some_and(|own| own != value))
        {
            return Err(request.forbidden(CONFLICT));
        }
        merged.extend(own);
        Ok(merged)
    }
}

fn is_new_pod(request: &Attributes<'_>) -> bool {
    request.is("", "pods") && request.operation == Operation::Create
}

impl Plugin for PodNodeSelector {
    fn mutates(&self, request: &Attributes<'_>) -> bool {
        is_new_pod(request)
    }

    fn admit(&self, request: &mut Attributes<'_>) -> Result<(), Status> {
        let merged = self.merged(request)?;
        let mut change = Change::default();
        if !merged.is_empty() {
            change.set("/spec/nodeSelector", &merged)?;
        }
        change.apply(request)
    }

    fn validates(&self, request: &Attributes<'_>) -> bool {
        is_new_pod(request)
    }

    fn validate(&self, request: &Attributes<'_>) -> Result<(), Status> {
        let merged = self.merged(request)?;
        let allowed = self.selectors.get(&request.request().namespace);
        let allowed = allowed.map_or(Ok(Labels::new()), |text| labels(text).map_err(Status::internal))?;
        match allowed.is_empty() || merged.iter().all(|(key, value)| allowed.get(key) == Some(value)) {
            true => Ok(()),
            false => {
                Err(request.forbidden("pod node label selector labels conflict with its namespace whitelist"))
            }
        }
    }
}
