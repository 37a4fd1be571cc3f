//! The v2 documents of other servers, in ours: their paths, and the definitions that these need, under other names where ours has
//! a name for something else. Upstream: `kube-openapi/pkg/aggregator`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{
    messages::{PATH, SCHEMA},
    protobuf::fitting,
};
use crate::document::write;

pub(super) const DEFINITIONS: &str = "#/definitions/";
const PARAMETERS: &str = "#/parameters/";
/// What all servers have of one library.
const SHARED: &str = "io.k8s.apimachinery.";

/// What the v2 document of a server says of the paths below `/apis/GROUP/VERSION/`: these, and the definitions they need.
/// None: it says nothing of them.
pub fn openapi_v2_part(document: &[u8], group: &str, version: &str) -> Option<Vec<u8>> {
    let Ok(Value::Object(mut document)) = serde_json::from_slice(document) else {
        return None;
    };
    let mut take = |name| match document.remove(name) {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    };
    let (paths, definitions, parameters) = (take("paths"), take("definitions"), take("parameters"));
    let prefix = format!("/apis/{group}/{version}/");
    let paths: Map<String, Value> = paths
        .into_iter()
        .filter(|(path, _)| path.starts_with(&prefix))
        .map(|(path, mut item)| {
            inline(&mut item, &parameters);
            (path, fitting(&PATH, item))
        })
        .collect();
    if paths.is_empty() {
        return None;
    }
    let mut needed = BTreeSet::new();
    paths.values().for_each(|item| references(item, &mut needed));
    let mut found = Map::new();
    while let Some(name) = needed.pop_first() {
        if let (false, Some(definition)) = (found.contains_key(&name), definitions.get(&name)) {
            let definition = fitting(&SCHEMA, definition.clone());
            references(&definition, &mut needed);
            found.insert(name, definition);
        }
    }
    Some(write(&json!({ "paths": paths, "definitions": found })))
}

/// Adds what [`openapi_v2_part`] gave.
pub(super) fn add(document: &mut Value, part: &[u8]) {
    let Ok(mut part) = serde_json::from_slice::<Value>(part) else {
        return;
    };
    let (Value::Object(mut paths), Value::Object(definitions)) =
        (part["paths"].take(), part["definitions"].take())
    else {
        return;
    };
    let Some(ours) = document["definitions"].as_object_mut() else {
        return;
    };
    let renamed = names(&definitions, ours);
    for (name, mut definition) in definitions {
        rename(&mut definition, &renamed);
        let name = renamed.get(&name).cloned().unwrap_or(name);
        ours.entry(name).or_insert(definition);
    }
    let Some(known) = document["paths"].as_object_mut() else {
        return;
    };
    paths.retain(|path, _| !known.contains_key(path));
    for (path, mut item) in paths {
        rename(&mut item, &renamed);
        known.insert(path, item);
    }
}

/// The new names of definitions whose name is taken by something else.
fn names(definitions: &Map<String, Value>, ours: &Map<String, Value>) -> BTreeMap<String, String> {
    let taken = |(name, definition): &(&String, &Value)| {
        ours.get(*name)
            .is_some_and(|known| !name.starts_with(SHARED) && known != *definition)
    };
    let free = |name: &String| {
        (2u32..)
            .map(|number| format!("{name}_v{number}"))
            .find(|other| !ours.contains_key(other) && !definitions.contains_key(other))
            .unwrap_or_default()
    };
    let taken = definitions.iter().filter(taken);
    taken.map(|(name, _)| (name.clone(), free(name))).collect()
}

/// Visits every reference in `value`.
pub(super) fn each_reference(value: &mut Value, visit: &mut impl FnMut(&mut String)) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| each_reference(item, visit)),
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(target) if name == "$ref" => visit(target),
                    member => each_reference(member, visit),
                }
            }
        }
        _ => {}
    }
}

/// Gathers the names of the definitions that `value` refers to.
fn references(value: &Value, into: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, into)),
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(target) if name == "$ref" => {
                        into.extend(target.strip_prefix(DEFINITIONS).map(str::to_owned));
                    }
                    member => references(member, into),
                }
            }
        }
        _ => {}
    }
}

fn rename(value: &mut Value, renamed: &BTreeMap<String, String>) {
    if !renamed.is_empty() {
        each_reference(value, &mut |target| {
            let other = target
                .strip_prefix(DEFINITIONS)
                .and_then(|name| renamed.get(name));
            if let Some(name) = other {
                *target = format!("{DEFINITIONS}{name}");
            }
        });
    }
}

/// Puts the parameters that a path refers to in their places.
fn inline(path: &mut Value, parameters: &Map<String, Value>) {
    let Value::Object(members) = path else { return };
    for (name, member) in members {
        match member {
            Value::Array(items) if name == "parameters" => {
                for item in items {
                    let target = item["$ref"]
                        .as_str()
                        .and_then(|target| target.strip_prefix(PARAMETERS));
                    if let Some(parameter) = target.and_then(|name| parameters.get(name)) {
                        *item = parameter.clone();
                    }
                }
            }
            // An operation.
            Value::Object(_) => inline(member, parameters),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GroupVersion, openapi_v2, openapi_v2_protobuf};

    fn other() -> Value {
        json!({
            "swagger": "2.0",
            "paths": {
                "/apis/a.io/v1/things": { "get": {
                    "parameters": [{ "$ref": "#/parameters/limit" }, { "in": "header", "name": "h", "type": "string" }],
                    "responses": { "200": { "description": "OK", "schema": { "$ref": "#/definitions/io.a.v1.Thing" } } },
                    "externalDocs": { "url": "x" }, "x-kubernetes-action": "list",
                } },
                "/apis/a.io/v2/things": { "get": { "responses": {} } },
                "/version/": { "get": { "responses": {} } },
            },
            "parameters": { "limit": { "in": "query", "name": "limit", "type": "integer" } },
            "definitions": {
                "io.a.v1.Thing": { "type": "object", "xml": {}, "properties": {
                    "metadata": { "$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta" },
                    "spec": { "$ref": "#/definitions/io.k8s.api.core.v1.PodSpec" },
                    "example": { "type": "string" },
                } },
                "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": { "description": "of another release" },
                "io.k8s.api.core.v1.PodSpec": { "description": "something else" },
                "io.a.v1.Unused": {},
            },
        })
    }

    #[test]
    fn what_another_server_says_of_its_group_stands_in_ours() {
        let part = openapi_v2_part(other().to_string().as_bytes(), "a.io", "v1").unwrap();
        let of: Value = serde_json::from_slice(&part).unwrap();
        assert_eq!(of["paths"].as_object().unwrap().len(), 1);
        assert_eq!(of["definitions"].as_object().unwrap().len(), 3);
        let pods = crate::ResourceInfo {
            name: "pods",
            namespaced: true,
            group: "",
            version: "v1",
            kind: "Pod",
            verbs: &["get"],
            custom: None,
        };
        let core = GroupVersion {
            group: "",
            version: "v1",
            resources: &[pods],
        };
        let before: Value = serde_json::from_slice(&openapi_v2("v1", &[core], [])).unwrap();
        let merged: Value = serde_json::from_slice(&openapi_v2("v1", &[core], [&part[..]])).unwrap();
        let operation = &merged["paths"]["/apis/a.io/v1/things"]["get"];
        assert_eq!(operation["parameters"][0]["name"], "limit");
        assert_eq!(operation["parameters"][1]["in"], "header");
        assert!(operation["externalDocs"].is_null() && operation["x-kubernetes-action"] == "list");
        assert!(merged["paths"]["/apis/a.io/v2/things"].is_null());
        let of = &merged["definitions"];
        let thing = &of["io.a.v1.Thing"]["properties"];
        assert_eq!(
            thing["spec"]["$ref"],
            "#/definitions/io.k8s.api.core.v1.PodSpec_v2"
        );
        assert_eq!(
            of["io.k8s.api.core.v1.PodSpec_v2"]["description"],
            "something else"
        );
        assert_eq!(thing["example"]["type"], "string");
        for shared in [
            "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta",
            "io.k8s.api.core.v1.PodSpec",
        ] {
            assert_eq!(of[shared], before["definitions"][shared]);
        }
        assert!(
            openapi_v2_protobuf("v1", &[core], [&part[..]]).len()
                > openapi_v2_protobuf("v1", &[core], []).len()
        );
    }

    #[test]
    fn what_says_nothing_of_the_group_is_left_out() {
        assert_eq!(
            openapi_v2_part(other().to_string().as_bytes(), "b.io", "v1"),
            None
        );
        for odd in ["", "[]", "{}", r#"{"paths":[]}"#, "\u{1}"] {
            assert_eq!(openapi_v2_part(odd.as_bytes(), "a.io", "v1"), None);
        }
        let odd = json!({ "paths": { "/apis/a.io/v1/x": { "get": 7, "post": { "parameters": [7, {}], "deprecated": "no",
            "responses": [], "tags": "x" } } }, "definitions": 7 });
        let part = openapi_v2_part(odd.to_string().as_bytes(), "a.io", "v1").unwrap();
        assert!(!openapi_v2_protobuf("v1", &[], [&part[..]]).is_empty());
    }
}
