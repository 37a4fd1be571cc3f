//! The merge of structured-merge-diff: what an update or an apply does to the sets of all managers.

use super::{
    compare::{Change, compare},
    fields::fields,
    managed::{Manager, Operation},
    merge::merge,
    node::Node,
    raw::Raw,
    remove::remove,
    set::{FieldSet, Step, print},
};
use std::collections::BTreeMap;

/// The versions of a resource.
#[derive(Clone, Copy)]
pub struct Versions<'a> {
    /// The type of the resource in a version such as `apps/v1`; `None`: there is no such version.
    pub node: &'a (dyn Fn(&str) -> Option<Node<'a>> + 'a),
    /// An object of one version as of another.
    pub convert: &'a Convert<'a>,
}

/// `(json, from, to)`.
type Convert<'a> = dyn Fn(&[u8], &str, &str) -> Result<Vec<u8>, String> + 'a;

impl std::fmt::Debug for Versions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Versions")
    }
}

/// An object in a version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Versioned<'a> {
    pub json: &'a [u8],
    pub version: &'a str,
}

/// A field that another manager owns.
#[derive(Clone, Debug)]
pub struct Conflict {
    /// That manager, as upstream names it.
    pub manager: String,
    /// The field, as upstream prints it.
    pub field: String,
    pub(super) path: Vec<Step>,
}

/// Why an apply is not done.
#[derive(Debug)]
pub(super) enum Refusal {
    Conflicts(Vec<Conflict>),
    Failed(String),
}

impl From<String> for Refusal {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl<'a> Versions<'a> {
    pub(super) fn node(&self, version: &str) -> Option<Node<'a>> {
        (self.node)(version)
    }

    /// `object` in `version`; `None`: there is no such version.
    fn convert(&self, object: Versioned<'_>, version: &str) -> Result<Option<(Vec<u8>, Node<'a>)>, String> {
        let Some(node) = self.node(version) else {
            return Ok(None);
        };
        let json = match object.version == version {
            true => object.json.to_vec(),
            false => (self.convert)(object.json, object.version, version)?,
        };
        Ok(Some((json, node)))
    }
}

/// Takes from all managers but number `writer` what differs between `old` and `new`.
///
/// # Errors
/// The fields that others own, unless it is forced.
pub(super) fn settle(
    versions: Versions<'_>,
    (old, new): (Versioned<'_>, Versioned<'_>),
    change: &Change,
    reset: &FieldSet,
    managers: &mut [Manager],
    writer: Option<usize>,
    force: bool,
) -> Result<(), Refusal> {
    let mut others: BTreeMap<String, Option<Change>> = BTreeMap::new();
    let mut conflicts = Vec::new();
    for (at, manager) in managers.iter_mut().enumerate() {
        if Some(at) == writer {
            continue;
        }
        let change = if manager.version == new.version {
            change
        } else {
            if !others.contains_key(&manager.version) {
                let changed = changed(versions, old, new, &manager.version)?;
                others.insert(
                    manager.version.clone(),
                    changed.map(|change| change.outside(reset)),
                );
            }
            match others.get(&manager.version) {
                Some(Some(change)) => change,
                _ => {
                    manager.fields = FieldSet::default();
                    continue;
                }
            }
        };
        if change.is_empty() {
            continue;
        }
        if !force {
            let (name, taken) = (manager.print(), manager.fields.intersection(&change.set));
            conflicts.extend(taken.paths().into_iter().map(|path| Conflict {
                manager: name.clone(),
                field: print(&path),
                path,
            }));
        }
        manager.fields.subtract(&change.set);
        manager.fields.subtract(&change.removed);
    }
    if conflicts.is_empty() {
        Ok(())
    } else {
        Err(Refusal::Conflicts(conflicts))
    }
}

fn changed(
    versions: Versions<'_>,
    old: Versioned<'_>,
    new: Versioned<'_>,
    version: &str,
) -> Result<Option<Change>, String> {
    let (Some((old, node)), Some((new, _))) =
        (versions.convert(old, version)?, versions.convert(new, version)?)
    else {
        return Ok(None);
    };
    Ok(Some(compare(node, Raw::new(&old), Raw::new(&new))))
}

/// The sets of managers after their types changed.
pub(super) fn reconcile(versions: Versions<'_>, managers: &mut Vec<Manager>) {
    managers.retain_mut(|manager| match versions.node(&manager.version) {
        Some(node) => {
            manager.fields.settled(node);
            true
        }
        None => false,
    });
}

/// What an apply of `config` by `writer` makes of `live` (both of the writer's version), and of the managers.
pub(super) fn apply(
    versions: Versions<'_>,
    live: &[u8],
    config: &[u8],
    reset: &FieldSet,
    managers: &mut Vec<Manager>,
    mut writer: Manager,
    force: bool,
) -> Result<Vec<u8>, Refusal> {
    reconcile(versions, managers);
    let version = writer.version.clone();
    let Some(node) = versions.node(&version) else {
        return Err(Refusal::Failed(format!("no corresponding type for {version}")));
    };
    writer.fields = fields(node, Raw::new(config)).outside(reset);
    let known = managers.iter().position(|manager| manager.is(&writer));
    let last = known.map(|at| {
        (
            managers[at].version.clone(),
            std::mem::take(&mut managers[at].fields),
        )
    });
    let at = known.unwrap_or(managers.len());
    match known {
        Some(at) => {
            writer.time = managers[at].time;
            managers[at] = writer;
        }
        None => managers.push(writer),
    }
    let mut merged = merge(node, Raw::new(live), Raw::new(config));
    if let Some((last_version, last)) = last.filter(|(_, last)| !last.is_empty()) {
        let object = Versioned {
            json: &merged,
            version: &version,
        };
        if let Some(pruned) = prune(versions, object, &last_version, &last, managers)? {
            merged = pruned;
        }
    }
    let object = |json| Versioned {
        json,
        version: &version,
    };
    let change = compare(node, Raw::new(live), Raw::new(&merged)).outside(reset);
    settle(
        versions,
        (object(live), object(&merged)),
        &change,
        reset,
        managers,
        Some(at),
        force,
    )?;
    Ok(merged)
}

/// `merged` without what the writer applied last time (`last`, of version `last_version`) and nobody owns now. `None`:
/// that version is gone.
fn prune(
    versions: Versions<'_>,
    merged: Versioned<'_>,
    last_version: &str,
    last: &FieldSet,
    managers: &[Manager],
) -> Result<Option<Vec<u8>>, String> {
    let Some((whole, node)) = versions.convert(merged, last_version)? else {
        return Ok(None);
    };
    let last = last.with_declared(node);
    let pruned = remove(node, Raw::new(&whole), &last);
    let pruned = with_owned(versions, &whole, pruned, last_version, managers)?;
    // What somebody else's set holds only because it is in the way stays too: only what was applied goes.
    let (all, left) = (fields(node, Raw::new(&whole)), fields(node, Raw::new(&pruned)));
    let gone = all
        .with_declared(node)
        .difference(&left.with_declared(node))
        .intersection(&last);
    let pruned = remove(node, Raw::new(&whole), &gone);
    let object = Versioned {
        json: &pruned,
        version: last_version,
    };
    Ok(versions.convert(object, merged.version)?.map(|(json, _)| json))
}

/// `pruned` with what any manager owns of `whole`; both of `version`.
fn with_owned(
    versions: Versions<'_>,
    whole: &[u8],
    mut pruned: Vec<u8>,
    version: &str,
    managers: &[Manager],
) -> Result<Vec<u8>, String> {
    let mut owned: BTreeMap<&str, FieldSet> = BTreeMap::new();
    for manager in managers {
        let set = owned.entry(&manager.version).or_default();
        *set = set.union(&manager.fields);
    }
    let first = owned.remove_entry(version);
    for (at, set) in first.into_iter().chain(owned) {
        let object = |json| Versioned { json, version };
        let (Some((all, node)), Some((left, _))) = (
            versions.convert(object(whole), at)?,
            versions.convert(object(&pruned), at)?,
        ) else {
            continue;
        };
        let (has, left) = (fields(node, Raw::new(&all)), fields(node, Raw::new(&left)));
        let stays = left.with_declared(node).union(&set.with_declared(node));
        let json = remove(node, Raw::new(&all), &has.with_declared(node).difference(&stays));
        let object = Versioned {
            json: &json,
            version: at,
        };
        if let Some((json, _)) = versions.convert(object, version)? {
            pruned = json;
        }
    }
    Ok(pruned)
}

/// An empty set of a writer, to be filled.
pub(super) fn writer(name: &str, operation: Operation, version: &str, subresource: &str) -> Manager {
    Manager {
        name: name.to_owned(),
        operation,
        version: version.to_owned(),
        subresource: subresource.to_owned(),
        time: None,
        fields: FieldSet::default(),
    }
}
