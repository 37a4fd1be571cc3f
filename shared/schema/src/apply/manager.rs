//! What a write does to `metadata.managedFields`, and server-side apply as a whole.

use super::{
    compare::compare,
    engine::{self, Conflict, Refusal, Versioned, Versions},
    last_applied,
    managed::{self, Manager, Operation},
    raw::{EMPTY, Raw},
    set::FieldSet,
    validate,
};
use crate::body::type_meta;
use jiff::Timestamp;
use std::sync::OnceLock;

/// How many managers by update an object has at most; the oldest become one, as upstream.
const MAX_UPDATERS: usize = 10;
const ANCIENT: &str = "ancient-changes";
const BEFORE_APPLY: &str = "before-first-apply";

/// Who writes, in which version.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// Name of the manager; empty: not known.
    pub name: &'a str,
    /// `apiVersion` of the request.
    pub version: &'a str,
    /// Subresource; empty for none.
    pub subresource: &'a str,
    /// Now.
    pub now: Timestamp,
    /// What a write of that resource or subresource cannot change, and so nobody owns by it.
    pub reset: &'a FieldSet,
}

/// What an apply made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The object, in the writer's version, without managed fields.
    pub json: Vec<u8>,
    /// Its `metadata.managedFields`; empty: none.
    pub managed: Vec<u8>,
}

/// Why an apply is refused.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// 400 `BadRequest`.
    #[error("{0}")]
    BadRequest(String),
    /// 500 without a reason, as upstream.
    #[error("{0}")]
    Failed(String),
    /// 409 `Conflict` with a cause a field.
    #[error("{}", conflict_message(.0))]
    Conflicts(Vec<Conflict>),
}

impl From<Refusal> for ApplyError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Conflicts(conflicts) => Self::Conflicts(conflicts),
            Refusal::Failed(why) => Self::Failed(why),
        }
    }
}

fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!(
            "Apply failed with 1 conflict: conflict with {}: {}",
            one.manager, one.field
        );
    }
    let mut managers: Vec<&str> = conflicts
        .iter()
        .map(|conflict| conflict.manager.as_str())
        .collect();
    managers.sort_unstable();
    managers.dedup();
    let mut lines = Vec::new();
    for manager in managers {
        lines.push(format!("conflicts with {manager}:"));
        let fields = conflicts.iter().filter(|conflict| conflict.manager == manager);
        lines.extend(fields.map(|conflict| format!("- {}", conflict.field)));
    }
    format!(
        "Apply failed with {} conflicts: {}",
        conflicts.len(),
        lines.join("\n")
    )
}

/// What nobody ever owns.
fn stripped() -> &'static FieldSet {
    static STRIPPED: OnceLock<FieldSet> = OnceLock::new();
    STRIPPED.get_or_init(|| {
        FieldSet::of(&[
            "apiVersion",
            "kind",
            "metadata",
            "metadata.clusterName",
            "metadata.creationTimestamp",
            "metadata.generation",
            "metadata.managedFields",
            "metadata.name",
            "metadata.namespace",
            "metadata.resourceVersion",
            "metadata.selfLink",
            "metadata.uid",
        ])
    })
}

/// `metadata.managedFields` after a write that is no apply; empty: none. `old` and `new` are in the writer's version,
/// without managed fields; `live` are those of the old object, `given` those that the client sent.
///
/// # Errors
/// A conversion that fails.
pub fn update(
    versions: Versions<'_>,
    writer: Writer<'_>,
    old: Option<&[u8]>,
    new: &[u8],
    live: &[u8],
    given: &[u8],
) -> Result<Vec<u8>, String> {
    let Some(node) = versions.node(writer.version) else {
        return Ok(live.to_vec());
    };
    let sent = (!given.is_empty()).then(|| managed::read(given).ok()).flatten();
    let reset = managed::is_reset(given);
    let managers = match sent {
        _ if reset => Vec::new(),
        Some(managers) if !managers.is_empty() => managers,
        _ => {
            // What is not tracked stays so until it is first applied.
            if old.is_some() && live.is_empty() {
                return Ok(Vec::new());
            }
            if let Some(old) = old
                && compare(node, Raw::new(old), Raw::new(new))
                    .outside(writer.reset)
                    .is_empty()
            {
                return Ok(live.to_vec());
            }
            managed::read(live).unwrap_or_default()
        }
    };
    if managers.is_empty() && old.is_some() {
        return Ok(Vec::new());
    }
    let mut managers = updated(versions, writer, old, new, managers)?;
    cap(&mut managers);
    Ok(managed::write(&mut managers))
}

fn updated(
    versions: Versions<'_>,
    by: Writer<'_>,
    old: Option<&[u8]>,
    new: &[u8],
    mut managers: Vec<Manager>,
) -> Result<Vec<Manager>, String> {
    let Some(node) = versions.node(by.version) else {
        return Ok(managers);
    };
    engine::reconcile(versions, &mut managers);
    let old = old.unwrap_or(EMPTY.text());
    let change = compare(node, Raw::new(old), Raw::new(new)).outside(by.reset);
    let object = |json| Versioned {
        json,
        version: by.version,
    };
    engine::settle(
        versions,
        (object(old), object(new)),
        &change,
        by.reset,
        &mut managers,
        None,
        true,
    )
    .map_err(|refusal| match refusal {
        Refusal::Failed(why) => why,
        Refusal::Conflicts(_) => "conflicts".to_owned(),
    })?;
    let set = change.set.outside(by.reset).difference(stripped());
    managers.retain(|manager| !manager.fields.is_empty());
    if set.is_empty() {
        return Ok(managers);
    }
    // Upstream keeps no time of who writes by way of the scale.
    let time = (by.subresource != "scale").then_some(by.now);
    let mut writer = engine::writer(name(by.name), Operation::Update, by.version, by.subresource);
    match managers.iter_mut().find(|manager| manager.is(&writer)) {
        Some(known) => {
            known.fields = known.fields.union(&set);
            known.time = time.or(known.time);
        }
        None => {
            (writer.fields, writer.time) = (set, time);
            managers.push(writer);
        }
    }
    Ok(managers)
}

fn name(name: &str) -> &str {
    if name.is_empty() { "unknown" } else { name }
}

/// Merges the oldest managers by update, those of one version each, until there are few.
fn cap(managers: &mut Vec<Manager>) {
    let updaters = |managers: &[Manager]| {
        let updates = managers
            .iter()
            .filter(|manager| manager.operation == Operation::Update);
        updates.count()
    };
    if updaters(managers) <= MAX_UPDATERS {
        return;
    }
    managers.sort_by_key(|manager| (manager.operation, manager.time.map_or(0, Timestamp::as_second)));
    let mut at = 0;
    let mut first: Vec<Manager> = Vec::new();
    while at < managers.len() && updaters(managers) > MAX_UPDATERS {
        if managers[at].operation == Operation::Apply {
            at += 1;
            continue;
        }
        let bucket = engine::writer(ANCIENT, Operation::Update, &managers[at].version, "");
        let same = |manager: &Manager| manager.is(&bucket);
        let Some(known) = first.iter().position(|known| known.version == bucket.version) else {
            first.push(managers[at].clone());
            at += 1;
            continue;
        };
        let old = managers.remove(at);
        let into = match managers.iter().position(same) {
            Some(into) => into,
            None => {
                let before = managers.iter().position(|manager| manager.is(&first[known]));
                let into = before.unwrap_or_default();
                managers[into] = Manager {
                    fields: managers[into].fields.clone(),
                    ..bucket
                };
                into
            }
        };
        managers[into].fields = managers[into].fields.union(&old.fields);
        managers[into].time = old.time;
    }
}

/// Applies `config` (JSON with sorted keys) to the object `live`, which is in the writer's version and without managed
/// fields; `None`: there is no object. `managed` are its managed fields.
///
/// # Errors
/// See [`ApplyError`].
pub fn apply(
    versions: Versions<'_>,
    by: Writer<'_>,
    kind: &str,
    live: Option<&[u8]>,
    managed: &[u8],
    config: &[u8],
    force: bool,
) -> Result<Applied, ApplyError> {
    let failed = ApplyError::Failed;
    let mut managers = managed::read(managed)
        .map_err(|error| failed(format!("failed to decode managed fields: {error}")))?;
    check(versions, by, kind, config)?;
    if let (true, Some(live)) = (managers.is_empty(), live) {
        let before = Writer {
            name: BEFORE_APPLY,
            ..by
        };
        managers = updated(versions, before, None, live, managers)
            .map_err(|error| failed(format!("failed to create manager for existing fields: {error}")))?;
        cap(&mut managers);
    }
    let base = live.unwrap_or(EMPTY.text());
    let writer = engine::writer(name(by.name), Operation::Apply, by.version, by.subresource);
    let once = |managers: &mut Vec<Manager>, force| {
        engine::apply(versions, base, config, by.reset, managers, writer.clone(), force)
    };
    let untouched = managers.clone();
    let json = match once(&mut managers, force) {
        Err(Refusal::Conflicts(conflicts)) if by.name == last_applied::MANAGER => {
            let allowed = last_applied::allowed(versions, by.version, base);
            let left: Vec<Conflict> = match allowed {
                Some(allowed) => conflicts.into_iter().filter(|c| !allowed.has(&c.path)).collect(),
                None => conflicts,
            };
            if !left.is_empty() {
                return Err(ApplyError::Conflicts(left));
            }
            managers = untouched;
            once(&mut managers, true)?
        }
        done => done?,
    };
    let changed = !Raw::new(base).same(Raw::new(&json));
    for manager in managers.iter_mut().filter(|manager| manager.is(&writer)) {
        manager.fields = manager.fields.difference(stripped());
        if changed {
            manager.time = Some(by.now);
        }
    }
    managers.retain(|manager| !manager.fields.is_empty());
    let json = match by.name {
        last_applied::MANAGER => last_applied::keep(json, config),
        _ => json,
    };
    Ok(Applied {
        json,
        managed: managed::write(&mut managers),
    })
}

/// Whether the configuration is of the right type.
fn check(versions: Versions<'_>, by: Writer<'_>, kind: &str, config: &[u8]) -> Result<(), ApplyError> {
    let meta = type_meta(config).map_err(ApplyError::BadRequest)?;
    let gvk = match meta.api_version.rsplit_once('/') {
        Some((group, version)) => format!("{group}/{version}, Kind={}", meta.kind),
        None => format!("/{}, Kind={}", meta.api_version, meta.kind),
    };
    if (meta.api_version.as_str(), meta.kind.as_str()) != (by.version, kind) {
        return Err(ApplyError::BadRequest(format!("invalid object type: {gvk}")));
    }
    let config = Raw::new(config);
    let metadata = config.member("metadata");
    let of = |name| {
        metadata
            .and_then(|metadata| metadata.member(name))
            .filter(|value| !value.is_null())
    };
    if of("managedFields").is_some() {
        let message = "metadata.managedFields must be nil";
        return Err(ApplyError::BadRequest(message.to_owned()));
    }
    let node = versions.node(by.version);
    match node.and_then(|node| validate::complaint(node, config, false)) {
        None => Ok(()),
        Some(complaint) => {
            let text = |name| of(name).and_then(Raw::string).unwrap_or_default();
            Err(ApplyError::Failed(format!(
                "failed to create typed patch object ({}/{}; {gvk}): {complaint}",
                text("namespace"),
                text("name")
            )))
        }
    }
}
