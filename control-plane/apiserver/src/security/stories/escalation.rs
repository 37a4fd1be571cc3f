//! Nobody grants what they do not hold.

use super::{
    CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES, binding, create, guarded, merge, role,
};
use api::{Gvr, Key};

const PODS_GET: &str = r#"[{"verbs":["get"],"apiGroups":[""],"resources":["pods"]}]"#;
const SECRETS: &str = r#"[{"verbs":["get","list"],"apiGroups":[""],"resources":["secrets"]}]"#;
const HELD: &str = "is attempting to grant RBAC permissions not currently held:";

#[tokio::test(start_paused = true)]
async fn roles_and_bindings() {
    let guarded = guarded().await;
    let rules = r#"[{"verbs":["*"],"apiGroups":["rbac.authorization.k8s.io"],"resources":["roles","rolebindings","clusterroles","clusterrolebindings"]},
        {"verbs":["get","watch"],"apiGroups":[""],"resources":["pods"]}]"#
        .replace(r#"["*"],"apiGroups":["rbac"#, r#"["create","update","patch","get"],"apiGroups":["rbac"#);
    guarded
        .create(&CLUSTER_ROLES, "", &role("ClusterRole", "writer", &rules))
        .await;
    guarded
        .create(&CLUSTER_ROLES, "", &role("ClusterRole", "secret-reader", SECRETS))
        .await;
    guarded
        .create(
            &CLUSTER_ROLE_BINDINGS,
            "",
            &binding("ClusterRoleBinding", "w", "ClusterRole/writer", "User:ann"),
        )
        .await;
    let ann = guarded.client("ann", &["dev", "system:authenticated"]);
    let refused = |who: &str| format!(r#"user "ann" (groups=["dev" "system:authenticated"]) {HELD}{who}"#);

    create(&ann, &ROLES, "default", &role("Role", "ok", PODS_GET))
        .await
        .unwrap();
    let status = create(&ann, &ROLES, "default", &role("Role", "no", SECRETS))
        .await
        .unwrap_err();
    let line = "\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}";
    let words = format!(
        r#"roles.rbac.authorization.k8s.io "no" is forbidden: {}"#,
        refused(line)
    );
    assert_eq!((status.code, status.message), (403, words));
    let wide = r#"{"rules":[{"verbs":["*"],"apiGroups":[""],"resources":["pods"]}]}"#;
    let status = merge(&ann, &ROLES, &Key::new("default", "ok"), "", wide)
        .await
        .unwrap_err();
    assert!(
        status
            .message
            .ends_with("\n{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"*\"]}"),
        "{}",
        status.message
    );

    // What is spelt otherwise is not held.
    for other in ["pods/", "*/", "pods/*", "/pods", "Pods"] {
        let rules = PODS_GET.replace(r#"["pods"]"#, &format!(r#"["{other}"]"#));
        let status = create(&ann, &ROLES, "default", &role("Role", "odd", &rules))
            .await
            .unwrap_err();
        assert!(status.message.contains(HELD), "{other}: {}", status.message);
    }

    let bind = |to: &str| binding("RoleBinding", "b", to, "User:bob");
    let status = create(
        &ann,
        &ROLE_BINDINGS,
        "default",
        &bind("ClusterRole/secret-reader"),
    )
    .await
    .unwrap_err();
    assert!(status.message.contains(&refused(line)), "{}", status.message);
    let status = create(&ann, &ROLE_BINDINGS, "default", &bind("ClusterRole/none"))
        .await
        .unwrap_err();
    assert_eq!(
        status.message,
        r#"clusterroles.rbac.authorization.k8s.io "none" not found"#
    );
    create(&ann, &ROLE_BINDINGS, "default", &bind("Role/ok"))
        .await
        .unwrap();

    let gathering = role("ClusterRole", "g", "[]").replace(
        r#""rules""#,
        r#""aggregationRule":{"clusterRoleSelectors":[{"matchLabels":{"a":"b"}}]},"rules""#,
    );
    let status = create(&ann, &CLUSTER_ROLES, "", &gathering).await.unwrap_err();
    assert!(
        status
            .message
            .ends_with("must have cluster-admin privileges to use the aggregationRule"),
        "{}",
        status.message
    );

    let key = Key::cluster("secret-reader");
    let finalizer = r#"{"metadata":{"finalizers":["a.io/b"]}}"#;
    merge(&ann, &CLUSTER_ROLES, &key, "", finalizer).await.unwrap();
    let label = r#"{"metadata":{"labels":{"rbac.authorization.k8s.io/aggregate-to-edit":"true"}}}"#;
    let status = merge(&ann, &CLUSTER_ROLES, &key, "", label).await.unwrap_err();
    assert!(status.message.contains(&refused(line)), "{}", status.message);

    // Whoever may bind a role need not hold its rules.
    let may = r#"[{"verbs":["bind"],"apiGroups":["rbac.authorization.k8s.io"],"resources":["clusterroles"],"resourceNames":["secret-reader"]},
        {"verbs":["escalate"],"apiGroups":["rbac.authorization.k8s.io"],"resources":["roles"]}]"#;
    guarded
        .create(&CLUSTER_ROLES, "", &role("ClusterRole", "binder", may))
        .await;
    guarded
        .create(
            &CLUSTER_ROLE_BINDINGS,
            "",
            &binding("ClusterRoleBinding", "x", "ClusterRole/binder", "Group:dev"),
        )
        .await;
    let second = binding("RoleBinding", "c", "ClusterRole/secret-reader", "User:bob");
    create(&ann, &ROLE_BINDINGS, "default", &second).await.unwrap();
    create(&ann, &ROLES, "default", &role("Role", "no", SECRETS))
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_administrator_by_binding_grants_all() {
    let guarded = guarded().await;
    let ops = guarded.client("ops", &["kubeadm:cluster-admins"]);
    let everything =
        r#"[{"verbs":["*"],"apiGroups":["*"],"resources":["*"]},{"verbs":["*"],"nonResourceURLs":["*"]}]"#;
    create(&ops, &CLUSTER_ROLES, "", &role("ClusterRole", "all", everything))
        .await
        .unwrap();
    let to = binding(
        "ClusterRoleBinding",
        "all",
        "ClusterRole/cluster-admin",
        "User:eve",
    );
    create(&ops, &CLUSTER_ROLE_BINDINGS, "", &to).await.unwrap();
    let eve = guarded.client("eve", &[]);
    eve.list(&Gvr::new("", "v1", "secrets"), "", client::ListParams::default())
        .await
        .unwrap();
}

/// What Kubernetes' documentation of RBAC names as ways to more than one has: each needs a right of its own, which the
/// administrator of a namespace has not. (That who creates pods reads the secrets of the namespace is by design.)
#[tokio::test(start_paused = true)]
async fn ways_to_more_rights_need_rights_of_their_own() {
    let guarded = guarded().await;
    let own = binding("RoleBinding", "own", "ClusterRole/admin", "User:ann");
    guarded.create(&ROLE_BINDINGS, "default", &own).await;
    let user = crate::security::User::new("ann", &["system:authenticated"]);
    for (what, allowed) in [
        // Roles and bindings, as far as one's own rules go.
        ("create rbac.authorization.k8s.io/roles default", true),
        ("create rbac.authorization.k8s.io/roles kube-system", false),
        ("create rbac.authorization.k8s.io/clusterroles", false),
        ("create rbac.authorization.k8s.io/clusterrolebindings", false),
        ("escalate rbac.authorization.k8s.io/roles default/x", false),
        ("bind rbac.authorization.k8s.io/roles default/x", false),
        (
            "bind rbac.authorization.k8s.io/clusterroles /cluster-admin",
            false,
        ),
        // To be another.
        ("impersonate core/serviceaccounts default/x", true),
        ("impersonate core/serviceaccounts kube-system/x", false),
        ("impersonate core/users /root", false),
        ("impersonate core/groups /system:masters", false),
        ("impersonate authentication.k8s.io/uids /1", false),
        ("impersonate authentication.k8s.io/userextras:scopes /a", false),
        // Certificates.
        ("create certificates.k8s.io/certificatesigningrequests", false),
        (
            "update certificates.k8s.io/certificatesigningrequests:approval /x",
            false,
        ),
        (
            "approve certificates.k8s.io/signers /kubernetes.io/kube-apiserver-client",
            false,
        ),
        (
            "sign certificates.k8s.io/signers /kubernetes.io/kube-apiserver-client",
            false,
        ),
        // Tokens.
        ("create core/serviceaccounts:token default/default", true),
        ("create core/serviceaccounts:token kube-system/default", false),
        // Webhooks and policies see and change everything.
        (
            "create admissionregistration.k8s.io/mutatingwebhookconfigurations",
            false,
        ),
        (
            "update admissionregistration.k8s.io/validatingwebhookconfigurations /x",
            false,
        ),
        (
            "create admissionregistration.k8s.io/mutatingadmissionpolicies",
            false,
        ),
        // Labels of a namespace say what its pods may.
        ("patch core/namespaces default/default", false),
        ("update core/namespaces default/default", false),
        // Volumes of the host, and kubelets.
        ("create core/persistentvolumes", false),
        ("get core/nodes:proxy /n1", false),
        ("create core/nodes:proxy /n1", false),
        ("patch core/nodes:status /n1", false),
        ("create core/pods:exec kube-system/x", false),
        // What is registered here is trusted.
        ("create apiregistration.k8s.io/apiservices", false),
        ("create apiextensions.k8s.io/customresourcedefinitions", false),
        // Secrets and workloads of others.
        ("list core/secrets", false),
        ("watch core/secrets kube-system", false),
        ("create core/pods kube-system", false),
        ("create apps/daemonsets kube-system", false),
        ("update core/pods:ephemeralcontainers kube-system/x", false),
        // What policies are bound to, and aggregated roles.
        (
            "create admissionregistration.k8s.io/validatingadmissionpolicybindings",
            false,
        ),
        (
            "create admissionregistration.k8s.io/mutatingadmissionpolicybindings",
            false,
        ),
        ("patch rbac.authorization.k8s.io/clusterroles /view", false),
        ("update core/namespaces:finalize default/default", false),
        // To be another for some of it.
        ("impersonate:user-info authentication.k8s.io/users /root", false),
        (
            "impersonate:serviceaccount authentication.k8s.io/serviceaccounts kube-system/x",
            false,
        ),
        (
            "impersonate:arbitrary-node authentication.k8s.io/nodes /n1",
            false,
        ),
        // Quotas hold the namespace's own administrator.
        ("create core/resourcequotas default", false),
    ] {
        assert_eq!(
            guarded.asks(&user, what),
            allowed,
            "the administrator wants to {what}"
        );
    }
    let ann = guarded.client("ann", &["system:authenticated"]);
    for (to, name) in [
        ("ClusterRole/cluster-admin", "a"),
        ("ClusterRole/system:node", "b"),
    ] {
        let more = binding("RoleBinding", name, to, "User:ann");
        let status = create(&ann, &ROLE_BINDINGS, "default", &more).await.unwrap_err();
        assert!(
            status.code == 403 && status.message.contains(HELD),
            "{}",
            status.message
        );
    }
    // Nobody gains by a role that others may fill later: its rules must be held when it is bound.
    let later = binding("RoleBinding", "later", "Role/later", "User:ann");
    let status = create(&ann, &ROLE_BINDINGS, "default", &later).await.unwrap_err();
    assert_eq!(status.code, 404, "{}", status.message);
    let missing = binding("ClusterRoleBinding", "gone", "ClusterRole/gone", "User:kim");
    guarded.create(&CLUSTER_ROLE_BINDINGS, "", &missing).await;
    let kim = crate::security::User::new("kim", &[]);
    let told = guarded.decision(&kim, "get core/pods default/x").reason;
    assert_eq!(
        told,
        r#"RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found"#
    );
}
