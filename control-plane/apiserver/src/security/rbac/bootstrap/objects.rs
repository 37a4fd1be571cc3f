//! The rows as objects, and what one that is stored lacks.

use super::{
    AUTO_UPDATE,
    bindings::{BINDINGS, BindingRow, LOCAL_BINDINGS, LOCAL_ROLES},
    controllers::CONTROLLERS,
    roles::{Allow, ROLES, RoleRow},
};
use crate::security::rbac::{
    CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES as LOCAL, Rule, uncovered,
};
use api::{Gvr, Key, Object};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const GROUP: &str = "rbac.authorization.k8s.io";
const LABEL: (&str, &str) = ("kubernetes.io/bootstrapping", "rbac-defaults");

/// The collections that are written to.
pub(super) static COLLECTIONS: [&Gvr; 4] = [&CLUSTER_ROLES, &CLUSTER_ROLE_BINDINGS, &LOCAL, &ROLE_BINDINGS];

/// A role or binding as it has to be.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Wanted {
    #[serde(skip)]
    pub gvr: &'static Gvr,
    api_version: &'static str,
    kind: &'static str,
    metadata: Meta,
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregation_rule: Option<Aggregation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<Vec<Rule>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role_ref: Option<RoleRef>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subjects: Vec<Subject>,
}

#[derive(Serialize)]
struct Meta {
    name: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'static str,
    labels: BTreeMap<String, &'static str>,
    annotations: BTreeMap<&'static str, &'static str>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Aggregation {
    cluster_role_selectors: [Selector; 1],
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Selector {
    match_labels: BTreeMap<String, &'static str>,
}

#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RoleRef {
    api_group: String,
    kind: String,
    name: String,
}

#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Subject {
    #[serde(skip_serializing_if = "String::is_empty")]
    api_group: String,
    kind: String,
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
}

/// What is stored.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Stored {
    aggregation_rule: Option<serde::de::IgnoredAny>,
    rules: Option<Vec<Rule>>,
    role_ref: RoleRef,
    subjects: Option<Vec<Subject>>,
}

/// A merge patch that adds what is missing.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Completion {
    metadata: PatchMeta,
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregation_rule: Option<Aggregation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<Vec<Rule>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subjects: Option<Vec<Subject>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PatchMeta {
    resource_version: String,
    labels: BTreeMap<String, &'static str>,
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace()
        .map(|word| if word == "core" { "" } else { word }.to_owned())
        .collect()
}

/// The rules of rows.
pub(super) fn rules(rows: &[Allow]) -> Vec<Rule> {
    let rule = |row: &Allow| {
        let on = words(row.on);
        let (resources, paths) = if row.groups.is_empty() {
            (Vec::new(), on)
        } else {
            (on, Vec::new())
        };
        Rule {
            verbs: words(row.verbs),
            api_groups: words(row.groups),
            resources,
            resource_names: words(row.names),
            paths,
        }
    };
    rows.iter().map(rule).collect()
}

fn part_label(of: &str) -> String {
    format!("rbac.authorization.k8s.io/aggregate-to-{of}")
}

/// The rules of all parts of the role `whole`, and of their parts, in the order in which the controller that keeps
/// them so gathers them: by the names of the parts.
fn gathered(whole: &str) -> Vec<Rule> {
    let mut all: Vec<Rule> = Vec::new();
    let mut parts: Vec<&RoleRow> = ROLES.iter().filter(|row| row.part_of == whole).collect();
    parts.sort_by_key(|row| row.name);
    for row in parts {
        let rules = if row.gathers {
            gathered(row.name)
        } else {
            rules(row.rules)
        };
        for rule in rules {
            if !all.contains(&rule) {
                all.push(rule);
            }
        }
    }
    all
}

impl Wanted {
    fn new(gvr: &'static Gvr, kind: &'static str, name: String, namespace: &'static str) -> Self {
        let labels = BTreeMap::from([(LABEL.0.to_owned(), LABEL.1)]);
        let annotations = BTreeMap::from([(AUTO_UPDATE, "true")]);
        Self {
            gvr,
            api_version: "rbac.authorization.k8s.io/v1",
            kind,
            metadata: Meta {
                name,
                namespace,
                labels,
                annotations,
            },
            aggregation_rule: None,
            rules: None,
            role_ref: None,
            subjects: Vec::new(),
        }
    }

    fn cluster_role(row: &RoleRow, prefix: &str) -> Self {
        let mut role = Self::new(&CLUSTER_ROLES, "ClusterRole", format!("{prefix}{}", row.name), "");
        if !row.part_of.is_empty() {
            role.metadata.labels.insert(part_label(row.part_of), "true");
        }
        if row.gathers {
            let match_labels = BTreeMap::from([(part_label(row.name), "true")]);
            role.aggregation_rule = Some(Aggregation {
                cluster_role_selectors: [Selector { match_labels }],
            });
            role.rules = Some(gathered(row.name));
        } else {
            role.rules = Some(rules(row.rules));
        }
        role
    }

    fn binding(row: &BindingRow, namespace: &'static str) -> Self {
        let (gvr, kind, role_kind) = match namespace {
            "" => (&CLUSTER_ROLE_BINDINGS, "ClusterRoleBinding", "ClusterRole"),
            _ => (&ROLE_BINDINGS, "RoleBinding", "Role"),
        };
        let mut binding = Self::new(gvr, kind, row.name.to_owned(), namespace);
        binding.role_ref = Some(RoleRef::to(role_kind, row.role.to_owned()));
        binding.subjects = row
            .subjects
            .iter()
            .map(|subject| Subject::parse(subject))
            .collect();
        binding
    }

    /// The binding of a controller's role. The controller manager runs all of them under one name, its own.
    fn controller_binding(row: &RoleRow) -> Self {
        let name = format!("system:controller:{}", row.name);
        let mut binding = Self::new(&CLUSTER_ROLE_BINDINGS, "ClusterRoleBinding", name.clone(), "");
        binding.role_ref = Some(RoleRef::to("ClusterRole", name));
        binding.subjects = vec![
            Subject::new("ServiceAccount", row.name),
            Subject::new("User", "system:kube-controller-manager"),
        ];
        binding
    }

    /// Its key.
    pub fn key(&self) -> Key {
        Key::new(self.metadata.namespace, &self.metadata.name)
    }

    /// Its namespace.
    pub fn namespace(&self) -> &'static str {
        self.metadata.namespace
    }

    /// Whether what is stored binds another role.
    pub fn of_other_role(&self, held: &Object) -> bool {
        let stored: Stored = held.view().unwrap_or_default();
        self.role_ref
            .as_ref()
            .is_some_and(|role| *role != stored.role_ref)
    }

    /// What has to be added to what is stored; `None`: nothing.
    pub fn completion(&self, held: &Object) -> Option<Completion> {
        let stored: Stored = held.view().unwrap_or_default();
        let labels = self
            .metadata
            .labels
            .iter()
            .filter(|(key, value)| held.label(key) != Some(*value));
        let labels: BTreeMap<String, &'static str> =
            labels.map(|(key, value)| (key.clone(), *value)).collect();
        let aggregation_rule = self
            .aggregation_rule
            .clone()
            .filter(|_| stored.aggregation_rule.is_none());
        // The rules of a gathering role are its controller's.
        let wanted = self
            .rules
            .as_deref()
            .filter(|_| self.aggregation_rule.is_none())
            .unwrap_or_default();
        let mut have = stored.rules.unwrap_or_default();
        let missing = uncovered(&have, wanted);
        let rules = (!missing.is_empty()).then(|| {
            have.extend(missing);
            have
        });
        let mut subjects = stored.subjects.unwrap_or_default();
        let before = subjects.len();
        for subject in &self.subjects {
            if !subjects.contains(subject) {
                subjects.push(subject.clone());
            }
        }
        let subjects = (subjects.len() > before).then_some(subjects);
        if labels.is_empty() && aggregation_rule.is_none() && rules.is_none() && subjects.is_none() {
            return None;
        }
        let metadata = PatchMeta {
            resource_version: held.resource_version().to_string(),
            labels,
        };
        Some(Completion {
            metadata,
            aggregation_rule,
            rules,
            subjects,
        })
    }
}

impl RoleRef {
    fn to(kind: &str, name: String) -> Self {
        Self {
            api_group: GROUP.to_owned(),
            kind: kind.to_owned(),
            name,
        }
    }
}

impl Subject {
    fn new(kind: &str, name: &str) -> Self {
        let account = kind == "ServiceAccount";
        let (api_group, namespace) = if account { ("", "kube-system") } else { (GROUP, "") };
        Self {
            api_group: api_group.to_owned(),
            kind: kind.to_owned(),
            name: name.to_owned(),
            namespace: namespace.to_owned(),
        }
    }

    fn parse(text: &str) -> Self {
        let (kind, name) = text.split_once(':').unwrap_or(("User", text));
        Self::new(kind, name)
    }
}

/// Everything, roles before bindings.
pub(super) fn all() -> Vec<Wanted> {
    let mut all: Vec<Wanted> = ROLES.iter().map(|row| Wanted::cluster_role(row, "")).collect();
    all.extend(
        CONTROLLERS
            .iter()
            .map(|row| Wanted::cluster_role(row, "system:controller:")),
    );
    for row in LOCAL_ROLES {
        let mut role = Wanted::new(&LOCAL, "Role", row.name.to_owned(), row.namespace);
        role.rules = Some(rules(row.rules));
        all.push(role);
    }
    all.extend(BINDINGS.iter().map(|row| Wanted::binding(row, "")));
    all.extend(CONTROLLERS.iter().map(Wanted::controller_binding));
    all.extend(
        LOCAL_BINDINGS
            .iter()
            .map(|row| Wanted::binding(&row.binding, row.namespace)),
    );
    all
}
