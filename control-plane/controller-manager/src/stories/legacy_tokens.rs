//! Stories of tokens in Secrets that nobody uses.

use super::{plan_of, told};
use crate::LegacyTokenCleaner;
use api::Key;
use reconcile::LastOutcome;
use std::time::Duration;

const DAY: u64 = 24 * 3600;

/// An account and its token, with those labels; `account` and `more` are YAML.
fn objects(labels: &str, account: &str, more: &str) -> String {
    format!(
        "kind: ConfigMap
metadata: {{namespace: kube-system, name: kube-apiserver-legacy-service-account-token-tracking}}
data: {{since: '2029-01-01'}}
---
kind: ServiceAccount
metadata: {{namespace: shop, name: robot, uid: u}}
{account}
---
kind: Secret
metadata:
  namespace: shop
  name: robot-token-x
  uid: s
  creationTimestamp: '2029-01-05T12:00:00Z'
  labels: {{{labels}}}
  annotations: {{kubernetes.io/service-account.name: robot, kubernetes.io/service-account.uid: u}}
type: kubernetes.io/service-account-token
---
{more}"
    )
}

const OWN: &str = "secrets: [{name: robot-token-x}]";

async fn plan(text: &str, now: &str) -> (String, Option<Duration>) {
    let cleaner = LegacyTokenCleaner {
        period: Duration::from_secs(365 * DAY),
    };
    let key = Key::new("shop", "robot-token-x");
    let plan = plan_of(&cleaner, &key, text, &LastOutcome::default(), now).await;
    (told(&plan), plan.requeue_after)
}

#[tokio::test(start_paused = true)]
async fn a_token_that_nobody_uses_is_marked_and_then_deleted() {
    let look = Some(Duration::from_secs(DAY));
    let mark = "patch secrets robot-token-x {\"metadata\":{\"uid\":\"s\",\"labels\":{\"kubernetes.io/legacy-token-invalid-since\":\"2030-01-06\"}}}\n";
    let delete = "delete secrets robot-token-x\n";
    let (used, invalid) = (
        "kubernetes.io/legacy-token-last-used",
        "kubernetes.io/legacy-token-invalid-since",
    );
    for (labels, now, expected) in [
        // A year after it was made, not earlier.
        (String::new(), "2030-01-05T11:00:00Z", ""),
        (String::new(), "2030-01-06T13:00:00Z", mark),
        // By days, when it was used.
        (format!("{used}: '2029-01-06'"), "2030-01-06T13:00:00Z", ""),
        (format!("{used}: '2029-01-05'"), "2030-01-06T13:00:00Z", mark),
        (format!("{used}: yesterday"), "2035-01-06T13:00:00Z", ""),
        // Marked, and not missed for a year.
        (format!("{invalid}: '2030-01-06'"), "2031-01-06T13:00:00Z", ""),
        (format!("{invalid}: '2030-01-06'"), "2031-01-07T13:00:00Z", delete),
        (format!("{invalid}: nonsense"), "2030-01-06T13:00:00Z", mark),
        (
            format!("{invalid}: '2030-01-06', {used}: '2030-06-01'"),
            "2031-01-07T13:00:00Z",
            "",
        ),
    ] {
        let (writes, again) = plan(&objects(&labels, OWN, ""), now).await;
        assert_eq!((writes.as_str(), again), (expected, look), "{labels} at {now}");
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_may_be_missed_stay() {
    let late = "2035-01-01T00:00:00Z";
    let all = objects("", OWN, "");
    assert!(plan(&all, late).await.0.starts_with("patch"));
    let pod = |spec: &str| {
        let pod = format!("kind: Pod\nmetadata: {{namespace: shop, name: p}}\nspec: {spec}");
        objects("", OWN, &pod)
    };
    for (what, text) in [
        ("made by hand", objects("", "", "")),
        (
            "of another account",
            all.replace("account.uid: u", "account.uid: z"),
        ),
        (
            "of no account",
            all.replace("name: robot, uid", "name: other, uid"),
        ),
        ("not tracked", all.replace("since:", "other:")),
        (
            "tracked since too short",
            all.replace("'2029-01-01'", "'2034-01-01'"),
        ),
        ("tracked since nonsense", all.replace("'2029-01-01'", "long")),
        (
            "being deleted",
            all.replace(
                "  uid: s\n",
                "  uid: s\n  deletionTimestamp: '2030-01-01T00:00:00Z'\n",
            ),
        ),
        (
            "another secret",
            all.replace("service-account-token\n", "other\n"),
        ),
        (
            "a volume",
            pod("{volumes: [{name: v, secret: {secretName: robot-token-x}}]}"),
        ),
        (
            "a projected volume",
            pod("{volumes: [{name: v, projected: {sources: [{secret: {name: robot-token-x}}]}}]}"),
        ),
        (
            "a driver's",
            pod("{volumes: [{name: v, csi: {driver: d, nodePublishSecretRef: {name: robot-token-x}}}]}"),
        ),
        ("for pulling", pod("{imagePullSecrets: [{name: robot-token-x}]}")),
        (
            "a variable",
            pod(
                "{containers: [{name: c, env: [{name: A, valueFrom: {secretKeyRef: {name: robot-token-x, key: k}}}]}]}",
            ),
        ),
        (
            "variables",
            pod("{initContainers: [{name: c, envFrom: [{secretRef: {name: robot-token-x}}]}]}"),
        ),
    ] {
        assert_eq!(plan(&text, late).await.0, "", "{what}");
    }
    let other = pod("{volumes: [{name: v, secret: {secretName: another}}]}");
    assert!(plan(&other, late).await.0.starts_with("patch"));
}
