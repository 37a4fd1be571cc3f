//! Paths of resources.

use serde_json::{Map, Value, json};

use super::{
    Dialect, Document, GroupVersion, ResourceInfo, connect,
    operations::{Action, Scope, operation},
};

/// Adds the paths of one resource or subresource.
pub(super) fn add(document: &mut Document, group: &GroupVersion<'_>, resource: &ResourceInfo<'_>) {
    let (plural, subresource) = resource.name.split_once('/').unwrap_or((resource.name, ""));
    let root = format!("/{}", group.path());
    let place = if resource.namespaced {
        "/namespaces/{namespace}"
    } else {
        ""
    };
    let collection = format!("{root}{place}/{plural}");
    let verbs = |actions: &[Action]| -> Vec<Action> {
        actions
            .iter()
            .copied()
            .filter(|action| resource.verbs.contains(&action.verb()))
            .collect()
    };
    let scope = if resource.namespaced {
        Scope::Namespaced
    } else {
        Scope::Cluster
    };
    if !subresource.is_empty() {
        let path = format!("{collection}/{{name}}/{subresource}");
        if connect::add(document, group, resource, scope, &path) {
            return;
        }
        let actions = verbs(&[
            Action::Get,
            Action::Create,
            Action::Update,
            Action::Patch,
            Action::Delete,
        ]);
        return insert(document, group, resource, path, scope, &actions);
    }
    let actions = verbs(&[Action::List, Action::Create, Action::DeleteCollection]);
    insert(document, group, resource, collection.clone(), scope, &actions);
    let actions = verbs(&[Action::Get, Action::Update, Action::Patch, Action::Delete]);
    insert(
        document,
        group,
        resource,
        format!("{collection}/{{name}}"),
        scope,
        &actions,
    );
    if resource.namespaced {
        let path = format!("{root}/{plural}");
        insert(
            document,
            group,
            resource,
            path,
            Scope::AllNamespaces,
            &verbs(&[Action::List]),
        );
    }
}

fn insert(
    document: &mut Document,
    group: &GroupVersion<'_>,
    resource: &ResourceInfo<'_>,
    path: String,
    scope: Scope,
    actions: &[Action],
) {
    if actions.is_empty() {
        return;
    }
    let mut item = Map::new();
    for action in actions {
        item.insert(
            action.method().to_owned(),
            operation(document, group, resource, scope, *action),
        );
    }
    let mut parameters = parameters(document.dialect, &path, &[("pretty", "string")]);
    parameters.append(&mut common(&mut item));
    parameters.sort_by(|one, other| one["name"].as_str().cmp(&other["name"].as_str()));
    item.insert("parameters".to_owned(), Value::Array(parameters));
    document.paths.insert(path, Value::Object(item));
}

/// Takes the parameters out of the operations of a path that all of them have, but for the body.
fn common(item: &mut Map<String, Value>) -> Vec<Value> {
    let lists = item
        .values()
        .filter_map(|operation| operation["parameters"].as_array());
    let shared = lists
        .map(|list| list.iter().filter(|one| one["in"] != "body").cloned().collect())
        .reduce(|shared: Vec<Value>, list: Vec<Value>| {
            shared.into_iter().filter(|one| list.contains(one)).collect()
        });
    let shared = shared.unwrap_or_default();
    for list in item
        .values_mut()
        .filter_map(|operation| operation.get_mut("parameters")?.as_array_mut())
    {
        list.retain(|one| !shared.contains(one));
    }
    for operation in item.values_mut().filter_map(Value::as_object_mut) {
        if operation["parameters"].as_array().is_some_and(Vec::is_empty) {
            operation.remove("parameters");
        }
    }
    shared
}

/// The parameters of all operations of a path: the parts of the path itself, and those of `query`.
pub(super) fn parameters(dialect: Dialect, path: &str, query: &[(&str, &str)]) -> Vec<Value> {
    let parts = ["name", "namespace", "path"]
        .into_iter()
        .filter(|part| path.contains(&format!("{{{part}}}")))
        .map(|part| parameter(dialect, "path", part, "string"));
    let query = query
        .iter()
        .map(|(name, ty)| parameter(dialect, "query", name, ty));
    parts.chain(query).collect()
}

pub(super) fn parameter(dialect: Dialect, place: &str, name: &str, ty: &str) -> Value {
    let mut parameter = match dialect {
        Dialect::V2 => json!({ "name": name, "in": place, "type": ty, "uniqueItems": true }),
        Dialect::V3 => json!({ "name": name, "in": place, "schema": { "type": ty, "uniqueItems": true } }),
    };
    if place == "path" {
        parameter["required"] = json!(true);
    }
    parameter
}
