//! Stories of admission policies, told over HTTP.

mod hostile;
mod objects;

use super::Validating;
use crate::{
    Server,
    admission::{Attributes, Operation, Remote, Rounds},
    fixture,
    handler::Call,
    http::stories::Http,
    security::User,
};
use api::{Gvk, Gvr, Object};
use serde_json::{Value as Json, json};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

struct Story {
    http: Http,
    server: Arc<Server>,
}

impl Story {
    async fn new() -> Self {
        let (server, _) = fixture::whole().await;
        let mut story = Self {
            http: Http::new(&server).await,
            server,
        };
        let other = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}});
        story.made("/api/v1/namespaces", &other).await;
        story
    }

    /// Makes an object; its answer, and the warnings.
    async fn post(&mut self, url: &str, body: &Json) -> (u16, Json, Vec<String>) {
        self.send("POST", url, body).await
    }

    async fn send(&mut self, method: &str, url: &str, body: &Json) -> (u16, Json, Vec<String>) {
        let json = [("content-type", "application/json")];
        let text = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let answer = self.http.ask(method, url, &json, &text).await;
        let warnings = answer.headers.get_all("warning").iter();
        let warnings = warnings.map(|text| text.to_str().unwrap().to_owned()).collect();
        let body = serde_json::from_str(&answer.text).unwrap_or(Json::Null);
        (answer.code, body, warnings)
    }

    async fn made(&mut self, url: &str, body: &Json) {
        let (code, body, _) = self.post(url, body).await;
        assert_eq!(code, 201, "{body}");
    }

    /// Makes a validating policy of these parts of its `spec`, bound with these parts.
    async fn validating(&mut self, spec: Json, binding: Json) {
        self.bind("validating", "ValidatingAdmissionPolicy", spec, binding)
            .await;
    }

    async fn mutating(&mut self, spec: Json, binding: Json) {
        self.bind("mutating", "MutatingAdmissionPolicy", spec, binding)
            .await;
    }

    async fn bind(&mut self, sort: &str, kind: &str, mut spec: Json, mut binding: Json) {
        let name = spec["name"].take();
        let name = name.as_str().unwrap_or("demo").to_owned();
        for (part, value) in [
            ("matchConstraints", rules("", "configmaps")),
            ("failurePolicy", json!("Fail")),
        ] {
            if spec[part].is_null() {
                spec[part] = value;
            }
        }
        spec.as_object_mut().unwrap().remove("name");
        let api = "admissionregistration.k8s.io/v1";
        let policy = json!({"apiVersion": api, "kind": kind, "metadata": {"name": name}, "spec": spec});
        self.made(&format!("{GROUP}/{sort}admissionpolicies"), &policy)
            .await;
        binding["policyName"] = name.as_str().into();
        if sort == "validating" && binding["validationActions"].is_null() {
            binding["validationActions"] = json!(["Deny"]);
        }
        let bound = json!({"apiVersion": api, "kind": format!("{kind}Binding"),
            "metadata": {"name": format!("{name}-binding")}, "spec": binding});
        self.made(&format!("{GROUP}/{sort}admissionpolicybindings"), &bound)
            .await;
    }
}

fn rules(group: &str, resource: &str) -> Json {
    json!({"resourceRules": [{"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": [resource]}]})
}

fn map(name: &str, data: Json) -> Json {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

fn deployment(name: &str, replicas: u32) -> Json {
    let labels = json!({"app": name});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "web", "image": "registry.example/web:1"}]}}}})
}

#[tokio::test(start_paused = true)]
async fn a_policy_refuses_what_breaks_its_rules() {
    let mut story = Story::new().await;
    let spec = json!({
    "name": "replicas", "matchConstraints": rules("apps", "deployments"),
    "variables": [{"name": "most", "expression": "5"}, {"name": "wanted", "expression": "object.spec.replicas"}],
    "validations": [
        {"expression": "variables.wanted <= variables.most",
         "messageExpression": "'%d are more than %d'.format([variables.wanted, variables.most])"},
        {"expression": "object.metadata.name != 'bad'", "reason": "Forbidden", "message": " a bad name "},
    ]});
    let labels = json!({"matchLabels": {"kubernetes.io/metadata.name": "default"}});
    story
        .validating(spec, json!({"matchResources": {"namespaceSelector": labels}}))
        .await;
    let (code, status, _) = story.post(DEPLOYMENTS, &deployment("web", 6)).await;
    let message = "ValidatingAdmissionPolicy 'replicas' with binding 'replicas-binding' denied request: 6 are more than 5";
    assert_eq!(code, 422);
    assert_eq!(
        status["message"],
        format!("deployments.apps \"web\" is forbidden: {message}")
    );
    assert_eq!(status["reason"], "Invalid");
    assert_eq!(status["details"]["causes"], json!([{"message": message}]));
    let (code, status, _) = story.post(DEPLOYMENTS, &deployment("bad", 5)).await;
    assert_eq!((code, &status["reason"]), (403, &json!("Forbidden")));
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .ends_with("denied request: a bad name"),
        "{status}"
    );
    story.made(DEPLOYMENTS, &deployment("web", 5)).await;
    let scale = json!({"spec": {"replicas": 9}});
    let merge = [("content-type", "application/merge-patch+json")];
    let url = format!("{DEPLOYMENTS}/web");
    let answer = story.http.ask("PATCH", &url, &merge, &scale.to_string()).await;
    assert_eq!(answer.code, 422, "{}", answer.text);
    // The binding is about one namespace.
    let other = DEPLOYMENTS.replace("default", "other");
    story.made(&other, &deployment("web", 6)).await;
}

#[tokio::test(start_paused = true)]
async fn actions_deny_warn_and_audit() {
    let mut story = Story::new().await;
    let rule = |name: &str| json!({"name": name, "validations": [{"expression": "!has(object.data.odd)"}]});
    story
        .validating(rule("warns"), json!({"validationActions": ["Warn", "Audit"]}))
        .await;
    let (code, _, warnings) = story.post(MAPS, &map("a", json!({"odd": "1"}))).await;
    assert_eq!(code, 201);
    assert_eq!(
        warnings,
        [
            "299 - \"Validation failed for ValidatingAdmissionPolicy 'warns' with binding 'warns-binding': failed expression: \
          !has(object.data.odd)\""
        ]
    );
    story.validating(rule("denies"), json!({})).await;
    let (code, status, warnings) = story.post(MAPS, &map("b", json!({"odd": "1"}))).await;
    assert_eq!((code, warnings.len()), (422, 1), "{status}");
}

#[tokio::test(start_paused = true)]
async fn parameters_are_named_or_selected() {
    let mut story = Story::new().await;
    let spec = json!({
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConstraints": rules("apps", "deployments"),
        "validations": [{"expression": "object.spec.replicas <= int(params.data.most)",
            "messageExpression": "'most is ' + params.data.most"}]});
    let param =
        json!({"paramRef": {"name": "limits", "namespace": "other", "parameterNotFoundAction": "Deny"}});
    story.validating(spec.clone(), param).await;
    let (_, status, _) = story.post(DEPLOYMENTS, &deployment("web", 2)).await;
    let message = status["message"].as_str().unwrap();
    assert!(
        message.ends_with(
            "denied request: failed to configure binding: no params found for policy binding with `Deny` \
             parameterNotFoundAction"
        ),
        "{message}"
    );
    let maps = MAPS.replace("default", "other");
    story.made(&maps, &map("limits", json!({"most": "2"}))).await;
    story.made(DEPLOYMENTS, &deployment("web", 2)).await;
    let (_, status, _) = story.post(DEPLOYMENTS, &deployment("more", 3)).await;
    assert!(
        status["message"].as_str().unwrap().ends_with("most is 2"),
        "{status}"
    );
    let mut spec = spec;
    spec["name"] = "selected".into();
    let by_label = json!({"paramRef": {"selector": {"matchLabels": {"limits": "yes"}},
        "parameterNotFoundAction": "Allow"}});
    story.validating(spec, by_label).await;
    story.made(DEPLOYMENTS, &deployment("two", 2)).await;
    for (name, most) in [("one", "9"), ("two", "1")] {
        let mut limits = map(name, json!({"most": most}));
        limits["metadata"]["labels"] = json!({"limits": "yes"});
        story.made(MAPS, &limits).await;
    }
    let (_, status, _) = story.post(DEPLOYMENTS, &deployment("three", 2)).await;
    assert!(
        status["message"].as_str().unwrap().ends_with("most is 1"),
        "{status}"
    );
}

#[tokio::test(start_paused = true)]
async fn conditions_decide_whether_a_policy_is_asked() {
    let mut story = Story::new().await;
    let never = json!([{"expression": "false"}]);
    let condition = |expression: &str| json!([{"name": "it", "expression": expression}]);
    story
        .validating(
            json!({"name": "some", "matchConditions": condition("request.name.startsWith('bad') && request.operation == \
                'CREATE'"), "validations": never}),
            json!({}),
        )
        .await;
    story.made(MAPS, &map("good", json!({}))).await;
    let (code, ..) = story.post(MAPS, &map("bad", json!({}))).await;
    assert_eq!(code, 422);
    story
        .validating(
            json!({"name": "lost", "matchConditions": condition("object.data.gone == 'x'"), "validations": never,
                "failurePolicy": "Ignore"}),
            json!({}),
        )
        .await;
    story.made(MAPS, &map("fine", json!({}))).await;
    story
        .validating(
            json!({"name": "fails", "matchConditions": condition("object.data.gone == 'x'"), "validations": never}),
            json!({}),
        )
        .await;
    let (code, status, _) = story.post(MAPS, &map("other", json!({}))).await;
    assert_eq!(code, 422);
    assert!(
        status["message"].as_str().unwrap().ends_with(
            "denied request: expression 'object.data.gone == 'x'' resulted in error: no such key: data"
        ),
        "{status}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_expression_that_fails_follows_the_failure_policy() {
    let mut story = Story::new().await;
    for (name, failure) in [("lenient", "Ignore"), ("strict", "Fail")] {
        let mut constraints = rules("", "configmaps");
        constraints["objectSelector"] = json!({"matchLabels": {"by": name}});
        let rule = json!([{"expression": "object.data.size.size() > 1 / (object.data.size.size() - 1)"}]);
        let spec = json!({"name": name, "matchConstraints": constraints, "failurePolicy": failure, "validations": rule});
        story.validating(spec, json!({})).await;
        let mut body = map(name, json!({"size": "x"}));
        body["metadata"]["labels"] = json!({"by": name});
        let (code, status, _) = story.post(MAPS, &body).await;
        assert_eq!(code, if failure == "Fail" { 422 } else { 201 }, "{status}");
        if failure == "Fail" {
            let message = status["message"].as_str().unwrap();
            assert!(
                message.contains("resulted in error: division by zero"),
                "{message}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn expressions_see_the_request_its_namespace_and_what_its_user_may() {
    let mut story = Story::new().await;
    for (name, expression) in [
        (
            "a",
            "request.userInfo.username == 'admin' && request.kind.kind == 'ConfigMap'",
        ),
        (
            "b",
            "request.resource.resource == 'configmaps' && request.namespace == 'default' && !has(request.subResource)",
        ),
        (
            "c",
            "namespaceObject.metadata.name == 'default' && has(namespaceObject.status.phase)",
        ),
        (
            "d",
            "oldObject == null && request.options.kind == 'CreateOptions' && !request.dryRun",
        ),
        (
            "e",
            "authorizer.group('').resource('pods').namespace('default').check('create').allowed()",
        ),
        ("f", "authorizer.requestResource.check('create').allowed()"),
        ("g", "params == null || true"),
    ] {
        let mut constraints = rules("", "configmaps");
        constraints["resourceRules"][0]["resourceNames"] = json!([name]);
        let kind = json!({"apiVersion": "v1", "kind": "ConfigMap"});
        let mut spec = json!({"name": name, "matchConstraints": constraints, "validations": [{"expression": expression}]});
        if name == "g" {
            spec["paramKind"] = kind;
        }
        story.validating(spec, json!({})).await;
        let (code, status, _) = story.post(MAPS, &map(name, json!({}))).await;
        assert_eq!(code, 201, "{expression}: {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn rules_match_other_versions_and_leave_out_what_is_excluded() {
    let mut story = Story::new().await;
    let rule = json!({"apiGroups": ["autoscaling"], "apiVersions": ["v1"], "operations": ["*"],
        "resources": ["horizontalpodautoscalers"]});
    let exact = |policy: &str, name: &str| {
        let mut exclude = rule.clone();
        exclude["resourceNames"] = json!(["left-out"]);
        exclude["apiVersions"] = json!(["*"]);
        json!({"name": name, "matchConstraints": {"resourceRules": [rule], "excludeResourceRules": [exclude],
            "matchPolicy": policy},
            "validations": [{"expression": "object.apiVersion != 'autoscaling/v1' || object.spec.targetCPUUtilizationPercentage < 50",
                "message": "seen"}]})
    };
    let url = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
    let hpa = |name: &str| {
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name},
            "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
                "metrics": [{"type": "Resource", "resource": {"name": "cpu",
                    "target": {"type": "Utilization", "averageUtilization": 80}}}]}})
    };
    story.validating(exact("Exact", "exact"), json!({})).await;
    story.made(url, &hpa("a")).await;
    story
        .validating(exact("Equivalent", "equivalent"), json!({}))
        .await;
    let (code, status, _) = story.post(url, &hpa("b")).await;
    assert_eq!(code, 422, "{status}");
    story.made(url, &hpa("left-out")).await;
}

#[tokio::test(start_paused = true)]
async fn a_policy_mutates_by_merging_and_by_json_patch() {
    let mut story = Story::new().await;
    let merge = json!({"name": "merges", "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
        "Object{metadata: Object.metadata{labels: {'env': 'test', 'of': object.metadata.name}}}"}}]});
    let patch = json!({"name": "patches", "reinvocationPolicy": "IfNeeded",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression":
        "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 'x'},
          JSONPatch{op: 'add', path: '/data/made', value: 'x'},
          JSONPatch{op: 'test', path: '/data/k', value: 'v'}]"}}]});
    story.mutating(merge, json!({})).await;
    story.mutating(patch, json!({})).await;
    let mut body = map("one", json!({"k": "v"}));
    body["metadata"]["labels"] = json!({"own": "yes", "env": "prod"});
    let (code, made, _) = story.post(MAPS, &body).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(
        made["metadata"]["labels"],
        json!({"own": "yes", "env": "test", "of": "one", "a/b": "x"})
    );
    assert_eq!(made["data"], json!({"k": "v", "made": "x"}));
    // A test that does not hold leaves the object alone.
    let (_, made, _) = story.post(MAPS, &map("two", json!({"k": "w"}))).await;
    assert_eq!(made["data"], json!({"k": "w"}));
    // What there is nothing to patch in is refused.
    let (code, status, _) = story.post(MAPS, &map("three", Json::Null)).await;
    assert_eq!(code, 403, "{status}");
    let message = status["message"].as_str().unwrap();
    assert!(
        message.starts_with("policy 'patches' with binding 'patches-binding' denied request: JSON Patch: "),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_asked_again_when_a_later_one_changed_the_object() {
    let mut story = Story::new().await;
    let put = |name: &str, again: &str, expression: &str| {
        json!({"name": name, "reinvocationPolicy": again, "mutations": [{"patchType": "ApplyConfiguration",
            "applyConfiguration": {"expression": expression}}]})
    };
    let first = "has(object.data.late) ? Object{data: Object.data{seen: 'yes'}} : Object{}";
    story.mutating(put("a-again", "IfNeeded", first), json!({})).await;
    let never = first.replace("seen", "never");
    story.mutating(put("b-never", "Never", &never), json!({})).await;
    story
        .mutating(
            put("c-last", "Never", "Object{data: Object.data{late: '1'}}"),
            json!({}),
        )
        .await;
    let (code, made, _) = story.post(MAPS, &map("one", json!({"k": "v"}))).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["data"], json!({"k": "v", "late": "1", "seen": "yes"}));
}

#[tokio::test(start_paused = true)]
async fn policies_are_not_asked_about_policies() {
    let mut story = Story::new().await;
    let all = json!({"resourceRules": [{"apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"],
        "resources": ["*/*"]}]});
    let spec = json!({"name": "no", "matchConstraints": all, "validations": [{"expression": "false"}]});
    story.validating(spec, json!({})).await;
    let (code, ..) = story.post(MAPS, &map("a", json!({}))).await;
    assert_eq!(code, 422);
    let url = format!("{GROUP}/validatingadmissionpolicybindings/no-binding");
    let (code, ..) = story.send("DELETE", &url, &Json::Null).await;
    assert_eq!(code, 200);
    story.made(MAPS, &map("a", json!({}))).await;
}

#[tokio::test(start_paused = true)]
async fn the_status_tells_what_types_say() {
    let mut story = Story::new().await;
    let spec = json!({"name": "typed", "matchConstraints": rules("apps", "deployments"),
        "variables": [{"name": "wanted", "expression": "object.replicas"}],
        "validations": [{"expression": "object.replicas > 1"}, {"expression": "object.spec.replicas > 1"},
            {"expression": "object.spec.replicas > int(params.data.most)", "messageExpression": "string(object.spec.gone)"}],
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}});
    story.validating(spec, json!({})).await;
    let url = format!("{GROUP}/validatingadmissionpolicies/typed");
    let told = async {
        loop {
            let answer = story.http.get(&url).await;
            let policy: Json = serde_json::from_str(&answer.text).unwrap();
            if policy["status"]["observedGeneration"] == policy["metadata"]["generation"] {
                return policy;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let policy = tokio::time::timeout(Duration::from_secs(60), told)
        .await
        .expect("the status of a policy");
    let warning = |text: &str| format!("apps/v1, Kind=Deployment: ERROR: <input>:1:{text}\n");
    assert_eq!(
        policy["status"]["typeChecking"]["expressionWarnings"],
        json!([
            {"fieldRef": "spec.validations[0].expression",
             "warning": warning("7: undefined field 'replicas'\n | object.replicas > 1\n | ......^")},
            {"fieldRef": "spec.validations[2].messageExpression",
             "warning": warning("19: undefined field 'gone'\n | string(object.spec.gone)\n | ..................^")},
        ])
    );
}

#[tokio::test(start_paused = true)]
async fn expressions_are_judged_when_they_are_written() {
    let mut story = Story::new().await;
    let api = "admissionregistration.k8s.io/v1";
    let policy = json!({"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": "bad"},
        "spec": {"matchConstraints": rules("", "configmaps"),
            "variables": [{"name": "for", "expression": "1"}, {"name": "ok", "expression": "'a'"}],
            "matchConditions": [{"name": "c", "expression": "1"}],
            "validations": [{"expression": "variables.ok == 1 && variables.gone"}, {"expression": "params.x"}]}});
    let (code, status, _) = story
        .post(&format!("{GROUP}/validatingadmissionpolicies"), &policy)
        .await;
    assert_eq!(code, 422, "{status}");
    let causes = status["details"]["causes"].as_array().unwrap().iter();
    let causes: Vec<String> = causes
        .map(|cause| {
            let message = cause["message"].as_str().unwrap().lines().next().unwrap();
            format!("{}: {message}", cause["field"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        causes,
        [
            "spec.matchConditions[0].expression: Invalid value: \"1\": must evaluate to bool but got int",
            "spec.variables[0].name: Invalid value: \"for\": name is not a valid CEL identifier",
            "spec.validations[0].expression: Invalid value: \"variables.ok == 1 && variables.gone\": compilation failed: \
             ERROR: <input>:1:14: found no matching overload for '_==_' applied to '(string, int)'",
            "spec.validations[1].expression: Invalid value: \"params.x\": compilation failed: ERROR: <input>:1:1: \
             undeclared reference to 'params' (in container '')",
        ]
    );
}

/// `cargo test -p apiserver --release policy::stories::cost -- --nocapture` prints what a policy adds to a write.
#[tokio::test(start_paused = true)]
#[expect(clippy::disallowed_methods, reason = "it measures real time")]
async fn cost_of_a_policy_with_three_expressions() {
    let mut story = Story::new().await;
    let validations = json!([
        {"expression": "object.spec.replicas <= 5"},
        {"expression": "has(object.metadata.labels) && 'app' in object.metadata.labels"},
        {"expression": "object.spec.template.spec.containers.all(c, c.image.startsWith('registry.example/'))"},
    ]);
    let spec = json!({"matchConstraints": rules("apps", "deployments"), "validations": validations});
    story.validating(spec, json!({})).await;
    story.made(DEPLOYMENTS, &deployment("web", 5)).await;
    let gvr = Gvr::new("apps", "v1", "deployments");
    let stored = story.server.reader().get(&gvr, "default", "web").unwrap();
    let authorizer = story.server.handler.security.authz.clone();
    let plugin = Validating::new(story.server.reader(), authorizer);
    let place = story
        .server
        .handler
        .places
        .find(&gvr, "default", "web", "")
        .unwrap();
    let user = Arc::new(User::new("admin", &["system:authenticated"]));
    let call = Call {
        attributes: Server::attributes(&user, "update", &place),
        ..Call::default()
    };
    let attributes = |object: &Arc<Object>| Attributes {
        call: &call,
        operation: Operation::Update,
        place: Some(&place),
        kind: Gvk::new("apps", "v1", "Deployment"),
        name: "web",
        object: Some(object.clone()),
        old: Some(object.clone()),
        delete: None,
        rounds: Rounds::default(),
        normal: None,
    };
    let rounds = 2_000;
    let started = Instant::now();
    for _ in 0..rounds {
        let attributes = attributes(&stored);
        assert!(plugin.validates(&attributes));
        plugin.validate(&attributes).await.unwrap();
    }
    let size = stored.body().len();
    println!(
        "policy of three expressions, object of {size} bytes: {:?} a write",
        started.elapsed() / rounds
    );
}
