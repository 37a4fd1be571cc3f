//! PodDisruptionBudget: counts healthy pods and says how many may be evicted now
//! (upstream `pkg/controller/disruption`).

use crate::{
    gc::{Collections, DEFINITIONS, Served},
    memo::Memo,
    views::{Condition, DEPLOYMENTS, IntOrPercent, PODS, Pod, REPLICA_SETS, Seen, seconds, see},
};
use api::{Gvr, Key, MatchSelector, Object, Owner, scan};
use client::{Caches, Change, Patch};
use jiff::Timestamp;
use reconcile::{About, Controller, LastOutcome, Note, Plan, Watch, own_key};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

const BUDGETS: Gvr = Gvr::new("policy", "v1", "poddisruptionbudgets");
const STATEFUL_SETS: Gvr = Gvr::new("apps", "v1", "statefulsets");
const REPLICATION_CONTROLLERS: Gvr = Gvr::new("", "v1", "replicationcontrollers");

/// So long an evicted pod is waited for; then it counts as one that stays.
const EVICTED_FOR: Duration = Duration::from_secs(120);

/// The condition of a budget.
const ALLOWED: &str = "DisruptionAllowed";

/// The disruption controller.
pub(crate) struct DisruptionController {
    pods: Memo<Pod>,
    /// What is served, and its objects: owners of any kind are looked for.
    served: Served,
    collections: Collections,
}

impl DisruptionController {
    pub fn new(served: Served, collections: Collections) -> Self {
        Self {
            pods: Memo::default(),
            served,
            collections,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Budget {
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    selector: Option<MatchSelector>,
    min_available: Option<IntOrPercent>,
    max_unavailable: Option<IntOrPercent>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    observed_generation: i64,
    disrupted_pods: BTreeMap<String, Timestamp>,
    disruptions_allowed: i32,
    current_healthy: i32,
    desired_healthy: i32,
    expected_pods: i32,
    conditions: Vec<Allowed>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Allowed {
    observed_generation: i64,
    #[serde(flatten)]
    condition: Condition,
}

/// How many pods the controllers of some pods want, as far as they could be found.
#[derive(Debug, Default)]
struct Scale {
    total: i32,
    /// Pods without a controller.
    unmanaged: bool,
    /// A pod whose controller is not there.
    lost: Option<String>,
    /// A controller without a number of pods: its resource.
    scaleless: Option<String>,
}

/// A budget, its pods and what their controllers want.
pub(crate) struct Observed {
    budget: Seen<Budget>,
    pods: Vec<Arc<Seen<Pod>>>,
    scale: Scale,
}

impl Controller for DisruptionController {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        "disruption-controller"
    }

    fn primary(&self) -> Gvr {
        BUDGETS
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::all(BUDGETS, own_key),
            Watch::all(PODS, pod_keys),
            Watch::all(REPLICA_SETS, owner_keys),
            Watch::all(DEPLOYMENTS, owner_keys),
            Watch::all(STATEFUL_SETS, owner_keys),
            Watch::all(REPLICATION_CONTROLLERS, owner_keys),
        ]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Observed> {
        let budget: Seen<Budget> = see(caches.all(&BUDGETS).get(key)?)?;
        let pods = match &budget.view.spec.selector {
            None => Vec::new(),
            Some(selector) => {
                let selector = selector.selector().ok()?;
                let all = caches.all(&PODS).in_namespace(&key.namespace);
                let matching = all.into_iter().filter(|pod| selector.matches(|k| pod.label(k)));
                matching.filter_map(|pod| self.pods.see(pod)).collect()
            }
        };
        let scale = self.scale(&pods);
        Some(Observed { budget, pods, scale })
    }

    fn reconcile(&self, observed: &Observed, _: &LastOutcome, now: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let about = About::object(&observed.budget.object);
        if observed.pods.is_empty() {
            plan.event(Note::normal(about.clone(), "NoPods", "No matching pods found"));
        }
        let status = match expected(observed, &mut plan) {
            Ok((expected, desired)) => count(observed, expected, desired, &mut plan, now),
            Err(why) => {
                let message = format!("Failed to calculate the number of expected pods: {why}");
                plan.event(Note::warning(about, "CalculateExpectedPodCountFailed", message));
                let mut status = observed.budget.view.status.clone();
                status.disruptions_allowed = 0;
                set_allowed(&mut status, observed, "False", "SyncFailed", &why, now);
                status
            }
        };
        write(&mut plan, observed, &status);
        plan
    }
}

/// The budgets that a pod counts for, before and after the change.
fn pod_keys(change: &Change, caches: &Caches) -> Vec<Key> {
    let pods: Vec<&Arc<Object>> = match change {
        Change::Applied { old, new } => old.iter().chain([new]).collect(),
        Change::Deleted { old } => vec![old],
    };
    let budgets = caches.all(&BUDGETS).in_namespace(change.object().namespace());
    let concerns = |budget: &Arc<Object>| {
        let view = budget.view::<Budget>().unwrap_or_default();
        let selector = view.spec.selector.and_then(|s| s.selector().ok());
        selector.is_some_and(|s| pods.iter().any(|pod| s.matches(|k| pod.label(k))))
    };
    budgets.iter().filter(|b| concerns(b)).map(|b| b.key()).collect()
}

/// When another number of pods is wanted, every budget of the namespace may be concerned.
fn owner_keys(change: &Change, caches: &Caches) -> Vec<Key> {
    let Change::Applied { old: Some(old), new } = change else {
        return Vec::new();
    };
    if old.generation() == new.generation() {
        return Vec::new();
    }
    let budgets = caches.all(&BUDGETS).in_namespace(new.namespace());
    budgets.iter().map(|budget| budget.key()).collect()
}

impl DisruptionController {
    /// What the controllers of the pods want together. Of a ReplicaSet it is what its Deployment wants.
    fn scale(&self, pods: &[Arc<Seen<Pod>>]) -> Scale {
        let (mut scale, mut known) = (Scale::default(), BTreeSet::new());
        for pod in pods {
            let namespace = pod.object.namespace();
            let Some(owner) = pod.object.controller() else {
                scale.unmanaged = true;
                continue;
            };
            let found = self.find(owner, namespace).map(|(gvr, object)| {
                let above = object
                    .controller()
                    .filter(|o| o.kind == "Deployment" && gvr == REPLICA_SETS);
                above
                    .and_then(|above| self.find(above, namespace))
                    .unwrap_or((gvr, object))
            });
            let Some((gvr, object)) = found else {
                scale.lost = Some(pod.object.name().to_owned());
                return scale;
            };
            if known.insert(object.uid().to_owned()) {
                match self.replicas(&gvr, &object) {
                    Some(replicas) => scale.total += replicas,
                    None => scale.scaleless = Some(gvr.to_string()),
                }
            }
        }
        scale
    }

    fn find(&self, owner: &Owner, namespace: &str) -> Option<(Gvr, Arc<Object>)> {
        let served = self.served.borrow().clone();
        let resource = served.of_kind(&owner.api_version, &owner.kind)?;
        let key = Key::new(if resource.namespaced { namespace } else { "" }, &owner.name);
        let object = self.collections.get(&resource.gvr, &key)?;
        (object.uid() == owner.uid).then(|| (resource.gvr.clone(), object))
    }

    /// The number of pods that an object wants, if it has a scale.
    fn replicas(&self, gvr: &Gvr, object: &Object) -> Option<i32> {
        let path = match (gvr.group.as_ref(), gvr.resource.as_ref()) {
            ("apps", "deployments" | "replicasets" | "statefulsets") | ("", "replicationcontrollers") => {
                "spec.replicas".to_owned()
            }
            (group, resource) => {
                let key = Key::cluster(format!("{resource}.{group}"));
                let definition = self.collections.get(&DEFINITIONS, &key)?;
                replicas_path(&definition, &gvr.version)?
            }
        };
        scan::scalar(object.body(), &path).ok()?.parse().ok()
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Definition {
    spec: DefinitionSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DefinitionSpec {
    versions: Vec<DefinitionVersion>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct DefinitionVersion {
    name: String,
    subresources: Subresources,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Subresources {
    scale: ScalePath,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ScalePath {
    spec_replicas_path: String,
}

/// Where custom resources say how many pods they want.
fn replicas_path(definition: &Object, version: &str) -> Option<String> {
    let versions = definition.view::<Definition>().ok()?.spec.versions;
    let version = versions.into_iter().find(|v| v.name == version)?;
    let path = version.subresources.scale.spec_replicas_path;
    path.strip_prefix('.').map(str::to_owned)
}

/// How many pods there should be, and how many of them must be healthy.
fn expected(observed: &Observed, plan: &mut Plan) -> Result<(i32, i32), String> {
    let spec = &observed.budget.view.spec;
    let present = i32::try_from(observed.pods.len()).unwrap_or(i32::MAX);
    if let Some(unavailable) = &spec.max_unavailable {
        let total = wanted(observed, plan)?;
        Ok((total, (total - unavailable.of(total, true)).max(0)))
    } else {
        match &spec.min_available {
            Some(IntOrPercent::Int(least)) => Ok((present, *least)),
            Some(share) => {
                let total = wanted(observed, plan)?;
                Ok((total, share.of(total, true)))
            }
            None => Ok((0, 0)),
        }
    }
}

fn wanted(observed: &Observed, plan: &mut Plan) -> Result<i32, String> {
    let scale = &observed.scale;
    let about = About::object(&observed.budget.object);
    if let Some(pod) = &scale.lost {
        let why = format!("found no controllers for pod {pod:?}");
        plan.event(Note::warning(about, "NoControllers", why.clone()));
        return Err(why);
    }
    if let Some(resource) = &scale.scaleless {
        return Err(format!("{resource} does not implement the scale subresource"));
    }
    if scale.unmanaged {
        let selector = observed.budget.view.spec.selector.as_ref();
        let selector = selector
            .and_then(|s| serde_json::to_string(s).ok())
            .unwrap_or_default();
        let message = format!(
            "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a result, \
             the status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account \
             for these pods please set \".spec.minAvailable\" field of the PDB to an integer value."
        );
        plan.event(Note::warning(about, "UnmanagedPods", message));
    }
    Ok(scale.total)
}

fn count(observed: &Observed, expected: i32, desired: i32, plan: &mut Plan, now: Timestamp) -> Status {
    let old = &observed.budget.view.status;
    let mut disrupted = BTreeMap::new();
    for pod in observed
        .pods
        .iter()
        .filter(|p| p.object.deletion_timestamp().is_none())
    {
        let Some(since) = old.disrupted_pods.get(pod.object.name()) else {
            continue;
        };
        let left = since.as_second() + EVICTED_FOR.as_secs().cast_signed() - now.as_second();
        if left < 0 {
            let budget = &observed.budget.object;
            let message = format!(
                "Pod was expected by PDB {} to be deleted but it wasn't",
                budget.key()
            );
            let about = About::object(&pod.object);
            plan.event(Note::warning(about, "NotDeleted", message));
        } else {
            plan.again_after(Duration::from_secs(left.unsigned_abs() + 1));
            disrupted.insert(pod.object.name().to_owned(), *since);
        }
    }
    let healthy = |pod: &&Arc<Seen<Pod>>| {
        pod.object.deletion_timestamp().is_none()
            && !disrupted.contains_key(pod.object.name())
            && pod.is_ready()
    };
    let healthy = observed.pods.iter().filter(healthy).count();
    let healthy = i32::try_from(healthy).unwrap_or(i32::MAX);
    let allowed = if expected <= 0 {
        0
    } else {
        (healthy - desired).max(0)
    };
    let mut status = Status {
        observed_generation: observed.budget.object.generation(),
        disrupted_pods: disrupted,
        disruptions_allowed: allowed,
        current_healthy: healthy,
        desired_healthy: desired,
        expected_pods: expected,
        conditions: old.conditions.clone(),
    };
    let (value, reason) = match allowed {
        0 => ("False", "InsufficientPods"),
        _ => ("True", "SufficientPods"),
    };
    set_allowed(&mut status, observed, value, reason, "", now);
    status
}

fn set_allowed(
    status: &mut Status,
    observed: &Observed,
    value: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    let old = status.conditions.iter().find(|c| c.condition.r#type == ALLOWED);
    let since = old
        .filter(|c| c.condition.status == value)
        .and_then(|c| c.condition.last_transition_time);
    let condition = Condition {
        r#type: ALLOWED.to_owned(),
        status: value.to_owned(),
        reason: reason.to_owned(),
        message: message.to_owned(),
        last_transition_time: Some(since.unwrap_or(seconds(now))),
        ..Condition::default()
    };
    status.conditions.retain(|c| c.condition.r#type != ALLOWED);
    status.conditions.push(Allowed {
        observed_generation: observed.budget.object.generation(),
        condition,
    });
}

#[derive(Serialize)]
struct StatusPatch<'a> {
    metadata: PatchMeta<'a>,
    status: PatchStatus<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PatchMeta<'a> {
    uid: &'a str,
    resource_version: String,
}

/// As the status, but that pods that are not waited for any more are taken out.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PatchStatus<'a> {
    observed_generation: i64,
    disrupted_pods: BTreeMap<&'a str, Option<&'a Timestamp>>,
    disruptions_allowed: i32,
    current_healthy: i32,
    desired_healthy: i32,
    expected_pods: i32,
    conditions: &'a [Allowed],
}

/// An eviction takes from the budget at the same time: what is written holds only for the version that was seen.
fn write(plan: &mut Plan, observed: &Observed, status: &Status) {
    let (budget, old) = (&observed.budget.object, &observed.budget.view.status);
    if status == old {
        return;
    }
    let gone = old.disrupted_pods.keys().map(|pod| (pod.as_str(), None));
    let mut disrupted_pods: BTreeMap<&str, Option<&Timestamp>> = gone.collect();
    disrupted_pods.extend(
        status
            .disrupted_pods
            .iter()
            .map(|(pod, since)| (pod.as_str(), Some(since))),
    );
    let patch = StatusPatch {
        metadata: PatchMeta {
            uid: budget.uid(),
            resource_version: budget.resource_version().to_string(),
        },
        status: PatchStatus {
            observed_generation: status.observed_generation,
            disrupted_pods,
            disruptions_allowed: status.disruptions_allowed,
            current_healthy: status.current_healthy,
            desired_healthy: status.desired_healthy,
            expected_pods: status.expected_pods,
            conditions: &status.conditions,
        },
    };
    plan.patch("status", &BUDGETS, &budget.key(), "status", Patch::Merge, &patch);
}
