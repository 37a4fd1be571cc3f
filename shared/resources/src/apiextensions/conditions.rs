//! What a definition's status says: which names it has got, and whether it is served.

use super::{approval, validation::parse_schema};
use crate::{cells, encode};
use api::{Object, Status};
use jiff::Timestamp;
use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        CustomResourceDefinition, CustomResourceDefinitionCondition, CustomResourceDefinitionNames,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use serde::Deserialize;

/// The names of a custom resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Names {
    /// Plural.
    pub plural: String,
    /// Singular.
    pub singular: String,
    /// Short names.
    pub short_names: Vec<String>,
    /// Kind.
    pub kind: String,
    /// Kind of lists.
    pub list_kind: String,
    /// Categories.
    pub categories: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct View {
    spec: SpecView,
    status: StatusView,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SpecView {
    group: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StatusView {
    accepted_names: Names,
}

/// The group of a definition and the names that it has.
pub fn names(definition: &Object) -> (String, Names) {
    let view: View = cells::view(definition);
    (view.spec.group, view.status.accepted_names)
}

/// Whether the definition is served.
pub fn established(definition: &Object) -> bool {
    super::condition(definition, "Established").as_deref() == Some("True")
}

impl Names {
    fn resources(&self) -> impl Iterator<Item = &str> {
        let short = self.short_names.iter().map(String::as_str);
        [self.plural.as_str(), &self.singular].into_iter().chain(short)
    }

    fn kinds(&self) -> [&str; 2] {
        [&self.kind, &self.list_kind]
    }
}

/// What the definition's status should be: the whole definition, or none when it is right as it is. `others` are the
/// names that others of its group have; `room` says that there is room for its names in memory.
pub fn decide(
    definition: &Object,
    others: &[Names],
    room: bool,
    now: Timestamp,
) -> Result<Option<Vec<u8>>, Status> {
    let mut crd: CustomResourceDefinition = definition.view().map_err(Status::internal)?;
    let before = encode::canonical(&crd)?;
    let status = crd.status.get_or_insert_default();
    let mut names = status.accepted_names.clone().unwrap_or_default();
    let conflict = accept(&crd.spec.names, &mut names, others).or_else(|| {
        let message = "the server has no room for the names of more custom resources".to_owned();
        (!room).then_some(("TooManyNames", message))
    });
    status.accepted_names = Some(names);
    let accepted = conflict.is_none();
    let (reason, message) = conflict.unwrap_or(("NoConflicts", "no conflicts found".to_owned()));
    let conditions = status.conditions.get_or_insert_default();
    set(conditions, "NamesAccepted", accepted, reason, &message, now);
    let served = conditions
        .iter()
        .any(|c| c.type_ == "Established" && c.status == "True");
    if accepted && !served {
        let words = "the initial names have been accepted";
        set(
            conditions,
            "Established",
            true,
            "InitialNamesAccepted",
            words,
            now,
        );
    } else if !served {
        let words = "not all names are accepted";
        set(conditions, "Established", false, "NotAccepted", words, now);
    }
    if approval::protected(&crd.spec.group) {
        let (approval, words) = approval::approval(crd.metadata.annotations.as_ref());
        let (status, reason) = approval.condition();
        let ty = "KubernetesAPIApprovalPolicyConformant";
        set(conditions, ty, status == "True", reason, &words, now);
    }
    let broken: Vec<String> = crd
        .spec
        .versions
        .iter()
        .enumerate()
        .flat_map(violations)
        .collect();
    if broken.is_empty() {
        conditions.retain(|c| c.type_ != "NonStructuralSchema");
    } else {
        let words = broken.join("\n");
        set(conditions, "NonStructuralSchema", true, "Violations", &words, now);
    }
    let after = encode::canonical(&crd)?;
    Ok((before != after).then_some(after))
}

type Version =
    k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinitionVersion;

fn violations((index, version): (usize, &Version)) -> Vec<String> {
    let path = format!("spec.versions[{index}].schema.openAPIV3Schema");
    let errors = parse_schema(version).map(|schema| schema.structural_errors(&path));
    errors
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .collect()
}

/// Gives the wished names that are free. Answers the reason and words of the last that are not.
fn accept(
    wished: &CustomResourceDefinitionNames,
    names: &mut CustomResourceDefinitionNames,
    others: &[Names],
) -> Option<(&'static str, String)> {
    let resource = |name: &str| {
        others
            .iter()
            .any(|other| other.resources().any(|taken| taken == name))
    };
    let kind = |name: &str| others.iter().any(|other| other.kinds().contains(&name));
    let used = |name: &str| format!("{name:?} is already in use");
    let mut conflict = None;
    if wished.plural != names.plural && resource(&wished.plural) {
        conflict = Some(("PluralConflict", used(&wished.plural)));
    } else {
        names.plural.clone_from(&wished.plural);
    }
    match wished.singular.as_deref() {
        Some(singular) if wished.singular != names.singular && resource(singular) => {
            conflict = Some(("SingularConflict", used(singular)));
        }
        _ => names.singular.clone_from(&wished.singular),
    }
    let own = names.short_names.clone().unwrap_or_default();
    let short: Vec<String> = wished
        .short_names
        .iter()
        .flatten()
        .filter(|name| !own.contains(name) && resource(name))
        .map(|name| used(name))
        .collect();
    match short.as_slice() {
        [] => names.short_names.clone_from(&wished.short_names),
        [one] => conflict = Some(("ShortNamesConflict", one.clone())),
        many => conflict = Some(("ShortNamesConflict", format!("[{}]", many.join(", ")))),
    }
    if wished.kind != names.kind && kind(&wished.kind) {
        conflict = Some(("KindConflict", used(&wished.kind)));
    } else {
        names.kind.clone_from(&wished.kind);
    }
    match wished.list_kind.as_deref() {
        Some(list) if wished.list_kind != names.list_kind && kind(list) => {
            conflict = Some(("ListKindConflict", used(list)));
        }
        _ => names.list_kind.clone_from(&wished.list_kind),
    }
    names.categories.clone_from(&wished.categories);
    conflict
}

/// Sets a condition; its time moves only with its status.
pub(super) fn set(
    conditions: &mut Vec<CustomResourceDefinitionCondition>,
    ty: &str,
    holds: bool,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    let status = if holds { "True" } else { "False" };
    let mut condition = CustomResourceDefinitionCondition {
        last_transition_time: Some(Time(now)),
        message: Some(message.to_owned()),
        observed_generation: None,
        reason: Some(reason.to_owned()),
        status: status.to_owned(),
        type_: ty.to_owned(),
    };
    match conditions.iter_mut().find(|c| c.type_ == ty) {
        Some(there) => {
            if there.status == status {
                condition.last_transition_time = there.last_transition_time.take();
            }
            *there = condition;
        }
        None => conditions.push(condition),
    }
}

/// The definition with the state of its end: `left` objects are still there, or none.
pub fn terminating(definition: &Object, left: usize, now: Timestamp) -> Result<Vec<u8>, Status> {
    let mut crd: CustomResourceDefinition = definition.view().map_err(Status::internal)?;
    let conditions = &mut crd.status.get_or_insert_default().conditions;
    let (reason, words) = if left > 0 {
        (
            "InstanceDeletionInProgress",
            "CustomResource deletion is in progress",
        )
    } else {
        ("InstanceDeletionCompleted", "removed all instances")
    };
    set(
        conditions.get_or_insert_default(),
        "Terminating",
        left > 0,
        reason,
        words,
        now,
    );
    encode::canonical(&crd)
}

/// The definition without what holds it.
pub fn released(definition: &Object) -> Result<Vec<u8>, Status> {
    let mut crd: CustomResourceDefinition = definition.view().map_err(Status::internal)?;
    if let Some(finalizers) = &mut crd.metadata.finalizers {
        finalizers.retain(|finalizer| finalizer != super::CLEANUP);
    }
    encode::canonical(&crd)
}
