//! What a pod uses: itself while it lives, and what its containers ask for.

use super::{
    Amounts, Term,
    amounts::{add, raise},
    one,
};
use crate::Object;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

const COUNT: &str = "count/pods";
const PODS: &str = "pods";

/// What of its resources is counted, and under which names: as requests, and as limits.
const COMPUTED: [(&str, [&str; 2], &str); 3] = [
    ("cpu", ["cpu", "requests.cpu"], "limits.cpu"),
    ("memory", ["memory", "requests.memory"], "limits.memory"),
    (
        "ephemeral-storage",
        ["ephemeral-storage", "requests.ephemeral-storage"],
        "limits.ephemeral-storage",
    ),
];
/// What every container must say something of once it is limited.
const REQUIRED: [&str; 6] = [
    "cpu",
    "limits.cpu",
    "limits.memory",
    "memory",
    "requests.cpu",
    "requests.memory",
];
const HUGE_PAGES: &str = "hugepages-";
const REQUESTS: &str = "requests.";
const DEVICES: &str = "requests.deviceclass.resource.kubernetes.io/";

pub(super) fn tracks(name: &str) -> bool {
    let computed = || {
        let named =
            |(_, requests, limits): &(&str, [&str; 2], &str)| requests.contains(&name) || *limits == name;
        COMPUTED.iter().any(named)
    };
    let huge = || {
        name.strip_prefix(REQUESTS)
            .unwrap_or(name)
            .starts_with(HUGE_PAGES)
    };
    let foreign = || name.starts_with(REQUESTS) && (!is_native(name) || name.starts_with(DEVICES));
    name == COUNT || name == PODS || computed() || huge() || foreign()
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

/// Requests and limits of a container or of a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Needs {
    /// At least.
    pub requests: Amounts,
    /// At most.
    pub limits: Amounts,
}

/// A pod.
#[derive(Debug)]
pub struct Pod {
    spec: Spec,
    status: Status,
    deleted: Option<(Timestamp, i64)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct View {
    spec: Spec,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    #[serde(flatten)]
    compute: Compute,
    active_deadline_seconds: Option<i64>,
    priority_class_name: String,
    affinity: Affinity,
}

/// The parts of a pod's spec that say what it needs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Compute {
    /// Containers.
    pub containers: Vec<Container>,
    /// Init containers.
    pub init_containers: Vec<Container>,
    /// What the pod costs beside its containers.
    pub overhead: Amounts,
    /// What the pod needs as a whole.
    pub resources: Needs,
}

/// A container.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the API's own fields")]
pub struct Container {
    pub name: String,
    pub resources: Needs,
    pub restart_policy: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Affinity {
    pod_affinity: Terms,
    pod_anti_affinity: Terms,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terms {
    required_during_scheduling_ignored_during_execution: Vec<AffinityTerm>,
    preferred_during_scheduling_ignored_during_execution: Vec<Weighted>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Weighted {
    pod_affinity_term: AffinityTerm,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AffinityTerm {
    namespaces: Vec<String>,
    namespace_selector: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    phase: String,
    qos_class: String,
    conditions: Vec<Condition>,
    container_statuses: Vec<ContainerStatus>,
    init_container_statuses: Vec<ContainerStatus>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    r#type: String,
    reason: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerStatus {
    name: String,
    allocated_resources: Option<Amounts>,
    resources: Option<Actual>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Actual {
    requests: Option<Amounts>,
    limits: Option<Amounts>,
}

impl Compute {
    /// The sum over the containers of what `of` says, or what the init containers need, if that is more.
    pub fn together<'a>(&'a self, of: impl Fn(&'a Container) -> Option<&'a Amounts>) -> Amounts {
        let mut sum = Amounts::new();
        for needs in self.containers.iter().filter_map(&of) {
            add(&mut sum, needs);
        }
        let (mut sidecars, mut most) = (Amounts::new(), Amounts::new());
        for container in &self.init_containers {
            let Some(needs) = of(container) else { continue };
            if container.restart_policy == "Always" {
                add(&mut sum, needs);
                add(&mut sidecars, needs);
                raise(&mut most, &sidecars);
            } else {
                let mut now = sidecars.clone();
                add(&mut now, needs);
                raise(&mut most, &now);
            }
        }
        raise(&mut sum, &most);
        sum
    }

    /// Whether the pod as a whole says what it needs.
    pub fn says_as_a_whole(&self) -> bool {
        let Needs { requests, limits } = &self.resources;
        requests.keys().chain(limits.keys()).any(|name| is_of_pods(name))
    }

    /// What is requested, given what the containers request together.
    fn requests(&self, mut sum: Amounts) -> Amounts {
        apply(&mut sum, &self.resources.requests);
        add(&mut sum, &self.overhead);
        sum
    }

    fn limits(&self, mut sum: Amounts) -> Amounts {
        apply(&mut sum, &self.resources.limits);
        for (name, limit) in &mut sum {
            if let Some(more) = self.overhead.get(name).filter(|_| !limit.is_zero()) {
                *limit = *limit + *more;
            }
        }
        sum
    }
}

/// What a pod can ask for as a whole.
fn is_of_pods(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with(HUGE_PAGES)
}

fn apply(sum: &mut Amounts, whole: &Amounts) {
    for (name, quantity) in whole.iter().filter(|(name, _)| is_of_pods(name)) {
        sum.insert(name.clone(), *quantity);
    }
}

/// What a quota counts of requests and limits.
fn counted(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut usage = Amounts::from([(PODS.to_owned(), one())]);
    for (name, as_request, as_limit) in COMPUTED {
        if let Some(request) = requests.get(name) {
            usage.extend(as_request.map(|name| (name.to_owned(), *request)));
        }
        if let Some(limit) = limits.get(name) {
            usage.insert(as_limit.to_owned(), *limit);
        }
    }
    for (name, request) in requests {
        let huge = name.starts_with(HUGE_PAGES);
        if huge {
            usage.insert(name.clone(), *request);
        }
        if huge || (!is_native(name) && !name.starts_with(REQUESTS)) {
            usage.insert(format!("{REQUESTS}{name}"), *request);
        }
    }
    usage
}

impl Pod {
    pub(super) fn new(object: &Object) -> Option<Self> {
        let View { spec, status } = object.view().ok()?;
        let deleted = object.deletion_timestamp().zip(object.deletion_grace_seconds());
        Some(Self {
            spec,
            status,
            deleted,
        })
    }

    /// Whether it needs nothing more: it ended, or its time to end is over.
    fn is_over(&self, now: Timestamp) -> bool {
        let late = |(at, grace): (Timestamp, i64)| {
            now > at.saturating_add(SignedDuration::from_secs(grace)).unwrap_or(at)
        };
        matches!(self.status.phase.as_str(), "Failed" | "Succeeded") || self.deleted.is_some_and(late)
    }

    fn status(&self, container: &Container) -> Option<&ContainerStatus> {
        let status = &self.status;
        let mut all = status
            .container_statuses
            .iter()
            .chain(&status.init_container_statuses);
        all.find(|status| status.name == container.name)
    }

    /// What it asks for, was promised and has, whichever is the most. What it asks for does not count where no node can
    /// give it.
    fn needs(&self) -> (Amounts, Amounts) {
        let compute = &self.spec.compute;
        let conditions = &mut self.status.conditions.iter();
        let pending = conditions.find(|c| c.r#type == "PodResizePending");
        let feasible = pending.is_none_or(|c| c.reason != "Infeasible");
        let mut requests = compute.together(|c| feasible.then_some(&c.resources.requests));
        let mut limits = compute.together(|c| feasible.then_some(&c.resources.limits));
        if !feasible || !self.status.container_statuses.is_empty() {
            let promised = compute.together(|c| self.promised(c, feasible));
            raise(&mut requests, &promised);
            let actual = compute.together(|c| {
                let actual = self.actual(c).and_then(|actual| actual.requests.as_ref());
                actual.or_else(|| self.promised(c, feasible))
            });
            raise(&mut requests, &actual);
            let actual = compute.together(|c| {
                let actual = self.actual(c).and_then(|actual| actual.limits.as_ref());
                actual.or(feasible.then_some(&c.resources.limits))
            });
            raise(&mut limits, &actual);
        }
        (compute.requests(requests), compute.limits(limits))
    }

    /// What the node promised to a container, or else what it asks for.
    fn promised<'a>(&'a self, container: &'a Container, feasible: bool) -> Option<&'a Amounts> {
        let promised = self
            .status(container)
            .and_then(|status| status.allocated_resources.as_ref());
        promised.or(feasible.then_some(&container.resources.requests))
    }

    fn actual(&self, container: &Container) -> Option<&Actual> {
        self.status(container)?.resources.as_ref()
    }

    pub(super) fn usage(&self, now: Timestamp) -> Amounts {
        let mut usage = Amounts::new();
        if !self.is_over(now) {
            let (requests, limits) = self.needs();
            usage = counted(&requests, &limits);
        }
        usage.insert(COUNT.to_owned(), one());
        usage
    }

    pub(super) fn is_terminating(&self) -> bool {
        self.spec
            .active_deadline_seconds
            .is_some_and(|seconds| seconds >= 0)
    }

    fn is_best_effort(&self) -> bool {
        if !self.status.qos_class.is_empty() {
            return self.status.qos_class == "BestEffort";
        }
        let compute = &self.spec.compute;
        let says = |needs: &Needs| {
            let positive = |amounts: &Amounts| {
                ["cpu", "memory"]
                    .iter()
                    .any(|name| amounts.get(*name).is_some_and(|quantity| !quantity.is_zero()))
            };
            positive(&needs.requests) || positive(&needs.limits)
        };
        let containers = compute.containers.iter().chain(&compute.init_containers);
        !says(&compute.resources) && !containers.map(|c| &c.resources).any(says)
    }

    fn looks_into_other_namespaces(&self) -> bool {
        let beyond = |term: &AffinityTerm| !term.namespaces.is_empty() || term.namespace_selector.is_some();
        let Affinity {
            pod_affinity,
            pod_anti_affinity,
        } = &self.spec.affinity;
        [pod_affinity, pod_anti_affinity].iter().any(|terms| {
            let preferred = &terms.preferred_during_scheduling_ignored_during_execution;
            let required = &terms.required_during_scheduling_ignored_during_execution;
            required.iter().any(beyond)
                || preferred
                    .iter()
                    .any(|weighted| beyond(&weighted.pod_affinity_term))
        })
    }

    pub(super) fn is_within(&self, term: &Term) -> bool {
        match term.scope_name.as_str() {
            "Terminating" => self.is_terminating(),
            "NotTerminating" => !self.is_terminating(),
            "BestEffort" => self.is_best_effort(),
            "NotBestEffort" => !self.is_best_effort(),
            "PriorityClass" => {
                let class = self.spec.priority_class_name.as_str();
                term.holds(Some(class).filter(|class| !class.is_empty()))
            }
            "CrossNamespacePodAffinity" => self.looks_into_other_namespaces(),
            _ => false,
        }
    }

    pub(super) fn lacks(&self, names: &[&str]) -> Option<String> {
        let compute = &self.spec.compute;
        if compute.says_as_a_whole() {
            return None;
        }
        let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for container in compute.containers.iter().chain(&compute.init_containers) {
            let said = counted(&container.resources.requests, &container.resources.limits);
            let required = REQUIRED.iter().filter(|name| names.contains(name));
            for name in required.filter(|name| !said.contains_key(**name)) {
                missing.entry(name).or_default().insert(&container.name);
            }
        }
        let part = |(name, containers): (&&str, &BTreeSet<&str>)| {
            let containers: Vec<&str> = containers.iter().copied().collect();
            format!("{name} for: {}", containers.join(","))
        };
        let parts: Vec<String> = missing.iter().map(part).collect();
        (!parts.is_empty()).then(|| format!("must specify {}", parts.join("; ")))
    }
}
