//! The objects that a pod names.

use crate::view::{ConfigMap, Pod, Secret};
use std::collections::{BTreeMap, BTreeSet};

/// An object in the pod's namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// A ConfigMap.
    ConfigMap(String),
    /// A Secret.
    Secret(String),
}

/// Those that are there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Objects {
    /// By name.
    pub config_maps: BTreeMap<String, ConfigMap>,
    /// By name.
    pub secrets: BTreeMap<String, Secret>,
    /// Files of variables, by volume and path.
    pub files: BTreeMap<(String, String), String>,
}

/// All objects that `pod` names.
pub fn references(pod: &Pod) -> BTreeSet<Reference> {
    let mut found = BTreeSet::new();
    let mut map = |name: &String| found.insert(Reference::ConfigMap(name.clone()));
    let mut secrets = Vec::new();
    for volume in &pod.spec.volumes {
        volume.config_map.iter().for_each(|v| _ = map(&v.name));
        secrets.extend(volume.secret.as_ref().map(|v| &v.secret_name));
        for source in volume.projected.iter().flat_map(|p| &p.sources) {
            source.config_map.iter().for_each(|v| _ = map(&v.name));
            secrets.extend(source.secret.as_ref().map(|v| &v.name));
        }
    }
    for container in pod.every_container() {
        for source in &container.env_from {
            source.config_map_ref.iter().for_each(|v| _ = map(&v.name));
            secrets.extend(source.secret_ref.as_ref().map(|v| &v.name));
        }
        for source in container.env.iter().filter_map(|e| e.value_from.as_ref()) {
            source.config_map_key_ref.iter().for_each(|v| _ = map(&v.name));
            secrets.extend(source.secret_key_ref.as_ref().map(|v| &v.name));
        }
    }
    secrets.extend(pod.spec.image_pull_secrets.iter().map(|s| &s.name));
    let secrets: Vec<Reference> = secrets
        .into_iter()
        .map(|name| Reference::Secret(name.clone()))
        .collect();
    found.extend(secrets);
    found
}
