//! Scaling in proportion, collisions of names, pauses.

use super::{NOW, SETS, plan, refused, told};
use crate::DeploymentController;
use api::{Key, Status};
use reconcile::LastOutcome;

fn deployment(replicas: u32, spec: &str, status: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: d, uid: dep, generation: 3, annotations: {{deployment.kubernetes.io/revision: '2'}}}}
spec:
  replicas: {replicas}
  progressDeadlineSeconds: 600
  selector: {{matchLabels: {{app: web}}}}
  strategy: {{type: RollingUpdate, rollingUpdate: {{maxSurge: 3, maxUnavailable: 2}}}}
  template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: web, image: new}}]}}}}
{spec}
status: {{{status}}}
"
    )
}

fn set(image: &str, revision: u32, replicas: u32, available: u32) -> String {
    format!(
        "---
apiVersion: apps/v1
kind: ReplicaSet
metadata:
  name: web-{image}
  namespace: d
  uid: {image}
  creationTimestamp: '2030-01-01T00:0{revision}:00Z'
  labels: {{app: web, pod-template-hash: {image}}}
  annotations:
    deployment.kubernetes.io/revision: '{revision}'
    deployment.kubernetes.io/desired-replicas: '10'
    deployment.kubernetes.io/max-replicas: '13'
  ownerReferences: [{{apiVersion: apps/v1, kind: Deployment, name: web, uid: dep, controller: true}}]
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web, pod-template-hash: {image}}}}}
  template: {{metadata: {{labels: {{app: web, pod-template-hash: {image}}}}}, spec: {{containers: [{{name: web, image: {image}}}]}}}}
status: {{replicas: {replicas}, readyReplicas: {available}, availableReplicas: {available}}}
"
    )
}

fn key() -> Key {
    Key::new("d", "web")
}

/// The sizes that a plan gives to sets.
fn sizes(told: &str) -> Vec<String> {
    let scaled = told
        .lines()
        .filter(|line| line.contains(r#""spec":{"replicas":"#));
    let size = |line: &str| {
        let name = line.split(' ').nth(2).unwrap_or_default();
        let size = line
            .rsplit_once(r#""replicas":"#)
            .map_or("", |(_, rest)| rest.trim_end_matches('}'));
        format!("{name} {size}")
    };
    scaled.map(size).collect()
}

/// The example of the documentation: a rollout of ten that hangs at 8 and 5, scaled to fifteen.
#[tokio::test(start_paused = true)]
async fn growth_is_shared_in_proportion() {
    let text = [deployment(15, "", ""), set("old", 1, 8, 8), set("new", 2, 5, 0)].concat();
    let plan = plan(DeploymentController, &key(), &text, &LastOutcome::default(), NOW).await;
    assert_eq!(sizes(&told(&plan)), ["web-old 11", "web-new 7"]);
}

#[tokio::test(start_paused = true)]
async fn a_step_takes_no_more_than_allowed() {
    // Thirteen are there, eight must stay available.
    let text = [deployment(10, "", ""), set("old", 1, 10, 10), set("new", 2, 3, 0)].concat();
    let plan = plan(DeploymentController, &key(), &text, &LastOutcome::default(), NOW).await;
    assert_eq!(sizes(&told(&plan)), ["web-old 8"]);
}

#[tokio::test(start_paused = true)]
async fn old_pods_that_are_not_available_go_first() {
    let text = [deployment(10, "", ""), set("old", 1, 8, 4), set("new", 2, 5, 5)].concat();
    let plan = plan(DeploymentController, &key(), &text, &LastOutcome::default(), NOW).await;
    assert_eq!(sizes(&told(&plan)), ["web-old 3"]);
}

#[tokio::test(start_paused = true)]
async fn a_taken_name_is_counted_and_another_one_is_tried() {
    let text = deployment(2, "", "");
    let first = told(&plan(DeploymentController, &key(), &text, &LastOutcome::default(), NOW).await);
    let taken = refused("create-set", Status::already_exists(&SETS, "web-x"));
    let second = told(&plan(DeploymentController, &key(), &text, &taken, NOW).await);
    assert!(second.contains(r#""collisionCount":1"#), "{second}");
    let created = |told: &str| {
        told.lines()
            .find(|line| line.starts_with("create replicasets"))
            .map(str::to_owned)
    };
    assert!(created(&first).is_some() && created(&second).is_some());
    assert_ne!(created(&first), created(&second), "the same name again");
    // The name is taken by the set that was wanted: an answer was lost, nothing collided.
    let text = text + &set("new", 2, 2, 2).replace("'10'", "'2'");
    let third = told(&plan(DeploymentController, &key(), &text, &taken, NOW).await);
    assert!(!third.contains("collisionCount"), "{third}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_does_not_count_against_the_deadline() {
    let paused = "conditions: [{type: Progressing, status: Unknown, reason: DeploymentPaused, \
                  lastUpdateTime: '2030-01-01T00:00:00Z', message: Deployment is paused}]";
    let text = [
        deployment(10, "", paused),
        set("old", 1, 8, 8),
        set("new", 2, 5, 0),
    ]
    .concat();
    let plan = told(&plan(DeploymentController, &key(), &text, &LastOutcome::default(), NOW).await);
    assert!(!plan.contains("ProgressDeadlineExceeded"), "{plan}");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_counts_from_the_last_progress() {
    let status = |time: &str| {
        format!(
            "updatedReplicas: 5, replicas: 13, readyReplicas: 8, availableReplicas: 8, conditions: \
             [{{type: Progressing, status: 'True', reason: ReplicaSetUpdated, lastUpdateTime: '{time}'}}]"
        )
    };
    let story = |time: &str| {
        [
            deployment(10, "", &status(time)),
            set("old", 1, 8, 8),
            set("new", 2, 5, 0),
        ]
        .concat()
    };
    let last = LastOutcome::default();
    let late = plan(
        DeploymentController,
        &key(),
        &story("2030-01-01T00:49:00Z"),
        &last,
        NOW,
    )
    .await;
    assert!(
        told(&late).contains("ProgressDeadlineExceeded"),
        "{}",
        told(&late)
    );
    let early = plan(
        DeploymentController,
        &key(),
        &story("2030-01-01T00:51:00Z"),
        &last,
        NOW,
    )
    .await;
    assert!(
        !told(&early).contains("ProgressDeadlineExceeded"),
        "{}",
        told(&early)
    );
    assert_eq!(early.requeue_after.map(|delay| delay.as_secs()), Some(60));
}
