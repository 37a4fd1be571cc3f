//! What a kubelet may read and write.

use super::{Guarded, create, guarded, merge};
use crate::security::User;
use api::{Gvr, Key};
use client::DeleteOptions;

const PODS: Gvr = Gvr::new("", "v1", "pods");
const NODES: Gvr = Gvr::new("", "v1", "nodes");
const SERVICE_ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");
const LEASES: Gvr = Gvr::new("coordination.k8s.io", "v1", "leases");

fn pod(name: &str, node: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}"}},"spec":{{"nodeName":"{node}",
            "containers":[{{"name":"c","image":"i","env":[
                {{"name":"A","valueFrom":{{"secretKeyRef":{{"name":"{name}-env","key":"k"}}}}}}],
                "envFrom":[{{"configMapRef":{{"name":"{name}-all"}}}}]}}],
            "initContainers":[{{"name":"i","image":"i","envFrom":[{{"secretRef":{{"name":"{name}-init"}}}}]}}],
            "imagePullSecrets":[{{"name":"{name}-pull"}}],
            "volumes":[{{"name":"s","secret":{{"secretName":"{name}-vol"}}}},
                {{"name":"m","configMap":{{"name":"{name}-map"}}}},
                {{"name":"p","projected":{{"sources":[{{"secret":{{"name":"{name}-proj"}}}}]}}}}]}}}}"#
    )
}

async fn pods(guarded: &Guarded) {
    let account = r#"{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"default"}}"#;
    guarded.create(&SERVICE_ACCOUNTS, "default", account).await;
    for name in ["n1", "n2"] {
        let node = format!(r#"{{"apiVersion":"v1","kind":"Node","metadata":{{"name":"{name}"}}}}"#);
        guarded.create(&NODES, "", &node).await;
    }
    guarded.create(&PODS, "default", &pod("a", "n1")).await;
    guarded.create(&PODS, "default", &pod("b", "n2")).await;
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_reads_what_its_pods_refer_to() {
    let guarded = guarded().await;
    pods(&guarded).await;
    let kubelet = User::new("system:node:n1", &["system:nodes", "system:authenticated"]);
    for (what, allowed) in [
        ("get core/secrets default/a-env", true),
        ("watch core/secrets default/a-init", true),
        ("get core/secrets default/a-pull", true),
        ("get core/secrets default/a-vol", true),
        ("get core/secrets default/a-proj", true),
        ("get core/configmaps default/a-map", true),
        ("get core/configmaps default/a-all", true),
        ("get core/secrets default/b-env", false),
        ("get core/secrets kube-system/a-env", false),
        ("get core/configmaps default/a-env", false),
        ("update core/secrets default/a-env", false),
        ("list core/secrets default", false),
        ("list core/secrets", false),
        ("create core/serviceaccounts:token default/default", true),
        ("create core/serviceaccounts:token kube-system/default", false),
        ("update coordination.k8s.io/leases kube-node-lease/n1", true),
        ("update coordination.k8s.io/leases kube-node-lease/n2", false),
        ("update coordination.k8s.io/leases kube-system/n1", false),
        ("watch core/pods", false),
        ("get core/pods default/a", true),
        ("get core/pods default/b", false),
        ("watch core/pods default/a", true),
        ("get core/nodes /n1", true),
        ("get core/nodes /n2", false),
        ("list core/nodes", false),
        ("get core/serviceaccounts default/default", true),
        ("delete coordination.k8s.io/leases kube-node-lease/n1", true),
        ("list coordination.k8s.io/leases kube-node-lease", false),
        ("create storage.k8s.io/csinodes", true),
        ("update storage.k8s.io/csinodes /n1", true),
        ("update storage.k8s.io/csinodes /n2", false),
        ("list resource.k8s.io/resourceslices", false),
        ("create resource.k8s.io/resourceslices", true),
        ("get storage.k8s.io/volumeattachments /x", false),
        ("get resource.k8s.io/resourceclaims default/x", false),
        ("create certificates.k8s.io/podcertificaterequests default", true),
        ("list certificates.k8s.io/podcertificaterequests", false),
        ("patch core/pods:status default/a", true),
        ("update core/pods default/a", false),
        ("create core/nodes", true),
        ("delete core/nodes /n1", false),
        ("list apps/deployments", false),
    ] {
        assert_eq!(
            guarded.asks(&kubelet, what),
            allowed,
            "the kubelet wants to {what}"
        );
    }
    let selects = |what: &str, fields: &str| {
        let asked = crate::security::Attributes {
            selectors: crate::security::Selectors::parse(fields, ""),
            ..super::attributes(&kubelet, what)
        };
        guarded.security.authz.authorize(&asked).now().unwrap().allowed()
    };
    for (what, fields, allowed) in [
        ("watch core/pods", "spec.nodeName=n1", true),
        ("list core/pods", "status.phase!=Failed,spec.nodeName=n1", true),
        ("list core/pods", "spec.nodeName=n2", false),
        ("list core/pods", "spec.nodeName!=n1", false),
        ("deletecollection core/pods", "spec.nodeName=n1", false),
        ("list resource.k8s.io/resourceslices", "spec.nodeName=n1", true),
        ("list resource.k8s.io/resourceslices", "spec.nodeName=n2", false),
        (
            "watch certificates.k8s.io/podcertificaterequests",
            "spec.nodeName=n1",
            true,
        ),
    ] {
        assert_eq!(
            selects(what, fields),
            allowed,
            "the kubelet wants to {what} of {fields}"
        );
    }
    let stranger = User::new("system:node:n1", &["system:authenticated"]);
    assert!(
        !guarded.asks(&stranger, "get core/secrets default/a-env"),
        "the name without the group is nothing"
    );
    guarded
        .admin()
        .delete(
            &PODS,
            &Key::new("default", "a"),
            DeleteOptions {
                grace_period_seconds: Some(0),
                ..DeleteOptions::default()
            },
        )
        .await
        .unwrap();
    assert!(
        !guarded.asks(&kubelet, "get core/secrets default/a-env"),
        "the pod is gone"
    );
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_writes_what_is_its_own() {
    let guarded = guarded().await;
    pods(&guarded).await;
    let kubelet = guarded.client("system:node:n1", &["system:nodes", "system:authenticated"]);
    let phase = r#"{"status":{"phase":"Running"}}"#;
    merge(&kubelet, &PODS, &Key::new("default", "a"), "status", phase)
        .await
        .unwrap();
    let other = merge(&kubelet, &PODS, &Key::new("default", "b"), "status", phase)
        .await
        .unwrap_err();
    assert!(
        other
            .message
            .ends_with(r#"node "n1" can only update pod status for pods with spec.nodeName set to itself"#),
        "{}",
        other.message
    );
    let key = Key::cluster("n1");
    merge(
        &kubelet,
        &NODES,
        &key,
        "",
        r#"{"metadata":{"labels":{"kubernetes.io/os":"linux","mine":"x"}}}"#,
    )
    .await
    .unwrap();
    for (node, patch, why) in [
        (
            "n2",
            r#"{"metadata":{"labels":{"a":"b"}}}"#,
            r#"node "n1" is not allowed to modify node "n2""#,
        ),
        (
            "n1",
            r#"{"metadata":{"labels":{"node-restriction.kubernetes.io/a":"b"}}}"#,
            "is not allowed to modify labels: node-restriction.kubernetes.io/a",
        ),
        (
            "n1",
            r#"{"spec":{"taints":[{"key":"a","effect":"NoSchedule"}]}}"#,
            r#"node "n1" is not allowed to modify taints"#,
        ),
    ] {
        let status = merge(&kubelet, &NODES, &Key::cluster(node), "", patch)
            .await
            .unwrap_err();
        assert_eq!(
            (status.code, status.message.ends_with(why)),
            (403, true),
            "{}",
            status.message
        );
    }
    let own = create(&kubelet, &PODS, "default", &pod("c", "n1"))
        .await
        .unwrap_err();
    assert!(
        own.message.ends_with(r#"node "n1" can only create mirror pods"#),
        "{}",
        own.message
    );
    let lease = |name: &str| {
        format!(r#"{{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{{"name":"{name}"}}}}"#)
    };
    create(&kubelet, &LEASES, "kube-node-lease", &lease("n1"))
        .await
        .unwrap();
    let status = create(&kubelet, &LEASES, "kube-node-lease", &lease("n2"))
        .await
        .unwrap_err();
    assert_eq!(status.code, 403, "{}", status.message);
}

#[tokio::test(start_paused = true)]
async fn ephemeral_containers_give_a_kubelet_rights_and_mirror_pods_none() {
    let guarded = guarded().await;
    pods(&guarded).await;
    let kubelet = User::new("system:node:n1", &["system:nodes", "system:authenticated"]);
    let ask = "get core/secrets default/late";
    assert!(!guarded.asks(&kubelet, ask));
    let late = r#"{"spec":{"ephemeralContainers":[{"name":"d","image":"i","envFrom":[{"secretRef":{"name":"late"}}]}]}}"#;
    let (admin, key) = (guarded.admin(), Key::new("default", "a"));
    merge(&admin, &PODS, &key, "ephemeralcontainers", late)
        .await
        .unwrap();
    assert!(guarded.asks(&kubelet, ask));
    let mirror = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"m","annotations":{"kubernetes.io/config.mirror":"x"}},
        "spec":{"nodeName":"n1","containers":[{"name":"c","image":"i","envFrom":[{"configMapRef":{"name":"m-all"}}]}]}}"#;
    guarded.create(&PODS, "default", mirror).await;
    assert!(!guarded.asks(&kubelet, "get core/configmaps default/m-all"));
}

const VOLUMES: Gvr = Gvr::new("", "v1", "persistentvolumes");
const CLAIMS: Gvr = Gvr::new("", "v1", "persistentvolumeclaims");

fn volume(name: &str, node: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"PersistentVolume","metadata":{{"name":"{name}",
            "finalizers":["kubernetes.io/pv-protection","ferrokube.io/local-path-data"]}},
            "spec":{{"capacity":{{"storage":"1Gi"}},"accessModes":["ReadWriteOnce"],"storageClassName":"a",
            "hostPath":{{"path":"/data"}},"nodeAffinity":{{"required":{{"nodeSelectorTerms":[{{"matchExpressions":[
            {{"key":"kubernetes.io/hostname","operator":"In","values":["{node}"]}}]}}]}}}}}}}}"#
    )
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_takes_its_finalizer_off_volumes_that_go() {
    let guarded = guarded().await;
    pods(&guarded).await;
    let kubelet = guarded.client("system:node:n1", &["system:nodes", "system:authenticated"]);
    for (name, node) in [("here", "n1"), ("there", "n2")] {
        guarded.create(&VOLUMES, "", &volume(name, node)).await;
    }
    let (here, there) = (Key::cluster("here"), Key::cluster("there"));
    let done = r#"{"metadata":{"finalizers":["kubernetes.io/pv-protection"]}}"#;
    let early = merge(&kubelet, &VOLUMES, &here, "", done).await.unwrap_err();
    assert_eq!(early.code, 403, "it is not being deleted");
    for key in [&here, &there] {
        let options = DeleteOptions::default();
        guarded.admin().delete(&VOLUMES, key, options).await.unwrap();
    }
    for (key, patch) in [
        (&there, done),
        (
            &here,
            r#"{"metadata":{"finalizers":["ferrokube.io/local-path-data"]}}"#,
        ),
        (&here, r#"{"metadata":{"finalizers":null}}"#),
        (
            &here,
            r#"{"metadata":{"finalizers":["kubernetes.io/pv-protection"],"labels":{"a":"b"}}}"#,
        ),
        (
            &here,
            r#"{"metadata":{"finalizers":["kubernetes.io/pv-protection"]},"spec":{"persistentVolumeReclaimPolicy":"Delete"}}"#,
        ),
    ] {
        let status = merge(&kubelet, &VOLUMES, key, "", patch).await.unwrap_err();
        assert_eq!(status.code, 403, "{key} {patch}: {}", status.message);
    }
    let left = merge(&kubelet, &VOLUMES, &here, "", done).await.unwrap();
    assert_eq!(
        left.finalizers().collect::<Vec<_>>(),
        ["kubernetes.io/pv-protection"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_claim_grows_only_if_its_class_lets_it() {
    let guarded = guarded().await;
    let classes = Gvr::new("storage.k8s.io", "v1", "storageclasses");
    for (name, grows) in [("fixed", false), ("grows", true)] {
        let class = format!(
            r#"{{"apiVersion":"storage.k8s.io/v1","kind":"StorageClass","metadata":{{"name":"{name}"}},"provisioner":"x/y","allowVolumeExpansion":{grows}}}"#
        );
        guarded.create(&classes, "", &class).await;
        let claim = format!(
            r#"{{"apiVersion":"v1","kind":"PersistentVolumeClaim","metadata":{{"name":"{name}"}},"spec":{{"accessModes":["ReadWriteOnce"],"storageClassName":"{name}","volumeName":"v","resources":{{"requests":{{"storage":"1Gi"}}}}}}}}"#
        );
        guarded.create(&CLAIMS, "default", &claim).await;
        let (admin, key) = (guarded.admin(), Key::new("default", name));
        let bound = r#"{"status":{"phase":"Bound","capacity":{"storage":"1Gi"}}}"#;
        merge(&admin, &CLAIMS, &key, "status", bound).await.unwrap();
        let larger = r#"{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}"#;
        let grown = merge(&admin, &CLAIMS, &key, "", larger).await;
        assert_eq!(grown.is_ok(), grows, "{grown:?}");
        if let Err(status) = grown {
            let why = r#"persistentvolumeclaims "fixed" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"#;
            assert_eq!(status.message, why);
        }
    }
}
