//! DaemonSet: a pod on each node that fits (upstream `pkg/controller/daemon`).

mod backoff;
mod fit;
mod manage;
mod status;
mod update;

use crate::{
    claim,
    memo::Memo,
    views::{NODES, PODS, Pod, Seen, Template, see},
    workloads::{
        fields::Fields,
        pods::{self, NewPod},
        revisions::{History, Owner, REVISION_LABEL, Revision},
        views::{CONTROLLER_REVISIONS, DAEMON_SETS, DaemonSet},
    },
};
use api::{Gvr, Key, MatchExpression};
use backoff::Backoff;
use client::{Caches, Change};
use fit::{Fit, Node};
use jiff::Timestamp;
use reconcile::{About, Controller, LastOutcome, Note, Plan, Watch, own_key, owner_key};
use serde_json::value::RawValue;
use std::{collections::BTreeMap, sync::Arc};

/// The DaemonSet controller.
#[derive(Debug, Default)]
pub struct DaemonSetController {
    pods: Memo<Pod>,
    nodes: Memo<Node>,
    backoff: Backoff,
}

/// A DaemonSet, its revisions and pods, and all nodes.
#[derive(Debug)]
pub struct Observed {
    set: Seen<DaemonSet>,
    template: Template,
    revisions: Vec<Revision>,
    pods: Vec<Arc<Seen<Pod>>>,
    nodes: Vec<Arc<Seen<Node>>>,
}

impl Controller for DaemonSetController {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        "daemonset-controller"
    }

    fn primary(&self) -> Gvr {
        DAEMON_SETS
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::all(DAEMON_SETS, own_key),
            Watch::all(CONTROLLER_REVISIONS, |change, _| owner_key(change, "DaemonSet")),
            Watch::all(PODS, pod_keys),
            Watch::all(NODES, node_keys),
        ]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Observed> {
        let set: Seen<DaemonSet> = see(caches.all(&DAEMON_SETS).get(key)?)?;
        let selector = set.view.spec.selector.selector().ok()?;
        let template = serde_json::from_str(set.view.spec.template.get()).ok()?;
        let revisions = claim::children(&caches.all(&CONTROLLER_REVISIONS), &set.object, &selector);
        let pods = claim::children(&caches.all(&PODS), &set.object, &selector).into_iter();
        let nodes = caches.all(&NODES).all().into_iter();
        Some(Observed {
            set,
            template,
            revisions: revisions.into_iter().filter_map(see).collect(),
            pods: pods.filter_map(|pod| self.pods.see(pod)).collect(),
            nodes: nodes.filter_map(|node| self.nodes.see(node)).collect(),
        })
    }

    fn reconcile(&self, observed: &Observed, last: &LastOutcome, now: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let set = &observed.set;
        let Ok(selector) = set.view.spec.selector.selector() else {
            return plan;
        };
        if selector.is_everything() {
            let why = "This daemon set is selecting all pods. A non-empty selector is required.";
            plan.event(Note::warning(About::object(&set.object), "SelectingAll", why));
            return plan;
        }
        if set.object.deletion_timestamp().is_some() {
            return plan;
        }
        let own = claim::claim(&mut plan, &set.object, &selector, &observed.pods);
        let owner = Owner {
            object: &set.object,
            selector: &selector,
            template: &set.view.spec.template,
            label: REVISION_LABEL,
            resource: &DAEMON_SETS,
            collisions: set.view.status.collision_count.unwrap_or(0),
        };
        let history = History::take(&mut plan, &owner, &observed.revisions, last);
        let Some(update) = history.update else {
            return plan;
        };
        let look = Look::new(
            observed,
            own,
            update.object.label(REVISION_LABEL).unwrap_or_default(),
        );
        let refused = last
            .refused(pods::CREATE)
            .or(last.refused(pods::DELETE))
            .is_some();
        // A refusal ends a plan: after one, the status is told first.
        if refused {
            status::write(&mut plan, &look, history.collisions, now);
        }
        let work = manage::manage(&mut plan, &look, &self.backoff, now);
        let work = if work.is_nothing() && set.view.spec.update_strategy.r#type == "RollingUpdate" {
            update::roll(&look, now)
        } else {
            work
        };
        work.carry_out(&mut plan, &look);
        history.clean_up(&mut plan, set.view.spec.revision_history_limit, |revision| {
            let hash = revision.object.label(REVISION_LABEL);
            revision.object.uid() == update.object.uid()
                || look
                    .own
                    .iter()
                    .any(|pod| pod.object.label(REVISION_LABEL) == hash)
        });
        if !refused {
            status::write(&mut plan, &look, history.collisions, now);
        }
        plan
    }
}

/// What a look at a DaemonSet sees, sorted by node.
struct Look<'a> {
    set: &'a Seen<DaemonSet>,
    template: &'a Template,
    /// The hash of the present template.
    hash: &'a str,
    own: Vec<&'a Seen<Pod>>,
    nodes: BTreeMap<&'a str, OnNode<'a>>,
}

/// A node: how the set's pods fit, and which are there, finished ones that are going aside.
struct OnNode<'a> {
    fit: Fit,
    pods: Vec<&'a Seen<Pod>>,
}

impl<'a> Look<'a> {
    fn new(observed: &'a Observed, own: Vec<&'a Seen<Pod>>, hash: &'a str) -> Self {
        let needs = fit::Needs::of(&observed.template);
        let mut nodes: BTreeMap<&str, OnNode<'_>> = BTreeMap::new();
        for node in &observed.nodes {
            let fit = needs.fit(node);
            let pods = Vec::new();
            nodes.insert(node.object.name(), OnNode { fit, pods });
        }
        for pod in &own {
            let going = pod.is_finished() && pod.object.deletion_timestamp().is_some();
            if let Some(on) = target(pod)
                .and_then(|name| nodes.get_mut(name))
                .filter(|_| !going)
            {
                on.pods.push(pod);
            }
        }
        Self {
            set: &observed.set,
            template: &observed.template,
            hash,
            own,
            nodes,
        }
    }

    fn is_updated(&self, pod: &Seen<Pod>) -> bool {
        pod.object.label(REVISION_LABEL) == Some(self.hash)
    }

    fn is_available(&self, pod: &Seen<Pod>, now: Timestamp) -> bool {
        pod.is_available(self.set.view.spec.min_ready_seconds, now)
    }

    /// How many nodes should have a pod.
    fn desired(&self) -> i32 {
        let desired = self.nodes.values().filter(|on| on.fit.run).count();
        i32::try_from(desired).unwrap_or(i32::MAX)
    }

    /// maxSurge and maxUnavailable as numbers; both 0 become one unavailable.
    fn limits(&self) -> (i32, i32) {
        let strategy = &self.set.view.spec.update_strategy;
        let Some(rolling) = strategy
            .rolling_update
            .as_ref()
            .filter(|_| strategy.r#type == "RollingUpdate")
        else {
            return (0, 1);
        };
        let share = |n: &Option<crate::views::IntOrPercent>, default| {
            n.as_ref().map_or(default, |n| n.of(self.desired(), true))
        };
        match (share(&rolling.max_surge, 0), share(&rolling.max_unavailable, 1)) {
            (0, 0) => (0, 1),
            limits => limits,
        }
    }
}

/// The node that a pod is on or is meant for.
fn target(pod: &Seen<Pod>) -> Option<&str> {
    let spec = &pod.view.spec;
    if !spec.node_name.is_empty() {
        return Some(&spec.node_name);
    }
    let affinity = spec.affinity.as_ref()?.node_affinity.as_ref()?;
    let required = affinity
        .required_during_scheduling_ignored_during_execution
        .as_ref()?;
    let fields = required
        .node_selector_terms
        .iter()
        .flat_map(|term| &term.match_fields);
    let names = fields.filter(|f| f.key == "metadata.name" && f.operator == "In");
    names.flat_map(|f| f.values.first()).next().map(String::as_str)
}

/// What is to be done to pods.
#[derive(Default)]
struct Work<'a> {
    delete: Vec<&'a Seen<Pod>>,
    create: Vec<&'a str>,
}

impl Work<'_> {
    fn is_nothing(&self) -> bool {
        self.delete.is_empty() && self.create.is_empty()
    }

    /// As upstream, at most 250 of each at once.
    fn carry_out(self, plan: &mut Plan, look: &Look<'_>) {
        const BURST: usize = 250;
        let owner = &look.set.object;
        for node in self.create.into_iter().take(BURST) {
            let mut pod = NewPod::of(owner, look.template);
            pod.metadata
                .labels
                .insert(REVISION_LABEL.to_owned(), look.hash.to_owned());
            let annotations = &look.set.view.metadata.annotations;
            if let Some(generation) = annotations.get("deprecated.daemonset.template.generation") {
                let label = "pod-template-generation".to_owned();
                pod.metadata.labels.insert(label, generation.clone());
            }
            pod.spec = spec_for(&look.template.spec, node);
            pod.create(plan, owner);
        }
        for pod in self.delete.into_iter().take(BURST) {
            pods::delete(plan, owner, &pod.object);
        }
    }
}

/// The template's spec for a pod on `node`: the scheduler may put it nowhere else, and the taints that come and go with
/// a node's health do not keep it off.
fn spec_for(spec: &RawValue, node: &str) -> Box<RawValue> {
    let mut spec = Fields::of(spec);
    let mut affinity: Fields = spec.get("affinity");
    let mut node_affinity: Fields = affinity.get("nodeAffinity");
    let (mut required, mut term) = (Fields::default(), Fields::default());
    let name = MatchExpression {
        key: "metadata.name".to_owned(),
        operator: "In".to_owned(),
        values: vec![node.to_owned()],
    };
    term.set("matchFields", &[name]);
    required.set("nodeSelectorTerms", &[term]);
    node_affinity.set("requiredDuringSchedulingIgnoredDuringExecution", &required);
    affinity.set("nodeAffinity", &node_affinity);
    spec.set("affinity", &affinity);
    let mut tolerations: Vec<Fields> = spec.get("tolerations");
    let host_network: bool = spec.get("hostNetwork");
    for (key, effect) in fit::tolerated(host_network) {
        let is_there = |t: &Fields| {
            t.get::<String>("key") == key
                && t.get::<String>("effect") == effect
                && t.get::<String>("operator") == "Exists"
        };
        if !tolerations.iter().any(is_there) {
            let mut toleration = Fields::default();
            toleration.set("key", &key);
            toleration.set("operator", &"Exists");
            toleration.set("effect", &effect);
            tolerations.push(toleration);
        }
    }
    spec.set("tolerations", &tolerations);
    spec.text()
}

fn pod_keys(change: &Change, caches: &Caches) -> Vec<Key> {
    let pod = change.object();
    let mut keys = owner_key(change, "DaemonSet");
    if pod.controller().is_none() {
        for set in caches.all(&DAEMON_SETS).in_namespace(pod.namespace()) {
            let selector = see::<DaemonSet>(set.clone()).and_then(|s| s.view.spec.selector.selector().ok());
            if selector.is_some_and(|s| s.matches(|key| pod.label(key))) {
                keys.push(set.key());
            }
        }
    }
    keys
}

/// A node concerns all sets, unless nothing changed that decides who may stand on it.
fn node_keys(change: &Change, caches: &Caches) -> Vec<Key> {
    if let Change::Applied { old: Some(old), new } = change
        && old.labels().eq(new.labels())
        && matches!((old.view::<Node>(), new.view::<Node>()), (Ok(old), Ok(new)) if old == new)
    {
        return Vec::new();
    }
    let sets = caches.all(&DAEMON_SETS).all();
    sets.iter().map(|set| set.key()).collect()
}
