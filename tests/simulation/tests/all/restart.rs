//! The control plane stops and comes back on the same store.

use crate::manifests::{ready, rolled_out, web_key, with_web};
use std::time::Duration;
use testing::Look;

#[tokio::test(start_paused = true)]
async fn everything_is_still_there_and_nothing_is_restarted() {
    let mut cluster = with_web(41, 2, 3).await;
    let before: Vec<(String, String)> = pods(&ready(&cluster, 3).await);
    for _ in 0..2 {
        cluster.stop_plane().await;
        cluster.sleep(Duration::from_secs(20)).await;
        cluster.start_plane().await;
        cluster.sleep(Duration::from_secs(120)).await;
        rolled_out(&cluster, "web").await;
        assert_eq!(before, pods(&ready(&cluster, 3).await));
    }
    cluster
        .patch("deployments", &web_key(), "spec: {replicas: 5}")
        .await
        .unwrap();
    rolled_out(&cluster, "web").await;
    ready(&cluster, 5).await;
}

#[tokio::test(start_paused = true)]
async fn a_rollout_goes_on_where_it_was() {
    for events in [5, 20, 40] {
        let mut cluster = with_web(42, 2, 3).await;
        let patch = "spec: {template: {spec: {containers: [{name: web, image: 'nginx:1.16.1'}]}}}";
        let start = cluster.history.len();
        cluster.patch("deployments", &web_key(), patch).await.unwrap();
        let history = cluster.history.clone();
        let some = || (history.len() >= start + events).then_some(());
        cluster
            .history
            .until("some steps", Duration::from_secs(60), some)
            .await;
        cluster.stop_plane().await;
        cluster.start_plane().await;
        rolled_out(&cluster, "web").await;
        assert_eq!(
            crate::manifests::images(&ready(&cluster, 3).await),
            ["nginx:1.16.1"]
        );
    }
}

fn pods(pods: &[std::sync::Arc<api::Object>]) -> Vec<(String, String)> {
    pods.iter()
        .map(|pod| (pod.uid().to_owned(), Look::value(pod, "status.startTime")))
        .collect()
}
