//! ReplicationControllers, DaemonSets, StatefulSets.

use crate::manifests::SOON;
use api::{Key, Object};
use std::{sync::Arc, time::Duration};
use testing::{Cluster, Faults, Look};

const POD: &str = "resources: {requests: {cpu: 10m, memory: 16Mi}}";

fn named(name: &str) -> Key {
    Key::new("default", name)
}

fn image(name: &str) -> String {
    format!("spec: {{template: {{spec: {{containers: [{{name: main, image: '{name}'}}]}}}}}}")
}

/// The live pods of a label `app`, with name and image, by name.
fn pods(look: &Look, app: &str) -> Vec<(String, String)> {
    let all = look.all("pods", "default").into_iter();
    let own = all.filter(|pod| pod.label("app") == Some(app) && pod.deletion_timestamp().is_none());
    own.map(|pod| {
        (
            pod.name().to_owned(),
            Look::first(&pod, "spec.containers", "image"),
        )
    })
    .collect()
}

fn number(object: &Object, field: &str) -> i64 {
    Look::number(object, &format!("status.{field}"))
}

#[tokio::test(start_paused = true)]
async fn a_replication_controller_scales() {
    let cluster = Cluster::start(101, 2).await;
    let manifest = format!(
        "
apiVersion: v1
kind: ReplicationController
metadata: {{name: rc}}
spec:
  replicas: 3
  selector: {{app: rc}}
  template:
    metadata: {{labels: {{app: rc}}}}
    spec: {{containers: [{{name: main, image: nginx, {POD}}}]}}
"
    );
    cluster.create(&manifest).await.unwrap();
    for size in [3_i64, 5, 0, 2] {
        cluster
            .patch(
                "replicationcontrollers",
                &named("rc"),
                &format!("spec: {{replicas: {size}}}"),
            )
            .await
            .unwrap();
        let done = |look: &Look| {
            let rc = look.one("replicationcontrollers", &named("rc"))?;
            let pods = look.all("pods", "default").len();
            (number(&rc, "availableReplicas") == size && pods as i64 == size).then_some(())
        };
        cluster.until(&format!("{size} pods"), SOON, done).await;
    }
}

fn daemon(strategy: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: DaemonSet
metadata: {{name: logs}}
spec:
  selector: {{matchLabels: {{app: logs}}}}
  updateStrategy: {{type: RollingUpdate, rollingUpdate: {{{strategy}}}}}
  template:
    metadata: {{labels: {{app: logs}}}}
    spec: {{containers: [{{name: main, image: 'logs:1', {POD}}}]}}
"
    )
}

/// The DaemonSet, if as many pods of the present template are available as there should be.
fn daemon_rolled_out(look: &Look, count: i64) -> Option<Arc<Object>> {
    let set = look.one("daemonsets", &named("logs"))?;
    let seen = number(&set, "observedGeneration") == set.generation();
    let fields = [
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "updatedNumberScheduled",
        "numberReady",
        "numberAvailable",
    ];
    (seen && fields.iter().all(|field| number(&set, field) == count)).then_some(set)
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_follows_the_nodes_and_rolls() {
    let mut cluster = Cluster::start(102, 3).await;
    cluster.create(&daemon("maxUnavailable: 1")).await.unwrap();
    cluster
        .until("a pod on each of three nodes", SOON, |look| {
            daemon_rolled_out(look, 3)
        })
        .await;
    cluster.add_node();
    cluster
        .until("a pod on the new node", SOON, |look| daemon_rolled_out(look, 4))
        .await;
    cluster
        .patch("daemonsets", &named("logs"), &image("logs:2"))
        .await
        .unwrap();
    // Never fewer than three of four are ready.
    let done = |look: &Look| {
        let ready = look.ready_pods("default").len();
        assert!(ready >= 3, "{ready} ready");
        let new = pods(look, "logs").iter().all(|(_, image)| image == "logs:2");
        daemon_rolled_out(look, 4).filter(|_| new)
    };
    cluster.until("the new image is on each node", SOON, done).await;
    let nodes: std::collections::BTreeSet<String> = cluster
        .look()
        .ready_pods("default")
        .iter()
        .map(|pod| Look::value(pod, "spec.nodeName"))
        .collect();
    assert_eq!(nodes.len(), 4);
    let revisions = cluster.look().all("controllerrevisions", "default");
    let mut numbers: Vec<i64> = revisions.iter().map(|r| Look::number(r, "revision")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2]);
    // What was before becomes the newest revision again.
    cluster
        .patch("daemonsets", &named("logs"), &image("logs:1"))
        .await
        .unwrap();
    let undone = |look: &Look| {
        let old = pods(look, "logs").iter().all(|(_, image)| image == "logs:1");
        daemon_rolled_out(look, 4).filter(|_| old)
    };
    cluster.until("the old image is back", SOON, undone).await;
    let revisions = cluster.look().all("controllerrevisions", "default");
    let mut numbers: Vec<i64> = revisions.iter().map(|r| Look::number(r, "revision")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3]);
    // Nothing is written any more.
    let before = cluster.history.len();
    cluster.sleep(Duration::from_secs(8)).await;
    let lines = cluster.history.lines();
    let more: Vec<&String> = lines[before..]
        .iter()
        .filter(|line| line.contains("logs") && !line.contains("/events/"))
        .collect();
    assert!(more.is_empty(), "{more:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_surges() {
    let cluster = Cluster::start(103, 3).await;
    cluster
        .create(&daemon("maxSurge: 1, maxUnavailable: 0"))
        .await
        .unwrap();
    cluster
        .until("a pod on each node", SOON, |look| daemon_rolled_out(look, 3))
        .await;
    cluster
        .patch("daemonsets", &named("logs"), &image("logs:2"))
        .await
        .unwrap();
    // Each node has a ready pod all the time.
    let done = |look: &Look| {
        assert!(look.ready_pods("default").len() >= 3);
        let pods = pods(look, "logs");
        let new = pods.len() == 3 && pods.iter().all(|(_, image)| image == "logs:2");
        daemon_rolled_out(look, 3).filter(|_| new)
    };
    cluster.until("the new image is on each node", SOON, done).await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_leaves_a_node_that_puts_it_out() {
    let cluster = Cluster::start(104, 2).await;
    cluster.create(&daemon("maxUnavailable: 1")).await.unwrap();
    cluster
        .until("a pod on each node", SOON, |look| daemon_rolled_out(look, 2))
        .await;
    let taint = "spec: {taints: [{key: gpu, effect: NoExecute}]}";
    cluster
        .patch("nodes", &Key::cluster("node-0"), taint)
        .await
        .unwrap();
    let alone = |look: &Look| {
        let ready = look.ready_pods("default");
        let set = daemon_rolled_out(look, 1)?;
        (ready.len() == 1 && Look::value(&ready[0], "spec.nodeName") == "node-1").then_some(set)
    };
    cluster.until("one pod, on the other node", SOON, alone).await;
    // An unschedulable node keeps its pod, and gets one.
    cluster
        .patch("nodes", &Key::cluster("node-1"), "spec: {unschedulable: true}")
        .await
        .unwrap();
    let pod = cluster.look().ready_pods("default").remove(0);
    cluster.delete("pods", &pod.key()).await.unwrap();
    let again = |look: &Look| {
        let ready = look.ready_pods("default");
        (ready.len() == 1 && ready[0].uid() != pod.uid()).then_some(())
    };
    cluster
        .until("another pod on the cordoned node", SOON, again)
        .await;
}

fn stateful(replicas: u32, more: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: db}}
spec:
  replicas: {replicas}
  serviceName: db
  selector: {{matchLabels: {{app: db}}}}
  template:
    metadata: {{labels: {{app: db}}}}
    spec: {{containers: [{{name: main, image: 'db:1', {POD}}}]}}
{more}
"
    )
}

/// The StatefulSet, if all its pods are of the present template and ready.
fn stateful_rolled_out(look: &Look, count: i64) -> Option<Arc<Object>> {
    let set = look.one("statefulsets", &named("db"))?;
    let seen = number(&set, "observedGeneration") == set.generation();
    let fields = [
        "replicas",
        "readyReplicas",
        "availableReplicas",
        "currentReplicas",
        "updatedReplicas",
    ];
    let same = Look::value(&set, "status.currentRevision") == Look::value(&set, "status.updateRevision");
    (seen && same && fields.iter().all(|field| number(&set, field) == count)).then_some(set)
}

#[tokio::test(start_paused = true)]
async fn a_stateful_set_comes_rolls_and_goes_in_order() {
    let cluster = Cluster::start(105, 2).await;
    cluster.create(&stateful(3, "")).await.unwrap();
    // Each pod comes once the one before it is ready.
    let done = |look: &Look| {
        let (there, ready) = (pods(look, "db").len(), look.ready_pods("default").len());
        assert!(there <= ready + 1, "{there} pods, {ready} ready");
        stateful_rolled_out(look, 3)
    };
    cluster.until("three pods in order", SOON, done).await;
    let names = |look: &Look| -> Vec<String> { pods(look, "db").into_iter().map(|(name, _)| name).collect() };
    assert_eq!(names(&cluster.look()), ["db-0", "db-1", "db-2"]);
    let pod = cluster.look().one("pods", &named("db-1")).unwrap();
    assert_eq!(
        (
            Look::value(&pod, "spec.hostname").as_str(),
            pod.label("apps.kubernetes.io/pod-index")
        ),
        ("db-1", Some("1"))
    );
    // The update goes from the last to the first, one at a time.
    cluster
        .patch("statefulsets", &named("db"), &image("db:2"))
        .await
        .unwrap();
    let rolled = |look: &Look| {
        let pods = pods(look, "db");
        assert!(look.ready_pods("default").len() >= 2);
        let image = |name: &str| pods.iter().find(|pod| pod.0 == name).map(|pod| pod.1.clone());
        if image("db-0").as_deref() == Some("db:2") {
            assert_eq!(
                image("db-2").as_deref(),
                Some("db:2"),
                "the first was not the last"
            );
        }
        let new = pods.iter().all(|(_, image)| image == "db:2");
        stateful_rolled_out(look, 3).filter(|_| new && pods.len() == 3)
    };
    cluster.until("the new image is in order", SOON, rolled).await;
    cluster
        .patch("statefulsets", &named("db"), "spec: {replicas: 1}")
        .await
        .unwrap();
    let left = |look: &Look| {
        let names = names(look);
        assert_eq!(names[0], "db-0");
        stateful_rolled_out(look, 1).filter(|_| names == ["db-0"] && look.all("pods", "default").len() == 1)
    };
    cluster.until("only the first is left", SOON, left).await;
    // A pod that is lost comes again by its name.
    let first = cluster.look().one("pods", &named("db-0")).unwrap();
    cluster.delete("pods", &named("db-0")).await.unwrap();
    let again = |look: &Look| {
        let pod = look.one("pods", &named("db-0"))?;
        (pod.uid() != first.uid() && Look::condition(&pod, "Ready").0 == "True").then_some(())
    };
    cluster.until("db-0 is back", SOON, again).await;
    let before = cluster.history.len();
    cluster.sleep(Duration::from_secs(8)).await;
    let lines = cluster.history.lines();
    let more: Vec<&String> = lines[before..]
        .iter()
        .filter(|line| line.contains("/statefulsets/"))
        .collect();
    assert!(more.len() <= 2, "{more:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_stateful_set_stops_at_its_partition_and_keeps_its_claims() {
    let cluster = Cluster::start(106, 2).await;
    let more = "  podManagementPolicy: Parallel
  updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 2}}
  persistentVolumeClaimRetentionPolicy: {whenScaled: Delete, whenDeleted: Retain}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {storageClassName: '', accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}";
    cluster.create(&stateful(3, more)).await.unwrap();
    let claims = |look: &Look| -> Vec<String> {
        let claims = look.all("persistentvolumeclaims", "default");
        claims.iter().map(|claim| claim.name().to_owned()).collect()
    };
    let made = |look: &Look| (claims(look).len() == 3 && pods(look, "db").len() == 3).then_some(());
    cluster.until("three pods and their claims", SOON, made).await;
    assert_eq!(claims(&cluster.look()), ["data-db-0", "data-db-1", "data-db-2"]);
    cluster
        .patch("statefulsets", &named("db"), &image("db:2"))
        .await
        .unwrap();
    let rolled = |look: &Look| {
        let images: Vec<String> = pods(look, "db").into_iter().map(|(_, image)| image).collect();
        (images == ["db:1", "db:1", "db:2"]).then_some(())
    };
    cluster.until("the last one is new", SOON, rolled).await;
    cluster
        .patch("statefulsets", &named("db"), "spec: {replicas: 1}")
        .await
        .unwrap();
    let left = |look: &Look| (claims(look) == ["data-db-0"] && pods(look, "db").len() == 1).then_some(());
    cluster.until("the claims went with their pods", SOON, left).await;
    cluster.delete("statefulsets", &named("db")).await.unwrap();
    let gone = |look: &Look| pods(look, "db").is_empty().then_some(());
    cluster.until("the pods are gone", SOON, gone).await;
    cluster.sleep(Duration::from_secs(60)).await;
    assert_eq!(claims(&cluster.look()), ["data-db-0"]);
}

#[tokio::test(start_paused = true)]
async fn daemon_sets_and_stateful_sets_in_any_weather() {
    const LONG: Duration = Duration::from_secs(1800);
    for seed in 107..110 {
        let cluster = Cluster::start(seed, 3).await;
        let faults = Faults {
            refused: 100,
            lost: 100,
            late: 1000,
            repeated: 50,
            dropped: 20,
            ..Faults::default()
        };
        cluster.controllers.fail(faults);
        cluster.scheduler.fail(faults);
        cluster.create(&daemon("maxUnavailable: 1")).await.unwrap();
        cluster.create(&stateful(3, "")).await.unwrap();
        let both = |look: &Look| {
            daemon_rolled_out(look, 3)?;
            stateful_rolled_out(look, 3)
        };
        cluster.until("both are rolled out", LONG, both).await;
        for (plural, name, new) in [("daemonsets", "logs", "logs:2"), ("statefulsets", "db", "db:2")] {
            cluster.patch(plural, &named(name), &image(new)).await.unwrap();
        }
        let new = |look: &Look| {
            let is_new = |app: &str| {
                let pods = pods(look, app);
                pods.len() == 3 && pods.iter().all(|(_, image)| image.ends_with(":2"))
            };
            both(look).filter(|_| is_new("logs") && is_new("db"))
        };
        cluster.until("both are of the new image", LONG, new).await;
        let mut names = pods(&cluster.look(), "db").into_iter().map(|(name, _)| name);
        assert!(names.by_ref().eq(["db-0", "db-1", "db-2"].map(str::to_owned)));
    }
}
