//! The downward API: fields of the pod and resources of its containers as text.

use crate::view::{Pod, ResourceFieldRef};
use api::Quantity;
use std::collections::BTreeMap;

/// What is known of the pod beyond its spec when a container starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Addresses of the pod, the primary first.
    pub pod_ips: Vec<String>,
    /// Addresses of the node, the primary first.
    pub host_ips: Vec<String>,
    /// What the node can give: stands for limits that are not set. Millicores.
    pub allocatable_cpu: i64,
    /// The same, bytes.
    pub allocatable_memory: i64,
}

/// The value of a `fieldRef`.
pub fn field_value(pod: &Pod, facts: &PodFacts, path: &str) -> Result<String, String> {
    if let Some((map, key)) = subscript(path) {
        let entries = match map {
            "metadata.labels" => &pod.metadata.labels,
            "metadata.annotations" => &pod.metadata.annotations,
            _ => return Err(format!("invalid fieldPath {path:?}")),
        };
        return Ok(entries.get(key).cloned().unwrap_or_default());
    }
    let primary = |ips: &[String]| ips.first().cloned().unwrap_or_default();
    Ok(match path {
        "metadata.name" => pod.metadata.name.clone(),
        "metadata.namespace" => pod.metadata.namespace.clone(),
        "metadata.uid" => pod.metadata.uid.clone(),
        "metadata.labels" => lines(&pod.metadata.labels),
        "metadata.annotations" => lines(&pod.metadata.annotations),
        "spec.nodeName" => pod.spec.node_name.clone(),
        "spec.serviceAccountName" => pod.spec.service_account_name.clone(),
        "status.hostIP" => primary(&facts.host_ips),
        "status.hostIPs" => facts.host_ips.join(","),
        "status.podIP" => primary(&facts.pod_ips),
        "status.podIPs" => facts.pod_ips.join(","),
        _ => return Err(format!("unsupported fieldPath: {path}")),
    })
}

fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, rest) = path.split_once("['")?;
    Some((map, rest.strip_suffix("']")?))
}

fn lines(map: &BTreeMap<String, String>) -> String {
    map.iter()
        .map(|(key, value)| format!("{key}={value:?}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The value of a `resourceFieldRef` in the container named `own`.
pub fn resource_value(
    pod: &Pod,
    facts: &PodFacts,
    own: &str,
    field: &ResourceFieldRef,
) -> Result<String, String> {
    let name = if field.container_name.is_empty() {
        own
    } else {
        &field.container_name
    };
    let container = pod
        .container(name)
        .ok_or_else(|| format!("container {name} not found"))?;
    let (kind, resource) = field.resource.split_once('.').unwrap_or(("", ""));
    let wanted = match kind {
        "limits" => container.resources.limits.get(resource),
        "requests" => container.resources.requests.get(resource),
        _ => return Err(format!("unsupported container resource : {}", field.resource)),
    };
    let one = Quantity::from_int(1);
    let divisor = field.divisor.filter(|d| !d.is_zero()).unwrap_or(one);
    let value = match (wanted, kind, resource) {
        (Some(quantity), ..) => *quantity,
        (None, "limits", "cpu") => Quantity::from_millis(facts.allocatable_cpu),
        (None, "limits", "memory") => Quantity::from_int(facts.allocatable_memory),
        _ => Quantity::from_int(0),
    };
    let ceil = |value: i64, unit: i64| (value + unit - 1).checked_div(unit).unwrap_or(value);
    Ok(if resource == "cpu" {
        ceil(value.millis(), divisor.millis()).to_string()
    } else {
        ceil(value.value(), divisor.value()).to_string()
    })
}
