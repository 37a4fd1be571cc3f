//! Writing a status.

use api::{Gvr, Object};
use client::Patch;
use reconcile::Plan;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PatchMeta<'a> {
    uid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_version: Option<String>,
}

#[derive(Serialize)]
struct StatusPatch<'a, T> {
    metadata: PatchMeta<'a>,
    status: &'a T,
}

/// Writes `new` if it is not what the object has.
pub(crate) fn write<T: PartialEq + Serialize>(plan: &mut Plan, gvr: &Gvr, object: &Object, old: &T, new: &T) {
    patch(plan, gvr, object, None, (old, new));
}

/// The same for a status that is counted on from what it was: refused if the object has changed since.
pub(crate) fn write_on<T: PartialEq + Serialize>(
    plan: &mut Plan,
    gvr: &Gvr,
    object: &Object,
    old: &T,
    new: &T,
) {
    let version = object.resource_version().to_string();
    patch(plan, gvr, object, Some(version), (old, new));
}

fn patch<T: PartialEq + Serialize>(
    plan: &mut Plan,
    gvr: &Gvr,
    object: &Object,
    resource_version: Option<String>,
    (old, new): (&T, &T),
) {
    if new == old {
        return;
    }
    let patch = StatusPatch {
        metadata: PatchMeta {
            uid: object.uid(),
            resource_version,
        },
        status: new,
    };
    plan.patch("status", gvr, &object.key(), "status", Patch::Merge, &patch);
}
