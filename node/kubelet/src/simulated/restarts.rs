//! Stories of a kubelet, or its machine, that starts anew.

use super::tests::{Node, WEB, pod};
use component::Env;
use serde_json::json;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_restart_adopts_what_runs_and_clears_what_is_gone() {
    let node = Node::start();
    node.pod("web", WEB);
    node.pod("old", WEB);
    let pod = node.phase("web", "Running").await;
    node.phase("old", "Running").await;
    assert!(node.env.tasks.drain(Duration::from_secs(5)).await);
    node.api.remove("pods", "shop", "old");
    let env = Env {
        tasks: component::Tasks::new(),
        ..node.env.clone()
    };
    let node = Node::over(node.api.clone(), node.runtime.clone(), env);
    node.env.clock.sleep(Duration::from_secs(100)).await;
    let after = node.api.get_value("pods", "shop", "web").unwrap();
    assert_eq!(after["status"], pod["status"], "nothing changed");
    let left = runtime::Runtime::sandboxes(&*node.runtime).await.unwrap();
    assert_eq!(left.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["web"]);
}

#[tokio::test(start_paused = true)]
async fn a_finished_pod_stays_finished_after_a_reboot() {
    let node = Node::start();
    let mut done = pod(
        "job",
        "{restartPolicy: Never, containers: [{name: job, image: 'busybox:1.28'}]}",
    );
    done["status"] = json!({"phase": "Succeeded", "startTime": "2030-01-01T00:00:00Z"});
    node.api.put("pods", done);
    node.env.clock.sleep(Duration::from_secs(100)).await;
    assert!(
        runtime::Runtime::sandboxes(&*node.runtime)
            .await
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        node.api.get_value("pods", "shop", "job").unwrap()["status"]["phase"],
        "Succeeded"
    );
}
