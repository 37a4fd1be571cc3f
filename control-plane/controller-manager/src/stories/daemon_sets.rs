//! Which nodes get a pod, and how pods are replaced.

use super::{NOW, deleted, plan, plan_of, told};
use crate::DaemonSetController;
use api::Key;
use reconcile::{LastOutcome, Plan};

const REVISION: &str = "---
apiVersion: apps/v1
kind: ControllerRevision
metadata:
  name: logs-new
  namespace: d
  uid: revision
  labels: {app: logs, controller-revision-hash: new}
  ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: logs, uid: set, controller: true}]
revision: 1
data: {spec: {template: {$patch: replace, spec: {nodeSelector: {disk: ssd}, containers: [{image: logs, name: logs}]}, metadata: {labels: {app: logs}}}}}
";

fn set(strategy: &str) -> String {
    let set = format!(
        "
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: logs, namespace: d, uid: set, generation: 1}}
spec:
  selector: {{matchLabels: {{app: logs}}}}
  revisionHistoryLimit: 10
  updateStrategy: {{type: RollingUpdate, rollingUpdate: {{{strategy}}}}}
  template: {{metadata: {{labels: {{app: logs}}}}, spec: {{containers: [{{name: logs, image: logs}}], nodeSelector: {{disk: ssd}}}}}}
status: {{}}
"
    );
    set + REVISION
}

fn node(name: &str, labels: &str, taints: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Node
metadata: {{name: {name}, uid: {name}, labels: {{{labels}}}}}
spec: {{taints: [{taints}]}}
"
    )
}

fn pod(name: &str, node: &str, hash: &str, phase: &str, ready: bool) -> String {
    format!(
        "---
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: d
  uid: {name}
  labels: {{app: logs, controller-revision-hash: {hash}}}
  creationTimestamp: '2030-01-01T00:00:00Z'
  ownerReferences: [{{apiVersion: apps/v1, kind: DaemonSet, name: logs, uid: set, controller: true}}]
spec: {{nodeName: {node}, containers: []}}
status: {{phase: {phase}, conditions: [{{type: Ready, status: '{ready}', lastTransitionTime: '2030-01-01T00:00:00Z'}}]}}
",
        ready = if ready { "True" } else { "False" }
    )
}

async fn look(text: &str) -> Plan {
    let key = Key::new("d", "logs");
    plan(
        DaemonSetController::default(),
        &key,
        text,
        &LastOutcome::default(),
        NOW,
    )
    .await
}

/// The nodes that a plan makes pods for.
fn created(plan: &Plan) -> Vec<String> {
    let told = told(plan);
    let lines = told.lines().filter(|line| line.starts_with("create pods"));
    let node = |line: &str| {
        let (_, rest) = line
            .split_once(r#""key":"metadata.name","operator":"In","values":[""#)
            .unwrap();
        rest.split('"').next().unwrap().to_owned()
    };
    lines.map(node).collect()
}

#[tokio::test(start_paused = true)]
async fn the_template_becomes_a_revision_first() {
    let text = set("").replace(REVISION, "") + &node("a", "disk: ssd", "");
    let plan = look(&text).await;
    let lines = told(&plan);
    assert!(
        lines.starts_with("create controllerrevisions") && lines.lines().count() == 1,
        "{lines}"
    );
    assert!(
        lines.contains(r#""data":{"spec":{"template":{"$patch":"replace","metadata":"#)
            && lines.contains(r#""revision":1"#),
        "{lines}"
    );
}

#[tokio::test(start_paused = true)]
async fn each_node_that_fits_gets_a_pod() {
    let text = [
        set(""),
        node("fits", "disk: ssd", ""),
        node("other", "disk: hdd", ""),
        node(
            "cordoned",
            "disk: ssd",
            "{key: node.kubernetes.io/unschedulable, effect: NoSchedule}",
        ),
        node(
            "lost",
            "disk: ssd",
            "{key: node.kubernetes.io/unreachable, effect: NoExecute}",
        ),
        node(
            "no-network",
            "disk: ssd",
            "{key: node.kubernetes.io/network-unavailable, effect: NoSchedule}",
        ),
        node("master", "disk: ssd", "{key: master, effect: NoSchedule}"),
        node("gpu", "disk: ssd", "{key: gpu, effect: NoExecute}"),
        // It may stay where it could not come, and nowhere where it is put out.
        pod("stays", "master", "new", "Running", true),
        pod("goes", "gpu", "new", "Running", true),
        pod("strays", "other", "new", "Running", true),
    ]
    .concat();
    let plan = look(&text).await;
    assert_eq!(created(&plan), ["cordoned", "fits", "lost"]);
    assert_eq!(deleted(&plan), ["goes", "strays"]);
    let lines = told(&plan);
    for part in [
        r#""desiredNumberScheduled":3"#,
        r#""numberMisscheduled":3"#,
        r#""numberUnavailable":3"#,
        r#""labels":{"app":"logs","controller-revision-hash":"new"}"#,
        r#"{"effect":"NoSchedule","key":"node.kubernetes.io/pid-pressure","operator":"Exists"}"#,
    ] {
        assert!(lines.contains(part), "{part} is not in {lines}");
    }
}

#[tokio::test(start_paused = true)]
async fn failed_pods_are_replaced_after_a_while() {
    let text = [
        set(""),
        node("a", "disk: ssd", ""),
        pod("bad", "a", "new", "Failed", false),
    ]
    .concat();
    let controller = DaemonSetController::default();
    let key = Key::new("d", "logs");
    let none = LastOutcome::default();
    let backoff = async |at: &str| {
        // The same controller remembers the node.
        let plan = plan_of(&controller, &key, &text, &none, at).await;
        (
            deleted(&plan).len(),
            plan.requeue_after.map(|delay| delay.as_secs()),
        )
    };
    assert_eq!(backoff("2030-01-01T01:00:00Z").await, (1, None));
    assert_eq!(backoff("2030-01-01T01:00:00Z").await, (0, Some(1)));
    assert_eq!(backoff("2030-01-01T01:00:01Z").await, (1, None));
    assert_eq!(backoff("2030-01-01T01:00:01Z").await, (0, Some(2)));
}

#[tokio::test(start_paused = true)]
async fn an_update_takes_no_more_than_may_be_unavailable() {
    let nodes: String = ["a", "b", "c", "d"]
        .map(|name| node(name, "disk: ssd", ""))
        .concat();
    let pods = [
        pod("new-a", "a", "new", "Running", true),
        pod("old-b", "b", "old", "Running", true),
        pod("old-c", "c", "old", "Running", true),
        pod("old-d", "d", "old", "Running", false),
    ]
    .concat();
    // One that is not available anyway goes, and takes the place of the one that may.
    let one = look(&[set("maxUnavailable: 1"), nodes.clone(), pods.clone()].concat()).await;
    assert_eq!(deleted(&one), ["old-d"]);
    let two = look(&[set("maxUnavailable: '50%'"), nodes.clone(), pods.clone()].concat()).await;
    assert_eq!(deleted(&two), ["old-d", "old-b"]);
    let text = [set("maxUnavailable: 1"), nodes, pods]
        .concat()
        .replace("type: RollingUpdate", "type: OnDelete");
    assert!(deleted(&look(&text).await).is_empty());
}

#[tokio::test(start_paused = true)]
async fn with_a_surge_the_new_pod_comes_first() {
    let nodes: String = ["a", "b", "c"].map(|name| node(name, "disk: ssd", "")).concat();
    let old = ["a", "b", "c"]
        .map(|n| pod(&format!("old-{n}"), n, "old", "Running", true))
        .concat();
    let strategy = "maxSurge: 1, maxUnavailable: 0";
    let first = look(&[set(strategy), nodes.clone(), old.clone()].concat()).await;
    assert_eq!(
        (created(&first), deleted(&first).len()),
        (vec!["a".to_owned()], 0)
    );
    let waiting = pod("new-a", "a", "new", "Running", false);
    let second = look(&[set(strategy), nodes.clone(), old.clone(), waiting].concat()).await;
    assert_eq!((created(&second).len(), deleted(&second).len()), (0, 0));
    let ready = pod("new-a", "a", "new", "Running", true);
    let third = look(&[set(strategy), nodes, old, ready].concat()).await;
    assert_eq!(deleted(&third), ["old-a"]);
}

#[tokio::test(start_paused = true)]
async fn an_undone_change_is_the_newest_revision_again() {
    let newer = REVISION
        .replace("logs-new", "logs-other")
        .replace("uid: revision", "uid: other")
        .replace("image: logs", "image: other")
        .replace("revision: 1", "revision: 2");
    let text = [set(""), newer].concat();
    let lines = told(&look(&text).await);
    assert_eq!(
        lines.trim(),
        r#"patch controllerrevisions logs-new {"metadata":{"uid":"revision"},"revision":3}"#
    );
}
