//! Claiming: adopt what matches and is an orphan, release what no longer matches
//! (upstream `pkg/controller/controller_ref_manager.go`).

use crate::views::{PODS, Seen, controller_ref};
use api::{Gvr, LabelSelector, Object, Owner};
use client::{Cache, Patch};
use reconcile::Plan;
use serde::Serialize;
use std::sync::Arc;

/// Whether `child` is or could become a child of `owner`.
pub(crate) fn concerns(child: &Object, owner: &Object, selector: &LabelSelector) -> bool {
    match child.controller() {
        Some(controller) => controller.uid == owner.uid(),
        None => child.deletion_timestamp().is_none() && selector.matches(|key| child.label(key)),
    }
}

/// What is or could become a child of `owner`, out of a cache of children.
pub(crate) fn children(cache: &Cache, owner: &Object, selector: &LabelSelector) -> Vec<Arc<Object>> {
    let orphans = cache.orphans_in(owner.namespace()).into_iter();
    let mut children: Vec<_> = orphans
        .filter(|orphan| concerns(orphan, owner, selector))
        .collect();
    children.extend(cache.owned_by(owner.uid()));
    children
}

/// Pods: plans adoptions and releases and returns the pods that are the owner's own by now.
pub(crate) fn claim<'a, T, S: AsRef<Seen<T>>>(
    plan: &mut Plan,
    owner: &Arc<Object>,
    selector: &LabelSelector,
    children: &'a [S],
) -> Vec<&'a Seen<T>> {
    claim_of(&PODS, plan, owner, selector, children)
}

/// The same for pods of which each gets a finalizer when it is adopted.
pub(crate) fn claim_held<'a, T, S: AsRef<Seen<T>>>(
    plan: &mut Plan,
    owner: &Arc<Object>,
    selector: &LabelSelector,
    children: &'a [S],
    finalizer: &'static str,
) -> Vec<&'a Seen<T>> {
    claim_with(&PODS, plan, owner, selector, children, Some(finalizer))
}

/// The same for children of any resource.
pub(crate) fn claim_of<'a, T, S: AsRef<Seen<T>>>(
    gvr: &Gvr,
    plan: &mut Plan,
    owner: &Arc<Object>,
    selector: &LabelSelector,
    children: &'a [S],
) -> Vec<&'a Seen<T>> {
    claim_with(gvr, plan, owner, selector, children, None)
}

fn claim_with<'a, T, S: AsRef<Seen<T>>>(
    gvr: &Gvr,
    plan: &mut Plan,
    owner: &Arc<Object>,
    selector: &LabelSelector,
    children: &'a [S],
    finalizer: Option<&'static str>,
) -> Vec<&'a Seen<T>> {
    let mut own = Vec::new();
    for child in children.iter().map(AsRef::as_ref) {
        let matches = selector.matches(|key| child.object.label(key));
        match (child.object.controller().is_some(), matches) {
            (true, true) => own.push(child),
            (true, false) if owner.deletion_timestamp().is_none() => release(gvr, plan, owner, &child.object),
            (false, true) if owner.deletion_timestamp().is_none() => {
                adopt(gvr, plan, owner, &child.object, finalizer);
                own.push(child);
            }
            _ => {}
        }
    }
    own
}

#[derive(Serialize)]
struct Adoption {
    metadata: AdoptionMeta,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AdoptionMeta {
    uid: String,
    owner_references: Vec<Owner>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    finalizers: Vec<&'static str>,
}

fn adopt(gvr: &Gvr, plan: &mut Plan, owner: &Object, child: &Object, finalizer: Option<&'static str>) {
    let metadata = AdoptionMeta {
        uid: child.uid().to_owned(),
        owner_references: vec![controller_ref(owner)],
        finalizers: finalizer.into_iter().collect(),
    };
    plan.patch(
        "adopt",
        gvr,
        &child.key(),
        "",
        Patch::Strategic,
        &Adoption { metadata },
    );
}

#[derive(Serialize)]
struct Release {
    metadata: ReleaseMeta,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReleaseMeta {
    uid: String,
    owner_references: [ReleaseOwner; 1],
}

#[derive(Serialize)]
struct ReleaseOwner {
    #[serde(rename = "$patch")]
    patch: &'static str,
    uid: String,
}

fn release(gvr: &Gvr, plan: &mut Plan, owner: &Object, child: &Object) {
    let gone = ReleaseOwner {
        patch: "delete",
        uid: owner.uid().to_owned(),
    };
    let metadata = ReleaseMeta {
        uid: child.uid().to_owned(),
        owner_references: [gone],
    };
    plan.patch(
        "release",
        gvr,
        &child.key(),
        "",
        Patch::Strategic,
        &Release { metadata },
    );
}
