//! A kubelet that reaches for what is not its own.

use super::{Guarded, create, guarded, guarded_with, key, merge, settings};
use api::{Gvr, Key, Status};
use client::{Client, DeleteOptions, Target, Write};

const PODS: Gvr = Gvr::new("", "v1", "pods");
const NODES: Gvr = Gvr::new("", "v1", "nodes");
const ACCOUNTS: Gvr = Gvr::new("", "v1", "serviceaccounts");
const CLAIMS: Gvr = Gvr::new("", "v1", "persistentvolumeclaims");
const LEASES: Gvr = Gvr::new("coordination.k8s.io", "v1", "leases");
const CSI_NODES: Gvr = Gvr::new("storage.k8s.io", "v1", "csinodes");
const DRIVERS: Gvr = Gvr::new("storage.k8s.io", "v1", "csidrivers");
const SLICES: Gvr = Gvr::new("resource.k8s.io", "v1", "resourceslices");

/// Two nodes with a pod each, and the kubelet of the first.
async fn kubelet() -> (Guarded, Client) {
    kubelet_of(guarded().await).await
}

async fn kubelet_of(guarded: Guarded) -> (Guarded, Client) {
    let account = r#"{"metadata":{"name":"default"}}"#;
    guarded.create(&ACCOUNTS, "default", account).await;
    for name in ["n1", "n2"] {
        let node = format!(
            r#"{{"metadata":{{"name":"{name}","labels":{{"node-restriction.kubernetes.io/x":"y"}}}}}}"#
        );
        guarded.create(&NODES, "", &node).await;
    }
    for (name, node) in [("a", "n1"), ("b", "n2")] {
        let pod = format!(
            r#"{{"metadata":{{"name":"{name}"}},"spec":{{"nodeName":"{node}","containers":[{{"name":"c","image":"i"}}],
            "volumes":[{{"name":"v","projected":{{"sources":[{{"serviceAccountToken":{{"path":"t","audience":"vault"}}}}]}}}},
            {{"name":"d","csi":{{"driver":"driver.example.com"}}}}]}}}}"#
        );
        guarded.create(&PODS, "default", &pod).await;
    }
    let kubelet = guarded.client("system:node:n1", &["system:nodes", "system:authenticated"]);
    (guarded, kubelet)
}

fn refused(of: &str, answer: Result<impl std::fmt::Debug, Status>, why: &str) {
    let status = answer.expect_err(of);
    assert!(
        status.message.contains(why),
        "{of}\n  wanted {why}\n  got    {}",
        status.message
    );
    assert!(matches!(status.code, 403 | 404 | 500), "{of}: {}", status.code);
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_does_not_change_what_its_node_is_trusted_for() {
    let (_guarded, kubelet) = kubelet().await;
    for (name, sub, patch, why) in [
        (
            "n2",
            "status",
            r#"{"status":{"phase":"Running"}}"#,
            r#"node "n1" is not allowed to modify node "n2""#,
        ),
        (
            "n1",
            "",
            r#"{"metadata":{"labels":{"node-restriction.kubernetes.io/x":null}}}"#,
            "is not allowed to modify labels: node-restriction.kubernetes.io/x",
        ),
        (
            "n1",
            "status",
            r#"{"metadata":{"labels":{"sub.node-restriction.kubernetes.io/new":"1"}}}"#,
            "is not allowed to modify labels: sub.node-restriction.kubernetes.io/new",
        ),
        (
            "n1",
            "",
            r#"{"metadata":{"labels":{"node-role.kubernetes.io/control-plane":"","foo.k8s.io/x":"y"}}}"#,
            "is not allowed to modify labels: foo.k8s.io/x, node-role.kubernetes.io/control-plane",
        ),
        (
            "n1",
            "",
            r#"{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"gone","uid":"u"}]}}"#,
            r#"node "n1" is not allowed to modify ownerReferences"#,
        ),
        (
            "n1",
            "",
            r#"{"spec":{"taints":[]}}"#,
            r#"node "n1" is not allowed to modify taints"#,
        ),
    ] {
        let answer = merge(&kubelet, &NODES, &Key::cluster(name), sub, patch).await;
        refused(patch, answer, why);
    }
    let labelled = r#"{"metadata":{"name":"n1","labels":{"kubernetes.io/secure":"yes"}}}"#;
    refused(
        "a registration",
        create(&kubelet, &NODES, "", &labelled.replace("n1", "n3")).await,
        r#"node "n1" is not allowed to modify node "n3""#,
    );
    merge(
        &kubelet,
        &NODES,
        &Key::cluster("n1"),
        "",
        r#"{"metadata":{"labels":{"node.kubernetes.io/x":"1"}}}"#,
    )
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_writes_no_objects_of_other_nodes() {
    let (guarded, kubelet) = kubelet().await;
    let named = |name: &str, spec: &str| format!(r#"{{"metadata":{{"name":"{name}"}},"spec":{spec}}}"#);
    let slice = r#"{"driver":"d.example.com","nodeName":"n2","pool":{"name":"p","resourceSliceCount":1}}"#;
    for (gvr, namespace, body, why) in [
        (
            &LEASES,
            "kube-node-lease",
            named("n2", "{}"),
            "can only access node lease with the same name as the requesting node",
        ),
        (&LEASES, "default", named("n1", "{}"), r#"leases"#),
        (
            &CSI_NODES,
            "",
            named("n2", r#"{"drivers":[]}"#),
            "can only access CSINode with the same name as the requesting node",
        ),
        (
            &SLICES,
            "",
            named("s", slice),
            "can only create ResourceSlice with the same NodeName as the requesting node",
        ),
    ] {
        refused(&body, create(&kubelet, gvr, namespace, &body).await, why);
    }
    guarded
        .create(&LEASES, "kube-node-lease", &named("n2", "{}"))
        .await;
    guarded
        .create(&CSI_NODES, "", &named("n2", r#"{"drivers":[]}"#))
        .await;
    guarded.create(&SLICES, "", &named("s", slice)).await;
    for (gvr, key) in [
        (&LEASES, Key::new("kube-node-lease", "n2")),
        (&CSI_NODES, Key::cluster("n2")),
        (&SLICES, Key::cluster("s")),
        (&PODS, Key::new("default", "b")),
    ] {
        let patched = merge(&kubelet, gvr, &key, "", r#"{"metadata":{"labels":{"a":"b"}}}"#).await;
        refused(&format!("{gvr} {key}"), patched, "");
        refused(
            &format!("{gvr} {key}"),
            kubelet.delete(gvr, &key, DeleteOptions::default()).await,
            "",
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_tells_of_claims_and_pods_what_is_its_to_tell() {
    let (guarded, kubelet) = kubelet().await;
    let claim = r#"{"metadata":{"name":"c"},"spec":{"accessModes":["ReadWriteOnce"],"resources":{"requests":{"storage":"1Gi"}}}}"#;
    guarded.create(&CLAIMS, "default", claim).await;
    let user = r#"{"metadata":{"name":"u"},"spec":{"nodeName":"n1","containers":[{"name":"c","image":"i"}],
        "volumes":[{"name":"v","persistentVolumeClaim":{"claimName":"c"}}]}}"#;
    guarded.create(&PODS, "default", user).await;
    let key = Key::new("default", "c");
    let only = "is not allowed to update fields other than status.capacity and status.conditions";
    for patch in [
        r#"{"metadata":{"labels":{"a":"b"}}}"#,
        r#"{"metadata":{"finalizers":null}}"#,
        r#"{"status":{"phase":"Bound"}}"#,
        r#"{"status":{"accessModes":["ReadWriteMany"]}}"#,
    ] {
        let told = merge(&kubelet, &CLAIMS, &key, "status", patch).await;
        if told.as_ref().is_ok_and(|told| told.labels().next().is_none()) && patch.contains("metadata") {
            // The status has no say in it.
            continue;
        }
        refused(patch, told, only);
    }
    let capacity = r#"{"status":{"capacity":{"storage":"2Gi"}}}"#;
    merge(&kubelet, &CLAIMS, &key, "status", capacity).await.unwrap();
    let pod = Key::new("default", "a");
    for (patch, why) in [
        (
            r#"{"status":{"resourceClaimStatuses":[{"name":"gpu","resourceClaimName":"others"}]}}"#,
            r#"node "n1" cannot update resource claim statues"#,
        ),
        (
            r#"{"metadata":{"labels":{"a":"b"}}}"#,
            r#"node "n1" cannot update labels through pod status"#,
        ),
    ] {
        refused(patch, merge(&kubelet, &PODS, &pod, "status", patch).await, why);
    }
    let eviction = r#"{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"b"}}"#;
    let target = Target::object(&PODS, &Key::new("default", "b")).sub("eviction");
    let evicted = kubelet.write(target, Write::Create(eviction.into())).await;
    refused(
        "b",
        evicted,
        "node n1 can only evict pods with spec.nodeName set to itself",
    );
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_mirrors_only_what_refers_to_nothing() {
    let (guarded, kubelet) = kubelet().await;
    let node = guarded.admin().get(&NODES, &Key::cluster("n1")).await.unwrap();
    let owner = format!(
        r#"{{"apiVersion":"v1","kind":"Node","name":"n1","uid":"{}","controller":true}}"#,
        node.uid()
    );
    let pod = |owner: &str, spec: &str, container: &str| {
        format!(
            r#"{{"metadata":{{"name":"m","annotations":{{"kubernetes.io/config.mirror":"x"}},"ownerReferences":[{owner}]}},
            "spec":{{"nodeName":"n1",{spec}"containers":[{{"name":"c","image":"i"{container}}}]}}}}"#
        )
    };
    let env = r#","env":[{"name":"A","valueFrom":{"KIND":{"name":"x","key":"k"}}}]"#;
    let volume = |source: &str| format!(r#""volumes":[{{"name":"v",{source}}}],"#);
    let secrets = "secrets";
    for (spec, container, what) in [
        (
            r#""serviceAccountName":"default","#.to_owned(),
            String::new(),
            "a service account",
        ),
        (
            r#""imagePullSecrets":[{"name":"s"}],"#.to_owned(),
            String::new(),
            secrets,
        ),
        (String::new(), env.replace("KIND", "secretKeyRef"), secrets),
        (
            String::new(),
            r#","envFrom":[{"secretRef":{"name":"s"}}]"#.to_owned(),
            secrets,
        ),
        (volume(r#""secret":{"secretName":"s"}"#), String::new(), secrets),
        (
            volume(r#""projected":{"sources":[{"secret":{"name":"s"}}]}"#),
            String::new(),
            secrets,
        ),
        (
            String::new(),
            env.replace("KIND", "configMapKeyRef"),
            "configmaps",
        ),
        (
            volume(r#""projected":{"sources":[{"configMap":{"name":"s"}}]}"#),
            String::new(),
            "configmaps",
        ),
        (
            volume(r#""projected":{"sources":[{"clusterTrustBundle":{"name":"t","path":"p"}}]}"#),
            String::new(),
            "clustertrustbundles",
        ),
        (
            volume(r#""persistentVolumeClaim":{"claimName":"c"}"#),
            String::new(),
            "persistentvolumeclaims",
        ),
    ] {
        let body = pod(&owner, &spec, &container);
        let status = create(&kubelet, &PODS, "default", &body).await.expect_err(&body);
        // ServiceAccount has its own word, and comes first.
        let own = format!(r#"node "n1" can not create pods that reference {what}"#);
        let said = status.message.ends_with(&own) || status.message.contains("a mirror pod may not");
        assert!(said, "{what}: {}", status.message);
    }
    for (from, to, why) in [
        (
            node.uid(),
            "another",
            "node n1 UID mismatch: expected another got ",
        ),
        (
            r#""controller":true"#,
            r#""controller":false"#,
            "a controller owner reference",
        ),
        (
            r#""controller":true"#,
            r#""controller":true,"blockOwnerDeletion":true"#,
            "must not set blockOwnerDeletion",
        ),
        (
            r#""name":"n1""#,
            r#""name":"n2""#,
            "an owner reference set to itself",
        ),
    ] {
        let body = pod(&owner.replace(from, to), "", "");
        refused(to, create(&kubelet, &PODS, "default", &body).await, why);
    }
    create(&kubelet, &PODS, "default", &pod(&owner, "", ""))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_asks_for_tokens_of_its_pods_for_whom_they_name() {
    let (guarded, kubelet) = kubelet().await;
    let driver =
        r#"{"metadata":{"name":"driver.example.com"},"spec":{"tokenRequests":[{"audience":"cloud"}]}}"#;
    guarded.create(&DRIVERS, "", driver).await;
    let (a, b) = (Key::new("default", "a"), Key::new("default", "b"));
    let uid = async |key: &Key| guarded.admin().get(&PODS, key).await.unwrap().uid().to_owned();
    let (own, other) = (uid(&a).await, uid(&b).await);
    let ask = async |bound: &str, audiences: &str| {
        let bound = if bound.is_empty() {
            String::new()
        } else {
            format!(r#""boundObjectRef":{bound},"#)
        };
        let body = format!(r#"{{"spec":{{{bound}"audiences":{audiences}}}}}"#);
        let target = Target::object(&ACCOUNTS, &Key::new("default", "default")).sub("token");
        kubelet.write(target, Write::Create(body.into())).await
    };
    let pod = |name: &str, uid: &str| {
        format!(r#"{{"apiVersion":"v1","kind":"Pod","name":"{name}","uid":"{uid}"}}"#)
    };
    for (bound, audiences, why) in [
        (String::new(), "[]", "node requested token not bound to a pod"),
        (
            r#"{"apiVersion":"v1","kind":"Secret","name":"a","uid":"u"}"#.to_owned(),
            "[]",
            "node requested token not bound to a pod",
        ),
        (
            r#"{"apiVersion":"v1","kind":"Pod","name":"a"}"#.to_owned(),
            "[]",
            "node requested token with a pod binding without a uid",
        ),
        (
            pod("a", "old"),
            "[]",
            "the UID in the bound object reference (old) does not match the UID in record",
        ),
        (
            pod("b", &other),
            "[]",
            "node requested token bound to a pod scheduled on a different node",
        ),
        (
            pod("a", &own),
            r#"["vault","cloud"]"#,
            "node may only request 0 or 1 audiences",
        ),
        (
            pod("a", &own),
            r#"["bank"]"#,
            "audience \"bank\" not found in pod spec volume, system:node:n1 is not authorized to request tokens for this \
             audience",
        ),
    ] {
        refused(&format!("{bound} {audiences}"), ask(&bound, audiences).await, why);
    }
    for audiences in ["[]", r#"["vault"]"#, r#"["cloud"]"#] {
        ask(&pod("a", &own), audiences).await.expect(audiences);
    }
}

#[tokio::test(start_paused = true)]
async fn the_gate_of_audiences_lets_a_kubelet_ask_for_any_when_it_is_off() {
    let env = component::Env::simulated(11);
    let off = [(
        "ServiceAccountNodeAudienceRestriction".to_owned(),
        "false".to_owned(),
    )];
    let gates = component::gates::Gates::parse(&off.into()).unwrap();
    let guarded = guarded_with(settings(&env, &key()), |config| config.gates = gates).await;
    let (guarded, kubelet) = kubelet_of(guarded).await;
    let pod = guarded
        .admin()
        .get(&PODS, &Key::new("default", "a"))
        .await
        .unwrap();
    let ask = async |uid: &str, audiences: &str| {
        let bound = format!(r#"{{"apiVersion":"v1","kind":"Pod","name":"a","uid":"{uid}"}}"#);
        let body = format!(r#"{{"spec":{{"boundObjectRef":{bound},"audiences":{audiences}}}}}"#);
        let target = Target::object(&ACCOUNTS, &Key::new("default", "default")).sub("token");
        kubelet.write(target, Write::Create(body.into())).await
    };
    for audiences in [r#"["bank"]"#, r#"["vault","bank"]"#] {
        ask(pod.uid(), audiences).await.expect(audiences);
    }
    refused(
        "another pod",
        ask("old", r#"["bank"]"#).await,
        "does not match the UID in record",
    );
}
