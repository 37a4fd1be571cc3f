//! Budgets and evictions.

use crate::manifests::{SOON, ready, with_web};
use api::{Key, Object, Status};
use client::{Target, Write};
use std::sync::Arc;
use testing::{Cluster, Look, yaml};

async fn evict(cluster: &Cluster, pod: &str, options: &str) -> Result<(), Status> {
    let body = yaml(&format!(
        "{{apiVersion: policy/v1, kind: Eviction, metadata: {{name: {pod}, namespace: default}}{options}}}"
    ));
    let target = Target::object(&Look::gvr("pods"), &Key::new("default", pod)).sub("eviction");
    cluster.admin.write(target, Write::Create(body)).await.map(drop)
}

fn budget(name: &str, rule: &str) -> String {
    format!(
        "
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {{name: {name}}}
spec: {{{rule}, selector: {{matchLabels: {{app: web}}}}}}
"
    )
}

/// Waits until the budget allows so many disruptions.
async fn allowed(cluster: &Cluster, name: &str, count: i64) -> Arc<Object> {
    let key = Key::new("default", name);
    let what = format!("the budget allows {count}");
    let done = |look: &Look| {
        let budget = look.one("poddisruptionbudgets", &key)?;
        let told = Look::number(&budget, "status.observedGeneration") == budget.generation();
        (told && Look::number(&budget, "status.disruptionsAllowed") == count).then_some(budget)
    };
    cluster.until(&what, SOON, done).await
}

#[tokio::test(start_paused = true)]
async fn a_budget_counts_what_may_go() {
    let cluster = with_web(61, 2, 4).await;
    let numbers = |budget: &Object| {
        ["currentHealthy", "desiredHealthy", "expectedPods"]
            .map(|n| Look::number(budget, &format!("status.{n}")))
    };
    for (name, rule, count, wanted) in [
        ("least", "minAvailable: 3", 1, [4, 3, 4]),
        ("share", "minAvailable: 60%", 1, [4, 3, 4]),
        ("missing", "maxUnavailable: 2", 2, [4, 2, 4]),
        ("half", "maxUnavailable: 50%", 2, [4, 2, 4]),
    ] {
        cluster.create(&budget(name, rule)).await.unwrap();
        let budget = allowed(&cluster, name, count).await;
        assert_eq!(numbers(&budget), wanted, "{name}");
        let condition = Look::condition(&budget, "DisruptionAllowed");
        assert_eq!(condition, ("True".into(), "SufficientPods".into()));
    }
    let scaled = "spec: {replicas: 2}";
    let key = Key::new("default", "web");
    cluster.patch("deployments", &key, scaled).await.unwrap();
    let budget = allowed(&cluster, "half", 1).await;
    assert_eq!(numbers(&budget), [2, 1, 2]);
    let budget = allowed(&cluster, "least", 0).await;
    let condition = Look::condition(&budget, "DisruptionAllowed");
    assert_eq!(condition, ("False".into(), "InsufficientPods".into()));
}

#[tokio::test(start_paused = true)]
async fn an_eviction_waits_for_its_budget() {
    let cluster = with_web(62, 2, 3).await;
    cluster.create(&budget("web", "minAvailable: 2")).await.unwrap();
    allowed(&cluster, "web", 1).await;
    let pods = ready(&cluster, 3).await;
    let dry = ", deleteOptions: {dryRun: [All]}";
    evict(&cluster, pods[0].name(), dry).await.unwrap();
    evict(&cluster, pods[0].name(), "").await.unwrap();
    let gone = cluster.look().one("pods", &pods[0].key());
    let told = gone.map(|pod| Look::condition(&pod, "DisruptionTarget"));
    assert!(
        told.is_none_or(|c| c == ("True".into(), "EvictionByEvictionAPI".into())),
        "why it goes"
    );
    let refused = evict(&cluster, pods[1].name(), "").await.unwrap_err();
    assert_eq!((refused.code, refused.reason.as_str()), (429, "TooManyRequests"));
    assert_eq!(
        refused.message,
        "Cannot evict pod as it would violate the pod's disruption budget."
    );
    let cause = refused.details.unwrap().causes.remove(0);
    assert_eq!(cause.reason, "DisruptionBudget");
    // The pod that was evicted is replaced: there is room for the next one.
    allowed(&cluster, "web", 1).await;
    evict(&cluster, pods[1].name(), "").await.unwrap();
    let budget = allowed(&cluster, "web", 1).await;
    let left = String::from_utf8_lossy(budget.body()).into_owned();
    assert!(
        !left.contains(pods[0].name()),
        "what has gone is not waited for: {left}"
    );
}

#[tokio::test(start_paused = true)]
async fn of_two_budgets_neither_is_asked() {
    let cluster = with_web(63, 1, 1).await;
    for name in ["a", "b"] {
        cluster.create(&budget(name, "minAvailable: 0")).await.unwrap();
    }
    let pods = ready(&cluster, 1).await;
    let refused = evict(&cluster, pods[0].name(), "").await.unwrap_err();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (
            500,
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
        )
    );
}

const DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: fleets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: fleets, singular: fleet, kind: Fleet, listKind: FleetList}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
    subresources: {scale: {specReplicasPath: .spec.ships, statusReplicasPath: .status.ships}}
";

#[tokio::test(start_paused = true)]
async fn a_custom_scale_says_how_many_pods_there_should_be() {
    let cluster = Cluster::start(64, 1).await;
    cluster.create(DEFINITION).await.unwrap();
    let fleets = api::Gvr::new("example.com", "v1", "fleets");
    let fleet = || yaml("{apiVersion: example.com/v1, kind: Fleet, metadata: {name: web}, spec: {ships: 4}}");
    let created = loop {
        let target = Target::collection(&fleets, "default");
        match cluster.admin.write(target, Write::Create(fleet())).await {
            Ok(created) => break created,
            Err(status) if status.is_not_found() => {
                cluster.sleep(std::time::Duration::from_millis(100)).await
            }
            Err(status) => panic!("{status}"),
        }
    };
    for name in ["a", "b", "c"] {
        let pod = format!(
            "
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  labels: {{app: web}}
  ownerReferences: [{{apiVersion: example.com/v1, kind: Fleet, name: web, uid: {}, controller: true}}]
spec: {{containers: [{{name: c, image: nginx}}]}}
",
            created.uid()
        );
        cluster.create(&pod).await.unwrap();
    }
    ready(&cluster, 3).await;
    cluster
        .create(&budget("web", "maxUnavailable: 50%"))
        .await
        .unwrap();
    let budget = allowed(&cluster, "web", 1).await;
    assert_eq!(Look::number(&budget, "status.expectedPods"), 4);
    assert_eq!(Look::number(&budget, "status.desiredHealthy"), 2);
}
