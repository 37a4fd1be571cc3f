//! Order, identity, claims, partitions.

use super::{NOW, deleted, plan, told};
use crate::StatefulSetController;
use api::Key;
use reconcile::{LastOutcome, Plan};

fn set(replicas: u32, spec: &str, status: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: web, namespace: d, uid: set, generation: 1}}
spec:
  replicas: {replicas}
  serviceName: nginx
  selector: {{matchLabels: {{app: web}}}}
  revisionHistoryLimit: 10
  template: {{metadata: {{labels: {{app: web}}}}, spec: {{containers: [{{name: web, image: new}}], volumes: [{{name: www, emptyDir: {{}}}}]}}}}
{spec}
status: {{{status}}}
{old}{new}",
        old = revision("old", 1),
        new = revision("new", 2),
    )
}

fn revision(image: &str, number: u32) -> String {
    format!(
        "---
apiVersion: apps/v1
kind: ControllerRevision
metadata:
  name: web-{image}
  namespace: d
  uid: web-{image}
  labels: {{app: web}}
  ownerReferences: [{{apiVersion: apps/v1, kind: StatefulSet, name: web, uid: set, controller: true}}]
revision: {number}
data: {{spec: {{template: {{$patch: replace, spec: {{containers: [{{image: {image}, name: web}}], volumes: [{{name: www, emptyDir: {{}}}}]}}, metadata: {{labels: {{app: web}}}}}}}}}}
"
    )
}

const ROLLING: &str = "  updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 0}}";

fn pod(ordinal: u32, revision: &str, phase: &str, ready: bool) -> String {
    format!(
        "---
apiVersion: v1
kind: Pod
metadata:
  name: web-{ordinal}
  namespace: d
  uid: web-{ordinal}
  labels: {{app: web, controller-revision-hash: web-{revision}, statefulset.kubernetes.io/pod-name: web-{ordinal}, apps.kubernetes.io/pod-index: '{ordinal}'}}
  creationTimestamp: '2030-01-01T00:00:00Z'
  ownerReferences: [{{apiVersion: apps/v1, kind: StatefulSet, name: web, uid: set, controller: true}}]
spec: {{nodeName: a, containers: []}}
status: {{phase: {phase}, conditions: [{{type: Ready, status: '{ready}', lastTransitionTime: '2030-01-01T00:00:00Z'}}]}}
",
        ready = if ready { "True" } else { "False" }
    )
}

async fn look(text: &str) -> Plan {
    let key = Key::new("d", "web");
    plan(
        StatefulSetController::default(),
        &key,
        text,
        &LastOutcome::default(),
        NOW,
    )
    .await
}

/// The names of what a plan creates of a resource.
fn created(plan: &Plan, resource: &str) -> Vec<String> {
    let told = told(plan);
    let start = format!("create {resource} ");
    let lines = told.lines().filter(|line| line.starts_with(&start));
    let name = |line: &str| {
        line.split(r#""name":""#)
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .to_owned()
    };
    lines.map(name).collect()
}

#[tokio::test(start_paused = true)]
async fn pods_come_one_after_the_other_with_their_names() {
    let first = look(&set(3, ROLLING, "")).await;
    assert_eq!(created(&first, "pods"), ["web-0"]);
    let lines = told(&first);
    for part in [
        r#""apps.kubernetes.io/pod-index":"0""#,
        r#""statefulset.kubernetes.io/pod-name":"web-0""#,
        r#""controller-revision-hash":"web-new""#,
        r#""hostname":"web-0""#,
        r#""subdomain":"nginx""#,
    ] {
        assert!(lines.contains(part), "{part} is not in {lines}");
    }
    let waiting = look(&[set(3, ROLLING, ""), pod(0, "new", "Running", false)].concat()).await;
    assert!(created(&waiting, "pods").is_empty());
    let second = look(&[set(3, ROLLING, ""), pod(0, "new", "Running", true)].concat()).await;
    assert_eq!(created(&second, "pods"), ["web-1"]);
    assert_eq!(
        second.writes[0].done.as_ref().map(|note| note.message.as_str()),
        Some("create Pod web-1 in StatefulSet web successful")
    );
    let text = set(
        3,
        &format!("{ROLLING}\n  podManagementPolicy: Parallel\n  ordinals: {{start: 5}}"),
        "",
    );
    assert_eq!(created(&look(&text).await, "pods"), ["web-5", "web-6", "web-7"]);
}

#[tokio::test(start_paused = true)]
async fn pods_go_from_the_highest_and_wait_for_health() {
    let pods = |last: bool| {
        [
            pod(0, "new", "Running", true),
            pod(1, "new", "Running", last),
            pod(2, "new", "Running", true),
        ]
        .concat()
    };
    assert_eq!(
        deleted(&look(&[set(1, ROLLING, ""), pods(true)].concat()).await),
        ["web-2"]
    );
    // web-1 is not healthy and is the first that is not: web-2 goes before it.
    assert_eq!(
        deleted(&look(&[set(1, ROLLING, ""), pods(false)].concat()).await),
        ["web-2"]
    );
    // A pod that should stay and is not healthy holds everything.
    let ill = [
        set(1, ROLLING, ""),
        pod(0, "new", "Running", false),
        pod(1, "new", "Running", true),
    ]
    .concat();
    assert!(deleted(&look(&ill).await).is_empty());
    let parallel = set(0, &format!("{ROLLING}\n  podManagementPolicy: Parallel"), "");
    assert_eq!(
        deleted(&look(&[parallel, pods(false)].concat()).await),
        ["web-2", "web-1", "web-0"]
    );
}

#[tokio::test(start_paused = true)]
async fn an_update_goes_down_to_the_partition() {
    let pods: String = (0..3).map(|n| pod(n, "old", "Running", true)).collect();
    let status = "currentRevision: web-old, currentReplicas: 3";
    let text = |partition: u32, more: &str| {
        let spec = format!(
            "  updateStrategy: {{type: RollingUpdate, rollingUpdate: {{partition: {partition}{more}}}}}"
        );
        [set(3, &spec, status), pods.clone()].concat()
    };
    let first = look(&text(0, "")).await;
    assert_eq!(deleted(&first), ["web-2"]);
    assert!(
        told(&first).contains(r#""currentRevision":"web-old","updateRevision":"web-new""#),
        "{}",
        told(&first)
    );
    assert_eq!(
        deleted(&look(&text(0, ", maxUnavailable: 2")).await),
        ["web-2", "web-1"]
    );
    assert!(deleted(&look(&text(3, "")).await).is_empty());
    // A pod below the partition comes again as it was.
    let lost = text(2, "").replace(&pod(1, "old", "Running", true), "");
    let again = look(&lost).await;
    assert_eq!(created(&again, "pods"), ["web-1"]);
    assert!(
        told(&again).contains(r#""controller-revision-hash":"web-old""#)
            && told(&again).contains(r#""image":"old""#)
    );
    let manual = [set(3, "  updateStrategy: {type: OnDelete}", status), pods.clone()].concat();
    assert!(deleted(&look(&manual).await).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_finished_update_is_the_current_revision() {
    let pods: String = (0..2).map(|n| pod(n, "new", "Running", true)).collect();
    let status = "currentRevision: web-old, updateRevision: web-new, collisionCount: 0";
    let lines = told(&look(&[set(2, ROLLING, status), pods].concat()).await);
    let part = r#""readyReplicas":2,"currentReplicas":2,"updatedReplicas":2,"availableReplicas":2,"currentRevision":"web-new""#;
    assert!(lines.contains(part), "{lines}");
}

#[tokio::test(start_paused = true)]
async fn a_failed_pod_is_deleted_to_come_again() {
    let text = [set(1, ROLLING, ""), pod(0, "new", "Failed", false)].concat();
    assert_eq!(deleted(&look(&text).await), ["web-0"]);
}

const CLAIMS: &str =
    "  volumeClaimTemplates: [{metadata: {name: www}, spec: {accessModes: [ReadWriteOnce]}}]";

fn claim(ordinal: u32, owners: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: www-web-{ordinal}, namespace: d, uid: claim-{ordinal}, ownerReferences: [{owners}]}}
spec: {{}}
"
    )
}

#[tokio::test(start_paused = true)]
async fn claims_come_before_their_pod_and_stay() {
    let text = set(1, &format!("{ROLLING}\n{CLAIMS}"), "");
    let first = look(&text).await;
    let lines = told(&first);
    assert!(lines.starts_with("create persistentvolumeclaims"), "{lines}");
    assert_eq!(created(&first, "persistentvolumeclaims"), ["www-web-0"]);
    // The claim takes the place of the volume of that name.
    assert!(
        lines.contains(r#""volumes":[{"name":"www","persistentVolumeClaim":{"claimName":"www-web-0"}}]"#),
        "{lines}"
    );
    let again = look(&[text, claim(0, "")].concat()).await;
    assert!(created(&again, "persistentvolumeclaims").is_empty());
    assert_eq!(created(&again, "pods"), ["web-0"]);
    let gone = [
        set(0, &format!("{ROLLING}\n{CLAIMS}"), ""),
        pod(0, "new", "Running", true),
        claim(0, ""),
    ]
    .concat();
    let lines = told(&look(&gone).await);
    assert!(
        !lines.contains("persistentvolumeclaims") && lines.contains("delete pods web-0"),
        "{lines}"
    );
}

#[tokio::test(start_paused = true)]
async fn claims_go_with_the_set_or_the_pod_if_it_says_so() {
    let spec =
        |policy: &str| format!("{ROLLING}\n{CLAIMS}\n  persistentVolumeClaimRetentionPolicy: {{{policy}}}");
    let story = |replicas: u32, policy: &str, owners: &str| {
        [
            set(replicas, &spec(policy), ""),
            pod(0, "new", "Running", true),
            claim(0, owners),
        ]
        .concat()
    };
    let set_owner = "{apiVersion: apps/v1, kind: StatefulSet, name: web, uid: set}";
    let lines = told(&look(&story(1, "whenDeleted: Delete, whenScaled: Retain", "")).await);
    assert!(
        lines.contains(r#"patch persistentvolumeclaims www-web-0"#) && lines.contains(r#""uid":"set""#),
        "{lines}"
    );
    let lines = told(&look(&story(0, "whenDeleted: Delete, whenScaled: Delete", set_owner)).await);
    let owned = lines.lines().next().unwrap();
    assert!(
        owned.contains(r#""kind":"Pod","name":"web-0","uid":"web-0""#) && !owned.contains(r#""uid":"set""#),
        "{lines}"
    );
    let lines = told(&look(&story(1, "whenDeleted: Retain, whenScaled: Delete", set_owner)).await);
    assert!(lines.contains(r#""ownerReferences":[]"#), "{lines}");
    // While the claim of a pod that is gone goes, no pod of that name comes.
    let stale = "{apiVersion: v1, kind: Pod, name: web-0, uid: old}";
    let text = [set(1, &spec("whenScaled: Delete"), ""), claim(0, stale)].concat();
    assert!(created(&look(&text).await, "pods").is_empty());
}
