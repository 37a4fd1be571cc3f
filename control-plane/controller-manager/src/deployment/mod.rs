//! Deployment: rolls templates out by ReplicaSets (upstream `pkg/controller/deployment`).

mod progress;
mod rolling;
mod sets;

use crate::{
    claim,
    views::{DEPLOYMENTS, Deployment, PODS, Pod, REPLICA_SETS, ReplicaSet, Seen, see},
};
use api::{Gvr, Key};
use client::{Caches, Change};
use jiff::Timestamp;
use reconcile::{Controller, LastOutcome, Plan, Watch, own_key, owner_key};

/// The Deployment controller.
#[derive(Debug)]
pub struct DeploymentController;

/// A Deployment, the ReplicaSets that are or could be its own, and their pods.
#[derive(Debug)]
pub struct Observed {
    deployment: Seen<Deployment>,
    sets: Vec<Seen<ReplicaSet>>,
    pods: Vec<Seen<Pod>>,
}

impl Controller for DeploymentController {
    type Observed = Observed;

    fn name(&self) -> &'static str {
        "deployment-controller"
    }

    fn primary(&self) -> Gvr {
        DEPLOYMENTS
    }

    fn watches(&self) -> Vec<Watch> {
        vec![
            Watch::all(DEPLOYMENTS, own_key),
            Watch::all(REPLICA_SETS, set_keys),
            Watch::all(PODS, pod_keys),
        ]
    }

    fn observe(&self, caches: &Caches, key: &Key) -> Option<Observed> {
        let deployment: Seen<Deployment> = see(caches.all(&DEPLOYMENTS).get(key)?)?;
        let selector = deployment.view.spec.selector.selector().ok()?;
        let sets = claim::children(&caches.all(&REPLICA_SETS), &deployment.object, &selector);
        let sets: Vec<Seen<ReplicaSet>> = sets.into_iter().filter_map(see).collect();
        // Only a Recreate rollout has to know when the last old pod is gone.
        let recreate = deployment.view.spec.strategy.r#type == "Recreate";
        let pods = caches.all(&PODS);
        let owned = sets.iter().filter(|_| recreate);
        let owned = owned.flat_map(|set| pods.owned_by(set.object.uid()));
        let pods = owned.filter_map(see).collect();
        Some(Observed {
            deployment,
            sets,
            pods,
        })
    }

    fn reconcile(&self, observed: &Observed, last: &LastOutcome, now: Timestamp) -> Plan {
        let mut plan = Plan::nothing();
        let deployment = &observed.deployment;
        let Ok(selector) = deployment.view.spec.selector.selector() else {
            return plan;
        };
        let own = claim::claim_of(
            &REPLICA_SETS,
            &mut plan,
            &deployment.object,
            &selector,
            &observed.sets,
        );
        let sets = sets::Sets::sort(&deployment.view, own);
        if deployment.object.deletion_timestamp().is_some() {
            progress::status(&mut plan, deployment, &sets, last, now);
            return plan;
        }
        let refused = last.refused("create-set").is_some();
        if refused {
            progress::status(&mut plan, deployment, &sets, last, now);
        }
        if deployment.view.spec.paused || sets::is_scaling_event(&deployment.view, &sets) {
            rolling::scale(&mut plan, deployment, &sets);
        } else if deployment.view.spec.strategy.r#type == "Recreate" {
            recreate(&mut plan, observed, &sets, last);
        } else {
            rolling::roll(&mut plan, deployment, &sets, last);
        }
        if plan.writes.is_empty() {
            sets::clean_up(&mut plan, &deployment.view, &sets);
        }
        if !refused {
            progress::status(&mut plan, deployment, &sets, last, now);
        }
        plan
    }
}

/// Recreate: old pods go before new ones come.
fn recreate(plan: &mut Plan, observed: &Observed, sets: &sets::Sets<'_>, last: &LastOutcome) {
    let mut scaled = false;
    for set in &sets.old {
        if set.view.spec.replicas > 0 {
            rolling::scale_set(plan, &observed.deployment, set, 0);
            scaled = true;
        }
    }
    let is_new = |pod: &Seen<Pod>| {
        let owner = pod.object.controller().map(|o| o.uid.as_str());
        sets.new.is_some_and(|new| owner == Some(new.object.uid()))
    };
    if scaled || observed.pods.iter().any(|pod| !pod.is_finished() && !is_new(pod)) {
        return;
    }
    match sets.new {
        None => sets::create_new(
            plan,
            &observed.deployment,
            sets,
            observed.deployment.view.spec.replicas,
            last,
        ),
        Some(new) => {
            sets::mark_revision(plan, &observed.deployment, new, sets);
            if new.view.spec.replicas != observed.deployment.view.spec.replicas {
                rolling::scale_set(
                    plan,
                    &observed.deployment,
                    new,
                    observed.deployment.view.spec.replicas,
                );
            }
        }
    }
}

fn set_keys(change: &Change, caches: &Caches) -> Vec<Key> {
    let set = change.object();
    let mut keys = owner_key(change, "Deployment");
    if set.controller().is_none() {
        for deployment in caches.all(&DEPLOYMENTS).in_namespace(set.namespace()) {
            let selector =
                see::<Deployment>(deployment.clone()).and_then(|d| d.view.spec.selector.selector().ok());
            if selector.is_some_and(|s| s.matches(|key| set.label(key))) {
                keys.push(deployment.key());
            }
        }
    }
    keys
}

/// A pod that goes may let a Recreate rollout go on.
fn pod_keys(change: &Change, caches: &Caches) -> Vec<Key> {
    let Change::Deleted { old } = change else {
        return Vec::new();
    };
    let Some(set) = old.controller().filter(|o| o.kind == "ReplicaSet") else {
        return Vec::new();
    };
    let Some(set) = caches.all(&REPLICA_SETS).by_uid(&set.uid) else {
        return Vec::new();
    };
    set.controller()
        .map(|d| Key::new(set.namespace(), &d.name))
        .into_iter()
        .collect()
}
