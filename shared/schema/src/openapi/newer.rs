//! OpenAPI v3 of servers that speak v2 only, as Kubernetes did before 1.24 (upstream `kube-openapi/pkg/openapiconv`).

use super::merge::{DEFINITIONS, each_reference};
use crate::document::write;
use serde_json::{Map, Value, json};

const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "head", "patch"];
/// What of a parameter is not of its type.
const OF_PARAMETERS: [&str; 5] = ["name", "in", "description", "required", "allowEmptyValue"];
const ANY: &str = "*/*";

/// The document of a group and version whose part of a v2 document is `part`, which [`super::openapi_v2_part`] gave; none
/// if that is nothing.
pub fn openapi_v3_of(part: &[u8]) -> Option<Vec<u8>> {
    let mut part: Value = serde_json::from_slice(part).ok()?;
    let Value::Object(mut paths) = part["paths"].take() else {
        return None;
    };
    paths.values_mut().for_each(path);
    let info = json!({"title": "Kubernetes", "version": "unversioned"});
    let mut document = json!({
        "openapi": "3.0.0", "info": info, "paths": paths,
        "components": {"schemas": part["definitions"].take()},
    });
    each_reference(&mut document, &mut |target| {
        if let Some(name) = target.strip_prefix(DEFINITIONS) {
            *target = format!("#/components/schemas/{name}");
        }
    });
    Some(write(&document))
}

fn path(item: &mut Value) {
    let Value::Object(item) = item else { return };
    parameters(item, &[]);
    for method in METHODS {
        if let Some(Value::Object(operation)) = item.get_mut(method) {
            let kinds = |list: Option<Value>| match list {
                Some(Value::Array(list)) if !list.is_empty() => list,
                _ => vec![ANY.into()],
            };
            let consumes = kinds(operation.remove("consumes"));
            let produces = kinds(operation.remove("produces"));
            operation.remove("schemes");
            parameters(operation, &consumes);
            if let Some(Value::Object(responses)) = operation.get_mut("responses") {
                responses
                    .values_mut()
                    .for_each(|response| content(response, &produces));
            }
        }
    }
}

/// The schema of a body, for each of the kinds that it may be of.
fn content(of: &mut Value, kinds: &[Value]) {
    let Value::Object(of) = of else { return };
    if let Some(schema) = of.remove("schema") {
        let kinds = kinds.iter().filter_map(Value::as_str);
        let content: Map<String, Value> = kinds
            .map(|kind| (kind.to_owned(), json!({"schema": schema})))
            .collect();
        of.insert("content".to_owned(), content.into());
    }
}

/// Parameters have schemas, and what is the body is none.
fn parameters(of: &mut Map<String, Value>, consumes: &[Value]) {
    let Some(Value::Array(list)) = of.get_mut("parameters") else {
        return;
    };
    let (bodies, mut others): (Vec<Value>, Vec<Value>) = std::mem::take(list)
        .into_iter()
        .partition(|one| one["in"] == "body");
    for other in &mut others {
        let Value::Object(members) = other else { continue };
        let of_type = std::mem::take(members)
            .into_iter()
            .partition(|(name, _)| OF_PARAMETERS.contains(&name.as_str()) || name.starts_with("x-"));
        let (own, schema): (Map<String, Value>, Map<String, Value>) = of_type;
        *members = own;
        members.insert("schema".to_owned(), schema.into());
    }
    *list = others;
    if let Some(Value::Object(mut body)) = bodies.into_iter().next() {
        body.remove("in");
        body.remove("name");
        let mut body = Value::Object(body);
        content(&mut body, consumes);
        of.insert("requestBody".to_owned(), body);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_document_is_said_in_the_newer_form() {
        let thing = json!({"$ref": "#/definitions/io.a.v1.Thing"});
        let part = json!({
            "paths": {"/apis/a.io/v1/things": {
                "parameters": [{"in": "query", "name": "pretty", "type": "string", "uniqueItems": true}],
                "post": {
                    "consumes": ["application/json"], "produces": ["application/json", "application/yaml"],
                    "schemes": ["https"], "x-kubernetes-action": "post",
                    "parameters": [{"in": "body", "name": "body", "required": true, "schema": thing}],
                    "responses": {"200": {"description": "OK", "schema": thing}, "401": {"description": "Unauthorized"}},
                },
                "get": {"responses": {"200": {"description": "OK", "schema": thing}}},
            }},
            "definitions": {"io.a.v1.Thing": {"properties": {"other": thing}}},
        });
        let document = openapi_v3_of(part.to_string().as_bytes()).unwrap();
        let document: Value = serde_json::from_slice(&document).unwrap();
        let thing = json!({"schema": {"$ref": "#/components/schemas/io.a.v1.Thing"}});
        assert_eq!(document["openapi"], "3.0.0");
        assert_eq!(
            document["components"]["schemas"]["io.a.v1.Thing"]["properties"]["other"],
            thing["schema"]
        );
        assert_eq!(
            document["paths"]["/apis/a.io/v1/things"],
            json!({
                "parameters": [{"in": "query", "name": "pretty", "schema": {"type": "string", "uniqueItems": true}}],
                "post": {
                    "x-kubernetes-action": "post", "parameters": [],
                    "requestBody": {"required": true, "content": {"application/json": thing}},
                    "responses": {
                        "200": {"description": "OK", "content": {"application/json": thing, "application/yaml": thing}},
                        "401": {"description": "Unauthorized"},
                    },
                },
                "get": {"responses": {"200": {"description": "OK", "content": {"*/*": thing}}}},
            })
        );
        assert_eq!(openapi_v3_of(b""), None);
        assert_eq!(openapi_v3_of(b"{}"), None);
    }
}
