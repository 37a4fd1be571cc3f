//! A kubelet's own Node, and what of it others rely on.

use super::{Call, changed_labels};
use api::{Object, Status};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Labels of the Kubernetes domains that a kubelet sets itself.
const OWN_LABELS: &[&str] = &[
    "kubernetes.io/hostname",
    "kubernetes.io/arch",
    "kubernetes.io/os",
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os",
    "beta.kubernetes.io/instance-type",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
];

/// Domains (and what is below them) of labels that a kubelet may set.
const OWN_DOMAINS: &[&str] = &["kubelet.kubernetes.io", "node.kubernetes.io"];

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeView {
    spec: NodeSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeSpec {
    taints: Option<Box<RawValue>>,
}

fn taints(node: &Object) -> Option<String> {
    let taints = node.view::<NodeView>().ok()?.spec.taints?;
    Some(taints.get().to_owned()).filter(|text| text != "[]" && text != "null")
}

fn below(domain: &str, of: &str) -> bool {
    domain == of || domain.strip_suffix(of).is_some_and(|rest| rest.ends_with('.'))
}

/// Whether a kubelet must leave the label alone. The first registration may set what is not expressly reserved.
fn reserved(label: &str) -> bool {
    let Some((domain, _)) = label.split_once('/') else {
        return false;
    };
    if below(domain, "node-restriction.kubernetes.io") {
        return true;
    }
    let kubernetes = below(domain, "kubernetes.io") || below(domain, "k8s.io");
    kubernetes && !OWN_LABELS.contains(&label) && !OWN_DOMAINS.iter().any(|own| below(domain, own))
}

impl Call<'_> {
    /// A kubelet writes its own Node, but for what its node is trusted for.
    pub(super) fn node(&self) -> Result<(), Status> {
        let node = self.node;
        let name = self
            .new
            .or(self.old)
            .map_or(self.attributes.name.as_str(), Object::name);
        if name != node {
            return self.refuse(format!("node {node:?} is not allowed to modify node {name:?}"));
        }
        let Some(new) = self.new else {
            return Ok(());
        };
        if self.old.is_some_and(|old| taints(old) != taints(new)) {
            return self.refuse(format!("node {node:?} is not allowed to modify taints"));
        }
        if self.old.is_some_and(|old| old.owners() != new.owners()) {
            return self.refuse(format!("node {node:?} is not allowed to modify ownerReferences"));
        }
        let modified: Vec<String> = changed_labels(self.old, new)
            .into_iter()
            .filter(|l| reserved(l))
            .collect();
        let labels = modified.join(", ");
        match (modified.is_empty(), self.is_create()) {
            (true, _) => Ok(()),
            (false, true) => self.refuse(format!(
                "node {node:?} is not allowed to set the following labels: {labels}"
            )),
            (false, false) => self.refuse(format!("is not allowed to modify labels: {labels}")),
        }
    }
}
