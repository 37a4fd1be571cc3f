//! StatefulSet: pods with names that stay (upstream `pkg/controller/statefulset`).

mod claims;
mod identity;
mod order;
mod replicas;
mod status;
mod update;

use crate::{
    claim,
    memo::Memo,
    views::{PODS, Pod, Seen, Template, see},
    workloads::{
        pods,
        revisions::{HASH_LABEL, History, Owner, REVISION_LABEL, Revision},
        views::{CLAIMS, CONTROLLER_REVISIONS, STATEFUL_SETS, StatefulSet},
    },
};
use api::{Gvr, Key};
use claims::Claim;
use client::{Caches, Change};
use jiff::Timestamp;
use reconcile::{Controller, LastOutcome, Plan, Watch, own_key, owner_key};
use std::sync::Arc;

/// The StatefulSet controller.
#[derive(Debug, Default)]
pub struct StatefulSetController {
    pods: Memo<Pod>,
    claims: Memo<Claim>,
}

/// A StatefulSet, its revisions, pods and claims.
#[derive(Debug)]
pub struct Observed {
    set: Seen<StatefulSet>,
    revisions: Vec<Revision>,
    pods: Vec<Arc<Seen<Pod>>>,
    claims: Vec<Arc<Seen<Claim>>>,
}

impl Controller for StatefulSetController {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        "statefulset-controller"
    }

    fn primary(&self) -> Gvr {
        STATEFUL_SETS
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::all(STATEFUL_SETS, own_key),
            Watch::all(CONTROLLER_REVISIONS, |change, _| owner_key(change, "StatefulSet")),
            Watch::all(PODS, pod_keys),
            Watch::all(CLAIMS, claim_keys),
        ]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Observed> {
        let set: Seen<StatefulSet> = see(caches.all(&STATEFUL_SETS).get(key)?)?;
        let selector = set.view.spec.selector.selector().ok()?;
        let revisions = claim::children(&caches.all(&CONTROLLER_REVISIONS), &set.object, &selector);
        let pods = claim::children(&caches.all(&PODS), &set.object, &selector).into_iter();
        let pods = pods.filter(|pod| identity::ordinal(&key.name, pod.name()).is_some());
        let pods: Vec<_> = pods.filter_map(|pod| self.pods.see(pod)).collect();
        let cache = caches.all(&CLAIMS);
        let spec = &set.view.spec;
        let there = pods
            .iter()
            .filter_map(|pod| identity::ordinal(&key.name, pod.object.name()));
        let mut ordinals: Vec<i64> = there.chain(identity::range(spec)).collect();
        ordinals.sort_unstable();
        ordinals.dedup();
        let names = ordinals.iter().flat_map(|ordinal| {
            let templates = spec.volume_claim_templates.iter();
            templates.map(|template| claims::name(template, &key.name, *ordinal))
        });
        let claims = names.filter_map(|name| cache.get(&Key::new(&key.namespace, name)));
        Some(Observed {
            revisions: revisions.into_iter().filter_map(see).collect(),
            claims: claims.filter_map(|claim| self.claims.see(claim)).collect(),
            pods,
            set,
        })
    }

    fn reconcile(&self, observed: &Observed, last: &LastOutcome, now: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let set = &observed.set;
        let Ok(selector) = set.view.spec.selector.selector() else {
            return plan;
        };
        let own = claim::claim(&mut plan, &set.object, &selector, &observed.pods);
        let owner = Owner {
            object: &set.object,
            selector: &selector,
            template: &set.view.spec.template,
            label: HASH_LABEL,
            resource: &STATEFUL_SETS,
            collisions: set.view.status.collision_count.unwrap_or(0),
        };
        let history = History::take(&mut plan, &owner, &observed.revisions, last);
        let Some(look) = Look::new(observed, &history, own, now) else {
            return plan;
        };
        // A refusal ends a plan: after one, the status is told first.
        let refused = [pods::CREATE, pods::DELETE, claims::CREATE];
        let refused = refused.iter().any(|label| last.refused(label).is_some());
        if refused {
            status::write(&mut plan, &look, history.collisions);
        }
        if set.object.deletion_timestamp().is_none() {
            order::act(&mut plan, &look);
        }
        let in_use = |revision: &Revision| {
            let name = revision.object.name();
            let of_pods = look
                .own
                .iter()
                .any(|pod| pod.object.label(REVISION_LABEL) == Some(name));
            of_pods || name == look.current.name || name == look.update.name
        };
        history.clean_up(&mut plan, set.view.spec.revision_history_limit, in_use);
        if !refused {
            status::write(&mut plan, &look, history.collisions);
        }
        plan
    }
}

/// A revision by name, with its template.
struct Version<'a> {
    name: &'a str,
    template: Template,
}

/// What a look at a StatefulSet sees.
struct Look<'a> {
    set: &'a Seen<StatefulSet>,
    current: Version<'a>,
    update: Version<'a>,
    /// All pods of the set.
    own: Vec<&'a Seen<Pod>>,
    /// By index: the pods that should be, as far as they are.
    replicas: Vec<(i64, Option<&'a Seen<Pod>>)>,
    /// Pods out of range, the highest ordinal first.
    condemned: Vec<(i64, &'a Seen<Pod>)>,
    claims: &'a [Arc<Seen<Claim>>],
    now: Timestamp,
}

impl<'a> Look<'a> {
    /// None until the revision of the present template is there.
    fn new(
        observed: &'a Observed,
        history: &History<'a>,
        own: Vec<&'a Seen<Pod>>,
        now: Timestamp,
    ) -> Option<Self> {
        let set = &observed.set;
        let version = |revision: &'a Revision| {
            Some(Version {
                name: revision.object.name(),
                template: revision.template()?,
            })
        };
        let update = history.update?;
        let current = &set.view.status.current_revision;
        let current = history.all.iter().find(|r| r.object.name() == current);
        let name = set.object.name();
        let by_ordinal = |ordinal: i64| {
            let mut pods = own.iter().copied();
            pods.find(|pod| identity::ordinal(name, pod.object.name()) == Some(ordinal))
        };
        let range = identity::range(&set.view.spec);
        let replicas = range
            .clone()
            .map(|ordinal| (ordinal, by_ordinal(ordinal)))
            .collect();
        let with_ordinal = own
            .iter()
            .filter_map(|pod| Some((identity::ordinal(name, pod.object.name())?, *pod)));
        let mut condemned: Vec<_> = with_ordinal
            .filter(|(ordinal, _)| !range.contains(ordinal))
            .collect();
        condemned.sort_by_key(|(ordinal, _)| std::cmp::Reverse(*ordinal));
        Some(Self {
            set,
            current: version(current.copied().unwrap_or(update))?,
            update: version(update)?,
            replicas,
            condemned,
            own,
            claims: &observed.claims,
            now,
        })
    }

    /// Whether pods come and go one after the other.
    fn is_ordered(&self) -> bool {
        self.set.view.spec.pod_management_policy != "Parallel"
    }

    fn is_available(&self, pod: &Seen<Pod>) -> bool {
        let min_ready = self.set.view.spec.min_ready_seconds;
        is_running(pod) && !is_going(pod) && pod.is_available(min_ready, self.now)
    }
}

fn is_going(pod: &Seen<Pod>) -> bool {
    pod.object.deletion_timestamp().is_some()
}

fn is_running(pod: &Seen<Pod>) -> bool {
    pod.view.status.phase == "Running" && pod.is_ready()
}

fn pod_keys(change: &Change, caches: &Caches) -> Vec<Key> {
    let pod = change.object();
    let mut keys = owner_key(change, "StatefulSet");
    if pod.controller().is_none() {
        let parent = identity::parent(pod.name()).map(|name| Key::new(pod.namespace(), name));
        let there = parent.filter(|key| caches.all(&STATEFUL_SETS).get(key).is_some());
        keys.extend(there);
    }
    keys
}

/// A claim that goes with its pod lets the next pod of that name come.
fn claim_keys(change: &Change, _: &Caches) -> Vec<Key> {
    let Change::Deleted { old } = change else {
        return Vec::new();
    };
    let pods = old.owners().iter().filter(|owner| owner.kind == "Pod");
    let parents = pods.filter_map(|owner| identity::parent(&owner.name));
    parents.map(|name| Key::new(old.namespace(), name)).collect()
}
