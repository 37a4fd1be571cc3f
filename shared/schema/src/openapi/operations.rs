//! Operations on resources.

use serde_json::{Map, Value, json};

use super::{Dialect, Document, GroupVersion, ResourceInfo, paths::parameter, schemas::gvk};

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Get,
    List,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

/// Where it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Cluster,
    Namespaced,
    AllNamespaces,
}

impl Action {
    /// The verb in discovery.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    /// The HTTP method.
    pub fn method(self) -> &'static str {
        match self {
            Self::Get | Self::List => "get",
            Self::Create => "post",
            Self::Update => "put",
            Self::Patch => "patch",
            Self::Delete | Self::DeleteCollection => "delete",
        }
    }

    /// `x-kubernetes-action`.
    fn extension(self) -> &'static str {
        match self {
            Self::List | Self::DeleteCollection => self.verb(),
            _ => self.method(),
        }
    }

    /// The first word of the operation's id.
    fn word(self) -> &'static str {
        match self {
            Self::Get => "read",
            Self::Update => "replace",
            Self::DeleteCollection => "delete",
            _ => self.verb(),
        }
    }

    /// Query parameters: name and type.
    fn parameters(self) -> Vec<(&'static str, &'static str)> {
        const SELECT: [(&str, &str); 8] = [
            ("continue", "string"),
            ("fieldSelector", "string"),
            ("labelSelector", "string"),
            ("limit", "integer"),
            ("resourceVersion", "string"),
            ("resourceVersionMatch", "string"),
            ("sendInitialEvents", "boolean"),
            ("timeoutSeconds", "integer"),
        ];
        const WRITE: [(&str, &str); 3] = [
            ("dryRun", "string"),
            ("fieldManager", "string"),
            ("fieldValidation", "string"),
        ];
        const DELETE: [(&str, &str); 5] = [
            ("dryRun", "string"),
            ("gracePeriodSeconds", "integer"),
            ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
            ("orphanDependents", "boolean"),
            ("propagationPolicy", "string"),
        ];
        match self {
            Self::Get => Vec::new(),
            Self::List => [
                &[("allowWatchBookmarks", "boolean")][..],
                &SELECT,
                &[("watch", "boolean")],
            ]
            .concat(),
            Self::Create | Self::Update => WRITE.to_vec(),
            Self::Patch => [&WRITE[..], &[("force", "boolean")]].concat(),
            Self::Delete => DELETE.to_vec(),
            Self::DeleteCollection => [&DELETE[..], &SELECT].concat(),
        }
    }

    /// Status codes of success.
    fn codes(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Get | Self::List | Self::DeleteCollection => &[("200", "OK")],
            Self::Update | Self::Patch => &[("200", "OK"), ("201", "Created")],
            Self::Delete => &[("200", "OK"), ("202", "Accepted")],
            Self::Create => &[("200", "OK"), ("201", "Created"), ("202", "Accepted")],
        }
    }
}

/// Kinds of which an object that is deleted is the answer.
const RETURNED: [(&str, &str); 18] = [
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("", "Pod"),
    ("", "PodTemplate"),
    ("", "ResourceQuota"),
    ("", "Service"),
    ("", "ServiceAccount"),
    ("resource.k8s.io", "DeviceClass"),
    ("resource.k8s.io", "DeviceTaintRule"),
    ("resource.k8s.io", "ResourceClaim"),
    ("resource.k8s.io", "ResourceClaimTemplate"),
    ("resource.k8s.io", "ResourcePoolStatusRequest"),
    ("resource.k8s.io", "ResourceSlice"),
    ("storage.k8s.io", "CSIDriver"),
    ("storage.k8s.io", "CSINode"),
    ("storage.k8s.io", "StorageClass"),
    ("storage.k8s.io", "VolumeAttachment"),
    ("storage.k8s.io", "VolumeAttributesClass"),
];

const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
/// Custom resources have no strategic merge.
const CUSTOM_PATCHES: [&str; 3] = [PATCHES[0], PATCHES[1], PATCHES[3]];
/// What objects are answered in.
pub(super) const ANSWERS: [&str; 3] = ["application/json", "application/yaml", PROTOBUF];
const EVENTS: [&str; 2] = [
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// What an operation answers in. Custom objects have no protobuf form.
fn answers(resource: &ResourceInfo<'_>, action: Action) -> Vec<&'static str> {
    let events = (action == Action::List && resource.verbs.contains(&"watch")).then_some(EVENTS);
    let answers = ANSWERS.iter().copied().chain(events.into_iter().flatten());
    answers
        .filter(|answer| resource.custom.is_none() || !answer.starts_with(PROTOBUF))
        .collect()
}

/// The operation `action` on a resource.
pub(super) fn operation(
    document: &mut Document,
    group: &GroupVersion<'_>,
    resource: &ResourceInfo<'_>,
    scope: Scope,
    action: Action,
) -> Value {
    let dialect = document.dialect;
    let query = action
        .parameters()
        .into_iter()
        .map(|(name, ty)| parameter(dialect, "query", name, ty));
    let after = if action == Action::DeleteCollection {
        "Collection"
    } else {
        ""
    };
    let mut operation = json!({
        "operationId": operation_id(group, resource, scope, action.word(), after),
        "parameters": query.collect::<Vec<_>>(),
        "tags": [tag(group)],
        "x-kubernetes-action": action.extension(),
        "x-kubernetes-group-version-kind": gvk(resource.group, resource.version, resource.kind),
    });
    let kind = document.kind(resource.group, resource.version, resource.kind);
    let body = match action {
        Action::Create | Action::Update => Some((kind.clone(), &["*/*"][..], true)),
        Action::Patch => {
            let patches = if resource.custom.is_some() {
                &CUSTOM_PATCHES[..]
            } else {
                &PATCHES
            };
            Some((document.meta("Patch"), patches, true))
        }
        Action::Delete | Action::DeleteCollection => {
            Some((document.meta("DeleteOptions"), &["*/*"][..], false))
        }
        Action::Get | Action::List => None,
    };
    let answer = match action {
        Action::List => document.kind(
            resource.group,
            resource.version,
            &resource.custom.map_or_else(
                || format!("{}List", resource.kind),
                |custom| custom.list_kind.clone(),
            ),
        ),
        Action::Delete if RETURNED.contains(&(resource.group, resource.kind)) => kind,
        Action::Delete | Action::DeleteCollection => document.meta("Status"),
        _ => kind,
    };
    add_body(dialect, &mut operation, body);
    let answers = answers(resource, action);
    add_responses(dialect, &mut operation, action.codes(), &answers, &answer);
    operation
}

/// Adds what an operation answers: the codes of success with what they mean, in which types, of which schema.
pub(super) fn add_responses(
    dialect: Dialect,
    operation: &mut Value,
    codes: &[(&str, &str)],
    types: &[&str],
    schema: &Value,
) {
    let mut responses: Map<String, Value> = Map::new();
    for (code, description) in codes {
        let response = match dialect {
            Dialect::V2 => json!({ "description": description, "schema": schema }),
            Dialect::V3 => json!({ "description": description, "content": content(types, schema) }),
        };
        responses.insert((*code).to_owned(), response);
    }
    responses.insert("401".to_owned(), json!({ "description": "Unauthorized" }));
    operation["responses"] = Value::Object(responses);
    if dialect == Dialect::V2 {
        operation["produces"] = json!(types);
        operation["schemes"] = json!(["https"]);
    }
}

fn add_body(dialect: Dialect, operation: &mut Value, body: Option<(Value, &[&str], bool)>) {
    match (dialect, body) {
        (Dialect::V2, None) => operation["consumes"] = json!(["*/*"]),
        (Dialect::V2, Some((schema, types, required))) => {
            operation["consumes"] = json!(types);
            let mut body = json!({ "name": "body", "in": "body", "schema": schema });
            if required {
                body["required"] = json!(true);
            }
            if let Some(parameters) = operation["parameters"].as_array_mut() {
                parameters.insert(0, body);
            }
        }
        (Dialect::V3, None) => {}
        (Dialect::V3, Some((schema, types, required))) => {
            operation["requestBody"] = json!({ "content": content(types, &schema) });
            if required {
                operation["requestBody"]["required"] = json!(true);
            }
        }
    }
}

fn content(types: &[&str], schema: &Value) -> Value {
    let content = types
        .iter()
        .map(|ty| ((*ty).to_owned(), json!({ "schema": schema })));
    Value::Object(content.collect())
}

/// Such as `listAppsV1NamespacedDeployment`, `replaceCoreV1NodeStatus`, `connectCoreV1GetNodeProxy`: what is done, and the word
/// behind the version.
pub(super) fn operation_id(
    group: &GroupVersion<'_>,
    resource: &ResourceInfo<'_>,
    scope: Scope,
    word: &str,
    after: &str,
) -> String {
    let (_, subresource) = resource.name.split_once('/').unwrap_or_default();
    let parent = group
        .resources
        .iter()
        .find(|other| resource.name.split('/').next() == Some(other.name));
    let kind = parent.map_or(resource.kind, |parent| parent.kind);
    let (middle, end) = match scope {
        Scope::Cluster => ("", ""),
        Scope::Namespaced => ("Namespaced", ""),
        Scope::AllNamespaces => ("", "ForAllNamespaces"),
    };
    let group_words = capitalized(&words(group.group));
    let version = capitalized(&[group.version]);
    let subresource = capitalized(&[subresource]);
    format!("{word}{group_words}{version}{after}{middle}{kind}{subresource}{end}")
}

/// Such as `apps_v1`, `rbacAuthorization_v1`.
pub(super) fn tag(group: &GroupVersion<'_>) -> String {
    let words = words(group.group);
    let (first, rest) = words
        .split_first()
        .map_or(("", &[][..]), |(first, rest)| (*first, rest));
    format!("{first}{}_{}", capitalized(rest), group.version)
}

/// The words of a group's name.
pub(super) fn words(group: &str) -> Vec<&str> {
    if group.is_empty() {
        return vec!["core"];
    }
    group.trim_end_matches(".k8s.io").split('.').collect()
}

/// The words as one, each with a capital.
pub(super) fn capitalized(words: &[&str]) -> String {
    let mut text = String::new();
    for word in words {
        let mut letters = word.chars();
        text.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        text.push_str(letters.as_str());
    }
    text
}
