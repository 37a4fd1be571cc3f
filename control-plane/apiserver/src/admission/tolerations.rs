//! Lists of tolerations, put together (upstream `pkg/util/tolerations`).

use api::Toleration;

/// Both lists, without what others cover.
pub(super) fn merged(first: &[Toleration], second: &[Toleration]) -> Vec<Toleration> {
    let all: Vec<&Toleration> = first.iter().chain(second).collect();
    let mut merged: Vec<Toleration> = Vec::new();
    for (at, one) in all.iter().enumerate() {
        let known = merged.iter().any(|other| covers(other, one));
        let later = all[at + 1..]
            .iter()
            .any(|other| other != one && covers(other, one));
        if !known && !later {
            merged.push((*one).clone());
        }
    }
    merged
}

/// Whether each is covered by one that is allowed; all are if none is named.
pub(super) fn are_allowed(tolerations: &[Toleration], allowed: &[Toleration]) -> bool {
    let fine = |one: &Toleration| allowed.iter().any(|other| covers(other, one));
    allowed.is_empty() || tolerations.iter().all(fine)
}

/// Whether `wide` tolerates all that `one` does.
fn covers(wide: &Toleration, one: &Toleration) -> bool {
    let every_key = wide.key.is_empty() && wide.operator == "Exists";
    let long = wide.effect != "NoExecute"
        || wide
            .toleration_seconds
            .is_none_or(|most| one.toleration_seconds.is_some_and(|seconds| seconds <= most));
    wide == one
        || ((wide.key == one.key || every_key)
            && (wide.effect.is_empty() || wide.effect == one.effect)
            && long
            && (wide.operator == "Exists" || (one.operator == "Equal" && one.value == wide.value)))
}
