//! Pods that are resized: PodResizeValidator and NodeDeclaredFeatureValidator.

use super::{NODES, PODS, said, with, without};
use crate::admission::resource_quota::story::Story;
use api::{Key, Object, Status};
use client::{Patch, Target, Write};
use std::sync::Arc;

const FEATURES: &str = r#","declaredFeatures":["GuaranteedQoSPodCPUResize"]"#;

async fn node(story: &Story, name: &str, os: &str, features: &str) {
    let node = format!(
        r#"{{"metadata":{{"name":"{name}","labels":{{"kubernetes.io/os":"{os}"}}}},
        "status":{{"allocatable":{{"cpu":"2","memory":"1Gi"}}{features}}}}}"#
    );
    story.global(&NODES, &node).await;
}

/// A pod that is given what it asks for.
async fn pod(story: &Story, name: &str, node: &str) {
    let amounts = r#"{"cpu":"1","memory":"512Mi"}"#;
    let pod = format!(
        r#"{{"metadata":{{"name":"{name}"}},"spec":{{"nodeName":"{node}","containers":[{{"name":"c","image":"i",
        "resources":{{"requests":{amounts},"limits":{amounts}}}}}]}}}}"#
    );
    story.create(&PODS, &pod).await.unwrap();
    let status = r#"{"status":{"qosClass":"Guaranteed"}}"#;
    let target = Target::object(&PODS, &Key::new("default", name)).sub("status");
    let write = Write::Patch(Patch::Merge, status.into());
    story.client.write(target, write).await.unwrap();
}

async fn resize(story: &Story, name: &str, cpu: &str, memory: &str) -> Result<Arc<Object>, Status> {
    let amounts = format!(r#"{{"cpu":"{cpu}","memory":"{memory}"}}"#);
    let patch = format!(
        r#"{{"spec":{{"containers":[{{"name":"c","resources":{{"requests":{amounts},"limits":{amounts}}}}}]}}}}"#
    );
    let target = Target::object(&PODS, &Key::new("default", name)).sub("resize");
    let write = Write::Patch(Patch::Strategic, patch.into());
    story.client.write(target, write).await
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_resized_to_what_its_node_could_give() {
    let story = with(&[], "").await;
    node(&story, "n", "linux", FEATURES).await;
    node(&story, "w", "windows", FEATURES).await;
    for (name, node) in [("a", "n"), ("b", "w"), ("c", "gone")] {
        pod(&story, name, node).await;
    }
    let refused = resize(&story, "a", "2001m", "2Gi").await.unwrap_err();
    assert_eq!(
        refused.message,
        "pods \"a\" is forbidden: Node didn't have enough allocatable resources: cpu, requested: 2001, allocatable: 2000; \
         memory, requested: 2147483648, allocatable: 1073741824"
    );
    let causes = refused.details.unwrap().causes;
    assert_eq!(causes[0].reason, "NodeCapacity");
    let refused = resize(&story, "b", "2", "1Gi").await.unwrap_err();
    assert_eq!(
        refused.message,
        "pods \"b\" is forbidden: pod resize is only supported on linux nodes, node \"w\" is \"windows\""
    );
    assert_eq!(refused.details.unwrap().causes[0].reason, "UnsupportedPlatform");
    assert_eq!(
        said(resize(&story, "c", "2", "1Gi").await),
        "pods \"c\" is forbidden: node \"gone\" not found"
    );
    resize(&story, "a", "2", "1Gi").await.unwrap();
    // Nothing is asked anew.
    resize(&story, "c", "1", "512Mi").await.unwrap();
    let story = without(&["PodResizeValidator"]).await;
    node(&story, "n", "linux", FEATURES).await;
    pod(&story, "a", "n").await;
    resize(&story, "a", "8", "8Gi").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_changed_as_its_node_can_follow() {
    let story = with(&[], "").await;
    node(&story, "n", "linux", "").await;
    pod(&story, "a", "n").await;
    assert_eq!(
        said(resize(&story, "a", "2", "512Mi").await),
        "pods \"a\" is forbidden: pod update requires features GuaranteedQoSPodCPUResize which are not available on node \
         \"n\""
    );
    // Memory needs no feature.
    resize(&story, "a", "1", "1Gi").await.unwrap();
    let story = without(&["NodeDeclaredFeatureValidator"]).await;
    node(&story, "n", "linux", "").await;
    pod(&story, "a", "n").await;
    resize(&story, "a", "2", "512Mi").await.unwrap();
}
