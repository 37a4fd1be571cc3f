//! Deployments: scale, roll, roll back, replace.

use crate::manifests::{SOON, images, ready, rolled_out, web, web_key, with_web};
use std::time::Duration;
use testing::{Cluster, Look};

#[tokio::test(start_paused = true)]
async fn it_scales_up_and_down() {
    let cluster = with_web(11, 2, 2).await;
    for size in [7, 1, 0, 3] {
        cluster
            .patch("deployments", &web_key(), &format!("spec: {{replicas: {size}}}"))
            .await
            .unwrap();
        rolled_out(&cluster, "web").await;
        ready(&cluster, size).await;
    }
    assert_eq!(cluster.look().all("replicasets", "default").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_image_rolls_out_and_back() {
    let cluster = with_web(12, 3, 4).await;
    let update = |image: &str| {
        format!("spec: {{template: {{spec: {{containers: [{{name: web, image: {image}}}]}}}}}}")
    };
    cluster
        .patch("deployments", &web_key(), &update("nginx:1.16.1"))
        .await
        .unwrap();
    // Never fewer than three of four are ready, never more than five are there.
    let done = |look: &Look| {
        let (all, ready) = (look.all("pods", "default"), look.ready_pods("default"));
        let there = all
            .iter()
            .filter(|pod| pod.deletion_timestamp().is_none())
            .count();
        assert!(ready.len() >= 3 && there <= 5, "{} ready of {there}", ready.len());
        look.rolled_out("default", "web")
            .filter(|_| images(&ready) == ["nginx:1.16.1"])
    };
    let deployment = cluster.until("the new image is everywhere", SOON, done).await;
    assert_eq!(
        deployment
            .annotation("deployment.kubernetes.io/revision")
            .as_deref(),
        Some("2")
    );
    assert_eq!(
        Look::condition(&deployment, "Progressing"),
        ("True".into(), "NewReplicaSetAvailable".into())
    );
    assert_eq!(cluster.look().all("replicasets", "default").len(), 2);

    cluster
        .patch("deployments", &web_key(), &update("nginx:1.14.2"))
        .await
        .unwrap();
    rolled_out(&cluster, "web").await;
    assert_eq!(images(&ready(&cluster, 4).await), ["nginx:1.14.2"]);
    let sets = cluster.look().all("replicasets", "default");
    assert_eq!(sets.len(), 2, "the old set is used again");
    let mut revisions: Vec<_> = sets
        .iter()
        .map(|set| set.annotation("deployment.kubernetes.io/revision").unwrap())
        .collect();
    revisions.sort();
    assert_eq!(revisions, ["2", "3"]);
    let history =
        |set: &std::sync::Arc<api::Object>| set.annotation("deployment.kubernetes.io/revision-history");
    assert!(sets.iter().any(|set| history(set).as_deref() == Some("1")));
}

#[tokio::test(start_paused = true)]
async fn a_broken_image_stops_the_rollout_and_tells() {
    let cluster = with_web(13, 2, 4).await;
    cluster
        .nodes
        .iter()
        .for_each(|node| node.runtime.break_image("nginx:broken", Some("no such image")));
    let patch = "spec: {progressDeadlineSeconds: 60, template: {spec: {containers: [{name: web, image: 'nginx:broken'}]}}}";
    cluster.patch("deployments", &web_key(), patch).await.unwrap();
    let stuck = |look: &Look| {
        let deployment = look.one("deployments", &web_key())?;
        let progressing = Look::condition(&deployment, "Progressing");
        (progressing == ("False".into(), "ProgressDeadlineExceeded".into())).then_some(deployment)
    };
    let deployment = cluster.until("the deadline is over", SOON, stuck).await;
    assert!(Look::number(&deployment, "status.availableReplicas") >= 3);
    cluster
        .nodes
        .iter()
        .for_each(|node| node.runtime.break_image("nginx:broken", None));
    cluster
        .until("it goes on", Duration::from_secs(900), |look| {
            look.rolled_out("default", "web")
        })
        .await;
    assert_eq!(images(&ready(&cluster, 4).await), ["nginx:broken"]);
}

#[tokio::test(start_paused = true)]
async fn recreate_has_never_two_images_at_once() {
    let cluster = Cluster::start(14, 2).await;
    let manifest = web(3, "nginx:1.14.2").replace(
        "spec:\n  replicas",
        "spec:\n  strategy: {type: Recreate}\n  replicas",
    );
    cluster.create(&manifest).await.unwrap();
    rolled_out(&cluster, "web").await;
    let patch = "spec: {template: {spec: {containers: [{name: web, image: 'nginx:1.16.1'}]}}}";
    cluster.patch("deployments", &web_key(), patch).await.unwrap();
    let done = |look: &Look| {
        assert!(
            images(&look.all("pods", "default")).len() <= 1,
            "two images at once"
        );
        look.rolled_out("default", "web")
            .filter(|_| images(&look.ready_pods("default")) == ["nginx:1.16.1"])
    };
    cluster.until("the new image is everywhere", SOON, done).await;
}

#[tokio::test(start_paused = true)]
async fn a_paused_deployment_scales_and_does_not_roll() {
    let cluster = with_web(15, 2, 2).await;
    let patch = "spec: {paused: true, replicas: 4, template: {spec: {containers: [{name: web, image: 'nginx:1.16.1'}]}}}";
    cluster.patch("deployments", &web_key(), patch).await.unwrap();
    assert_eq!(images(&ready(&cluster, 4).await), ["nginx:1.14.2"]);
    // Longer than the deadline: a pause is not a failure.
    cluster.sleep(Duration::from_secs(1200)).await;
    assert_eq!(cluster.look().all("replicasets", "default").len(), 1);
    cluster
        .patch("deployments", &web_key(), "spec: {paused: false}")
        .await
        .unwrap();
    let done = |look: &Look| {
        let deployment = look.one("deployments", &web_key())?;
        assert_ne!(
            Look::condition(&deployment, "Progressing").1,
            "ProgressDeadlineExceeded"
        );
        look.rolled_out("default", "web")
    };
    cluster.until("it is rolled out", SOON, done).await;
    assert_eq!(images(&ready(&cluster, 4).await), ["nginx:1.16.1"]);
}

#[tokio::test(start_paused = true)]
async fn old_sets_go_beyond_the_history_limit() {
    let cluster = with_web(16, 1, 1).await;
    cluster
        .patch("deployments", &web_key(), "spec: {revisionHistoryLimit: 2}")
        .await
        .unwrap();
    for number in 1..6 {
        let patch =
            format!("spec: {{template: {{spec: {{containers: [{{name: web, image: 'nginx:{number}'}}]}}}}}}");
        cluster.patch("deployments", &web_key(), &patch).await.unwrap();
        rolled_out(&cluster, "web").await;
    }
    let three = |look: &Look| (look.all("replicasets", "default").len() == 3).then_some(());
    cluster.until("two old sets are left", SOON, three).await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_is_replaced() {
    let cluster = with_web(17, 2, 3).await;
    let before = ready(&cluster, 3).await;
    cluster.delete("pods", &before[0].key()).await.unwrap();
    let replaced = |look: &Look| {
        let pods = look.ready_pods("default");
        (pods.len() == 3 && pods.iter().all(|pod| pod.uid() != before[0].uid())).then_some(())
    };
    cluster.until("another pod is ready", SOON, replaced).await;
    ready(&cluster, 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_thousand_pods_over_ten_nodes() {
    let mut cluster = Cluster::start(18, 0).await;
    for _ in 0..10 {
        cluster.add_node();
    }
    let manifest = web(1000, "nginx:1.14.2").replace("cpu: 100m, memory: 64Mi", "cpu: 10m, memory: 16Mi");
    cluster.create(&manifest).await.unwrap();
    let limit = Duration::from_secs(600);
    cluster
        .until("a thousand pods are available", limit, |look| {
            look.rolled_out("default", "web")
        })
        .await;
    let mut nodes = std::collections::BTreeMap::new();
    for pod in cluster.look().ready_pods("default") {
        *nodes.entry(Look::value(&pod, "spec.nodeName")).or_insert(0) += 1;
    }
    assert!(
        nodes.len() == 10 && nodes.values().all(|n| (80..=110).contains(n)),
        "{nodes:?}"
    );
}
