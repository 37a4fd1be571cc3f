//! Controllers behind a bad line, and controllers that crash after any write.

use crate::manifests::{SOON, images, ready, rolled_out, web, web_key};
use std::time::Duration;
use testing::{Cluster, Faults, Look};

const LONG: Duration = Duration::from_secs(1800);

/// Creates, scales, rolls, deletes a pod; at the end there must be four pods of the new image and two sets.
async fn story(cluster: &Cluster) {
    let steps = |image: &str, size: u32| {
        format!(
            "spec: {{replicas: {size}, template: {{spec: {{containers: [{{name: web, image: '{image}'}}]}}}}}}"
        )
    };
    cluster.create(&web(2, "nginx:1")).await.unwrap();
    cluster
        .until("version 1 is rolled out", LONG, |look| {
            look.rolled_out("default", "web")
        })
        .await;
    cluster
        .patch("deployments", &web_key(), &steps("nginx:2", 4))
        .await
        .unwrap();
    cluster
        .until("version 2 is rolled out", LONG, |look| {
            look.rolled_out("default", "web")
        })
        .await;
    let pod = cluster.look().ready_pods("default").remove(0);
    cluster.delete("pods", &pod.key()).await.unwrap();
}

async fn check(cluster: &Cluster) {
    let done = |look: &Look| {
        let pods = look.ready_pods("default");
        (pods.len() == 4 && look.all("pods", "default").len() == 4 && images(&pods) == ["nginx:2"])
            .then_some(())
    };
    cluster.until("four pods of version 2", LONG, done).await;
    cluster
        .until("the status is true", LONG, |look| {
            look.rolled_out("default", "web")
        })
        .await;
    let look = cluster.look();
    let sets = look.all("replicasets", "default");
    assert_eq!(sets.len(), 2);
    for pod in look.all("pods", "default") {
        let owner = pod.controller().map(|owner| owner.uid.clone());
        assert!(
            sets.iter().any(|set| Some(set.uid()) == owner.as_deref()),
            "{} has no owner",
            pod.name()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn late_repeated_and_dropped_events_change_nothing_in_the_end() {
    for seed in 51..55 {
        let cluster = Cluster::start(seed, 2).await;
        let faults = Faults {
            late: 3000,
            repeated: 200,
            dropped: 30,
            ..Faults::default()
        };
        cluster.controllers.fail(faults);
        cluster.scheduler.fail(faults);
        story(&cluster).await;
        check(&cluster).await;
    }
}

#[tokio::test(start_paused = true)]
async fn refused_and_lost_answers_change_nothing_in_the_end() {
    for seed in 61..75 {
        let cluster = Cluster::start(seed, 2).await;
        let faults = Faults {
            refused: 150,
            lost: 150,
            late: 300,
            ..Faults::default()
        };
        cluster.controllers.fail(faults);
        cluster.scheduler.fail(faults);
        story(&cluster).await;
        check(&cluster).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_after_any_write_changes_nothing_in_the_end() {
    for writes in 1..40 {
        let mut cluster = Cluster::start(71, 2).await;
        cluster.create(&web(2, "nginx:1")).await.unwrap();
        rolled_out(&cluster, "web").await;
        cluster.controllers.fail(Faults {
            crash_after: Some(writes),
            ..Faults::default()
        });
        let patch = "spec: {replicas: 4, template: {spec: {containers: [{name: web, image: 'nginx:2'}]}}}";
        cluster.patch("deployments", &web_key(), patch).await.unwrap();
        let line = cluster.controllers.clone();
        let crashed = cluster.env.clock.timeout(SOON, line.crashed()).await.is_some();
        cluster.restart_controllers();
        check(&cluster).await;
        ready(&cluster, 4).await;
        if !crashed {
            return;
        }
    }
}
