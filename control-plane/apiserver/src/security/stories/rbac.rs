//! Who may what: rules of roles, subjects of bindings, and what every cluster has.

use super::{
    CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, Guarded, ROLE_BINDINGS, ROLES, binding, guarded, merge, role,
};
use crate::security::{User, rbac::bootstrap};
use api::{Key, Object};
use client::DeleteOptions;

async fn people(guarded: &Guarded) {
    let rules = r#"[
        {"verbs":["get"],"apiGroups":[""],"resources":["pods/log"]},
        {"verbs":["list","get"],"apiGroups":["apps"],"resources":["*"]},
        {"verbs":["update"],"apiGroups":["*"],"resources":["*/scale"]},
        {"verbs":["patch"],"apiGroups":[""],"resources":["secrets/","*/","/secrets"]},
        {"verbs":["*"],"apiGroups":[""],"resources":["configmaps"],"resourceNames":["mine"]},
        {"verbs":["get"],"nonResourceURLs":["/logs","/metrics/*"]}]"#;
    guarded
        .create(&CLUSTER_ROLES, "", &role("ClusterRole", "reader", rules))
        .await;
    let rules = r#"[{"verbs":["create"],"apiGroups":[""],"resources":["pods"]}]"#;
    guarded
        .create(&ROLES, "default", &role("Role", "maker", rules))
        .await;
    let everywhere = binding("ClusterRoleBinding", "b", "ClusterRole/reader", "User:ann");
    guarded.create(&CLUSTER_ROLE_BINDINGS, "", &everywhere).await;
    for (namespace, name, to, subject) in [
        ("default", "a", "Role/maker", "Group:makers"),
        (
            "default",
            "b",
            "ClusterRole/reader",
            "ServiceAccount:kube-system/robot",
        ),
        ("default", "c", "Role/missing", "User:ann"),
        ("kube-public", "d", "ClusterRole/view", "User:bob"),
    ] {
        guarded
            .create(
                &ROLE_BINDINGS,
                namespace,
                &binding("RoleBinding", name, to, subject),
            )
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn rules_and_subjects() {
    let guarded = guarded().await;
    people(&guarded).await;
    let (ann, bob, maker) = (
        User::new("ann", &[]),
        User::new("bob", &[]),
        User::new("x", &["makers"]),
    );
    let robot = User::new(
        "system:serviceaccount:kube-system:robot",
        &["system:serviceaccounts"],
    );
    for (user, what, allowed) in [
        (&ann, "get core/pods:log kube-system/a", true),
        (&ann, "get core/pods kube-system/a", false),
        (&ann, "get core/pods:status kube-system/a", false),
        (&ann, "patch core/secrets default/a", false),
        (&ann, "patch core/pods default/a", false),
        (&ann, "list apps/deployments", true),
        (&ann, "get apps/deployments:status default/a", true),
        (&ann, "delete apps/deployments default/a", false),
        (&ann, "update apps/deployments:scale default/a", true),
        (&ann, "update core/replicationcontrollers:scale default/a", true),
        (&ann, "update core/replicationcontrollers default/a", false),
        (&ann, "delete core/configmaps default/mine", true),
        (&ann, "delete core/configmaps default/other", false),
        (&ann, "list core/configmaps default", false),
        (&ann, "get /logs", true),
        (&ann, "get /logs/x", false),
        (&ann, "get /metrics/slis", true),
        (&ann, "post /metrics/slis", false),
        (&maker, "create core/pods default", true),
        (&maker, "create core/pods kube-public", false),
        (&maker, "create core/pods", false),
        (&robot, "list apps/deployments default", true),
        (&robot, "list apps/deployments", false),
        // Paths are of no namespace: a binding inside one gives none.
        (&robot, "get /logs", false),
        (&robot, "get /.well-known/openid-configuration", true),
        (&bob, "list core/pods kube-public", true),
        (&bob, "list core/secrets kube-public", false),
        (&bob, "list core/pods default", false),
    ] {
        assert_eq!(guarded.asks(user, what), allowed, "{} wants to {what}", user.name);
    }
    let decision = guarded.decision(&maker, "create core/pods default");
    assert_eq!(
        decision.reason,
        r#"RBAC: allowed by RoleBinding "a/default" of Role "maker" to Group "makers""#
    );
    guarded
        .admin()
        .delete(
            &ROLE_BINDINGS,
            &Key::new("default", "a"),
            DeleteOptions::default(),
        )
        .await
        .unwrap();
    assert!(
        !guarded.asks(&maker, "create core/pods default"),
        "a binding that is gone gives nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn what_every_cluster_has() {
    let guarded = guarded().await;
    let known = |name: &str| User::new(name, &["system:authenticated"]);
    let anonymous = User::anonymous();
    for (user, what, allowed) in [
        (&anonymous, "get /version", true),
        (&anonymous, "get /healthz", true),
        (&anonymous, "get /api", false),
        (&anonymous, "list core/pods default", false),
        (&known("ann"), "get /apis/apps/v1", true),
        (
            &known("ann"),
            "create authorization.k8s.io/selfsubjectaccessreviews",
            true,
        ),
        (&known("ann"), "list core/pods default", false),
        (
            &User::new("root", &["system:masters"]),
            "delete core/nodes /a",
            true,
        ),
        (
            &User::new("ops", &["kubeadm:cluster-admins"]),
            "delete core/nodes /a",
            true,
        ),
        (
            &User::new("ops", &["kubeadm:cluster-admins"]),
            "get /anything",
            true,
        ),
        (
            &known("system:kube-scheduler"),
            "create core/pods:binding default/a",
            true,
        ),
        (
            &known("system:kube-scheduler"),
            "get core/secrets default/a",
            false,
        ),
        (
            &known("system:kube-proxy"),
            "watch discovery.k8s.io/endpointslices",
            true,
        ),
        (
            &known("system:kube-controller-manager"),
            "create apps/replicasets default",
            true,
        ),
        (
            &known("system:serviceaccount:kube-system:replicaset-controller"),
            "create core/pods default",
            true,
        ),
        (
            &known("system:serviceaccount:kube-system:default"),
            "list core/pods",
            false,
        ),
    ] {
        assert_eq!(guarded.asks(user, what), allowed, "{} wants to {what}", user.name);
    }
    let admin = guarded
        .admin()
        .get(&CLUSTER_ROLES, &Key::cluster("admin"))
        .await
        .unwrap();
    let text = String::from_utf8(admin.to_json().to_vec()).unwrap();
    assert!(
        text.contains("rolebindings") && text.contains("pods/log"),
        "admin has the rules of its parts: {text}"
    );
    assert!(text.contains(r#""rbac.authorization.k8s.io/aggregate-to-admin":"true""#));
    let refused = guarded.client("system:anonymous", &["system:unauthenticated"]);
    let status = refused
        .get(&CLUSTER_ROLES, &Key::cluster("admin"))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code, status.message.as_str()),
        (
            403,
            r#"clusterroles.rbac.authorization.k8s.io "admin" is forbidden: User "system:anonymous" cannot get resource "clusterroles" in API group "rbac.authorization.k8s.io" at the cluster scope"#
        )
    );
}

#[tokio::test(start_paused = true)]
async fn bootstrap_writes_only_what_is_amiss() {
    let guarded = guarded().await;
    let admin = guarded.admin();
    let before = guarded.server.revision();
    assert_eq!(bootstrap::reconcile(&admin).await.unwrap(), 0);
    assert_eq!(guarded.server.revision(), before, "a second start writes nothing");

    let basic = Key::cluster("system:basic-user");
    merge(
        &admin,
        &CLUSTER_ROLES,
        &basic,
        "",
        r#"{"rules":[{"verbs":["get"],"apiGroups":["x"],"resources":["y"]}]}"#,
    )
    .await
    .unwrap();
    let own = Key::cluster("system:discovery");
    let hands_off =
        r#"{"rules":[],"metadata":{"annotations":{"rbac.authorization.kubernetes.io/autoupdate":"false"}}}"#;
    merge(&admin, &CLUSTER_ROLES, &own, "", hands_off).await.unwrap();
    let options = DeleteOptions::default;
    admin
        .delete(&CLUSTER_ROLES, &Key::cluster("view"), options())
        .await
        .unwrap();
    let local = Key::new("kube-system", "system::leader-locking-kube-scheduler");
    merge(&admin, &ROLE_BINDINGS, &local, "", r#"{"subjects":null}"#)
        .await
        .unwrap();
    admin
        .delete(&CLUSTER_ROLE_BINDINGS, &Key::cluster("system:node"), options())
        .await
        .unwrap();
    guarded
        .create(
            &CLUSTER_ROLE_BINDINGS,
            "",
            &binding("ClusterRoleBinding", "system:node", "ClusterRole/edit", "User:x"),
        )
        .await;

    // A binding of another role without the annotation is its owner's.
    assert_eq!(bootstrap::reconcile(&admin).await.unwrap(), 3);
    assert_eq!(bootstrap::reconcile(&admin).await.unwrap(), 0);
    let text = |object: &Object| String::from_utf8(object.to_json().to_vec()).unwrap();
    let completed = text(&admin.get(&CLUSTER_ROLES, &basic).await.unwrap());
    assert!(
        completed.contains(r#""resources":["y"]"#) && completed.contains("selfsubjectreviews"),
        "{completed}"
    );
    let left = text(&admin.get(&CLUSTER_ROLES, &own).await.unwrap());
    assert!(!left.contains("/livez"), "{left}");
    let again = text(&admin.get(&ROLE_BINDINGS, &local).await.unwrap());
    assert!(
        again.contains("system:kube-scheduler") && again.contains("ServiceAccount"),
        "{again}"
    );
}
