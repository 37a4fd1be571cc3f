//! Owners: adoption, release, garbage, namespaces.

use crate::manifests::{SOON, ready, rolled_out, web, web_key, with_web};
use api::Key;
use client::{DeleteOptions, Target, Write};
use std::time::Duration;
use testing::{Cluster, Look};

#[tokio::test(start_paused = true)]
async fn with_a_deployment_go_its_sets_and_pods() {
    let cluster = with_web(31, 2, 3).await;
    cluster.delete("deployments", &web_key()).await.unwrap();
    let empty = |look: &Look| {
        ["deployments", "replicasets", "pods"]
            .iter()
            .all(|plural| look.all(plural, "default").is_empty())
            .then_some(())
    };
    cluster.until("nothing is left", SOON, empty).await;
}

#[tokio::test(start_paused = true)]
async fn orphans_stay_and_are_adopted_again() {
    let cluster = with_web(32, 2, 3).await;
    let before: Vec<String> = ready(&cluster, 3)
        .await
        .iter()
        .map(|pod| pod.uid().to_owned())
        .collect();
    let target = Target::object(&Look::gvr("deployments"), &web_key());
    let options = DeleteOptions {
        propagation_policy: Some("Orphan"),
        ..DeleteOptions::default()
    };
    cluster.admin.write(target, Write::Delete(options)).await.unwrap();
    cluster
        .until("the Deployment is gone", SOON, |look| {
            look.one("deployments", &web_key()).is_none().then_some(())
        })
        .await;
    cluster.sleep(Duration::from_secs(60)).await;
    assert_eq!(cluster.look().all("replicasets", "default").len(), 1);
    cluster.create(&web(3, "nginx:1.14.2")).await.unwrap();
    rolled_out(&cluster, "web").await;
    let after: Vec<String> = ready(&cluster, 3)
        .await
        .iter()
        .map(|pod| pod.uid().to_owned())
        .collect();
    assert_eq!(before, after, "the same pods");
    assert_eq!(
        cluster.look().all("replicasets", "default").len(),
        1,
        "the same set"
    );
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_released_with_its_label_and_adopted_with_it() {
    let cluster = with_web(33, 2, 2).await;
    let pod = ready(&cluster, 2).await.remove(0);
    cluster
        .patch("pods", &pod.key(), "metadata: {labels: {app: other}}")
        .await
        .unwrap();
    let replaced = |look: &Look| {
        let own = look
            .ready_pods("default")
            .into_iter()
            .filter(|p| p.controller().is_some())
            .count();
        let released = look.one("pods", &pod.key())?.owners().is_empty();
        (own == 2 && released).then_some(())
    };
    cluster
        .until("the pod is released and replaced", SOON, replaced)
        .await;
    assert_eq!(cluster.look().all("pods", "default").len(), 3);
    // With its label it comes back, and one of three must go.
    cluster
        .patch("pods", &pod.key(), "metadata: {labels: {app: web}}")
        .await
        .unwrap();
    ready(&cluster, 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_is_emptied_and_ends() {
    let cluster = Cluster::start(34, 2).await;
    cluster
        .create("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
        .await
        .unwrap();
    let account = |look: &Look| look.one("serviceaccounts", &Key::new("shop", "default"));
    cluster
        .until("the namespace has its ServiceAccount", SOON, account)
        .await;
    let manifest = web(3, "nginx:1.14.2").replace("name: web, labels", "name: web, namespace: shop, labels");
    cluster.create(&manifest).await.unwrap();
    let extra = "{apiVersion: v1, kind: ConfigMap, metadata: {name: extra, namespace: shop}, data: {a: b}}";
    cluster.create(extra).await.unwrap();
    cluster
        .until("it is rolled out", SOON, |look| look.rolled_out("shop", "web"))
        .await;
    cluster.delete("namespaces", &Key::cluster("shop")).await.unwrap();
    let gone = |look: &Look| {
        look.one("namespaces", &Key::cluster("shop"))
            .is_none()
            .then_some(())
    };
    cluster.until("the namespace is gone", SOON, gone).await;
    let look = cluster.look();
    for plural in [
        "pods",
        "replicasets",
        "deployments",
        "configmaps",
        "serviceaccounts",
        "events",
    ] {
        assert!(look.all(plural, "shop").is_empty(), "{plural} are left");
    }
}

#[tokio::test(start_paused = true)]
async fn a_finalizer_holds_a_namespace_and_says_so() {
    let cluster = Cluster::start(35, 0).await;
    cluster
        .create("{apiVersion: v1, kind: Namespace, metadata: {name: shop}}")
        .await
        .unwrap();
    let held = "{apiVersion: v1, kind: ConfigMap, metadata: {name: held, namespace: shop, finalizers: [example.com/hold]}}";
    cluster.create(held).await.unwrap();
    cluster.delete("namespaces", &Key::cluster("shop")).await.unwrap();
    let told = |look: &Look| {
        let namespace = look.one("namespaces", &Key::cluster("shop"))?;
        (Look::condition(&namespace, "NamespaceFinalizersRemaining").0 == "True").then_some(())
    };
    cluster
        .until("the namespace tells of the finalizer", SOON, told)
        .await;
    cluster
        .patch(
            "configmaps",
            &Key::new("shop", "held"),
            "metadata: {finalizers: null}",
        )
        .await
        .unwrap();
    let gone = |look: &Look| {
        look.one("namespaces", &Key::cluster("shop"))
            .is_none()
            .then_some(())
    };
    cluster.until("the namespace is gone", SOON, gone).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_has_the_endpoints_of_its_ready_pods() {
    let cluster = with_web(36, 2, 3).await;
    let service = "{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80}]}}";
    cluster.create(service).await.unwrap();
    let count = |look: &Look, wanted: usize| {
        let slices = look.all("endpointslices", "default");
        let slice = slices
            .iter()
            .find(|slice| slice.label("kubernetes.io/service-name") == Some("web"))?;
        let text = String::from_utf8_lossy(slice.body()).into_owned();
        (text.matches("10.244.").count() == wanted && text.matches(r#""ready":true"#).count() == wanted)
            .then_some(())
    };
    cluster
        .until("three endpoints", SOON, |look| count(look, 3))
        .await;
    cluster
        .patch("deployments", &web_key(), "spec: {replicas: 1}")
        .await
        .unwrap();
    cluster.until("one endpoint", SOON, |look| count(look, 1)).await;
    cluster.delete("services", &web_key()).await.unwrap();
    let gone = |look: &Look| {
        let of_web = |s: &std::sync::Arc<api::Object>| s.label("kubernetes.io/service-name") == Some("web");
        (!look.all("endpointslices", "default").iter().any(of_web)).then_some(())
    };
    cluster.until("the slices are gone", SOON, gone).await;
}

#[tokio::test(start_paused = true)]
async fn in_the_foreground_the_owner_goes_last() {
    let cluster = with_web(37, 2, 3).await;
    let target = Target::object(&Look::gvr("deployments"), &web_key());
    let options = DeleteOptions {
        propagation_policy: Some("Foreground"),
        ..DeleteOptions::default()
    };
    cluster.admin.write(target, Write::Delete(options)).await.unwrap();
    let gone = |look: &Look| {
        let (deployment, sets) = (
            look.one("deployments", &web_key()),
            look.all("replicasets", "default"),
        );
        assert!(deployment.is_some() || sets.is_empty(), "the owner went first");
        assert!(
            !sets.is_empty() || look.all("pods", "default").is_empty(),
            "the set went first"
        );
        deployment.is_none().then_some(())
    };
    cluster.until("the Deployment is gone", SOON, gone).await;
}

const DEFINITION: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: parents.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: parents, singular: parent, kind: Parent, listKind: ParentList}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

#[tokio::test(start_paused = true)]
async fn with_a_custom_resource_go_its_dependents_and_with_a_namespace_its_custom_resources() {
    let cluster = Cluster::start(39, 0).await;
    cluster.create(DEFINITION).await.unwrap();
    let parents = api::Gvr::new("example.com", "v1", "parents");
    let body = |namespace: &str| {
        testing::yaml(&format!(
            "{{apiVersion: example.com/v1, kind: Parent, metadata: {{name: p, namespace: {namespace}}}}}"
        ))
    };
    cluster
        .create("{apiVersion: v1, kind: Namespace, metadata: {name: other}}")
        .await
        .unwrap();
    let mut made = Vec::new();
    for namespace in ["default", "other"] {
        let target = Target::collection(&parents, namespace);
        // The server takes a moment to serve what was defined.
        let created = loop {
            match cluster
                .admin
                .write(target.clone(), Write::Create(body(namespace)))
                .await
            {
                Ok(created) => break created,
                Err(status) if status.is_not_found() => cluster.sleep(Duration::from_millis(100)).await,
                Err(status) => panic!("{status}"),
            }
        };
        made.push(created);
    }
    let owned = |name: &str, uid: &str| {
        format!(
            "
apiVersion: v1
kind: ConfigMap
metadata:
  name: {name}
  ownerReferences: [{{apiVersion: example.com/v1, kind: Parent, name: p, uid: {uid}}}]
"
        )
    };
    cluster.create(&owned("child", made[0].uid())).await.unwrap();
    // The other namespace's parent is none here.
    cluster.create(&owned("stranger", made[1].uid())).await.unwrap();
    let gone = |name: &'static str| {
        move |look: &Look| {
            look.one("configmaps", &Key::new("default", name))
                .is_none()
                .then_some(())
        }
    };
    cluster
        .until("the stranger is gone", SOON, gone("stranger"))
        .await;
    assert!(gone("child")(&cluster.look()).is_none(), "its owner is there");
    let key = Key::new("default", "p");
    cluster
        .admin
        .delete(&parents, &key, DeleteOptions::default())
        .await
        .unwrap();
    cluster.until("the child is gone", SOON, gone("child")).await;
    let other = Key::cluster("other");
    cluster.delete("namespaces", &other).await.unwrap();
    let ended = |look: &Look| look.one("namespaces", &other).is_none().then_some(());
    cluster.until("the namespace is gone", SOON, ended).await;
    let left = cluster
        .admin
        .find(&parents, &Key::new("other", "p"))
        .await
        .unwrap();
    assert!(left.is_none(), "it went with its namespace");
}
