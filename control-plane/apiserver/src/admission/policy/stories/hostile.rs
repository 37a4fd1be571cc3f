//! Policies that cost, that name what is gone, and that reach too far.

use super::{DEPLOYMENTS, MAPS, Story, deployment, map};
use serde_json::{Value as Json, json};
use std::time::Duration;

const OVER: &str = "resulted in error: operation cancelled: actual cost limit exceeded";
const SPENT: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// A ConfigMap with many keys, and one with a long text.
fn large(name: &str) -> Json {
    let mut data: serde_json::Map<String, Json> = (0..1000).map(|n| (format!("k{n}"), json!("v"))).collect();
    data.insert("text".to_owned(), "a".repeat(600_000).into());
    map(name, Json::Object(data))
}

fn message(status: &Json) -> &str {
    status["message"].as_str().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn an_expression_that_costs_too_much_is_stopped() {
    let doubling: Vec<Json> = (0..40)
        .map(|n| match n {
            0 => json!({"name": "s0", "expression": "object.data.text"}),
            n => json!({"name": format!("s{n}"), "expression": format!("variables.s{0} + variables.s{0}", n - 1)}),
        })
        .collect();
    for (expression, variables) in [
        (
            "object.data.all(a, object.data.all(b, object.data.all(c, a + b + c != 'x')))",
            json!([]),
        ),
        (
            "!object.data.exists(a, object.data.exists(b, a + b == 'x'))",
            json!([]),
        ),
        (
            "object.data.map(a, object.data.map(b, [a, b])).size() > 0",
            json!([]),
        ),
        ("variables.s39.size() > 0", Json::Array(doubling)),
        (
            "object.data.text.replace('a', object.data.text).size() > 0",
            json!([]),
        ),
        (
            "object.data.text.split('').all(a, !object.data.text.contains(a + 'b'))",
            json!([]),
        ),
        (
            "[0,1,2,3,4,5,6,7,8,9].all(i, object.data.text.find('(a*)*b') == '' && object.data.text.lowerAscii() != '')",
            json!([]),
        ),
    ] {
        for (failure, code) in [("Fail", 422), ("Ignore", 201)] {
            let mut story = Story::new().await;
            let rule = json!([{"expression": expression}]);
            let spec = json!({"failurePolicy": failure, "variables": variables, "validations": rule});
            story.validating(spec, json!({})).await;
            let (got, status, _) = story.post(MAPS, &large("l")).await;
            assert_eq!(got, code, "{expression}: {}", message(&status));
            if code == 422 {
                assert!(
                    message(&status).contains(OVER),
                    "{expression}: {}",
                    message(&status)
                );
            }
            // The server lives, and others are judged as ever.
            let (code, ..) = story
                .post(
                    "/api/v1/namespaces/default/secrets",
                    &json!({"metadata": {"name": "s"}}),
                )
                .await;
            assert_eq!(code, 201);
        }
    }
}

/// Patterns that other engines go through again and again are gone through once.
#[tokio::test(start_paused = true)]
async fn patterns_take_no_longer_than_texts_are_long() {
    let mut story = Story::new().await;
    let rule = "object.data.text.matches('^(a+)+$') && !object.data.text.matches('^(a|a)*b$')";
    story
        .validating(json!({"validations": [{"expression": rule}]}), json!({}))
        .await;
    story.made(MAPS, &large("l")).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_policy_may_cost_altogether_is_bounded() {
    let one = "object.data.text.contains('b') || object.data.text.contains('c') || object.data.text.contains('d') || true";
    let many: Vec<Json> = (0..80).map(|_| json!({"expression": one})).collect();
    let mut story = Story::new().await;
    story
        .validating(json!({"validations": many[..5]}), json!({}))
        .await;
    story.made(MAPS, &large("few")).await;
    story
        .validating(json!({"name": "many", "validations": many}), json!({}))
        .await;
    let (code, status, _) = story.post(MAPS, &large("l")).await;
    assert_eq!(code, 422);
    assert!(
        message(&status).ends_with(&format!("denied request: {SPENT}")),
        "{}",
        message(&status)
    );
    // So it is with what decides whether a policy is asked.
    let mut story = Story::new().await;
    let conditions: Vec<Json> = (0..20)
        .map(|n| json!({"name": format!("c{n}"), "expression": one}))
        .collect();
    let spec = json!({"matchConditions": conditions, "validations": [{"expression": "true"}]});
    story.validating(spec, json!({})).await;
    let (code, status, _) = story.post(MAPS, &large("l")).await;
    assert_eq!(code, 422);
    assert!(
        message(&status).ends_with(&format!("denied request: {SPENT}")),
        "{}",
        message(&status)
    );
}

#[tokio::test(start_paused = true)]
async fn variables_are_computed_when_they_are_asked_for_and_once() {
    let mut story = Story::new().await;
    let heavy =
        "object.data.text.contains('b') || object.data.text.contains('c') || object.data.text.contains('d')";
    let mut validations = vec![json!({"expression": "!variables.heavy"}); 80];
    validations.push(json!({"expression": "!variables.both"}));
    let spec = json!({
        "variables": [{"name": "fails", "expression": "object.data.gone.size() > 0"}, {"name": "heavy", "expression": heavy},
            {"name": "both", "expression": "has(object.data.gone) && variables.fails"}],
        "validations": validations,
    });
    story.validating(spec, json!({})).await;
    story.made(MAPS, &large("l")).await;
}

#[tokio::test(start_paused = true)]
async fn what_an_apply_configuration_would_replace_as_a_whole_is_refused() {
    let mut story = Story::new().await;
    let mutation = |expression: &str| {
        json!({"name": "m", "matchConstraints": super::rules("apps", "deployments"), "mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}]})
    };
    let selector = "Object{spec: Object.spec{selector: Object.spec.selector{matchLabels: {'app': 'other'}}}}";
    story.mutating(mutation(selector), json!({})).await;
    let (code, status, _) = story.post(DEPLOYMENTS, &deployment("web", 1)).await;
    assert_eq!((code, &status["reason"]), (403, &json!("Invalid")));
    assert_eq!(
        message(&status),
        "policy 'm' with binding 'm-binding' denied request: error applying patch: invalid ApplyConfiguration: may not \
         mutate atomic arrays, maps or structs: .spec.selector"
    );
    let mut story = Story::new().await;
    let sidecar = "Object{spec: Object.spec{template: Object.spec.template{spec: Object.spec.template.spec{containers: \
                   [Object.spec.template.spec.containers{name: 'sidecar', image: 's:1'}]}}}}";
    story.mutating(mutation(sidecar), json!({})).await;
    let (code, made, _) = story.post(DEPLOYMENTS, &deployment("web", 1)).await;
    assert_eq!(code, 201, "{made}");
    let names: Vec<&Json> = made["spec"]["template"]["spec"]["containers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|container| &container["name"])
        .collect();
    assert_eq!(names, ["web", "sidecar"]);
}

#[tokio::test(start_paused = true)]
async fn parameters_of_a_kind_that_is_gone_fail_a_policy() {
    let mut story = Story::new().await;
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "limits.example.com"}, "spec": {"group": "example.com", "scope": "Cluster",
        "names": {"plural": "limits", "singular": "limit", "kind": "Limit", "listKind": "LimitList"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object",
            "properties": {"most": {"type": "integer"}}}}}]}});
    story.made(definitions, &definition).await;
    served(&story, true).await;
    let limit =
        json!({"apiVersion": "example.com/v1", "kind": "Limit", "metadata": {"name": "l"}, "most": 2});
    story.made("/apis/example.com/v1/limits", &limit).await;
    let spec = json!({"paramKind": {"apiVersion": "example.com/v1", "kind": "Limit"},
        "matchConstraints": super::rules("apps", "deployments"),
        "validations": [{"expression": "object.spec.replicas <= params.most"}]});
    let param = json!({"paramRef": {"name": "l", "parameterNotFoundAction": "Allow"}});
    story.validating(spec, param).await;
    story.made(DEPLOYMENTS, &deployment("two", 2)).await;
    assert_eq!(story.post(DEPLOYMENTS, &deployment("three", 3)).await.0, 422);
    // Without the object the policy is not asked; without its kind nobody is let through.
    assert_eq!(
        story
            .send("DELETE", "/apis/example.com/v1/limits/l", &Json::Null)
            .await
            .0,
        200
    );
    story.made(DEPLOYMENTS, &deployment("three", 3)).await;
    let url = format!("{definitions}/limits.example.com");
    assert_eq!(story.send("DELETE", &url, &Json::Null).await.0, 200);
    served(&story, false).await;
    let (code, status, _) = story.post(DEPLOYMENTS, &deployment("four", 1)).await;
    assert_eq!(code, 422, "{status}");
    assert!(
        message(&status).ends_with(
            "denied request: failed to configure binding: failed to find resource referenced by paramKind: \
             'example.com/v1, Kind=Limit'"
        ),
        "{}",
        message(&status)
    );
}

/// Waits until the kind is served, or is not.
async fn served(story: &Story, wanted: bool) {
    let mut rows = story.server.rows();
    let change = async {
        while rows.borrow_and_update().iter().any(|row| row.plural == "limits") != wanted {
            rows.changed().await.unwrap();
        }
    };
    let change = tokio::time::timeout(Duration::from_secs(600), change);
    change.await.expect("the custom resource to come or go");
}
