//! What the kubelet's events are about.

use crate::view::Pod;
use client::About;

/// A pod.
pub fn pod(pod: &Pod) -> About {
    let meta = &pod.metadata;
    About {
        api_version: "v1".to_owned(),
        kind: "Pod".to_owned(),
        namespace: meta.namespace.clone(),
        name: meta.name.clone(),
        uid: meta.uid.clone(),
        field_path: String::new(),
    }
}

/// A container of a pod.
pub fn container(pod: &Pod, name: &str) -> About {
    let ephemeral = pod.spec.ephemeral_containers.iter().any(|c| c.name == name);
    let list = match pod.is_init(name) {
        true => "initContainers",
        false if ephemeral => "ephemeralContainers",
        false => "containers",
    };
    self::pod(pod).at(format!("spec.{list}{{{name}}}"))
}

/// The node, which upstream's kubelet names without its version and by its name for a UID.
pub fn node(name: &str) -> About {
    About {
        kind: "Node".to_owned(),
        name: name.to_owned(),
        uid: name.to_owned(),
        ..About::default()
    }
}
