use super::*;

const ALL: &[&str] = &[
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
];

fn resource<'a>(name: &'a str, group: &'a str, kind: &'a str, verbs: &'a [&'a str]) -> ResourceInfo<'a> {
    ResourceInfo {
        name,
        namespaced: true,
        group,
        version: "v1",
        kind,
        verbs,
        custom: None,
    }
}

fn apps() -> Vec<ResourceInfo<'static>> {
    vec![
        resource("deployments", "apps", "Deployment", ALL),
        resource(
            "deployments/scale",
            "autoscaling",
            "Scale",
            &["get", "patch", "update"],
        ),
        resource(
            "deployments/status",
            "apps",
            "Deployment",
            &["get", "patch", "update"],
        ),
        resource("widgets", "apps", "Widget", &["get", "list"]),
    ]
}

fn document(dialect: Dialect) -> Value {
    let resources = apps();
    let group = GroupVersion {
        group: "apps",
        version: "v1",
        resources: &resources,
    };
    let bytes = match dialect {
        Dialect::V2 => openapi_v2("v1.0.0", &[group], []),
        Dialect::V3 => openapi_v3("v1.0.0", &group),
    };
    serde_json::from_slice(&bytes).unwrap()
}

/// Every `$ref` in a document.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

#[test]
fn every_reference_has_its_schema() {
    for dialect in [Dialect::V2, Dialect::V3] {
        let document = document(dialect);
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 100);
        for reference in found {
            assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
        }
    }
}

#[test]
fn paths_say_what_kubectl_asks_for() {
    let document = document(Dialect::V3);
    let paths = document["paths"].as_object().unwrap();
    let names: Vec<&str> = paths.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "/apis/apps/v1/",
            "/apis/apps/v1/deployments",
            "/apis/apps/v1/namespaces/{namespace}/deployments",
            "/apis/apps/v1/namespaces/{namespace}/deployments/{name}",
            "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale",
            "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/status",
            "/apis/apps/v1/namespaces/{namespace}/widgets",
            "/apis/apps/v1/namespaces/{namespace}/widgets/{name}",
            "/apis/apps/v1/widgets",
        ]
    );
    let patch = &paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(patch["operationId"], "patchAppsV1NamespacedDeployment");
    assert_eq!(patch["x-kubernetes-action"], "patch");
    assert_eq!(
        patch["x-kubernetes-group-version-kind"],
        json!({"group": "apps", "version": "v1", "kind": "Deployment"})
    );
    let parameters: Vec<_> = patch["parameters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].clone())
        .collect();
    assert_eq!(parameters, ["dryRun", "fieldManager", "fieldValidation", "force"]);
    assert!(patch["requestBody"]["content"]["application/apply-patch+yaml"].is_object());
    let scale = &paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale"];
    assert_eq!(
        scale["put"]["operationId"],
        "replaceAppsV1NamespacedDeploymentScale"
    );
    assert_eq!(
        scale["put"]["x-kubernetes-group-version-kind"]["group"],
        "autoscaling"
    );
    assert!(scale["post"].is_null());
    let list = &paths["/apis/apps/v1/deployments"]["get"];
    assert_eq!(list["operationId"], "listAppsV1DeploymentForAllNamespaces");
    let answer = list["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].as_str();
    assert_eq!(
        answer,
        Some("#/components/schemas/io.k8s.api.apps.v1.DeploymentList")
    );
}

/// The names of a list of parameters.
fn names(parameters: &Value) -> Vec<&str> {
    let parameters = parameters.as_array().into_iter().flatten();
    parameters.filter_map(|one| one["name"].as_str()).collect()
}

#[test]
fn connections_are_text_with_their_options_as_parameters() {
    let resources = [
        resource("pods", "", "Pod", ALL),
        resource("pods/exec", "", "PodExecOptions", &["create", "get"]),
        resource("pods/log", "", "Pod", &["get"]),
        resource("pods/proxy", "", "PodProxyOptions", ALL),
    ];
    let group = GroupVersion {
        group: "",
        version: "v1",
        resources: &resources,
    };
    let document: Value = serde_json::from_slice(&openapi_v2("v1.0.0", &[group], [])).unwrap();
    let at = |end: &str| &document["paths"][&format!("/api/v1/namespaces/{{namespace}}/pods/{{name}}{end}")];
    let exec = at("/exec");
    assert_eq!(
        names(&exec["parameters"]),
        [
            "name",
            "namespace",
            "command",
            "container",
            "stderr",
            "stdin",
            "stdout",
            "tty"
        ]
    );
    assert_eq!(
        exec["post"],
        json!({
            "consumes": ["*/*"],
            "operationId": "connectCoreV1PostNamespacedPodExec",
            "produces": ["*/*"],
            "responses": {
                "200": {"description": "OK", "schema": {"type": "string"}},
                "401": {"description": "Unauthorized"},
            },
            "schemes": ["https"],
            "tags": ["core_v1"],
            "x-kubernetes-action": "connect",
            "x-kubernetes-group-version-kind": {"group": "", "kind": "PodExecOptions", "version": "v1"},
        })
    );
    assert_eq!(at("/log")["get"]["operationId"], "readCoreV1NamespacedPodLog");
    assert!(names(&at("/log")["parameters"]).contains(&"tailLines"));
    assert_eq!(
        at("/proxy/{path}")["options"]["operationId"],
        "connectCoreV1OptionsNamespacedPodProxyWithPath"
    );
    assert!(document["definitions"].get("v1.PodExecOptions").is_none());
    let removed = &at("")["delete"]["responses"]["200"]["schema"]["$ref"];
    assert_eq!(removed, "#/definitions/io.k8s.api.core.v1.Pod");
}

#[test]
fn what_all_operations_of_a_path_take_is_said_once() {
    let document = document(Dialect::V2);
    let paths = &document["paths"];
    let all = &paths["/apis/apps/v1/deployments"];
    assert!(names(&all["parameters"]).contains(&"labelSelector"));
    assert!(all["get"].get("parameters").is_none());
    let one = &paths["/apis/apps/v1/namespaces/{namespace}/deployments"];
    assert_eq!(names(&one["parameters"]), ["namespace", "pretty"]);
    assert!(names(&one["get"]["parameters"]).contains(&"labelSelector"));
    assert_eq!(
        one["get"]["produces"],
        json!([
            "application/json",
            "application/yaml",
            "application/vnd.kubernetes.protobuf",
            "application/json;stream=watch",
            "application/vnd.kubernetes.protobuf;stream=watch",
        ])
    );
}

#[test]
fn the_paths_above_resources_say_what_there_is() {
    let document = document(Dialect::V2);
    let answer = |path: &str| {
        let read = &document["paths"][path]["get"];
        (
            read["operationId"].clone(),
            read["responses"]["200"]["schema"]["$ref"].clone(),
        )
    };
    let meta = |name: &str| {
        json!(format!(
            "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.{name}"
        ))
    };
    assert_eq!(answer("/apis/"), (json!("getAPIVersions"), meta("APIGroupList")));
    assert_eq!(
        answer("/apis/apps/"),
        (json!("getAppsAPIGroup"), meta("APIGroup"))
    );
    let version = (json!("getAppsV1APIResources"), meta("APIResourceList"));
    assert_eq!(answer("/apis/apps/v1/"), version);
    assert!(document["definitions"]["io.k8s.apimachinery.pkg.version.Info"].is_object());
    assert_eq!(document["security"], json!([{"BearerToken": []}]));
}

#[test]
fn schemas_say_how_to_merge() {
    let document = document(Dialect::V3);
    let schemas = &document["components"]["schemas"];
    let deployment = &schemas["io.k8s.api.apps.v1.Deployment"];
    assert_eq!(
        deployment["x-kubernetes-group-version-kind"][0]["kind"],
        "Deployment"
    );
    assert_eq!(
        schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["volumes"],
        json!({
            "type": "array",
            "items": {"$ref": "#/components/schemas/io.k8s.api.core.v1.Volume"},
            "x-kubernetes-patch-strategy": "merge,retainKeys",
            "x-kubernetes-patch-merge-key": "name",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        })
    );
    assert_eq!(
        schemas["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["strategy"],
        json!({
            "allOf": [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentStrategy"}],
            "x-kubernetes-patch-strategy": "retainKeys",
        })
    );
    assert_eq!(
        schemas["io.k8s.api.apps.v1.DeploymentSpec"]["required"],
        json!(["selector", "template"])
    );
    assert_eq!(
        schemas["apps.v1.Widget"]["x-kubernetes-preserve-unknown-fields"],
        true
    );
}

#[test]
fn the_index_names_documents_by_hash() {
    let hash = openapi_hash(b"{}");
    assert_eq!(hash.len(), 128);
    let index = openapi_v3_index([("api/v1".to_owned(), hash.as_str())]);
    let want =
        format!(r#"{{"paths":{{"api/v1":{{"serverRelativeURL":"/openapi/v3/api/v1?hash={hash}"}}}}}}"#);
    assert_eq!(String::from_utf8(index).unwrap(), want);
}

#[test]
fn ids_and_tags_are_upstreams() {
    let role = ResourceInfo {
        name: "clusterroles",
        namespaced: false,
        group: "rbac.authorization.k8s.io",
        version: "v1",
        kind: "ClusterRole",
        verbs: ALL,
        custom: None,
    };
    let group = GroupVersion {
        group: "rbac.authorization.k8s.io",
        version: "v1",
        resources: &[role],
    };
    let document: Value = serde_json::from_slice(&openapi_v3("v1.0.0", &group)).unwrap();
    let collection = &document["paths"]["/apis/rbac.authorization.k8s.io/v1/clusterroles"];
    assert_eq!(
        collection["delete"]["operationId"],
        "deleteRbacAuthorizationV1CollectionClusterRole"
    );
    assert_eq!(collection["get"]["tags"][0], "rbacAuthorization_v1");
}

#[test]
fn what_every_object_has_is_explained() {
    for dialect in [Dialect::V2, Dialect::V3] {
        let document = document(dialect);
        let schemas = match dialect {
            Dialect::V2 => &document["definitions"],
            Dialect::V3 => &document["components"]["schemas"],
        };
        let deployment = &schemas["io.k8s.api.apps.v1.Deployment"]["properties"];
        let said = |of: &Value| of["description"].as_str().unwrap_or_default().to_owned();
        assert!(said(&deployment["apiVersion"]).starts_with("APIVersion defines"));
        assert_eq!(said(&deployment["metadata"]), "Standard object's metadata.");
        assert_eq!(
            deployment["metadata"].get("$ref").is_some(),
            dialect == Dialect::V2
        );
        assert_eq!(said(&deployment["spec"]), "");
        let meta = &schemas["io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"]["properties"];
        for (name, field) in meta.as_object().unwrap() {
            assert!(!said(field).is_empty(), "{name}");
        }
    }
}
