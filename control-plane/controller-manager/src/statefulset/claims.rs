//! The claims of an ordinal's volumes, which outlive its pods unless the set says otherwise.

use super::{Look, identity};
use crate::{
    views::{Meta, Pod, Seen, controller_ref},
    workloads::views::{CLAIMS, ClaimTemplate},
};
use api::{Object, Owner};
use client::Patch;
use reconcile::{About, Note, Plan};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;

pub(super) const CREATE: &str = "create-claim";

/// Of a claim only its metadata matters.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Claim {}

/// The name of a claim.
pub(super) fn name(template: &ClaimTemplate, set: &str, ordinal: i64) -> String {
    format!("{}-{set}-{ordinal}", template.metadata.name)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct NewClaim<'a> {
    api_version: &'static str,
    kind: &'static str,
    metadata: Meta,
    spec: &'a RawValue,
}

fn find<'a>(look: &Look<'a>, name: &str) -> Option<&'a Arc<Seen<Claim>>> {
    look.claims.iter().find(|claim| claim.object.name() == name)
}

/// Whether a claim of the ordinal is still going the way of a pod that is gone.
pub(super) fn is_stale(look: &Look<'_>, ordinal: i64) -> bool {
    let pod = format!("{}-{ordinal}", look.set.object.name());
    of(look, ordinal).any(|claim| {
        let mut owners = claim.object.owners().iter();
        claim.object.deletion_timestamp().is_some()
            || owners.any(|owner| owner.kind == "Pod" && owner.name == pod)
    })
}

/// The claims that an ordinal has.
fn of<'a>(look: &Look<'a>, ordinal: i64) -> impl Iterator<Item = &'a Arc<Seen<Claim>>> {
    let templates = look.set.view.spec.volume_claim_templates.iter();
    templates.filter_map(move |template| find(look, &name(template, look.set.object.name(), ordinal)))
}

/// Creates the claims that an ordinal does not have.
pub(super) fn create_missing(plan: &mut Plan, look: &Look<'_>, ordinal: i64) {
    let set = &look.set.object;
    let spec = &look.set.view.spec;
    for template in &spec.volume_claim_templates {
        let name = name(template, set.name(), ordinal);
        if find(look, &name).is_some() {
            continue;
        }
        let mut labels = template.metadata.labels.clone();
        labels.extend(spec.selector.match_labels.clone());
        let claim = NewClaim {
            api_version: "v1",
            kind: "PersistentVolumeClaim",
            metadata: Meta {
                name: name.clone(),
                namespace: set.namespace().to_owned(),
                labels,
                annotations: template.metadata.annotations.clone(),
                owner_references: wanted_owners(look, &[], ordinal, None),
                ..Meta::default()
            },
            spec: &template.spec,
        };
        plan.create(CREATE, &CLAIMS, set.namespace(), &claim);
        let about = About::object(set);
        let (pod, set) = (format!("{}-{ordinal}", set.name()), set.name());
        let done = format!("create Claim {name} Pod {pod} in StatefulSet {set} success");
        let failed =
            format!("create Claim {name} for Pod {pod} in StatefulSet {set} failed error: {{error}}");
        plan.noting(
            Some(Note::normal(about.clone(), "SuccessfulCreate", done)),
            Some(Note::warning(about, "FailedCreate", failed)),
        );
    }
}

/// The owners that a claim should have by the set's retention policy: the set if claims go with it, the pod if it was
/// scaled away and claims go with that.
fn wanted_owners(look: &Look<'_>, old: &[Owner], ordinal: i64, pod: Option<&Object>) -> Vec<Owner> {
    let policy = &look.set.view.spec.persistent_volume_claim_retention_policy;
    let scaled_down = !identity::range(&look.set.view.spec).contains(&ordinal);
    let with_pod = policy.when_scaled == "Delete" && scaled_down;
    let with_set = policy.when_deleted == "Delete" && !with_pod;
    let set = &look.set.object;
    let pod_name = format!("{}-{ordinal}", set.name());
    let own = |owner: &Owner| owner.uid == set.uid() || owner.kind == "Pod" && owner.name == pod_name;
    let mut owners: Vec<Owner> = old.iter().filter(|owner| !own(owner)).cloned().collect();
    if with_set {
        owners.push(controller_ref(set));
    } else if with_pod && let Some(pod) = pod {
        owners.push(controller_ref(pod));
    }
    owners
}

#[derive(Serialize)]
struct OwnerPatch {
    metadata: OwnerMeta,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OwnerMeta {
    uid: String,
    resource_version: String,
    owner_references: Vec<Owner>,
}

/// Gives the claims of a pod the owners that they should have.
pub(super) fn match_retention(plan: &mut Plan, look: &Look<'_>, ordinal: i64, pod: &Seen<Pod>) {
    for claim in of(look, ordinal) {
        let old = claim.object.owners();
        let wanted = wanted_owners(look, old, ordinal, Some(&pod.object));
        let uids = |owners: &[Owner]| {
            let mut uids: Vec<String> = owners.iter().map(|owner| owner.uid.clone()).collect();
            uids.sort();
            uids
        };
        if uids(old) == uids(&wanted) {
            continue;
        }
        let patch = OwnerPatch {
            metadata: OwnerMeta {
                uid: claim.object.uid().to_owned(),
                resource_version: claim.object.resource_version().to_string(),
                owner_references: wanted,
            },
        };
        plan.patch(
            "own-claim",
            &CLAIMS,
            &claim.object.key(),
            "",
            Patch::Merge,
            &patch,
        );
    }
}
