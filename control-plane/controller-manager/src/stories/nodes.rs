//! Ranges, silence, taints and patience.

use super::{NOW, deleted, plan, told};
use crate::{NodeIpamController, NodeLifecycleController, TaintEvictionController};
use api::Key;
use reconcile::LastOutcome;

fn node(name: &str, spec: &str, heartbeat: &str, ready: &str) -> String {
    format!(
        "---
apiVersion: v1
kind: Node
metadata: {{name: {name}, uid: {name}, creationTimestamp: '2030-01-01T00:00:00Z'}}
spec: {{{spec}}}
status: {{conditions: [{{type: Ready, status: '{ready}', lastHeartbeatTime: '{heartbeat}'}}]}}
"
    )
}

fn lease(name: &str, renewed: &str) -> String {
    format!(
        "---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {{name: {name}, namespace: kube-node-lease, uid: l-{name}}}
spec: {{renewTime: '{renewed}'}}
"
    )
}

fn ipam(prefix: u8) -> NodeIpamController {
    NodeIpamController {
        base: [10, 244, 0, 0].into(),
        prefix,
        node_prefix: 24,
    }
}

fn lifecycle() -> NodeLifecycleController {
    NodeLifecycleController {
        since: "2030-01-01T00:00:00Z".parse().unwrap(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_gets_the_first_free_range() {
    let text = [
        node("a", "podCIDR: 10.244.0.0/24", NOW, "True"),
        node("b", "podCIDR: 10.244.2.0/24", NOW, "True"),
        node("c", "", NOW, "True"),
    ]
    .concat();
    let last = LastOutcome::default();
    let given = told(&plan(ipam(16), &Key::cluster("c"), &text, &last, NOW).await);
    assert_eq!(
        given,
        "patch nodes c {\"metadata\":{\"uid\":\"c\"},\"spec\":{\"podCIDR\":\"10.244.1.0/24\",\"podCIDRs\":[\"10.244.1.0/24\"]}}\n"
    );
    let text = text.replace("10.244.2.0", "10.244.1.0");
    let none = plan(ipam(23), &Key::cluster("c"), &text, &last, NOW).await;
    assert!(none.writes.is_empty() && none.events[0].reason == "CIDRNotAvailable");
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_is_unknown_and_tainted() {
    let text = node("a", "", "2030-01-01T00:30:00Z", "True") + &lease("a", "2030-01-01T00:59:00Z");
    let plan = plan(
        lifecycle(),
        &Key::cluster("a"),
        &text,
        &LastOutcome::default(),
        NOW,
    )
    .await;
    let told = told(&plan);
    assert_eq!(told.matches(r#""status":"Unknown""#).count(), 4, "{told}");
    assert_eq!(
        told.matches("node.kubernetes.io/unreachable").count(),
        2,
        "{told}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_or_a_status_is_a_sign_of_life() {
    let last = LastOutcome::default();
    for (heartbeat, renewed) in [
        ("2030-01-01T00:30:00Z", "2030-01-01T00:59:50Z"),
        ("2030-01-01T00:59:50Z", "2030-01-01T00:30:00Z"),
    ] {
        let text = node("a", "", heartbeat, "True") + &lease("a", renewed);
        let plan = plan(lifecycle(), &Key::cluster("a"), &text, &last, NOW).await;
        assert_eq!(told(&plan), "");
        assert_eq!(plan.requeue_after.map(|delay| delay.as_millis()), Some(40_100));
    }
}

#[tokio::test(start_paused = true)]
async fn patience_is_that_of_the_least_patient_toleration() {
    let taints = "taints: [{key: node.kubernetes.io/unreachable, effect: NoExecute, timeAdded: '2030-01-01T00:59:00Z'}]";
    let pod = |tolerations: &str, created: &str| {
        format!(
            "---
apiVersion: v1
kind: Pod
metadata: {{name: p, namespace: d, uid: p, creationTimestamp: '{created}'}}
spec: {{nodeName: a, containers: [], tolerations: [{tolerations}]}}
status: {{phase: Running}}
"
        )
    };
    let toleration = |seconds: &str| {
        format!("{{key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute{seconds}}}")
    };
    let last = LastOutcome::default();
    let old = "2030-01-01T00:00:00Z";
    let cases = [
        (String::new(), old, true, None),
        (toleration(""), old, false, None),
        (toleration(", tolerationSeconds: 30"), old, true, None),
        (toleration(", tolerationSeconds: 300"), old, false, Some(240)),
        (
            format!(
                "{}, {}",
                toleration(", tolerationSeconds: 300"),
                toleration(", tolerationSeconds: 100")
            ),
            old,
            false,
            Some(40),
        ),
        // One that came after the taint has its time from then on.
        (
            toleration(", tolerationSeconds: 30"),
            "2030-01-01T00:59:50Z",
            false,
            Some(20),
        ),
    ];
    for (tolerations, created, evicted, wait) in cases {
        let text = node("a", taints, NOW, "Unknown") + &pod(&tolerations, created);
        let plan = plan(TaintEvictionController, &Key::new("d", "p"), &text, &last, NOW).await;
        assert_eq!(!deleted(&plan).is_empty(), evicted, "{tolerations}");
        assert_eq!(
            plan.requeue_after.map(|delay| delay.as_secs()),
            wait,
            "{tolerations}"
        );
    }
}
