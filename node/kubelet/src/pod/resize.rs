//! Other resources for running containers (upstream: `pkg/kubelet/allocation`, KEP-1287).

use super::resources::{container_resources, pod_resources};
use crate::{
    actions::Failure,
    view::{Container, Pod},
};
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

/// What a pod asks for: thousandths of a CPU, and bytes.
fn requests(pod: &Pod) -> [i64; 2] {
    ["cpu", "memory"].map(|name| {
        let of = |container: &Container| {
            let resources = &container.resources;
            let request = resources
                .requests
                .get(name)
                .or_else(|| resources.limits.get(name));
            request.map_or(
                0,
                if name == "cpu" {
                    api::Quantity::millis
                } else {
                    api::Quantity::value
                },
            )
        };
        let sidecars = pod.spec.init_containers.iter().filter(|c| c.is_sidecar());
        pod.spec.containers.iter().chain(sidecars).map(of).sum()
    })
}

/// Whether a pod fits into what the node has, thousandths of a CPU and bytes, beside the pods there.
pub fn fits<'a>(pod: &Pod, others: impl Iterator<Item = &'a Pod>, node: [i64; 2]) -> Result<(), Failure> {
    let (wanted, names) = (requests(pod), ["cpu", "memory"]);
    let mut used = [0; 2];
    for other in others {
        let of = requests(other);
        used = [used[0] + of[0], used[1] + of[1]];
    }
    for at in [1, 0] {
        let (name, wanted, capacity) = (names[at], wanted[at], node[at]);
        if wanted > capacity {
            let message = format!(
                "Node didn't have enough capacity: {name}, requested: {wanted}, capacity: {capacity}"
            );
            return Err(Failure {
                reason: "Infeasible".to_owned(),
                message,
            });
        }
    }
    for at in [0, 1] {
        let (name, wanted, capacity, used) = (names[at], wanted[at], node[at], used[at]);
        if used + wanted > capacity {
            let message = format!(
                "Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {capacity}"
            );
            return Err(Failure {
                reason: "Deferred".to_owned(),
                message,
            });
        }
    }
    Ok(())
}
