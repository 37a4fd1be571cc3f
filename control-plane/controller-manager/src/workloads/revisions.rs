//! The history of a template as ControllerRevisions (upstream `pkg/controller/history`).

use super::{
    fields::{Fields, canonical},
    hash::hash,
    views::{CONTROLLER_REVISIONS, ControllerRevision},
};
use crate::{
    claim,
    views::{Meta, Seen, Template, controller_ref},
};
use api::{Gvr, LabelSelector, Object};
use client::Patch;
use reconcile::{LastOutcome, Plan};
use serde::Serialize;
use serde_json::value::RawValue;
use std::{collections::BTreeMap, sync::Arc};

/// The label of pods that says of which revision they are.
pub(crate) const REVISION_LABEL: &str = "controller-revision-hash";
/// The label of StatefulSets' revisions.
pub(crate) const HASH_LABEL: &str = "controller.kubernetes.io/hash";

const CREATE: &str = "create-revision";

/// A revision as an owner sees it.
pub(crate) type Revision = Seen<ControllerRevision>;

impl Revision {
    /// The template that it holds.
    pub fn template(&self) -> Option<Template> {
        template_of(&self.view.data)
    }
}

fn template_of(data: &RawValue) -> Option<Template> {
    let spec: Fields = Fields::of(data).get("spec");
    spec.get::<Option<Template>>("template")
}

/// The patch that brings a template back: what kubectl and the controllers of upstream apply.
fn patch_of(template: &RawValue) -> Box<RawValue> {
    let mut template = Fields::of(template);
    template.set("$patch", &"replace");
    let (mut spec, mut whole) = (Fields::default(), Fields::default());
    spec.set("template", &template);
    whole.set("spec", &spec);
    whole.text()
}

/// The history of one owner.
pub(crate) struct History<'a> {
    /// Oldest first.
    pub all: Vec<&'a Revision>,
    /// The one of the present template, if it is there and the newest.
    pub update: Option<&'a Revision>,
    /// How often a name was taken.
    pub collisions: i32,
}

/// What a history is of.
pub(crate) struct Owner<'a> {
    pub object: &'a Arc<Object>,
    pub selector: &'a LabelSelector,
    pub template: &'a RawValue,
    /// The label that gets the hash.
    pub label: &'static str,
    /// The owner's resource.
    pub resource: &'a Gvr,
    /// Collisions that are known.
    pub collisions: i32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewRevision<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Meta,
    data: &'a RawValue,
    revision: i64,
}

#[derive(Serialize)]
struct Bump<'a> {
    metadata: UidMeta<'a>,
    revision: i64,
}

#[derive(Serialize)]
struct UidMeta<'a> {
    uid: &'a str,
}

#[derive(Serialize)]
struct CollisionPatch<'a> {
    metadata: UidMeta<'a>,
    status: Collisions,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Collisions {
    collision_count: i32,
}

impl<'a> History<'a> {
    /// Adopts what is the owner's, and makes the present template the newest revision. Until the caches show that,
    /// `update` is none.
    pub fn take(plan: &mut Plan, owner: &Owner<'_>, seen: &'a [Revision], last: &LastOutcome) -> Self {
        let mut all = claim::claim_of(&CONTROLLER_REVISIONS, plan, owner.object, owner.selector, seen);
        all.sort_by_key(|r| {
            (
                r.view.revision,
                r.object.creation_timestamp(),
                r.object.name().to_owned(),
            )
        });
        let data = patch_of(owner.template);
        let wanted = canonical(&data);
        let equal = all.iter().copied().rfind(|r| canonical(&r.view.data) == wanted);
        let newest = all.last().map_or(0, |r| r.view.revision);
        let taken = equal.is_none() && last.refused(CREATE).is_some_and(api::Status::is_already_exists);
        let mut history = Self {
            all,
            update: None,
            collisions: owner.collisions + i32::from(taken),
        };
        match equal {
            Some(equal) if equal.view.revision == newest => history.update = Some(equal),
            Some(equal) => {
                let bump = Bump {
                    metadata: UidMeta {
                        uid: equal.object.uid(),
                    },
                    revision: newest + 1,
                };
                let key = equal.object.key();
                plan.patch(
                    "bump-revision",
                    &CONTROLLER_REVISIONS,
                    &key,
                    "",
                    Patch::Merge,
                    &bump,
                );
            }
            None => history.create(plan, owner, &data, &wanted, newest + 1),
        }
        history
    }

    fn create(&self, plan: &mut Plan, owner: &Owner<'_>, data: &RawValue, text: &str, revision: i64) {
        let hash = hash([text], self.collisions);
        let template = template_of(data);
        let mut labels = template.map(|t| t.metadata.labels).unwrap_or_default();
        labels.insert(owner.label.to_owned(), hash.clone());
        let revision = NewRevision {
            api_version: "apps/v1",
            kind: "ControllerRevision",
            metadata: Meta {
                name: format!("{}-{hash}", owner.object.name()),
                namespace: owner.object.namespace().to_owned(),
                labels,
                annotations: annotations(owner.object),
                owner_references: vec![controller_ref(owner.object)],
                ..Meta::default()
            },
            data,
            revision,
        };
        plan.create(CREATE, &CONTROLLER_REVISIONS, owner.object.namespace(), &revision);
        if self.collisions != owner.collisions {
            let patch = CollisionPatch {
                metadata: UidMeta {
                    uid: owner.object.uid(),
                },
                status: Collisions {
                    collision_count: self.collisions,
                },
            };
            let key = owner.object.key();
            plan.patch("collisions", owner.resource, &key, "status", Patch::Merge, &patch);
        }
    }

    /// Deletes the oldest revisions that nobody uses, but for `limit` of them.
    pub fn clean_up(&self, plan: &mut Plan, limit: Option<i32>, used: impl Fn(&Revision) -> bool) {
        let unused: Vec<&Revision> = self.all.iter().copied().filter(|r| !used(r)).collect();
        let Some(limit) = limit.and_then(|limit| usize::try_from(limit).ok()) else {
            return;
        };
        let excess = unused.len().saturating_sub(limit);
        for revision in unused.into_iter().take(excess) {
            plan.delete("delete-revision", &CONTROLLER_REVISIONS, &revision.object);
        }
    }
}

/// A revision has its owner's annotations, by which `kubectl rollout history` knows the cause of a change.
fn annotations(owner: &Object) -> BTreeMap<String, String> {
    #[derive(serde::Deserialize)]
    struct View {
        metadata: Meta,
    }
    owner
        .view::<View>()
        .map(|view| view.metadata.annotations)
        .unwrap_or_default()
}
