//! What a cluster has for extension servers, which leave it to the API server who asks and whether they may.

use super::{CLUSTER_ROLE_BINDINGS, Guarded, ROLE_BINDINGS, binding, create, guarded};
use crate::security::User;
use api::Gvr;
use client::{Client, Target, Write};

const TOKENS: Gvr = Gvr::new("authentication.k8s.io", "v1", "tokenreviews");
const ACCESS: Gvr = Gvr::new("authorization.k8s.io", "v1", "subjectaccessreviews");
const SERVER: &str = "system:serviceaccount:kube-system:extension";

async fn review(client: &Client, gvr: &Gvr, spec: &str) -> Result<String, u16> {
    let write = Write::Create(format!(r#"{{"spec":{{{spec}}}}}"#).into());
    let told = client.write(Target::collection(gvr, ""), write).await;
    told.map(|told| String::from_utf8(told.body().to_vec()).unwrap())
        .map_err(|status| status.code)
}

async fn extension(guarded: &Guarded) -> Client {
    for (gvr, namespace, kind, to) in [
        (
            &CLUSTER_ROLE_BINDINGS,
            "",
            "ClusterRoleBinding",
            "ClusterRole/system:auth-delegator",
        ),
        (
            &ROLE_BINDINGS,
            "kube-system",
            "RoleBinding",
            "Role/extension-apiserver-authentication-reader",
        ),
    ] {
        let bound = binding(kind, "extension", to, "ServiceAccount:kube-system/extension");
        guarded.create(gvr, namespace, &bound).await;
    }
    guarded.client(SERVER, &["system:serviceaccounts", "system:authenticated"])
}

#[tokio::test(start_paused = true)]
async fn an_extension_server_asks_who_it_is_and_whether_they_may() {
    let guarded = guarded().await;
    let stranger = guarded.client(SERVER, &["system:serviceaccounts", "system:authenticated"]);
    let may = |user: &str, verb: &str| {
        format!(
            r#""user":"{user}","resourceAttributes":{{"verb":"{verb}","group":"wardle.example.com","resource":"flunders","namespace":"default"}}"#
        )
    };
    assert_eq!(review(&stranger, &TOKENS, r#""token":"x""#).await, Err(403));
    assert_eq!(review(&stranger, &ACCESS, &may("ann", "get")).await, Err(403));
    let server = extension(&guarded).await;
    let told = review(&server, &TOKENS, r#""token":"x""#).await.unwrap();
    assert!(
        told.contains("invalid bearer token") && !told.contains(r#""authenticated":true"#),
        "{told}"
    );
    let viewer = binding(
        "ClusterRoleBinding",
        "admin",
        "ClusterRole/cluster-admin",
        "User:ann",
    );
    guarded.create(&CLUSTER_ROLE_BINDINGS, "", &viewer).await;
    for (user, allowed) in [("ann", true), ("bob", false)] {
        let told = review(&server, &ACCESS, &may(user, "create")).await.unwrap();
        assert_eq!(told.contains(r#""allowed":true"#), allowed, "{told}");
    }
    // It is given no more than that, and the ConfigMap that names the front proxies.
    let user = User::new(SERVER, &["system:serviceaccounts", "system:authenticated"]);
    for (what, allowed) in [
        (
            "get core/configmaps kube-system/extension-apiserver-authentication",
            true,
        ),
        (
            "watch core/configmaps kube-system/extension-apiserver-authentication",
            true,
        ),
        ("get core/configmaps kube-system/other", false),
        (
            "get core/configmaps default/extension-apiserver-authentication",
            false,
        ),
        ("get core/secrets kube-system/other", false),
        ("create wardle.example.com/flunders default", false),
    ] {
        assert_eq!(guarded.asks(&user, what), allowed, "{what}");
    }
}

/// What tells whether tokens are mounted: unsaid, yes, no.
const SAID: [(&str, &str); 3] = [
    ("unsaid", ""),
    ("yes", r#""automountServiceAccountToken":true,"#),
    ("no", r#""automountServiceAccountToken":false,"#),
];

#[tokio::test(start_paused = true)]
async fn the_pod_then_its_account_say_whether_a_token_is_mounted() {
    let guarded = guarded().await;
    let admin = guarded.admin();
    let accounts = Gvr::new("", "v1", "serviceaccounts");
    let pods = Gvr::new("", "v1", "pods");
    for (account, of_account) in SAID {
        let body = format!(r#"{{{of_account}"metadata":{{"name":"{account}"}}}}"#);
        guarded.create(&accounts, "default", &body).await;
        for (pod, of_pod) in SAID {
            let body = format!(
                r#"{{"metadata":{{"name":"{pod}-by-{account}"}},"spec":{{{of_pod}"serviceAccountName":"{account}",
                "initContainers":[{{"name":"i","image":"i"}}],"containers":[{{"name":"c","image":"i"}}]}}}}"#
            );
            let made = create(&admin, &pods, "default", &body).await.unwrap();
            let made = String::from_utf8(made.body().to_vec()).unwrap();
            let mounted = match (pod, account) {
                ("unsaid", account) => account != "no",
                (pod, _) => pod == "yes",
            };
            let mounts = made
                .matches(r#""mountPath":"/var/run/secrets/kubernetes.io/serviceaccount""#)
                .count();
            assert_eq!(
                mounts,
                if mounted { 2 } else { 0 },
                "pod {pod}, account {account}"
            );
            let files = [r#""path":"token""#, r#""path":"ca.crt""#, r#""path":"namespace""#];
            for file in files {
                assert_eq!(
                    made.contains(file),
                    mounted,
                    "pod {pod}, account {account}: {made}"
                );
            }
        }
    }
}
