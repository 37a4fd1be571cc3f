//! Lists that are merged: of maps by a merge key, of scalars as sets.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::{Facts, PATCH, SET_ORDER, directive_field, facts, merge_map, unknown_directive, wrong_type};
use crate::{
    document::{go_print, go_type},
    patch::PatchError,
    table::Shape,
};

/// Merges the list `patch` into `original`, or takes its scalars away if `deletes`.
pub(super) fn merge(
    mut original: Vec<Value>,
    mut patch: Vec<Value>,
    facts: &Facts,
    deletes: bool,
) -> Result<Vec<Value>, PatchError> {
    if original.is_empty() && patch.is_empty() {
        return Ok(original);
    }
    let key = facts.merge_key();
    let merged = if of_maps(&original, &patch)? {
        if key.is_empty() {
            return Err(PatchError::Internal(
                "cannot merge lists without merge key for type struct".to_owned(),
            ));
        }
        apply_directives(&mut original, &mut patch, key)?;
        merge_by_key(original.clone(), patch.clone(), key, facts.element())?
    } else if deletes {
        let gone: HashSet<String> = patch.iter().map(|item| identity(item, "")).collect();
        original.retain(|item| !gone.contains(&identity(item, "")));
        return Ok(original);
    } else {
        let mut seen = HashSet::new();
        let both = original
            .iter()
            .chain(&patch)
            .filter(|item| seen.insert(identity(item, "")));
        both.cloned().collect()
    };
    Ok(ordered(merged, &patch, &original, key))
}

/// Handles each `$setElementOrder/FIELD` of `patch` together with the patch of that list, and takes both out of `patch`.
pub(super) fn merge_ordered(
    original: &mut Map<String, Value>,
    patch: &mut Map<String, Value>,
    shape: Shape,
) -> Result<(), PatchError> {
    let directives: Vec<String> = patch
        .keys()
        .filter(|key| key.starts_with(SET_ORDER))
        .cloned()
        .collect();
    for directive in directives {
        let order = list(patch.remove(&directive))?.unwrap_or_default();
        let Some(field) = directive_field(&directive, SET_ORDER)? else {
            continue;
        };
        let facts = facts(shape, field)?;
        let current = list(original.get(field).cloned())?;
        let change = list(patch.remove(field))?;
        check_order(change.as_deref().unwrap_or_default(), &order, facts.merge_key())?;
        let merged = match (current.clone(), change) {
            (None, None) => continue,
            (Some(current), None) => current,
            (None, Some(change)) => {
                list(super::without_directives(Value::Array(change)))?.unwrap_or_default()
            }
            (Some(current), Some(change)) if facts.merges() => merge(current, change, &facts, false)?,
            (Some(_), Some(change)) => change,
        };
        if of_maps(&merged, &[])? {
            require_keys(&merged, facts.merge_key())?;
            require_keys(&order, facts.merge_key())?;
        }
        let current = current.unwrap_or_default();
        let ordered = ordered(merged, &order, &current, facts.merge_key());
        original.insert(field.to_owned(), Value::Array(ordered));
    }
    Ok(())
}

fn list(value: Option<Value>) -> Result<Option<Vec<Value>>, PatchError> {
    match value {
        None => Ok(None),
        Some(Value::Array(items)) => Ok(Some(items)),
        Some(other) => Err(wrong_type("[]interface {}", &other)),
    }
}

/// The items of a patch must come in the order of `$setElementOrder`, and all be in it.
fn check_order(change: &[Value], order: &[Value], key: &str) -> Result<(), PatchError> {
    if change.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut rest = order.iter();
    for item in change.iter().filter(|item| item.get(PATCH).is_none()) {
        let wanted = identity(item, key);
        if !rest.any(|other| identity(other, key) == wanted) {
            return Err(PatchError::Internal(format!(
                "The order in patch list:\n{}\n doesn't match {SET_ORDER} list:\n{}\n",
                go_print(&Value::Array(change.to_vec())),
                go_print(&Value::Array(order.to_vec()))
            )));
        }
    }
    Ok(())
}

/// Whether both lists hold maps; they must hold one type, and no lists.
fn of_maps(one: &[Value], other: &[Value]) -> Result<bool, PatchError> {
    let mut items = one.iter().chain(other);
    let Some(first) = items.next() else {
        return Ok(false);
    };
    if first.is_array() {
        return Err(PatchError::Unprocessable(
            "lists of lists are not supported".to_owned(),
        ));
    }
    if items.any(|item| go_type(item) != go_type(first)) {
        let lists = Value::Array(vec![Value::Array(one.to_vec()), Value::Array(other.to_vec())]);
        return Err(PatchError::Internal(format!(
            "list element types are not identical: {}",
            go_print(&lists)
        )));
    }
    Ok(first.is_object())
}

fn require_keys(items: &[Value], key: &str) -> Result<(), PatchError> {
    for item in items {
        match item {
            Value::Object(members) if members.contains_key(key) => {}
            Value::Object(_) => {
                return Err(PatchError::Internal(format!(
                    "map: {} does not contain declared merge key: {key}",
                    go_print(item)
                )));
            }
            other => return Err(wrong_type("map[string]interface {}", other)),
        }
    }
    Ok(())
}

/// Carries out the elements with `$patch` and takes them out of `patch`. After a replace all of `patch` is in `original`.
fn apply_directives(original: &mut Vec<Value>, patch: &mut Vec<Value>, key: &str) -> Result<(), PatchError> {
    let (special, plain): (Vec<_>, Vec<_>) = patch.drain(..).partition(|item| item.get(PATCH).is_some());
    let mut replace = false;
    for item in special {
        match item.get(PATCH).and_then(Value::as_str) {
            Some("delete") => {
                require_keys(std::slice::from_ref(&item), key)?;
                original.retain(|other| other.get(key) != item.get(key));
            }
            Some("replace") => replace = true,
            Some("merge") => {
                let text = "merging lists cannot yet be specified in the patch";
                return Err(PatchError::Internal(text.to_owned()));
            }
            _ => {
                let directive = item.get(PATCH).cloned().unwrap_or_default();
                let map = item.as_object().cloned().unwrap_or_default();
                return Err(unknown_directive(&directive, &map));
            }
        }
    }
    if replace {
        *original = plain;
    } else {
        *patch = plain;
    }
    Ok(())
}

/// Merges each map of `patch` into the first of the same key, or appends it.
fn merge_by_key(
    mut merged: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
    element: Shape,
) -> Result<Vec<Value>, PatchError> {
    require_keys(&patch, key)?;
    require_keys(&merged, key)?;
    let mut places: HashMap<String, usize> = HashMap::new();
    for (place, item) in merged.iter().enumerate() {
        places.entry(identity(item, key)).or_insert(place);
    }
    for item in patch {
        let place = *places.entry(identity(&item, key)).or_insert(merged.len());
        let Value::Object(change) = item else { continue };
        if place == merged.len() {
            merged.extend(super::without_directives(Value::Object(change)));
        } else if let Value::Object(current) = &mut merged[place] {
            merge_map(current, change, element)?;
        }
    }
    Ok(merged)
}

/// `merged` in the order of `patch` where that says one, else of `server`; an item of the server alone comes before the first
/// item of the patch that follows it on the server.
fn ordered(merged: Vec<Value>, patch: &[Value], server: &[Value], key: &str) -> Vec<Value> {
    let (patch_places, server_places) = (places(patch, key), places(server, key));
    let place = |places: &HashMap<String, usize>, item: &Value| places.get(&identity(item, key)).copied();
    let (mut changed, mut kept): (Vec<_>, Vec<_>) = merged
        .into_iter()
        .partition(|item| place(&patch_places, item).is_some());
    changed.sort_by_cached_key(|item| place(&patch_places, item));
    kept.sort_by_cached_key(|item| place(&server_places, item));
    let mut changed = changed.into_iter().peekable();
    let mut all = Vec::with_capacity(changed.len() + kept.len());
    for item in kept {
        let own = place(&server_places, &item);
        while let Some(next) = changed
            .next_if(|next| place(&server_places, next).is_none_or(|other| own.is_none_or(|own| other < own)))
        {
            all.push(next);
        }
        all.push(item);
    }
    all.extend(changed);
    all
}

fn places(items: &[Value], key: &str) -> HashMap<String, usize> {
    let mut places = HashMap::new();
    for (place, item) in items.iter().enumerate() {
        places.entry(identity(item, key)).or_insert(place);
    }
    places
}

/// What tells an item from others: the value of its merge key, or the item itself.
fn identity(item: &Value, key: &str) -> String {
    match (key, item) {
        ("", item) => item.to_string(),
        (key, item) => item.get(key).map(Value::to_string).unwrap_or_default(),
    }
}
