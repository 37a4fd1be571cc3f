//! Subresources that are connections or text, not objects: their options are parameters, their answer is text.

use serde_json::{Map, Value, json};

use super::{
    Document, GroupVersion, ResourceInfo,
    operations::{Scope, add_responses, operation_id, tag},
    paths::parameters,
    schemas::gvk,
};

/// Options by kind: name and type in the query.
type Options = (&'static str, &'static [(&'static str, &'static str)]);

const PROXY: &[(&str, &str)] = &[("path", "string")];
const CONNECTIONS: [Options; 6] = [
    ("NodeProxyOptions", PROXY),
    (
        "PodAttachOptions",
        &[
            ("container", "string"),
            ("stderr", "boolean"),
            ("stdin", "boolean"),
            ("stdout", "boolean"),
            ("tty", "boolean"),
        ],
    ),
    (
        "PodExecOptions",
        &[
            ("command", "string"),
            ("container", "string"),
            ("stderr", "boolean"),
            ("stdin", "boolean"),
            ("stdout", "boolean"),
            ("tty", "boolean"),
        ],
    ),
    ("PodPortForwardOptions", &[("ports", "integer")]),
    ("PodProxyOptions", PROXY),
    ("ServiceProxyOptions", PROXY),
];
const LOG: &[(&str, &str)] = &[
    ("container", "string"),
    ("follow", "boolean"),
    ("insecureSkipTLSVerifyBackend", "boolean"),
    ("limitBytes", "integer"),
    ("pretty", "string"),
    ("previous", "boolean"),
    ("sinceSeconds", "integer"),
    ("stream", "string"),
    ("tailLines", "integer"),
    ("timestamps", "boolean"),
];
const LOGS: &[&str] = &[
    "text/plain",
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
];
const ANY: &[&str] = &["*/*"];
const PROXIED: &[&str] = &["delete", "get", "head", "options", "patch", "post", "put"];
const STREAMED: &[&str] = &["get", "post"];

/// Adds the paths of a subresource, if it is one of these.
pub(super) fn add(
    document: &mut Document,
    group: &GroupVersion<'_>,
    resource: &ResourceInfo<'_>,
    scope: Scope,
    path: &str,
) -> bool {
    if resource.name == "pods/log" {
        let id = operation_id(group, resource, scope, "read", "");
        let read = operation(document, group, resource, "get", id, LOGS);
        insert(
            document,
            path.to_owned(),
            LOG,
            [("get", read)].into_iter().collect(),
        );
        return true;
    }
    let Some((_, options)) = CONNECTIONS.iter().find(|(kind, _)| *kind == resource.kind) else {
        return false;
    };
    let proxy = *options == PROXY;
    let deeper = proxy.then_some(("/{path}", "WithPath"));
    for (part, end) in [("", "")].into_iter().chain(deeper) {
        let methods = if proxy { PROXIED } else { STREAMED };
        let connections = methods.iter().map(|method| {
            let word = method[..1].to_ascii_uppercase() + &method[1..];
            let id = operation_id(group, resource, scope, "connect", &word) + end;
            (*method, operation(document, group, resource, "connect", id, ANY))
        });
        let connections = connections.collect();
        insert(document, format!("{path}{part}"), options, connections);
    }
    true
}

fn insert(document: &mut Document, path: String, query: &[(&str, &str)], operations: Vec<(&str, Value)>) {
    let mut item: Map<String, Value> = operations
        .into_iter()
        .map(|(method, operation)| (method.to_owned(), operation))
        .collect();
    let parameters = parameters(document.dialect, &path, query);
    item.insert("parameters".to_owned(), Value::Array(parameters));
    document.paths.insert(path, Value::Object(item));
}

fn operation(
    document: &Document,
    group: &GroupVersion<'_>,
    resource: &ResourceInfo<'_>,
    action: &str,
    id: String,
    types: &[&str],
) -> Value {
    let mut operation = json!({
        "operationId": id,
        "tags": [tag(group)],
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk(resource.group, resource.version, resource.kind),
    });
    if document.dialect == super::Dialect::V2 {
        operation["consumes"] = json!(ANY);
    }
    let text = json!({ "type": "string" });
    add_responses(document.dialect, &mut operation, &[("200", "OK")], types, &text);
    operation
}
