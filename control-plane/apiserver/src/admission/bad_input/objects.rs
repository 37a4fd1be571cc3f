//! What users configure and ask for.

use super::{
    Told,
    changes::{BINDINGS, Change, HOOKS, MUTATIONS, POLICIES, REQUESTS},
};
use crate::{
    admission::webhook::stories::{GROUP, MAPS, Story, map},
    security::stories::log::Log,
};
use serde_json::{Value as Json, json};

const API: &str = "admissionregistration.k8s.io/v1";
const CERTIFICATES: &str = "/apis/certificates.k8s.io/v1";

/// Of `O=system:masters, CN=jane`, and of a node.
const MASTERS: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIa01JR0tBZ0VBTUNneEZ6QVZCZ05WQkFvTURuTjVjM1JsYlRwdFlYTjBaWEp6TVEwd0N3WURWUVFEREFScQpZVzVsTUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowREFRY0RRZ0FFZGgwem01KzdNTFZBQy83T0JpZVFSSVE2CktHU2NxdG8rN2JYRlA2R0ttTDhxVDMwU0dzSUQ3SWo1R1BpVlA5alU4bW43ckZlalNTWk54Qk0wMWpXc2ZxQUEKTUFvR0NDcUdTTTQ5QkFNQ0Ewa0FNRVlDSVFDNWVsNTJmbXFxbSs5Njc0SCthYkxXZHpqT1BYYlRMVlhBTGozcAo1MDR1WUFJaEFKK1k2Z0tYYS85dHlTM0RKWkVCT2x5TkNjOTFPcUxaa2xtTTF2VlpyeFpNCi0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo=";
const NODE: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIck1JR1NBZ0VBTURBeEZUQVRCZ05WQkFvTURITjVjM1JsYlRwdWIyUmxjekVYTUJVR0ExVUVBd3dPYzNsegpkR1Z0T201dlpHVTZiakV3V1RBVEJnY3Foa2pPUFFJQkJnZ3Foa2pPUFFNQkJ3TkNBQVIySFRPYm43c3d0VUFMCi9zNEdKNUJFaERvb1pKeXEyajd0dGNVL29ZcVl2eXBQZlJJYXdnUHNpUGtZK0pVLzJOVHlhZnVzVjZOSkprM0UKRXpUV05heCtvQUF3Q2dZSUtvWkl6ajBFQXdJRFNBQXdSUUloQU9YR0x6d3pnbmd1N0J2V1RNZXJLeXhwSW9IMgpBT2xVUWNDMU0ycWt3UnNmQWlCQy9PSjlBdWFOOGIwSjU3OTRjSVcydDZYcHVSOHFyU2k0VDMrOTBYYUtsUT09Ci0tLS0tRU5EIENFUlRJRklDQVRFIFJFUVVFU1QtLS0tLQo=";

/// As the first, in strings of two bytes a character, which others may read.
const WIDE: &str = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KTUlIMk1JR2NBZ0VBTURveEpUQWpCZ05WQkFvZUhBQnpBSGtBY3dCMEFHVUFiUUE2QUcwQVlRQnpBSFFBWlFCeQpBSE14RVRBUEJnTlZCQU1lQ0FCcUFHRUFiZ0JsTUZrd0V3WUhLb1pJemowQ0FRWUlLb1pJemowREFRY0RRZ0FFCllWQ2hSanZzc1k3bGNVeGVuM2hMQTZ2bXYvK1RDNzVWR0tTYmMrUzZvVDlSa0ZvTXNFY1pVQm5qc1ZPVnFrdmMKRWhmdDYxa2ZUc0kzQWdEUjJyakM5YUFBTUFvR0NDcUdTTTQ5QkFNQ0Ewa0FNRVlDSVFDR1FRT2htUGhXSjdleApSSDBhWWVEWWRBb1VjZUhOTUdHREZDYzh0U09XblFJaEFOOEpxbVpZNjZTMDljQkRBd0srZjlwaXNuc2tNRURmCnFySzRyTXlvYm1XdQotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K";

fn changed(of: &Json, change: &Change) -> Json {
    let mut changed = of.clone();
    let (parent, name) = change.0.rsplit_once('/').unwrap();
    let value: Json = serde_json::from_str(change.1).unwrap();
    let parent = changed.pointer_mut(parent).unwrap();
    match (name.parse::<usize>(), value) {
        (Ok(at), value) => parent[at] = value,
        (_, Json::Null) => drop(parent.as_object_mut().unwrap().remove(name)),
        (_, value) => parent[name] = value,
    }
    changed
}

fn object(kind: &str, spec: &Json) -> Json {
    json!({"apiVersion": API, "kind": kind, "metadata": {"name": "wrong"}, "spec": spec})
}

fn rules() -> Json {
    json!({"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
        "resources": ["configmaps"]}]})
}

/// Tries each change of `good`, which itself is taken.
async fn all(
    told: &mut Told,
    story: &mut Story,
    url: &str,
    changes: &[Change],
    made: impl Fn(&Json) -> Json,
    good: &Json,
) {
    let dry = format!("{url}?dryRun=All");
    let (code, body, _) = story.send("POST", &dry, &made(good)).await;
    told.holds(&format!("{url}: {body}"), code == 201);
    let log = Log::keep();
    for change in changes {
        let (code, body, _) = story.send("POST", url, &made(&changed(good, change))).await;
        let of = format!("{url} {} {}", change.0, change.1);
        told.case(
            &of,
            (422, change.2),
            (code, body["message"].as_str().unwrap_or_default()),
        );
        let said = log.said();
        told.holds(
            &format!("{of}: the log does not say why: {said}"),
            said.contains(change.2),
        );
    }
}

pub(super) async fn tell(told: &mut Told) {
    let story = &mut Story::new().await;
    let hook = story.hook("/allow", &json!({}));
    for (plural, kind) in [
        ("mutatingwebhookconfigurations", "MutatingWebhookConfiguration"),
        (
            "validatingwebhookconfigurations",
            "ValidatingWebhookConfiguration",
        ),
    ] {
        let made = |hook: &Json| json!({"apiVersion": API, "kind": kind, "metadata": {"name": "wrong"}, "webhooks": [hook]});
        let own = |change: &&Change| kind.starts_with('M') || change.0 != "/reinvocationPolicy";
        let changes: Vec<Change> = HOOKS.iter().filter(own).copied().collect();
        all(told, story, &format!("{GROUP}/{plural}"), &changes, made, &hook).await;
    }
    let spec = json!({"matchConstraints": rules(), "validations": [{"expression": "true"}]});
    let url = format!("{GROUP}/validatingadmissionpolicies");
    all(
        told,
        story,
        &url,
        POLICIES,
        |spec| object("ValidatingAdmissionPolicy", spec),
        &spec,
    )
    .await;
    let spec = json!({"matchConstraints": rules(), "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{op: 'add', path: '/x', value: 1}]"}}]});
    let url = format!("{GROUP}/mutatingadmissionpolicies");
    all(
        told,
        story,
        &url,
        MUTATIONS,
        |spec| object("MutatingAdmissionPolicy", spec),
        &spec,
    )
    .await;
    let spec = json!({"policyName": "p", "validationActions": ["Deny"]});
    let url = format!("{GROUP}/validatingadmissionpolicybindings");
    all(
        told,
        story,
        &url,
        BINDINGS,
        |spec| object("ValidatingAdmissionPolicyBinding", spec),
        &spec,
    )
    .await;
    requests(told, story).await;
    asked(told, story).await;
}

async fn requests(told: &mut Told, story: &mut Story) {
    let url = format!("{CERTIFICATES}/certificatesigningrequests");
    let made = |spec: &Json| {
        json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
            "metadata": {"name": "wrong"}, "spec": spec})
    };
    let spec = json!({"request": NODE, "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]});
    all(told, story, &url, REQUESTS, made, &spec).await;
    let words = "use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed";
    for (request, words) in [(MASTERS, words), (WIDE, "is forbidden")] {
        let mut masters = spec.clone();
        masters["request"] = request.into();
        let (code, body, _) = story.send("POST", &url, &made(&masters)).await;
        told.case(
            words,
            (403, words),
            (code, body["message"].as_str().unwrap_or_default()),
        );
    }
    let (code, body, _) = story.send("POST", &url, &made(&spec)).await;
    told.holds(&body.to_string(), code == 201);
    let put = |part: &str, status: Json| {
        let mut changed = body.clone();
        changed["status"] = status;
        (format!("{url}/wrong/{part}"), changed)
    };
    let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "r", "message": "m"});
    for (part, status, words) in [
        (
            "approval",
            json!({"conditions": [condition("Approved"), condition("Denied")]}),
            "Approved and Denied conditions are mutually exclusive",
        ),
        (
            "approval",
            json!({"conditions": [{"type": "Approved", "status": "False"}]}),
            "Unsupported value: \"False\": supported values: \"True\"",
        ),
        (
            "approval",
            json!({"conditions": [{"type": "", "status": "True"}]}),
            "type: Required value",
        ),
        (
            "status",
            json!({"conditions": [condition("Approved")]}),
            "updates may not add a condition of type \"Approved\"",
        ),
        (
            "status",
            json!({"certificate": "bm9uZQ=="}),
            "status.certificate: Invalid value",
        ),
    ] {
        let (at, changed) = put(part, status);
        let (code, body, _) = story.send("PUT", &at, &changed).await;
        told.case(
            &changed["status"].to_string(),
            (422, words),
            (code, body["message"].as_str().unwrap_or_default()),
        );
    }
}

/// Policies that are taken and cannot be gone by when they are asked: nothing is let through.
async fn asked(told: &mut Told, story: &mut Story) {
    let validating = |expression: &str, more: Json| {
        let mut spec = json!({"matchConstraints": rules(), "failurePolicy": "Fail", "validations": [{"expression": expression}]});
        for (key, value) in more.as_object().unwrap() {
            spec[key] = value.clone();
        }
        ("validating", "Validating", spec)
    };
    let mutating = |patch: Json| {
        (
            "mutating",
            "Mutating",
            json!({"matchConstraints": rules(), "failurePolicy": "Fail", "reinvocationPolicy": "Never", "mutations": [patch]}),
        )
    };
    let json_patch = |expression: &str| {
        mutating(json!({"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}))
    };
    let apply = |expression: &str| {
        mutating(json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}))
    };
    let params = json!({"paramKind": {"apiVersion": "v1", "kind": "Secret"}});
    let gone = json!({"paramKind": {"apiVersion": "example.com/v1", "kind": "Nothing"}});
    let named = json!({"name": "none", "namespace": "default", "parameterNotFoundAction": "Deny"});
    let cost = "object.data.a.matches('b') && [1,2,3,4,5,6,7,8,9,0].all(a, [1,2,3,4,5,6,7,8,9,0].all(b, [1,2,3,4,5,6,7,8,9,0].all(c, \
                [1,2,3,4,5,6,7,8,9,0].all(d, [1,2,3,4,5,6,7,8,9,0].all(e, [1,2,3,4,5,6,7,8,9,0].all(f, [1,2,3,4,5,6,7,8,9,0].all(g, a+b+c+d+e+f+g >= 0)))))))";
    let none = Json::Null;
    for ((sort, kind, spec), param, code, words) in [
        (
            validating("object.data.none == 'x'", json!({})),
            &none,
            422,
            "no such key: none",
        ),
        (
            validating("object.data.a == oldObject.data.a", json!({})),
            &none,
            422,
            "resulted in error",
        ),
        (
            validating("int(object.data.a) > 0", json!({})),
            &none,
            422,
            "resulted in error",
        ),
        (
            validating("[1][7] == 1", json!({})),
            &none,
            422,
            "index out of bounds: 7",
        ),
        (
            validating("1 / (size(object.data) - 1) == 0", json!({})),
            &none,
            422,
            "division by zero",
        ),
        (
            validating("object.data.a.matches('(' + object.data.a)", json!({})),
            &none,
            422,
            "resulted in error",
        ),
        (
            validating(cost, json!({})),
            &none,
            422,
            "operation cancelled: actual cost limit exceeded",
        ),
        (
            validating(
                "true",
                json!({"matchConditions": [{"name": "c", "expression": "object.data.none == 'x'"}]}),
            ),
            &none,
            422,
            "no such key: none",
        ),
        (
            validating(
                "variables.x == 'x'",
                json!({"variables": [{"name": "x", "expression": "object.data.none"}]}),
            ),
            &none,
            422,
            "no such key: none",
        ),
        (
            validating("params.data.a == 'b'", params.clone()),
            &named,
            422,
            "no params found for policy binding with `Deny` parameterNotFoundAction",
        ),
        (
            validating("params.data.a == 'b'", gone),
            &named,
            422,
            "failed to find resource referenced by paramKind: 'example.com/v1, Kind=Nothing'",
        ),
        (
            validating("params.data.a == 'b'", params),
            &none,
            422,
            "no such overload",
        ),
        (
            json_patch("[JSONPatch{op: 'add', path: '/nowhere/deep', value: 'x'}]"),
            &none,
            403,
            "JSON Patch",
        ),
        (
            json_patch("[JSONPatch{op: 'frobnicate', path: '/data/x', value: 'x'}]"),
            &none,
            403,
            "",
        ),
        (
            json_patch("[JSONPatch{op: 'replace', path: '', value: 'x'}]"),
            &none,
            403,
            "JSON Patch: replace operation value must be object or array",
        ),
        (
            json_patch("[JSONPatch{op: 'add', path: '/data/x', value: object.data.none}]"),
            &none,
            403,
            "no such key: none",
        ),
        (
            json_patch("[JSONPatch{op: 'add', path: '/data/x', value: 7}]"),
            &none,
            400,
            "cannot be handled as a ConfigMap",
        ),
        (
            json_patch("[JSONPatch{op: 'replace', path: '/metadata/namespace', value: 'kube-system'}]"),
            &none,
            400,
            "does not match the namespace",
        ),
        (apply("Object{nothing: 'x'}"), &none, 403, ""),
        (apply("Object{data: 7}"), &none, 403, ""),
    ] {
        let policies = format!("{GROUP}/{sort}admissionpolicies");
        let of = spec.to_string();
        let policy = object(&format!("{kind}AdmissionPolicy"), &spec);
        let (made, body, _) = story.send("POST", &policies, &policy).await;
        told.holds(&format!("{of}: {body}"), made == 201);
        let mut bound = json!({"policyName": "wrong"});
        if sort == "validating" {
            bound["validationActions"] = json!(["Deny"]);
        }
        if !param.is_null() {
            bound["paramRef"] = param.clone();
        }
        let bindings = format!("{GROUP}/{sort}admissionpolicybindings");
        let (made, body, _) = story
            .send(
                "POST",
                &bindings,
                &object(&format!("{kind}AdmissionPolicyBinding"), &bound),
            )
            .await;
        told.holds(&format!("{of}: {body}"), made == 201);
        let (got, body, _) = story.map("x").await;
        told.case(
            &of,
            (code, words),
            (got, body["message"].as_str().unwrap_or_default()),
        );
        let there = story.send("GET", &format!("{MAPS}/x"), &Json::Null).await.0;
        told.holds(&format!("{of}: it is written"), there == 404);
        for url in [policies, bindings] {
            story.send("DELETE", &url, &json!({})).await;
        }
    }
    let (code, body, _) = story.send("POST", MAPS, &map("alive")).await;
    told.holds(&format!("the server is dead: {body}"), code == 201);
}
