//! Who is made, adopted, released, and who goes first.

use super::{NOW, deleted, plan, refused, told};
use crate::ReplicaSetController;
use api::{Gvr, Key, Status};
use reconcile::LastOutcome;

fn set(replicas: u32) -> String {
    format!(
        "
apiVersion: apps/v1
kind: ReplicaSet
metadata: {{name: web, namespace: d, uid: set, generation: 1, creationTimestamp: '2030-01-01T00:00:00Z'}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: web, image: nginx}}]}}}}
status: {{replicas: 0, observedGeneration: 1}}
"
    )
}

/// A pod of the set; `ready` is since when, empty for never.
fn pod(name: &str, phase: &str, node: &str, ready: &str, more: &str) -> String {
    let ready = match ready {
        "" => String::new(),
        since => format!("conditions: [{{type: Ready, status: 'True', lastTransitionTime: '{since}'}}], "),
    };
    format!(
        "---
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: d
  uid: {name}
  labels: {{app: web}}
  creationTimestamp: '2030-01-01T00:00:00Z'
  ownerReferences: [{{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: set, controller: true}}]
{more}
spec: {{nodeName: '{node}', containers: []}}
status: {{{ready}phase: {phase}}}
"
    )
}

fn key() -> Key {
    Key::new("d", "web")
}

#[tokio::test(start_paused = true)]
async fn the_least_useful_pods_go_first() {
    let old = "2030-01-01T00:00:00Z";
    let young = "2030-01-01T00:59:55Z";
    let cheap = "  annotations: {controller.kubernetes.io/pod-deletion-cost: '-5'}";
    let pods = [
        pod("long-ready", "Running", "a", old, ""),
        pod("crowded", "Running", "b", old, ""),
        pod(
            "crowd",
            "Running",
            "b",
            old,
            "  annotations: {controller.kubernetes.io/pod-deletion-cost: '9'}",
        ),
        pod("just-ready", "Running", "c", young, ""),
        pod("cheap", "Running", "d", old, cheap),
        pod("not-ready", "Running", "e", "", ""),
        pod("pending", "Pending", "f", "", ""),
        pod("unassigned", "Pending", "", "", ""),
    ];
    let text = set(0) + &pods.concat();
    let plan = plan(
        ReplicaSetController::default(),
        &key(),
        &text,
        &LastOutcome::default(),
        NOW,
    )
    .await;
    let order = [
        "unassigned",
        "pending",
        "not-ready",
        "cheap",
        "crowded",
        "just-ready",
        "long-ready",
        "crowd",
    ];
    assert_eq!(deleted(&plan), order);
}

#[tokio::test(start_paused = true)]
async fn orphans_that_match_are_adopted_and_strangers_released() {
    let orphan = pod("orphan", "Running", "a", "", "")
        .replace("  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: set, controller: true}]\n", "");
    let stranger = pod("stranger", "Running", "a", "", "").replace("app: web", "app: other");
    let foreign = pod("foreign", "Running", "a", "", "").replace("uid: set", "uid: another");
    let text = [set(1), orphan, stranger, foreign].concat();
    let plan = plan(
        ReplicaSetController::default(),
        &key(),
        &text,
        &LastOutcome::default(),
        NOW,
    )
    .await;
    let told = told(&plan);
    let lines: Vec<&str> = told.lines().collect();
    assert_eq!(lines.len(), 3, "{told}");
    assert!(
        lines[0].starts_with(r#"patch pods orphan {"metadata":{"uid":"orphan","ownerReferences":[{"#),
        "{told}"
    );
    assert!(lines[1].starts_with(r#"patch pods stranger {"metadata":{"uid":"stranger","ownerReferences":[{"$patch":"delete","uid":"set"}"#), "{told}");
    assert!(lines[2].starts_with("patch replicasets/status web"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_and_tried_again() {
    let why = Status::forbidden(&Gvr::new("", "v1", "pods"), "", "exceeded quota");
    let plan = plan(
        ReplicaSetController::default(),
        &key(),
        &set(1),
        &refused("create-pod", why),
        NOW,
    )
    .await;
    let told = told(&plan);
    let lines: Vec<&str> = told.lines().collect();
    assert!(
        lines[0].contains(r#""type":"ReplicaFailure","status":"True""#),
        "{told}"
    );
    assert!(
        lines[0].contains(r#""reason":"FailedCreate","message":"pods is forbidden: exceeded quota""#),
        "{told}"
    );
    assert!(lines[1].starts_with("create pods"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn finished_and_leaving_pods_do_not_count() {
    let leaving = pod(
        "leaving",
        "Running",
        "a",
        "",
        "  deletionTimestamp: '2030-01-01T00:59:00Z'",
    );
    let text = [set(2), pod("failed", "Failed", "a", "", ""), leaving].concat();
    let plan = plan(
        ReplicaSetController::default(),
        &key(),
        &text,
        &LastOutcome::default(),
        NOW,
    )
    .await;
    assert_eq!(told(&plan).matches("create pods").count(), 2);
}
