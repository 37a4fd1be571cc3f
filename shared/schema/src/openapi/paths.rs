//! Paths of resources.

use serde_json::{Map, Value, json};

use super::{
    Dialect, Document, GroupVersion, ResourceInfo,
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
    item.insert("parameters".to_owned(), parameters(document.dialect, &path));
    document.paths.insert(path, Value::Object(item));
}

/// The parameters of all operations of a path: the parts of the path itself, and `pretty`.
fn parameters(dialect: Dialect, path: &str) -> Value {
    let parts = ["name", "namespace"]
        .into_iter()
        .filter(|part| path.contains(&format!("{{{part}}}")));
    let mut parameters: Vec<Value> = parts
        .map(|part| parameter(dialect, "path", part, "string"))
        .collect();
    parameters.push(parameter(dialect, "query", "pretty", "string"));
    Value::Array(parameters)
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
