//! Policies and bindings as objects: every verb of the API, of every kind.

use super::{GROUP, Story, rules};
use http_body_util::BodyExt;
use serde_json::{Value as Json, json};

/// A kind: its plural, and the spec of an object.
fn kinds() -> [(&'static str, &'static str, Json); 4] {
    let mutation = json!({"patchType": "JSONPatch",
        "jsonPatch": {"expression": "[JSONPatch{op: 'add', path: '/data', value: {}}]"}});
    [
        (
            "ValidatingAdmissionPolicy",
            "validatingadmissionpolicies",
            json!({"failurePolicy": "Ignore", "matchConstraints": rules("apps", "deployments"),
                "validations": [{"expression": "true"}]}),
        ),
        (
            "ValidatingAdmissionPolicyBinding",
            "validatingadmissionpolicybindings",
            json!({"policyName": "p", "validationActions": ["Deny"]}),
        ),
        (
            "MutatingAdmissionPolicy",
            "mutatingadmissionpolicies",
            json!({"failurePolicy": "Ignore", "matchConstraints": rules("apps", "deployments"),
                "reinvocationPolicy": "Never", "mutations": [mutation]}),
        ),
        (
            "MutatingAdmissionPolicyBinding",
            "mutatingadmissionpolicybindings",
            json!({"policyName": "p"}),
        ),
    ]
}

impl Story {
    /// Names of what there is.
    async fn names(&mut self, url: &str) -> Vec<String> {
        let (code, list, _) = self.send("GET", url, &Json::Null).await;
        assert_eq!(code, 200, "{list}");
        let names = list["items"].as_array().unwrap().iter();
        names
            .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
            .collect()
    }

    /// What a watch from `version` tells, without the findings of the server about types.
    async fn told_since(&mut self, url: &str, version: &Json) -> Vec<String> {
        let version = version.as_str().unwrap();
        let url = format!("{url}?watch=1&resourceVersion={version}&timeoutSeconds=1");
        let response = self.http.send("GET", &url, &[], "").await;
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(text.to_vec()).unwrap();
        let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let told = events.filter_map(|event: Json| {
            let (what, of) = (event["type"].as_str().unwrap(), &event["object"]["metadata"]);
            let note = of["annotations"]["note"].as_str();
            let told = format!("{what} {} {}", of["name"].as_str().unwrap(), note.unwrap_or("-"));
            (what != "MODIFIED" || note.is_some()).then_some(told)
        });
        told.collect()
    }

    async fn patch(&mut self, url: &str, body: &Json) -> (u16, Json) {
        let merge = [("content-type", "application/merge-patch+json")];
        let answer = self.http.ask("PATCH", url, &merge, &body.to_string()).await;
        (answer.code, serde_json::from_str(&answer.text).unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn policies_and_bindings_have_every_verb() {
    let mut story = Story::new().await;
    for (kind, plural, spec) in kinds() {
        let all = format!("{GROUP}/{plural}");
        let (code, list, _) = story.send("GET", &all, &Json::Null).await;
        assert_eq!((code, &list["kind"]), (200, &json!(format!("{kind}List"))));
        let start = list["metadata"]["resourceVersion"].clone();
        for name in ["a", "b", "c"] {
            let labels = json!({"set": if name == "c" { "other" } else { "one" }});
            let body = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
                "metadata": {"name": name, "labels": labels}, "spec": spec});
            story.made(&all, &body).await;
        }
        let one = format!("{all}/a");
        let (code, read, _) = story.send("GET", &one, &Json::Null).await;
        assert_eq!((code, &read["kind"]), (200, &json!(kind)));
        for (key, value) in spec.as_object().unwrap() {
            if key != "matchConstraints" {
                assert_eq!(&read["spec"][key], value, "{kind}");
            }
        }
        assert_eq!(story.names(&all).await, ["a", "b", "c"]);
        let set = format!("{all}?labelSelector=set%3Done");
        assert_eq!(story.names(&set).await, ["a", "b"]);

        let note = |value: &str| json!({"metadata": {"annotations": {"note": value}}});
        let (code, patched) = story.patch(&one, &note("patched")).await;
        assert_eq!(
            (code, &patched["metadata"]["annotations"]["note"]),
            (200, &json!("patched"))
        );
        let mut updated = patched.clone();
        updated["metadata"]["annotations"]["note"] = "updated".into();
        let (code, updated, _) = story.send("PUT", &one, &updated).await;
        assert_eq!(
            (code, &updated["metadata"]["annotations"]["note"]),
            (200, &json!("updated"))
        );
        let stale = story.send("PUT", &one, &patched).await.0;
        assert_eq!(stale, 409, "{kind}");
        let generation = |object: &Json| object["metadata"]["generation"].as_i64();
        assert_eq!(
            generation(&updated),
            generation(&read),
            "{kind}: the spec is as it was"
        );

        assert_eq!(story.send("DELETE", &one, &Json::Null).await.0, 200);
        assert_eq!(story.send("GET", &one, &Json::Null).await.0, 404);
        assert_eq!(story.send("DELETE", &set, &Json::Null).await.0, 200);
        assert_eq!(story.names(&all).await, ["c"]);
        let told = story.told_since(&all, &start).await;
        let expected = [
            "ADDED a -",
            "ADDED b -",
            "ADDED c -",
            "MODIFIED a patched",
            "MODIFIED a updated",
            "DELETED a updated",
            "DELETED b -",
        ];
        assert_eq!(told, expected, "{kind}");
        assert_eq!(story.send("DELETE", &all, &Json::Null).await.0, 200);
        assert!(story.names(&all).await.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn the_status_of_a_policy_is_written_by_itself() {
    let mut story = Story::new().await;
    let (kind, plural, spec) = kinds().into_iter().next().unwrap();
    let all = format!("{GROUP}/{plural}");
    let body = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "a"},
        "spec": spec});
    story.made(&all, &body).await;
    let url = format!("{all}/a/status");
    let condition = |status: &str| {
        json!([{"type": "Ready", "status": status, "reason": "Story", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z"}])
    };
    let (code, mut read, _) = story.send("GET", &url, &Json::Null).await;
    assert_eq!(code, 200, "{read}");
    read["status"]["conditions"] = condition("True");
    read["spec"]["failurePolicy"] = "Fail".into();
    let (code, written, _) = story.send("PUT", &url, &read).await;
    assert_eq!(code, 200, "{written}");
    assert_eq!(
        (
            &written["status"]["conditions"][0]["status"],
            &written["spec"]["failurePolicy"]
        ),
        (&json!("True"), &json!("Ignore")),
        "what is not of the status is as it was"
    );
    let (code, patched) = story
        .patch(&url, &json!({"status": {"conditions": condition("False")}}))
        .await;
    assert_eq!(
        (code, &patched["status"]["conditions"][0]["status"]),
        (200, &json!("False"))
    );
    let change = json!({"spec": {"failurePolicy": "Fail"}, "status": {"conditions": condition("True")}});
    let (code, changed) = story.patch(&format!("{all}/a"), &change).await;
    assert_eq!(code, 200, "{changed}");
    assert_eq!(
        (
            &changed["status"]["conditions"][0]["status"],
            &changed["metadata"]["generation"]
        ),
        (&json!("False"), &json!(2))
    );
}
