//! What the stories create, and waits that many of them need.

use api::{Key, Object};
use std::{sync::Arc, time::Duration};
use testing::{Cluster, Look};

/// How long a story waits for something that should happen soon, in virtual time.
pub const SOON: Duration = Duration::from_secs(120);

/// The Deployment `web`.
pub fn web(replicas: u32, image: &str) -> String {
    format!(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, labels: {{app: web}}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers:
      - name: web
        image: {image}
        ports: [{{containerPort: 80}}]
        resources: {{requests: {{cpu: 100m, memory: 64Mi}}}}
"
    )
}

/// The key of `web`.
pub fn web_key() -> Key {
    Key::new("default", "web")
}

/// A cluster in which `web` is rolled out.
pub async fn with_web(seed: u64, nodes: usize, replicas: u32) -> Cluster {
    let cluster = Cluster::start(seed, nodes).await;
    cluster.create(&web(replicas, "nginx:1.14.2")).await.unwrap();
    rolled_out(&cluster, "web").await;
    cluster
}

/// Waits until a Deployment in `default` is rolled out.
pub async fn rolled_out(cluster: &Cluster, name: &str) -> Arc<Object> {
    cluster
        .until("the Deployment is rolled out", SOON, |look| {
            look.rolled_out("default", name)
        })
        .await
}

/// Waits until so many pods of `default` are ready and no other is left.
pub async fn ready(cluster: &Cluster, count: usize) -> Vec<Arc<Object>> {
    let what = format!("{count} pods are ready and no other is there");
    let there = |look: &Look| {
        let ready = look.ready_pods("default");
        (ready.len() == count && look.all("pods", "default").len() == count).then_some(ready)
    };
    cluster.until(&what, SOON, there).await
}

/// The images of the ready pods, sorted, each once.
pub fn images(pods: &[Arc<Object>]) -> Vec<String> {
    let mut images: Vec<String> = pods
        .iter()
        .map(|pod| Look::first(pod, "spec.containers", "image"))
        .collect();
    images.sort();
    images.dedup();
    images
}
