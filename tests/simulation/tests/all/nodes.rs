//! Nodes that come, go and come back.

use crate::manifests::{SOON, ready, rolled_out, web, with_web};
use api::Key;
use std::{collections::BTreeSet, time::Duration};
use testing::{Cluster, Look};

#[tokio::test(start_paused = true)]
async fn each_node_gets_a_range_of_its_own() {
    let cluster = Cluster::start(21, 8).await;
    let ranges = |look: &Look| {
        let nodes = look.all("nodes", "");
        let ranges: Vec<String> = nodes
            .iter()
            .map(|node| Look::value(node, "spec.podCIDR"))
            .filter(|r| !r.is_empty())
            .collect();
        let each: BTreeSet<String> = ranges.iter().cloned().collect();
        assert_eq!(each.len(), ranges.len(), "a range is given twice: {ranges:?}");
        (ranges.len() == 8).then_some(each)
    };
    let ranges = cluster.until("all nodes have a range", SOON, ranges).await;
    assert!(
        ranges
            .iter()
            .all(|range| range.starts_with("10.244.") && range.ends_with(".0/24")),
        "{ranges:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn pods_wait_for_a_node_and_go_on_when_it_comes() {
    let mut cluster = Cluster::start(22, 0).await;
    cluster.create(&web(2, "nginx:1.14.2")).await.unwrap();
    let told = |look: &Look| {
        let pods = look.all("pods", "default");
        let waiting = |pod: &std::sync::Arc<api::Object>| {
            Look::condition(pod, "PodScheduled") == ("False".into(), "Unschedulable".into())
        };
        (pods.len() == 2 && pods.iter().all(waiting)).then_some(())
    };
    cluster.until("the pods are unschedulable", SOON, told).await;
    let event = |look: &Look| {
        let events = look.all("events", "default");
        events
            .into_iter()
            .find(|event| Look::value(event, "reason") == "FailedScheduling")
    };
    let event = cluster.until("the event", SOON, event).await;
    assert_eq!(
        Look::value(&event, "message"),
        "no nodes available to schedule pods"
    );
    cluster.add_node();
    rolled_out(&cluster, "web").await;
}

#[tokio::test(start_paused = true)]
async fn pods_of_a_lost_node_move_after_five_minutes() {
    let mut cluster = with_web(23, 2, 4).await;
    let lost = cluster.nodes[0].name.clone();
    let start = cluster.env.clock.now();
    cluster.stop_node(0).await;
    let node = Key::cluster(&lost);
    let unknown = |look: &Look| {
        let node = look.one("nodes", &node)?;
        (Look::condition(&node, "Ready") == ("Unknown".into(), "NodeStatusUnknown".into())).then_some(())
    };
    cluster.until("the node is unknown", SOON, unknown).await;
    let silent = (cluster.env.clock.now() - start).as_secs();
    assert!((40..=60).contains(&silent), "after {silent} s");
    let tainted = |look: &Look| {
        let node = look.one("nodes", &node)?;
        let text = String::from_utf8_lossy(node.body()).into_owned();
        let taint = r#""effect":"NoExecute","key":"node.kubernetes.io/unreachable""#;
        (text.contains(taint) && text.contains(&taint.replace("NoExecute", "NoSchedule"))).then_some(())
    };
    cluster.until("the node is tainted", SOON, tainted).await;
    let on_lost = |pod: &std::sync::Arc<api::Object>| Look::value(pod, "spec.nodeName") == lost;
    cluster.sleep(Duration::from_secs(280)).await;
    let left = cluster.look().all("pods", "default");
    assert!(
        left.iter()
            .filter(|pod| on_lost(pod))
            .all(|pod| pod.deletion_timestamp().is_none()),
        "evicted too early"
    );
    let moved = |look: &Look| {
        let pods = look.ready_pods("default");
        (pods.len() == 4 && !pods.iter().any(on_lost)).then_some(())
    };
    cluster.until("the pods run elsewhere", SOON, moved).await;
    let after = (cluster.env.clock.now() - start).as_secs();
    assert!((340..=370).contains(&after), "after {after} s");

    cluster.start_node(0);
    let back = |look: &Look| {
        let node = look.one("nodes", &node)?;
        let tainted = String::from_utf8_lossy(node.body()).contains("unreachable");
        (Look::condition(&node, "Ready").0 == "True" && !tainted).then_some(())
    };
    cluster.until("the node is back", SOON, back).await;
    ready(&cluster, 4).await;
}

#[tokio::test(start_paused = true)]
async fn a_short_silence_moves_nothing() {
    let cluster = with_web(24, 2, 4).await;
    let before: Vec<String> = ready(&cluster, 4)
        .await
        .iter()
        .map(|pod| pod.uid().to_owned())
        .collect();
    let line = cluster.nodes[0].line.clone();
    line.cut();
    cluster.sleep(Duration::from_secs(90)).await;
    cluster.reconnect();
    let healed = |look: &Look| {
        let nodes = look.all("nodes", "");
        let fine = |node: &std::sync::Arc<api::Object>| {
            Look::condition(node, "Ready").0 == "True"
                && !String::from_utf8_lossy(node.body()).contains("unreachable")
        };
        (nodes.iter().all(fine) && look.ready_pods("default").len() == 4).then_some(())
    };
    cluster
        .until("both nodes and all pods are ready", SOON, healed)
        .await;
    cluster.sleep(Duration::from_secs(400)).await;
    let after: Vec<String> = cluster
        .look()
        .all("pods", "default")
        .iter()
        .map(|pod| pod.uid().to_owned())
        .collect();
    assert_eq!(before, after);
}
