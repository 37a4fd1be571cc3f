//! The manifests of a policy project, as they stand: its definitions, rights, webhooks and programs.

use super::{MAPS, Story, map, message};
use flate2::read::GzDecoder;
use serde_json::{Value as Json, json};
use std::{collections::BTreeSet, io::Read};

const APPLY: (&str, &str) = ("content-type", "application/apply-patch+yaml");

const PLURALS: &[(&str, &str)] = &[
    ("Namespace", "namespaces"),
    ("ServiceAccount", "serviceaccounts"),
    ("ResourceQuota", "resourcequotas"),
    ("Service", "services"),
    ("Deployment", "deployments"),
    ("Role", "roles"),
    ("RoleBinding", "rolebindings"),
    ("ClusterRole", "clusterroles"),
    ("ClusterRoleBinding", "clusterrolebindings"),
    ("CustomResourceDefinition", "customresourcedefinitions"),
    ("MutatingWebhookConfiguration", "mutatingwebhookconfigurations"),
    (
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
    ),
];

/// The manifests, those of what others lie in first, and those of webhooks last.
fn manifests() -> Vec<Json> {
    let mut text = String::new();
    let packed = &include_bytes!("gatekeeper.yaml.gz")[..];
    GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    let parts = text.split("\n---").filter(|part| part.contains("kind:"));
    let mut all: Vec<Json> = parts
        .map(|part| schema::yaml_to_json(part.trim_start_matches("---").as_bytes()).unwrap())
        .map(|part| serde_json::from_slice(&part).unwrap())
        .collect();
    all.sort_by_key(|of| {
        let kind = of["kind"].as_str().unwrap();
        (kind.ends_with("WebhookConfiguration"), kind != "Namespace")
    });
    all
}

/// Where the objects of its kind are, and its own name.
fn place(of: &Json) -> (String, String) {
    let version = of["apiVersion"].as_str().unwrap();
    let kind = of["kind"].as_str().unwrap();
    let root = if version == "v1" { "/api" } else { "/apis" };
    let plural = PLURALS.iter().find(|(known, _)| *known == kind).unwrap().1;
    let namespace = of["metadata"]["namespace"].as_str();
    let namespace = namespace.map_or_else(String::new, |name| format!("/namespaces/{name}"));
    let name = of["metadata"]["name"].as_str().unwrap().to_owned();
    (format!("{root}/{version}{namespace}/{plural}"), name)
}

/// Makes the namespaces that others lie in and that are not among the manifests.
async fn namespaces(story: &mut Story, all: &[Json]) {
    let made = |name: &&str| {
        all.iter()
            .any(|of| of["kind"] == "Namespace" && of["metadata"]["name"] == **name)
    };
    let wanted = all.iter().filter_map(|of| of["metadata"]["namespace"].as_str());
    for name in wanted.filter(|name| !made(name)).collect::<BTreeSet<_>>() {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let (code, body, _) = story.send("POST", "/api/v1/namespaces", &namespace).await;
        assert_eq!(code, 201, "{body}");
    }
}

async fn established(story: &mut Story, url: &str) {
    for _ in 0..1000 {
        let (_, body, _) = story.send("GET", url, &Json::Null).await;
        let conditions = body["status"]["conditions"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let is = |one: &Json| one["type"] == "Established" && one["status"] == "True";
        if conditions.iter().any(is) {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{url} is not established");
}

#[tokio::test(start_paused = true)]
async fn manifests_of_a_policy_project_are_taken_as_they_stand() {
    for server_side in [true, false] {
        let story = &mut Story::new().await;
        let all = manifests();
        assert!(all.len() >= 25, "{}", all.len());
        namespaces(story, &all).await;
        for of in &all {
            let (url, name) = place(of);
            let mut last = String::new();
            for code in [201, 200] {
                let (got, body, warnings) = if server_side {
                    let url = format!("{url}/{name}?fieldManager=kubectl&fieldValidation=Strict");
                    story.send_as("PATCH", &url, APPLY, of).await
                } else if code == 201 {
                    let mut of = of.clone();
                    if of["metadata"]["annotations"].is_null() {
                        of["metadata"]["annotations"] = json!({});
                    }
                    let key = "kubectl.kubernetes.io/last-applied-configuration";
                    of["metadata"]["annotations"][key] = of.to_string().into();
                    let manager = "fieldManager=kubectl-client-side-apply&fieldValidation=Strict";
                    story.send("POST", &format!("{url}?{manager}"), &of).await
                } else {
                    break;
                };
                assert_eq!(got, code, "{name}: {body}");
                assert!(warnings.is_empty(), "{name}: {warnings:?}");
                let version = body["metadata"]["resourceVersion"].to_string();
                let same = of["kind"] == "CustomResourceDefinition" || code == 201 || version == last;
                assert!(same, "{name}: applied once more, it changed");
                last = version;
            }
            if of["kind"] == "CustomResourceDefinition" {
                established(story, &format!("{url}/{name}")).await;
            }
        }
        used(story).await;
    }
}

/// What was defined is there, and the webhooks are asked: nobody answers.
async fn used(story: &mut Story) {
    let template = json!({"apiVersion": "templates.gatekeeper.sh/v1", "kind": "ConstraintTemplate",
        "metadata": {"name": "k8srequiredlabels"}, "spec": {"crd": {"spec": {"names": {"kind": "K8sRequiredLabels"},
            "validation": {"openAPIV3Schema": {"type": "object", "properties": {"labels": {"type": "array", "items": {"type": "string"}}}}}}},
            "targets": [{"target": "admission.k8s.gatekeeper.sh", "rego": "package k8srequiredlabels"}]}});
    let url = "/apis/templates.gatekeeper.sh/v1/constrainttemplates";
    let (code, body, _) = story.send("POST", url, &template).await;
    assert_eq!(code, 201, "{body}");
    let (code, body, _) = story.send("POST", MAPS, &map("free")).await;
    assert_eq!(code, 201, "those that may fail are let go by: {body}");
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "held"}});
    let (code, body, _) = story.send("POST", "/api/v1/namespaces", &namespace).await;
    assert_eq!(code, 500, "{body}");
    assert!(
        message(&body).contains("failed calling webhook \"check-ignore-label.gatekeeper.sh\""),
        "{body}"
    );
}
