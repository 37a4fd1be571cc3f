//! The ReplicaSets of a Deployment: which is new, which are old, their revisions.

use crate::{
    views::{Deployment, Meta, REPLICA_SETS, ReplicaSet, ReplicaSetSpec, Seen, Template, controller_ref},
    workloads::hash::hash,
};
use client::Patch;
use reconcile::{About, LastOutcome, Note, Outcome, Plan};
use serde::Serialize;
use std::collections::BTreeMap;

pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";
pub(super) const HISTORY: &str = "deployment.kubernetes.io/revision-history";
pub(super) const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
pub(super) const MAX: &str = "deployment.kubernetes.io/max-replicas";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
const HASH: &str = "pod-template-hash";

/// The ReplicaSets of a Deployment.
pub(super) struct Sets<'a> {
    /// The one of the current template.
    pub new: Option<&'a Seen<ReplicaSet>>,
    /// The others, oldest first.
    pub old: Vec<&'a Seen<ReplicaSet>>,
}

impl<'a> Sets<'a> {
    /// Sorts sets into new and old. Of several with the current template the oldest is the new one, as upstream.
    pub fn sort(deployment: &Deployment, mut sets: Vec<&'a Seen<ReplicaSet>>) -> Self {
        sets.sort_by_key(|s| (s.object.creation_timestamp(), s.object.name().to_owned()));
        let new = sets
            .iter()
            .find(|s| s.view.spec.template.same(&deployment.spec.template))
            .copied();
        sets.retain(|s| new.is_none_or(|n| n.object.uid() != s.object.uid()));
        Self { new, old: sets }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &'a Seen<ReplicaSet>> + '_ {
        self.old.iter().copied().chain(self.new)
    }

    /// Those that want pods.
    pub fn active(&self) -> Vec<&'a Seen<ReplicaSet>> {
        self.all().filter(|s| s.view.spec.replicas > 0).collect()
    }

    /// Wished replicas of all.
    pub fn total(&self) -> i32 {
        self.all().map(|s| s.view.spec.replicas).sum()
    }

    fn newest_old_revision(&self) -> i64 {
        self.old
            .iter()
            .map(|s| revision(&s.view.metadata))
            .max()
            .unwrap_or(0)
    }
}

/// The revision an object is annotated with; 0 for none.
pub(super) fn revision(meta: &Meta) -> i64 {
    meta.annotations
        .get(REVISION)
        .and_then(|r| r.parse().ok())
        .unwrap_or(0)
}

/// Whether the wished number changed since the sets were last scaled.
pub(super) fn is_scaling_event(deployment: &Deployment, sets: &Sets<'_>) -> bool {
    sets.active().iter().any(|set| {
        let desired = set
            .view
            .metadata
            .annotations
            .get(DESIRED)
            .and_then(|d| d.parse::<i32>().ok());
        desired.is_some_and(|d| d != deployment.spec.replicas)
    })
}

/// maxSurge and maxUnavailable as numbers; both 0 become one unavailable, as upstream.
pub(super) fn fenceposts(deployment: &Deployment) -> (i32, i32) {
    if deployment.spec.strategy.r#type == "Recreate" {
        return (0, 0);
    }
    let rolling = deployment
        .spec
        .strategy
        .rolling_update
        .clone()
        .unwrap_or_default();
    let surge = rolling.max_surge.of(deployment.spec.replicas, true);
    let unavailable = rolling
        .max_unavailable
        .of(deployment.spec.replicas, false)
        .min(deployment.spec.replicas.max(1));
    if surge == 0 && unavailable == 0 {
        (0, 1)
    } else {
        (surge, unavailable)
    }
}

/// The annotations that tell a later scaling what this one aimed at.
pub(super) fn size_annotations(deployment: &Deployment) -> [(&'static str, String); 2] {
    let (surge, _) = fenceposts(deployment);
    let replicas = deployment.spec.replicas;
    [
        (DESIRED, replicas.to_string()),
        (MAX, replicas.saturating_add(surge).to_string()),
    ]
}

fn copied_annotations(deployment: &Deployment) -> BTreeMap<String, String> {
    let mut annotations = deployment.metadata.annotations.clone();
    for own in [LAST_APPLIED, REVISION, HISTORY, DESIRED, MAX] {
        annotations.remove(own);
    }
    annotations
}

/// The hash of a template that labels and names its set.
pub(super) fn template_hash(template: &Template, collisions: i32) -> String {
    let meta = serde_json::to_string(&template.metadata).unwrap_or_default();
    hash([meta.as_str(), template.spec.get()], collisions)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewSet {
    api_version: &'static str,
    kind: &'static str,
    metadata: Meta,
    spec: ReplicaSetSpec,
}

/// How often a set's name was taken already. A name that is taken by the very set that was wanted does not count.
pub(super) fn collisions(deployment: &Deployment, sets: &Sets<'_>, last: &LastOutcome) -> i32 {
    let taken = sets.new.is_none()
        && last
            .refused("create-set")
            .is_some_and(api::Status::is_already_exists);
    deployment.status.collision_count.unwrap_or(0) + i32::from(taken)
}

/// Creates the set of the current template.
pub(super) fn create_new(
    plan: &mut Plan,
    deployment: &Seen<Deployment>,
    sets: &Sets<'_>,
    replicas: i32,
    last: &LastOutcome,
) {
    let spec = &deployment.view.spec;
    let hash = template_hash(&spec.template, collisions(&deployment.view, sets, last));
    let mut template = spec.template.clone();
    template.metadata.labels.insert(HASH.to_owned(), hash.clone());
    let mut selector = spec.selector.clone();
    selector.match_labels.insert(HASH.to_owned(), hash.clone());
    let mut annotations = copied_annotations(&deployment.view);
    annotations.extend(size_annotations(&deployment.view).map(|(k, v)| (k.to_owned(), v)));
    let revision = (sets.newest_old_revision() + 1).to_string();
    annotations.insert(REVISION.to_owned(), revision.clone());
    let name = format!("{}-{hash}", deployment.object.name());
    let set = NewSet {
        api_version: "apps/v1",
        kind: "ReplicaSet",
        metadata: Meta {
            name: name.clone(),
            namespace: deployment.object.namespace().to_owned(),
            labels: template.metadata.labels.clone(),
            annotations,
            owner_references: vec![controller_ref(&deployment.object)],
            ..Meta::default()
        },
        spec: ReplicaSetSpec {
            replicas,
            min_ready_seconds: spec.min_ready_seconds,
            selector,
            template,
        },
    };
    plan.create("create-set", &REPLICA_SETS, deployment.object.namespace(), &set);
    let about = About::object(&deployment.object);
    let message = format!("Scaled up replica set {name} from 0 to {replicas}");
    let done = (replicas > 0).then(|| Note::normal(about.clone(), "ScalingReplicaSet", message));
    let refused = format!("Failed to create new replica set {name:?}: {{error}}");
    plan.noting(done, Some(Note::warning(about, "ReplicaSetCreateError", refused)));
    tell_revision(plan, deployment, &revision);
}

#[derive(Serialize)]
struct AnnotationPatch {
    metadata: AnnotationMeta,
}

#[derive(Serialize)]
struct AnnotationMeta {
    uid: String,
    annotations: BTreeMap<String, String>,
}

fn tell_revision(plan: &mut Plan, deployment: &Seen<Deployment>, revision: &str) {
    if deployment
        .view
        .metadata
        .annotations
        .get(REVISION)
        .is_some_and(|r| r == revision)
    {
        return;
    }
    let annotations = BTreeMap::from([(REVISION.to_owned(), revision.to_owned())]);
    let metadata = AnnotationMeta {
        uid: deployment.object.uid().to_owned(),
        annotations,
    };
    let key = deployment.object.key();
    plan.patch(
        "revision",
        &crate::views::DEPLOYMENTS,
        &key,
        // As upstream by way of the status, so that it makes no generation.
        "status",
        Patch::Merge,
        &AnnotationPatch { metadata },
    );
}

/// Gives the new set the newest revision (a rollback makes an old set new again) and the Deployment the same.
pub(super) fn mark_revision(
    plan: &mut Plan,
    deployment: &Seen<Deployment>,
    new: &Seen<ReplicaSet>,
    sets: &Sets<'_>,
) {
    let newest = sets.newest_old_revision() + 1;
    let current = revision(&new.view.metadata);
    let wanted = current.max(newest);
    let mut changes = BTreeMap::new();
    if wanted != current {
        changes.insert(REVISION.to_owned(), wanted.to_string());
        if current > 0 {
            let history = new
                .view
                .metadata
                .annotations
                .get(HISTORY)
                .filter(|h| !h.is_empty());
            let history = history.map_or(current.to_string(), |h| format!("{h},{current}"));
            changes.insert(HISTORY.to_owned(), history);
        }
    }
    for (key, value) in copied_annotations(&deployment.view) {
        if new.view.metadata.annotations.get(&key) != Some(&value) {
            changes.insert(key, value);
        }
    }
    if !changes.is_empty() {
        let metadata = AnnotationMeta {
            uid: new.object.uid().to_owned(),
            annotations: changes,
        };
        plan.patch(
            "revision",
            &REPLICA_SETS,
            &new.object.key(),
            "",
            Patch::Merge,
            &AnnotationPatch { metadata },
        );
    }
    tell_revision(plan, deployment, &wanted.to_string());
}

/// Whether every wished pod is of the new template, available, and no old one is left.
pub(super) fn is_complete(deployment: &Deployment, sets: &Sets<'_>) -> bool {
    let wished = deployment.spec.replicas;
    let (mut total, mut available) = (0, 0);
    for set in sets.all() {
        total += set.view.status.replicas;
        available += set.view.status.available_replicas;
    }
    let updated = sets.new.map_or(0, |n| n.view.status.replicas);
    updated == wished && total == wished && available == wished
}

/// Deletes old, empty sets beyond the history limit.
pub(super) fn clean_up(plan: &mut Plan, deployment: &Deployment, sets: &Sets<'_>) {
    let Some(limit) = deployment.spec.revision_history_limit else {
        return;
    };
    if !is_complete(deployment, sets) {
        return;
    }
    let alive = |s: &&&Seen<ReplicaSet>| s.object.deletion_timestamp().is_none();
    let mut old: Vec<_> = sets.old.iter().filter(alive).collect();
    old.sort_by_key(|s| revision(&s.view.metadata));
    let excess = old.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
    let empty = |s: &Seen<ReplicaSet>| {
        s.view.status.replicas == 0
            && s.view.spec.replicas == 0
            && s.object.generation() <= s.view.status.observed_generation
    };
    for set in old.into_iter().take(excess).filter(|s| empty(s)) {
        plan.delete("delete-set", &REPLICA_SETS, &set.object);
    }
}

/// The words of the last refusal to create a set that is not a taken name.
pub(super) fn creation_failure(last: &LastOutcome) -> Option<String> {
    last.0.iter().find_map(|(label, outcome)| match outcome {
        Outcome::Refused(status) if *label == "create-set" && !status.is_already_exists() => {
            Some(status.message.clone())
        }
        _ => None,
    })
}
