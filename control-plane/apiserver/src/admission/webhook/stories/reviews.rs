//! What webhooks are told of each sort of request.

use super::{MAPS, Story, map, message, rule};
use crate::custom::crontabs;
use serde_json::{Value as Json, json};

const ALL: [&str; 1] = ["*"];

/// A webhook that is asked about everything of a resource.
fn about(group: &str, resource: &str) -> Json {
    json!({"rules": rule(group, resource, &ALL)})
}

/// The only question since the last.
fn only(story: &Story) -> Json {
    let mut asked = story.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    asked.remove(0).1
}

#[tokio::test(start_paused = true)]
async fn a_review_tells_who_does_what() {
    let mut story = Story::new().await;
    story
        .configure("mutating", "one", &[("/allow", about("", "configmaps"))])
        .await;
    let url = format!("{MAPS}?fieldManager=me&fieldValidation=Strict");
    let (code, made, _) = story.send("POST", &url, &map("a")).await;
    assert_eq!(code, 201);
    let mut asked = only(&story);
    assert!(asked["uid"].as_str().unwrap().len() == 36);
    assert_eq!(asked["object"]["metadata"]["uid"], Json::Null, "it is made later");
    assert_eq!(asked["object"]["metadata"]["namespace"], json!("default"));
    assert!(asked["object"]["metadata"]["managedFields"].is_array());
    asked["object"] = asked["object"]["data"].take();
    asked["uid"] = Json::Null;
    let kind = json!({"group": "", "version": "v1", "kind": "ConfigMap"});
    let resource = json!({"group": "", "version": "v1", "resource": "configmaps"});
    assert_eq!(
        asked,
        json!({"uid": null, "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
            "name": "a", "namespace": "default", "operation": "CREATE",
            "userInfo": asked["userInfo"], "object": {"a": "b"}, "oldObject": null, "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "me",
                "fieldValidation": "Strict"}})
    );
    assert!(asked["userInfo"]["username"].is_string());

    let mut changed = made.clone();
    changed["data"]["a"] = "c".into();
    assert_eq!(story.send("PUT", &format!("{MAPS}/a"), &changed).await.0, 200);
    let asked = only(&story);
    assert_eq!(
        (&asked["operation"], &asked["options"]["kind"]),
        (&json!("UPDATE"), &json!("UpdateOptions"))
    );
    assert_eq!(asked["object"]["data"], json!({"a": "c"}));
    assert_eq!(asked["oldObject"]["data"], json!({"a": "b"}));
    assert_eq!(asked["oldObject"]["metadata"]["uid"], made["metadata"]["uid"]);

    let generated = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "g-"}});
    assert_eq!(story.send("POST", MAPS, &generated).await.0, 201);
    let asked = only(&story);
    assert_eq!(
        (&asked["name"], &asked["object"]["metadata"]["name"]),
        (&Json::Null, &Json::Null)
    );
}

#[tokio::test(start_paused = true)]
async fn deletions_are_asked_about() {
    let mut story = Story::new().await;
    for name in ["a", "b", "c"] {
        assert_eq!(story.map(name).await.0, 201);
    }
    let rules = json!({"rules": rule("", "configmaps", &["DELETE"])});
    story
        .configure("validating", "one", &[("/allow", rules.clone())])
        .await;
    let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0});
    assert_eq!(story.send("DELETE", &format!("{MAPS}/a"), &options).await.0, 200);
    let asked = only(&story);
    assert_eq!(
        (&asked["operation"], &asked["name"]),
        (&json!("DELETE"), &json!("a"))
    );
    assert_eq!(asked["object"], Json::Null);
    assert_eq!(asked["oldObject"]["metadata"]["name"], json!("a"));
    assert_eq!(
        asked["options"],
        json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "gracePeriodSeconds": 0})
    );
    story.clear().await;
    story
        .configure("validating", "one", &[("/deny", rules.clone())])
        .await;
    assert_eq!(
        story.send("DELETE", &format!("{MAPS}/b"), &json!({})).await.0,
        400
    );
    let (code, _, _) = story.send("DELETE", MAPS, &json!({})).await;
    assert_eq!(code, 400);
    assert_eq!(story.send("GET", &format!("{MAPS}/b"), &json!({})).await.0, 200);
    story.clear().await;
    story.configure("mutating", "one", &[("/mark", rules)]).await;
    let (code, body, _) = story.send("DELETE", &format!("{MAPS}/b"), &json!({})).await;
    assert_eq!(code, 500);
    let why = r#"admission webhook "mark.example.com" attempted to modify the object, which is not supported for this operation"#;
    assert!(message(&body).ends_with(why), "{body}");
    story.clear().await;
    story
        .configure(
            "validating",
            "one",
            &[("/allow", json!({"rules": rule("", "configmaps", &["DELETE"])}))],
        )
        .await;
    assert_eq!(story.send("DELETE", MAPS, &json!({})).await.0, 200);
    let names: Vec<Json> = story
        .asked()
        .iter()
        .map(|(_, asked)| asked["oldObject"]["metadata"]["name"].clone())
        .collect();
    assert_eq!(names, ["b", "c"]);
}

fn deployment(name: &str) -> Json {
    let labels = json!({"app": name});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}})
}

#[tokio::test(start_paused = true)]
async fn subresources_are_asked_about_as_what_they_are() {
    let mut story = Story::new().await;
    let url = "/apis/apps/v1/namespaces/default/deployments";
    assert_eq!(story.send("POST", url, &deployment("web")).await.0, 201);
    story
        .configure(
            "mutating",
            "one",
            &[("/scale", about("apps", "deployments/scale"))],
        )
        .await;
    let merge = ("content-type", "application/merge-patch+json");
    let patch = json!({"spec": {"replicas": 3}});
    let (code, body, _) = story
        .send_as("PATCH", &format!("{url}/web/scale"), merge, &patch)
        .await;
    assert_eq!((code, &body["spec"]["replicas"]), (200, &json!(7)), "{body}");
    let asked = only(&story);
    assert_eq!(
        asked["kind"],
        json!({"group": "autoscaling", "version": "v1", "kind": "Scale"})
    );
    assert_eq!(
        asked["resource"],
        json!({"group": "apps", "version": "v1", "resource": "deployments"})
    );
    assert_eq!(
        (&asked["subResource"], &asked["requestSubResource"]),
        (&json!("scale"), &json!("scale"))
    );
    assert_eq!(
        (&asked["object"]["spec"], &asked["oldObject"]["spec"]),
        (&json!({"replicas": 3}), &json!({"replicas": 1}))
    );
    story.clear().await;

    story
        .configure(
            "validating",
            "one",
            &[("/deny", about("apps", "deployments/status"))],
        )
        .await;
    let status = json!({"status": {"replicas": 1}});
    assert_eq!(
        story
            .send_as("PATCH", &format!("{url}/web/status"), merge, &status)
            .await
            .0,
        400
    );
    let asked = only(&story);
    assert_eq!(
        (&asked["kind"]["kind"], &asked["object"]["status"]["replicas"]),
        (&json!("Deployment"), &json!(1))
    );
    assert_eq!(
        story
            .send_as(
                "PATCH",
                &format!("{url}/web"),
                merge,
                &json!({"spec": {"paused": true}})
            )
            .await
            .0,
        200
    );
    story.clear().await;

    let pods = "/api/v1/namespaces/default/pods";
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    story
        .send("POST", "/api/v1/namespaces/default/serviceaccounts", &account)
        .await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let (code, body, _) = story.send("POST", pods, &pod).await;
    assert_eq!(code, 201, "{body}");
    for (sub, kind, body) in [
        (
            "binding",
            json!({"group": "", "version": "v1", "kind": "Binding"}),
            json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}),
        ),
        (
            "eviction",
            json!({"group": "policy", "version": "v1", "kind": "Eviction"}),
            json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}),
        ),
    ] {
        story
            .configure("validating", "one", &[("/deny", about("*", "*/*"))])
            .await;
        assert_eq!(
            story.send("POST", &format!("{pods}/p/{sub}"), &body).await.0,
            400,
            "{sub}"
        );
        let asked = only(&story);
        assert_eq!(
            (&asked["kind"], &asked["operation"], &asked["subResource"]),
            (&kind, &json!("CREATE"), &json!(sub))
        );
        assert_eq!((&asked["name"], &asked["oldObject"]), (&json!("p"), &Json::Null));
        story.clear().await;
    }
    story
        .configure(
            "validating",
            "one",
            &[("/allow", about("", "serviceaccounts/token"))],
        )
        .await;
    let token = json!({"spec": {"expirationSeconds": 3600}});
    let url = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let (code, body, _) = story.send("POST", url, &token).await;
    assert_eq!(code, 201, "{body}");
    let asked = only(&story);
    assert_eq!(
        (&asked["kind"]["kind"], &asked["object"]["metadata"]),
        (&json!("TokenRequest"), &json!({"namespace": "default"}))
    );
    story.clear().await;
    story
        .configure("validating", "one", &[("/deny", about("", "pods"))])
        .await;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    let (code, body, _) = story.send("POST", &format!("{pods}/p/eviction"), &eviction).await;
    assert_eq!(code, 201, "an eviction is no deletion: {body}");
}

#[tokio::test(start_paused = true)]
async fn connections_are_asked_about() {
    let mut story = Story::new().await;
    story
        .configure(
            "validating",
            "one",
            &[("/deny", json!({"rules": rule("", "*/*", &["CONNECT"])}))],
        )
        .await;
    let pod = "/api/v1/namespaces/default/pods/p";
    let attach = format!("{pod}/attach?stdout=true&container=c");
    let (code, body, _) = story.send("POST", &attach, &json!({})).await;
    assert_eq!(code, 400, "{body}");
    assert!(message(&body).contains("denied the request"), "{body}");
    let asked = only(&story);
    assert_eq!(
        asked["kind"],
        json!({"group": "", "version": "v1", "kind": "PodAttachOptions"})
    );
    assert_eq!(
        (&asked["operation"], &asked["subResource"]),
        (&json!("CONNECT"), &json!("attach"))
    );
    assert_eq!(
        (&asked["name"], &asked["namespace"], &asked["options"]),
        (&json!("p"), &json!("default"), &Json::Null)
    );
    assert_eq!(
        asked["object"],
        json!({"kind": "PodAttachOptions", "apiVersion": "v1", "stdout": true, "container": "c"})
    );
    for (url, object) in [
        (
            format!("{pod}/exec?command=ls&command=-l&stderr=1"),
            json!({"kind": "PodExecOptions", "apiVersion": "v1", "stderr": true, "command": ["ls", "-l"]}),
        ),
        (
            format!("{pod}/portforward?ports=80,81"),
            json!({"kind": "PodPortForwardOptions", "apiVersion": "v1", "ports": [80, 81]}),
        ),
        (
            format!("{pod}/proxy/some/where"),
            json!({"kind": "PodProxyOptions", "apiVersion": "v1", "path": "/some/where"}),
        ),
        (
            "/api/v1/nodes/n/proxy/metrics".to_owned(),
            json!({"kind": "NodeProxyOptions", "apiVersion": "v1", "path": "/metrics"}),
        ),
    ] {
        assert_eq!(story.send("GET", &url, &json!({})).await.0, 400, "{url}");
        assert_eq!(only(&story)["object"], object, "{url}");
    }
    let log = format!("{pod}/log");
    assert_eq!(story.send("GET", &log, &json!({})).await.0, 404);
    assert!(story.asked().is_empty(), "reading a log is no connection");
}

#[tokio::test(start_paused = true)]
async fn another_version_is_converted_for_who_wants_it() {
    let mut story = Story::new().await;
    let v2 = json!({"rules": [{"apiGroups": ["autoscaling"], "apiVersions": ["v2"], "operations": ["*"],
        "resources": ["horizontalpodautoscalers"]}]});
    story
        .configure("validating", "one", &[("/allow", v2.clone())])
        .await;
    let url = "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers";
    let scaler = json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
        "spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 50,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}});
    let dry = format!("{url}?dryRun=All");
    assert_eq!(story.send("POST", &dry, &scaler).await.0, 201);
    let asked = only(&story);
    assert_eq!(
        asked["kind"],
        json!({"group": "autoscaling", "version": "v2", "kind": "HorizontalPodAutoscaler"})
    );
    assert_eq!(
        (
            &asked["resource"]["version"],
            &asked["requestResource"]["version"]
        ),
        (&json!("v2"), &json!("v1"))
    );
    assert_eq!(asked["requestKind"]["version"], json!("v1"));
    assert_eq!(asked["object"]["apiVersion"], json!("autoscaling/v2"));
    assert!(asked["object"]["spec"]["metrics"].is_array(), "{asked}");
    story.clear().await;
    let mut exact = v2;
    exact["matchPolicy"] = "Exact".into();
    story.configure("validating", "one", &[("/allow", exact)]).await;
    assert_eq!(story.send("POST", &dry, &scaler).await.0, 201);
    assert!(story.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_another_version_is_converted_back() {
    let mut story = Story::new().await;
    let v2 = json!({"rules": [{"apiGroups": ["autoscaling"], "apiVersions": ["v2"], "operations": ["CREATE"],
        "resources": ["horizontalpodautoscalers"]}]});
    story.configure("mutating", "one", &[("/older", v2)]).await;
    let url = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers";
    let scaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "metrics": [{"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": 90}}}]}});
    let (code, made, _) = story.send("POST", url, &scaler).await;
    assert_eq!(code, 201, "{made}");
    assert_eq!(made["apiVersion"], json!("autoscaling/v2"));
    let target = &made["spec"]["metrics"][0]["resource"]["target"];
    assert_eq!(target["averageUtilization"], json!(42), "{made}");
}

#[tokio::test(start_paused = true)]
async fn custom_resources_are_changed_and_pruned() {
    let mut story = Story::new().await;
    let url = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let definition: Json = serde_json::from_str(&crontabs()).unwrap();
    assert_eq!(story.send("POST", url, &definition).await.0, 201);
    let tabs = "/apis/stable.example.com/v1/namespaces/default/crontabs";
    let mut rows = story.server.rows();
    while !rows
        .borrow_and_update()
        .iter()
        .any(|row| row.plural == "crontabs")
    {
        rows.changed().await.unwrap();
    }
    let about = json!({"rules": rule("stable.example.com", "crontabs", &["CREATE"])});
    story
        .configure(
            "mutating",
            "one",
            &[("/label", about.clone()), ("/mark", json!({}))],
        )
        .await;
    let tab = json!({"apiVersion": "stable.example.com/v1", "kind": "CronTab", "metadata": {"name": "t"},
        "spec": {"image": "i"}});
    let (code, body, _) = story.send("POST", tabs, &tab).await;
    assert_eq!(
        (code, &body["metadata"]["labels"]),
        (201, &json!({"by": "hook"})),
        "{body}"
    );
    let asked = only(&story);
    assert_eq!(
        asked["object"]["spec"],
        json!({"cronSpec": "5 0 * * *", "image": "i", "replicas": 1}),
        "with defaults"
    );
    assert_eq!(
        asked["kind"],
        json!({"group": "stable.example.com", "version": "v1", "kind": "CronTab"})
    );
    story.clear().await;
    let mut again = about;
    again["matchConditions"] = json!([{"name": "i", "expression": "object.spec.image == 'i'"}]);
    story.configure("validating", "one", &[("/deny", again)]).await;
    let mut other = tab.clone();
    other["metadata"]["name"] = "u".into();
    assert_eq!(story.send("POST", tabs, &other).await.0, 400);
    other["spec"]["image"] = "j".into();
    assert_eq!(story.send("POST", tabs, &other).await.0, 201);
}
