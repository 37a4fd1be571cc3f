//! One seed, one history.

use crate::manifests::{SOON, web};
use std::time::Duration;
use testing::Cluster;

struct Run {
    history: Vec<String>,
    records: Vec<String>,
    end: Vec<String>,
}

async fn rollout(seed: u64) -> Run {
    let cluster = Cluster::start(seed, 3).await;
    cluster.create(&web(5, "nginx:1.14.2")).await.unwrap();
    cluster
        .until("the Deployment is rolled out", SOON, |look| {
            look.rolled_out("default", "web")
        })
        .await;
    cluster.sleep(Duration::from_secs(60)).await;
    let records = cluster
        .records
        .recent()
        .iter()
        .map(|r| format!("{r:?}"))
        .collect();
    let look = cluster.look();
    let mut end: Vec<String> = look
        .ready_pods("default")
        .iter()
        .map(|p| {
            format!(
                "{} {}",
                testing::Look::value(p, "status.phase"),
                testing::Look::value(p, "spec.nodeName")
            )
        })
        .collect();
    end.sort();
    Run {
        history: cluster.history.lines(),
        records,
        end,
    }
}

fn same(a: &[String], b: &[String], what: &str) {
    for (number, (a, b)) in a.iter().zip(b).enumerate() {
        assert_eq!(a, b, "{what} {number} differs");
    }
    assert_eq!(a.len(), b.len(), "number of {what}s");
}

#[tokio::test(start_paused = true)]
async fn one_seed_gives_one_history() {
    let (first, second) = (rollout(7).await, rollout(7).await);
    assert!(first.history.len() > 50 && first.records.len() > 5);
    same(&first.records, &second.records, "record");
    same(&first.history, &second.history, "event");
}

#[tokio::test(start_paused = true)]
async fn other_seeds_end_the_same() {
    let first = rollout(1).await;
    for seed in 2..6 {
        let other = rollout(seed).await;
        assert_ne!(first.history, other.history, "names and UIDs come from the seed");
        assert_eq!(first.end, other.end);
    }
}
