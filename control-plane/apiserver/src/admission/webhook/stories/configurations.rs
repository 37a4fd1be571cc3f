//! Configurations hold as soon as they are written, in whatever way; and what webhooks are told of definitions.

use super::{GROUP, MAPS, Story, map, message, rule};
use crate::custom::crontabs;
use serde_json::{Value as Json, json};

/// Whether a ConfigMap that is made now comes by a webhook that marks or denies it.
async fn is_met(story: &mut Story) -> bool {
    let url = format!("{MAPS}?dryRun=All");
    let (code, body, _) = story.send("POST", &url, &map("probe")).await;
    assert!(matches!(code, 201 | 400), "{body}");
    code == 400 || body["data"]["mark"] == "yes"
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_configuration_holds_at_once() {
    let mut story = Story::new().await;
    for (sort, path, plural) in [
        ("validating", "/deny", "validatingwebhookconfigurations"),
        ("mutating", "/mark", "mutatingwebhookconfigurations"),
    ] {
        let all = format!("{GROUP}/{plural}");
        let one = format!("{all}/one");
        for name in ["one", "other"] {
            let rules = json!({"rules": rule("", "configmaps", &["DELETE"])});
            story.configure(sort, name, &[(path, rules)]).await;
        }
        assert!(
            !is_met(&mut story).await,
            "{sort}: it is asked about deletions only"
        );
        let (_, list, _) = story.send("GET", &all, &json!({})).await;
        let names = list["items"].as_array().unwrap().iter();
        let names: Vec<&Json> = names.map(|item| &item["metadata"]["name"]).collect();
        assert_eq!(names, [&json!("one"), &json!("other")]);

        let json_patch = ("content-type", "application/json-patch+json");
        let create = json!([
            {"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]},
            {"op": "add", "path": "/metadata/labels", "value": {"of": "story"}}]);
        let (code, mut body, _) = story.send_as("PATCH", &one, json_patch, &create).await;
        assert_eq!(code, 200, "{body}");
        assert!(
            is_met(&mut story).await,
            "{sort}: patched to be asked about creations"
        );

        body["webhooks"][0]["rules"][0]["operations"] = json!(["UPDATE"]);
        let (code, mut body, _) = story.send("PUT", &one, &body).await;
        assert_eq!(code, 200, "{body}");
        assert!(
            !is_met(&mut story).await,
            "{sort}: updated to be asked about updates"
        );
        body["webhooks"][0]["rules"][0]["operations"] = json!(["*"]);
        assert_eq!(story.send("PUT", &one, &body).await.0, 200);
        assert!(is_met(&mut story).await);

        let some = format!("{all}?labelSelector=of%3Dstory");
        assert_eq!(story.send("DELETE", &some, &json!({})).await.0, 200);
        assert!(
            !is_met(&mut story).await,
            "{sort}: deleted as one of a collection"
        );
        let (_, list, _) = story.send("GET", &all, &json!({})).await;
        assert_eq!(list["items"][0]["metadata"]["name"], "other");
        assert_eq!(list["items"].as_array().unwrap().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn definitions_are_asked_about() {
    let mut story = Story::new().await;
    let about = json!({"rules": rule("apiextensions.k8s.io", "customresourcedefinitions", &["CREATE"])});
    story
        .configure("validating", "one", &[("/deny", about.clone())])
        .await;
    let url = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let definition: Json = serde_json::from_str(&crontabs()).unwrap();
    let (code, body, _) = story.send("POST", url, &definition).await;
    assert_eq!(code, 400, "{body}");
    assert!(
        message(&body).starts_with(r#"admission webhook "deny.example.com" denied the request"#),
        "{body}"
    );
    let asked = story.asked().remove(0).1;
    let kind = json!({"group": "apiextensions.k8s.io", "version": "v1", "kind": "CustomResourceDefinition"});
    assert_eq!(
        (&asked["kind"], &asked["object"]["spec"]["names"]["kind"]),
        (&kind, &json!("CronTab"))
    );
    story.clear().await;
    story.configure("mutating", "one", &[("/label", about)]).await;
    let (code, body, _) = story.send("POST", url, &definition).await;
    assert_eq!(
        (code, &body["metadata"]["labels"]),
        (201, &json!({"by": "hook"})),
        "{body}"
    );
}
