//! Other resources for running containers (upstream: `pkg/kubelet/allocation`, KEP-1287).

use super::resources::{container_resources, pod_resources};
use crate::{
    actions::Failure,
    view::{Container, Pod},
};
use api::requests::{Amounts, Asking};
use runtime::{ContainerStatus, Resources};

/// The limits that a container is to have, and its pod as a whole.
pub fn limits_of(pod: &Pod, container: &Container, capacity: i64) -> (Resources, Resources) {
    (container_resources(pod, container, capacity), pod_resources(pod))
}

/// Whether a running container has the resources that it is to have, as far as the runtime tells.
pub fn is_actuated(pod: &Pod, container: &Container, running: &ContainerStatus) -> bool {
    resize(pod, container, running).is_none()
}

/// Whether a running container is to have other resources; `Some(true)`: and must be restarted for that.
pub fn resize(pod: &Pod, container: &Container, running: &ContainerStatus) -> Option<bool> {
    let now = running.resources.as_ref()?;
    let wanted = container_resources(pod, container, 0);
    let cpu = (now.cpu_shares, now.cpu_quota) != (wanted.cpu_shares, wanted.cpu_quota);
    let memory = now.memory_limit != wanted.memory_limit;
    let restart = |name: &str| {
        let mut policies = container.resize_policy.iter();
        policies.any(|p| p.resource_name == name && p.restart_policy == "RestartContainer")
    };
    (cpu || memory).then(|| (cpu && restart("cpu")) || (memory && restart("memory")))
}

/// Whether other resources fit into what the node has beside what the other pods ask for.
pub fn fits(wanted: &Amounts, used: &Amounts, node: &Amounts) -> Result<(), Failure> {
    for (name, wanted) in wanted.iter().rev() {
        let Some(capacity) = node.get(name).filter(|capacity| wanted > *capacity) else {
            continue;
        };
        let message =
            format!("Node didn't have enough capacity: {name}, requested: {wanted}, capacity: {capacity}");
        return Err(Failure {
            reason: "Infeasible".to_owned(),
            message,
        });
    }
    match lacking(wanted, used, node) {
        None => Ok(()),
        Some((_, message)) => Err(Failure {
            reason: "Deferred".to_owned(),
            message,
        }),
    }
}

/// The resource that the node has not enough of, and what it says then.
pub fn lacking(wanted: &Amounts, used: &Amounts, node: &Amounts) -> Option<(String, String)> {
    wanted.iter().filter(|(_, wanted)| **wanted > 0).find_map(|(name, wanted)| {
        let (capacity, used) = (node.get(name)?, used.get(name).copied().unwrap_or_default());
        let text = format!(
            "Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {capacity}"
        );
        (used + wanted > *capacity).then(|| (name.clone(), text))
    })
}

/// What a pod asks for.
pub fn requests(pod: &Pod) -> Amounts {
    let spec = &pod.spec;
    let asking = Asking {
        containers: spec.containers.iter().map(|c| &c.resources.requests).collect(),
        init_containers: (spec.init_containers.iter())
            .map(|c| (&c.resources.requests, c.is_sidecar()))
            .collect(),
        whole: Some(&spec.resources.requests),
        overhead: &spec.overhead,
    };
    let mut amounts = asking.amounts();
    amounts.insert("pods".to_owned(), 1);
    amounts
}
