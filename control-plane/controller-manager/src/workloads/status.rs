//! Writing a status.

use api::{Gvr, Object};
use client::Patch;
use reconcile::Plan;
use serde::Serialize;

#[derive(Serialize)]
struct UidMeta<'a> {
    uid: &'a str,
}

#[derive(Serialize)]
struct StatusPatch<'a, T> {
    metadata: UidMeta<'a>,
    status: &'a T,
}

/// Writes `new` if it is not what the object has.
pub(crate) fn write<T: PartialEq + Serialize>(plan: &mut Plan, gvr: &Gvr, object: &Object, old: &T, new: &T) {
    if new == old {
        return;
    }
    let patch = StatusPatch {
        metadata: UidMeta { uid: object.uid() },
        status: new,
    };
    plan.patch("status", gvr, &object.key(), "status", Patch::Merge, &patch);
}
