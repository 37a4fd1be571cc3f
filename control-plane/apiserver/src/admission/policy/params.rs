//! The objects that a binding names as the parameters of its policy.

use super::view::{ParamKind, ParamRef};
use crate::Reader;
use api::Object;
use serde_json::Value as Json;
use std::sync::Arc;

/// The parameters of a binding: none for a policy or a binding without, else each object that there is.
///
/// # Errors
/// In words, what is wrong with the binding, or that there are none.
pub(super) fn collect(
    kind: Option<&ParamKind>,
    wanted: Option<&ParamRef>,
    namespace: &str,
    reader: &Reader,
) -> Result<Vec<Option<Json>>, String> {
    let (Some(kind), Some(wanted)) = (kind, wanted) else {
        return Ok(vec![None]);
    };
    let (group, version) = kind
        .api_version
        .rsplit_once('/')
        .unwrap_or(("", &kind.api_version));
    let (cache, version) = reader.of_kind(group, version, &kind.kind).ok_or_else(|| {
        format!(
            "failed to find resource referenced by paramKind: '{}, Kind={}'",
            kind.api_version, kind.kind
        )
    })?;
    let namespace = match (cache.row.namespaced, wanted.namespace.as_str()) {
        (false, "") => "",
        (false, _) => {
            return Err(
                "paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned(),
            );
        }
        (true, "") if namespace.is_empty() => {
            let why =
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources";
            return Err(why.to_owned());
        }
        (true, "") => namespace,
        (true, own) => own,
    };
    let found: Vec<Arc<Object>> = if wanted.name.is_empty() {
        let selector = wanted.selector.clone().unwrap_or_default();
        let selector = selector.selector().map_err(|error| error.to_string())?;
        let snapshot = cache.snapshot();
        let held = snapshot.range(cache.row, namespace, "").map(|(_, held)| held);
        held.filter(|held| selector.matches(|key| held.hub().label(key)))
            .map(|held| held.version(version).clone())
            .collect()
    } else {
        let held = cache.get(namespace, &wanted.name);
        held.map(|held| held.version(version).clone())
            .into_iter()
            .collect()
    };
    if found.is_empty() && wanted.parameter_not_found_action == "Deny" {
        let why = "no params found for policy binding with `Deny` parameterNotFoundAction";
        return Err(why.to_owned());
    }
    let read = |object: Arc<Object>| {
        let json = serde_json::from_slice(&object.to_json()).map_err(|error| error.to_string());
        json.map(Some)
    };
    found.into_iter().map(read).collect()
}
