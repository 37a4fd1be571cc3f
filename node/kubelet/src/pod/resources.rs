//! Quality of service and cgroup values (upstream: `pkg/kubelet/cm`, `pkg/kubelet/qos`).

use crate::view::{Container, Pod, Requirements};
use runtime::Resources;
use std::collections::BTreeMap;

/// Quality of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qos {
    /// Each container has limits of cpu and memory, equal to its requests.
    Guaranteed,
    /// Something in between.
    Burstable,
    /// No requests, no limits.
    BestEffort,
}

impl Qos {
    /// As `status.qosClass` has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Guaranteed => "Guaranteed",
            Self::Burstable => "Burstable",
            Self::BestEffort => "BestEffort",
        }
    }
}

const COMPUTE: [&str; 2] = ["cpu", "memory"];
const PERIOD: u64 = 100_000;

/// The class of a pod.
pub fn qos(pod: &Pod) -> Qos {
    let positive =
        |map: &BTreeMap<String, api::Quantity>, name: &str| map.get(name).filter(|q| !q.is_zero()).copied();
    let mut any = false;
    let mut guaranteed = true;
    let whole = Some(&pod.spec.resources).filter(|r| says(r));
    let each = pod
        .all_containers()
        .map(|c| &c.resources)
        .filter(|_| whole.is_none());
    for resources in whole.into_iter().chain(each) {
        for name in COMPUTE {
            let limit = positive(&resources.limits, name);
            let request = positive(&resources.requests, name).or(limit);
            any |= request.is_some();
            guaranteed &= limit.is_some() && request == limit;
        }
    }
    match (any, guaranteed) {
        (true, true) => Qos::Guaranteed,
        (true, false) => Qos::Burstable,
        (false, _) => Qos::BestEffort,
    }
}

/// The cgroup of a pod, in upstream's names.
pub fn cgroup_parent(pod: &Pod) -> String {
    let uid = &pod.metadata.uid;
    match qos(pod) {
        Qos::Guaranteed => format!("/kubepods/pod{uid}"),
        Qos::Burstable => format!("/kubepods/burstable/pod{uid}"),
        Qos::BestEffort => format!("/kubepods/besteffort/pod{uid}"),
    }
}

fn shares(millis: i64) -> u64 {
    if millis <= 0 {
        2
    } else {
        u64::try_from(millis * 1024 / 1000).unwrap_or(2).clamp(2, 262_144)
    }
}

fn quota(millis: i64) -> i64 {
    if millis <= 0 { 0 } else { (millis * 100).max(1000) }
}

fn cpu_request(container: &Container) -> i64 {
    let resources = &container.resources;
    resources
        .requests
        .get("cpu")
        .or_else(|| resources.limits.get("cpu"))
        .map_or(0, api::Quantity::millis)
}

fn limit(container: &Container, name: &str) -> Option<api::Quantity> {
    container
        .resources
        .limits
        .get(name)
        .filter(|q| !q.is_zero())
        .copied()
}

/// Values of a container's cgroup. `capacity` is the node's memory in bytes.
pub(super) fn container_resources(pod: &Pod, container: &Container, capacity: i64) -> Resources {
    Resources {
        cpu_shares: shares(cpu_request(container)),
        cpu_quota: quota(limit(container, "cpu").map_or(0, |q| q.millis())),
        cpu_period: PERIOD,
        memory_limit: limit(container, "memory").map_or(0, |q| q.value()),
        pids_limit: 0,
        huge_pages: huge_pages(&container.resources.limits),
        oom_score_adj: oom_score(pod, container, capacity),
    }
}

/// Whether the pod as a whole asks for something.
fn says(resources: &Requirements) -> bool {
    let of_pods = |name: &String| COMPUTE.contains(&name.as_str()) || name.starts_with("hugepages-");
    let named = |map: &BTreeMap<String, api::Quantity>| map.keys().any(of_pods);
    named(&resources.requests) || named(&resources.limits)
}

/// What all containers need at the same time: those that run together, or an init container with the side-cars before it.
fn together(pod: &Pod, value: impl Fn(&Container) -> i64) -> i64 {
    let (mut sidecars, mut most) = (0, 0);
    for container in &pod.spec.init_containers {
        let own = value(container);
        if container.is_sidecar() {
            sidecars += own;
        }
        let now = if container.is_sidecar() {
            sidecars
        } else {
            own + sidecars
        };
        most = most.max(now);
    }
    most.max(sidecars + pod.spec.containers.iter().map(value).sum::<i64>())
}

/// Values of the pod's cgroup: what the pod as a whole asks for, or else sums, as far as every container says so.
pub(super) fn pod_resources(pod: &Pod) -> Resources {
    let (whole, overhead) = (&pod.spec.resources, &pod.spec.overhead);
    let of = |name: &str, value: fn(&api::Quantity) -> i64| {
        let own = whole.limits.get(name).map(value).or_else(|| {
            let bounded = pod.all_containers().all(|c| limit(c, name).is_some());
            bounded.then(|| together(pod, |c| limit(c, name).map_or(0, |q| value(&q))))
        });
        own.filter(|own| *own > 0)
            .map_or(0, |own| own + overhead.get(name).map_or(0, value))
    };
    let cpu = whole.requests.get("cpu").or_else(|| whole.limits.get("cpu"));
    let cpu = cpu.map_or_else(|| together(pod, cpu_request), api::Quantity::millis);
    Resources {
        cpu_shares: shares(cpu + overhead.get("cpu").map_or(0, api::Quantity::millis)),
        cpu_quota: quota(of("cpu", api::Quantity::millis)),
        cpu_period: PERIOD,
        memory_limit: of("memory", api::Quantity::value),
        pids_limit: 0,
        huge_pages: BTreeMap::new(),
        oom_score_adj: 0,
    }
}

/// Bytes that all containers together may have of the node's memory; 0: as many as there are.
pub fn memory_limit(pod: &Pod) -> i64 {
    pod_resources(pod).memory_limit
}

/// Limits of huge pages, by their size as the kernel writes it.
fn huge_pages(limits: &BTreeMap<String, api::Quantity>) -> BTreeMap<String, u64> {
    let sizes = limits.iter().filter_map(|(name, quantity)| {
        let size = name.strip_prefix("hugepages-")?;
        let size = size.parse::<api::Quantity>().ok()?.value();
        let text = [(30, "GB"), (20, "MB"), (10, "KB")]
            .into_iter()
            .find(|(shift, _)| size >= 1 << shift)
            .map(|(shift, unit)| format!("{}{unit}", size >> shift))?;
        Some((text, u64::try_from(quantity.value()).ok()?))
    });
    sizes.collect()
}

fn oom_score(pod: &Pod, container: &Container, capacity: i64) -> i32 {
    match qos(pod) {
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let request = container
                .resources
                .requests
                .get("memory")
                .or_else(|| container.resources.limits.get("memory"));
            let request = request.map_or(0, api::Quantity::value);
            let share = if capacity > 0 {
                i128::from(request) * 1000 / i128::from(capacity)
            } else {
                0
            };
            i32::try_from(1000 - share).unwrap_or(3).clamp(3, 999)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(resources: &str) -> Pod {
        serde_saphyr::from_str(&format!(
            "{{metadata: {{uid: u1}}, spec: {{containers: [{{name: c, resources: {resources}}}]}}}}"
        ))
        .unwrap()
    }

    #[test]
    fn classes_and_values() {
        for (resources, parent, shares, quota, memory, oom) in [
            ("{}", "/kubepods/besteffort/podu1", 2, 0, 0, 1000),
            (
                "{requests: {cpu: 100m}}",
                "/kubepods/burstable/podu1",
                102,
                0,
                0,
                999,
            ),
            (
                "{requests: {memory: 1Gi}}",
                "/kubepods/burstable/podu1",
                2,
                0,
                0,
                750,
            ),
            (
                "{limits: {cpu: 500m, memory: 64Mi}}",
                "/kubepods/podu1",
                512,
                50_000,
                64 << 20,
                -997,
            ),
            (
                "{limits: {cpu: 1m}}",
                "/kubepods/burstable/podu1",
                2,
                1000,
                0,
                999,
            ),
        ] {
            let pod = pod(resources);
            let values = container_resources(&pod, &pod.spec.containers[0], 4 << 30);
            assert_eq!(cgroup_parent(&pod), parent);
            assert_eq!(
                (
                    values.cpu_shares,
                    values.cpu_quota,
                    values.memory_limit,
                    values.oom_score_adj
                ),
                (shares, quota, memory, oom),
                "{resources}"
            );
        }
    }

    #[test]
    fn huge_pages_have_the_kernels_names() {
        let pod = pod("{limits: {hugepages-2Mi: 4Mi, hugepages-1Gi: 1Gi, memory: 1Gi}}");
        let values = container_resources(&pod, &pod.spec.containers[0], 1 << 30);
        assert_eq!(
            values.huge_pages,
            [("1GB".to_owned(), 1 << 30), ("2MB".to_owned(), 4 << 20)].into()
        );
    }

    #[test]
    fn what_the_pod_says_goes_over_its_containers() {
        let yaml = "{metadata: {uid: u1}, spec: {resources: {requests: {cpu: 1, memory: 1Gi}, limits: {cpu: 1, memory: 1Gi}},
                     containers: [{name: a, resources: {requests: {cpu: 100m}}}, {name: b}]}}";
        let pod: Pod = serde_saphyr::from_str(yaml).unwrap();
        let values = pod_resources(&pod);
        assert_eq!(
            (
                qos(&pod),
                values.cpu_shares,
                values.cpu_quota,
                values.memory_limit
            ),
            (Qos::Guaranteed, 1024, 100_000, 1 << 30)
        );
        let yaml = "{spec: {initContainers: [{name: s, restartPolicy: Always, resources: {limits: {memory: 2Mi}}},
                     {name: i, resources: {limits: {memory: 9Mi}}}], containers: [{name: a, resources: {limits: {memory: 5Mi}}}]}}";
        let pod: Pod = serde_saphyr::from_str(yaml).unwrap();
        assert_eq!(
            memory_limit(&pod),
            11 << 20,
            "the init container beside the side-car"
        );
    }

    #[test]
    fn the_pods_cgroup_is_the_sum() {
        let yaml = "{spec: {containers: [{resources: {limits: {cpu: 1, memory: 1Mi}}}, {resources: {limits: {cpu: 500m}}}]}}";
        let values = pod_resources(&serde_saphyr::from_str(yaml).unwrap());
        assert_eq!(
            (values.cpu_shares, values.cpu_quota, values.memory_limit),
            (1536, 150_000, 0)
        );
    }
}
