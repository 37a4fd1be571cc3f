//! Claims and volumes.

use crate::manifests::SOON;
use api::{Key, Object};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use testing::{Cluster, Faults, Look};

const CLAIM: &str = "persistentvolumeclaims";
const VOLUME: &str = "persistentvolumes";

fn claim_key() -> Key {
    Key::new("default", "data")
}

fn claim(more: &str) -> String {
    format!(
        "
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}{more}}}
"
    )
}

fn volume(name: &str, size: &str, more: &str) -> String {
    format!(
        "
apiVersion: v1
kind: PersistentVolume
metadata: {{name: {name}}}
spec: {{capacity: {{storage: {size}}}, accessModes: [ReadWriteOnce], storageClassName: manual, hostPath: {{path: /data}}{more}}}
"
    )
}

fn pod(name: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Pod
metadata: {{name: {name}}}
spec:
  containers: [{{name: c, image: nginx, volumeMounts: [{{name: v, mountPath: /v}}]}}]
  volumes: [{{name: v, persistentVolumeClaim: {{claimName: data}}}}]
"
    )
}

/// Waits until an object is in a phase.
async fn phase(cluster: &Cluster, plural: &str, key: &Key, phase: &str) -> Arc<Object> {
    let there = |look: &Look| {
        let object = look.one(plural, key)?;
        (Look::value(&object, "status.phase") == phase).then_some(object)
    };
    cluster
        .until(&format!("{plural} {key} is {phase}"), SOON, there)
        .await
}

async fn gone(cluster: &Cluster, plural: &str, key: &Key) {
    let gone = |look: &Look| look.one(plural, key).is_none().then_some(());
    cluster
        .until(&format!("{plural} {key} is gone"), SOON, gone)
        .await;
}

/// Waits for an event with that reason; its message.
async fn event(cluster: &Cluster, reason: &str) -> String {
    let there = |look: &Look| {
        let events = look.all("events", "");
        let event = events.iter().find(|e| Look::value(e, "reason") == reason)?;
        Some(Look::value(event, "message"))
    };
    cluster.until(&format!("an event {reason}"), SOON, there).await
}

#[tokio::test(start_paused = true)]
async fn a_claim_gets_the_volume_that_fits_best_and_leaves_it_released() {
    let cluster = Cluster::start(71, 0).await;
    cluster
        .create(&claim(", storageClassName: manual"))
        .await
        .unwrap();
    phase(&cluster, CLAIM, &claim_key(), "Pending").await;
    assert_eq!(
        event(&cluster, "ProvisioningFailed").await,
        r#"storageclass.storage.k8s.io "manual" not found"#
    );
    for (name, size) in [("small", "500Mi"), ("large", "9Gi")] {
        cluster.create(&volume(name, size, "")).await.unwrap();
    }
    let bound = phase(&cluster, CLAIM, &claim_key(), "Bound").await;
    assert_eq!(Look::value(&bound, "spec.volumeName"), "large");
    assert_eq!(Look::value(&bound, "status.capacity.storage"), "9Gi");
    for annotation in ["bind-completed", "bound-by-controller"] {
        let value = bound.annotation(&format!("pv.kubernetes.io/{annotation}"));
        assert_eq!(value.as_deref(), Some("yes"), "{annotation}");
    }
    let large = Key::cluster("large");
    let volume = phase(&cluster, VOLUME, &large, "Bound").await;
    assert_eq!(Look::value(&volume, "spec.claimRef.uid"), bound.uid());
    cluster.delete(VOLUME, &large).await.unwrap();
    cluster.delete(CLAIM, &claim_key()).await.unwrap();
    // What was bound is protected until then.
    gone(&cluster, CLAIM, &claim_key()).await;
    gone(&cluster, VOLUME, &large).await;
    phase(&cluster, VOLUME, &Key::cluster("small"), "Available").await;
}

#[tokio::test(start_paused = true)]
async fn a_retained_volume_is_released_and_what_cannot_be_reclaimed_fails() {
    let cluster = Cluster::start(72, 0).await;
    for (policy, wanted) in [
        ("Retain", "Released"),
        ("Delete", "Failed"),
        ("Recycle", "Failed"),
    ] {
        let name = policy.to_lowercase();
        let more = format!(", persistentVolumeReclaimPolicy: {policy}");
        cluster.create(&volume(&name, "1Gi", &more)).await.unwrap();
        let named = format!(", storageClassName: manual, volumeName: {name}");
        cluster.create(&claim(&named)).await.unwrap();
        phase(&cluster, CLAIM, &claim_key(), "Bound").await;
        cluster.delete(CLAIM, &claim_key()).await.unwrap();
        gone(&cluster, CLAIM, &claim_key()).await;
        phase(&cluster, VOLUME, &Key::cluster(&name), wanted).await;
    }
    let message = event(&cluster, "VolumeFailedRecycle").await;
    assert_eq!(message, "No recycler plugin found for the volume!");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_lost_its_volume_says_so() {
    let cluster = Cluster::start(73, 0).await;
    cluster.create(&volume("v", "1Gi", "")).await.unwrap();
    cluster
        .create(&claim(", storageClassName: manual"))
        .await
        .unwrap();
    phase(&cluster, CLAIM, &claim_key(), "Bound").await;
    let key = Key::cluster("v");
    cluster.delete(VOLUME, &key).await.unwrap();
    let patch = "metadata: {finalizers: null}";
    cluster.patch(VOLUME, &key, patch).await.unwrap();
    phase(&cluster, CLAIM, &claim_key(), "Lost").await;
    assert_eq!(
        event(&cluster, "ClaimLost").await,
        "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_class_nothing_is_made() {
    let mut cluster = Cluster::start(74, 0).await;
    let class = Key::cluster("local-path");
    cluster.delete("storageclasses", &class).await.unwrap();
    cluster.create(&claim("")).await.unwrap();
    assert_eq!(
        event(&cluster, "FailedBinding").await,
        "no persistent volumes available for this claim and no storage class is set"
    );
    cluster.stop_plane().await;
    cluster.start_plane().await;
    assert!(
        cluster.look().one("storageclasses", &class).is_none(),
        "who deleted it is not given it again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_first_pod_gets_a_directory_on_its_node() {
    let cluster = Cluster::start(75, 2).await;
    let class = phase_of_class(&cluster).await;
    assert_eq!(Look::value(&class, "provisioner"), "ferrokube.io/local-path");
    cluster.create(&claim("")).await.unwrap();
    assert_eq!(
        event(&cluster, "WaitForFirstConsumer").await,
        "waiting for first consumer to be created before binding"
    );
    // One of the nodes has room for such data.
    let annotated = "metadata: {annotations: {ferrokube.io/local-path-root: /var/lib/data}}";
    let rooted = |look: &Look| (look.all("nodes", "").len() == 2).then_some(());
    cluster.until("both nodes are there", SOON, rooted).await;
    cluster
        .patch("nodes", &Key::cluster("node-1"), annotated)
        .await
        .unwrap();
    cluster.create(&pod("first")).await.unwrap();
    let bound = phase(&cluster, CLAIM, &claim_key(), "Bound").await;
    assert_eq!(Look::value(&bound, "spec.storageClassName"), "local-path");
    let name = format!("pvc-{}", bound.uid());
    assert_eq!(Look::value(&bound, "spec.volumeName"), name);
    assert_eq!(
        event(&cluster, "ProvisioningSucceeded").await,
        format!("Successfully provisioned volume {name}")
    );
    let placed = |look: &Look| {
        let pod = look.one("pods", &Key::new("default", "first"))?;
        Some(Look::value(&pod, "spec.nodeName")).filter(|node| !node.is_empty())
    };
    let node = cluster.until("the pod is placed", SOON, placed).await;
    let key = Key::cluster(&name);
    let volume = phase(&cluster, VOLUME, &key, "Bound").await;
    let path = Look::value(&volume, "spec.hostPath.path");
    assert!(path.ends_with(&format!("/{name}_default_data")), "{path}");
    let text = String::from_utf8_lossy(volume.body()).into_owned();
    assert!(text.contains(&format!(r#""values":["{node}"]"#)), "{text}");

    // The claim stays while the pod is there; with it goes the volume, once its node has removed the data.
    cluster.create(&pod("second")).await.unwrap();
    cluster.delete(CLAIM, &claim_key()).await.unwrap();
    cluster
        .delete("pods", &Key::new("default", "second"))
        .await
        .unwrap();
    cluster.sleep(Duration::from_secs(60)).await;
    let claim = cluster.look().one(CLAIM, &claim_key());
    assert!(claim.is_some_and(|c| c.deletion_timestamp().is_some()));
    cluster
        .delete("pods", &Key::new("default", "first"))
        .await
        .unwrap();
    gone(&cluster, CLAIM, &claim_key()).await;
    gone(&cluster, VOLUME, &key).await;
}

async fn phase_of_class(cluster: &Cluster) -> Arc<Object> {
    let key = Key::cluster("local-path");
    let there = |look: &Look| look.one("storageclasses", &key);
    cluster.until("the default class", SOON, there).await
}

#[tokio::test(start_paused = true)]
async fn in_any_weather_each_claim_has_a_volume_of_its_own() {
    let cluster = Cluster::start(76, 0).await;
    cluster.controllers.fail(Faults {
        refused: 100,
        lost: 100,
        repeated: 100,
        dropped: 20,
        late: 200,
        crash_after: None,
    });
    for index in 0..8 {
        cluster
            .create(&volume(&format!("v{index}"), "1Gi", ""))
            .await
            .unwrap();
        let claim = claim(", storageClassName: manual").replace("name: data", &format!("name: data-{index}"));
        cluster.create(&claim).await.unwrap();
    }
    let bound = |look: &Look| {
        let claims = look.all(CLAIM, "default");
        let all = claims.iter().all(|c| Look::value(c, "status.phase") == "Bound");
        let volumes = look.all(VOLUME, "");
        let told = volumes.iter().all(|v| Look::value(v, "status.phase") == "Bound");
        (all && told).then_some(claims)
    };
    let claims = cluster
        .until("all are bound", Duration::from_secs(1800), bound)
        .await;
    let names: BTreeSet<String> = claims.iter().map(|c| Look::value(c, "spec.volumeName")).collect();
    assert_eq!(names.len(), 8, "no volume is shared: {names:?}");
    for volume in cluster.look().all(VOLUME, "") {
        let key = Key::new("default", Look::value(&volume, "spec.claimRef.name"));
        let claim = cluster.look().one(CLAIM, &key).unwrap();
        assert_eq!(Look::value(&claim, "spec.volumeName"), volume.name());
    }
}
