//! Users who act as others: by the verb `impersonate`, and by those of constrained impersonation.

use super::{
    CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, Guarded, attributes, bad_input::counted, binding, guarded, role,
};
use crate::{http::impersonate, security::User};
use http::{HeaderMap, HeaderName, HeaderValue};

const REVIEW: &str = "create authentication.k8s.io/selfsubjectreviews";

async fn may(guarded: &Guarded, who: &str, rules: &str) {
    let name = who.replace('/', ":");
    guarded
        .create(&CLUSTER_ROLES, "", &role("ClusterRole", &name, rules))
        .await;
    let subject = match who.contains('/') {
        true => format!("ServiceAccount:{who}"),
        false => format!("User:{who}"),
    };
    let to = format!("ClusterRole/{name}");
    guarded
        .create(
            &CLUSTER_ROLE_BINDINGS,
            "",
            &binding("ClusterRoleBinding", &name, &to, &subject),
        )
        .await;
}

/// As whom `asker` asks with those headers: name and groups, or the code and message of the refusal.
async fn acts(guarded: &Guarded, asker: &User, what: &str, headers: &[(&str, &[u8])]) -> String {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    let asked = attributes(asker, what);
    match impersonate::user(&guarded.server, &asked, &mut map, None).await {
        Ok(user) => {
            assert!(!impersonate::is_asked(&map), "what it is made as is said again");
            let extra: Vec<String> = user
                .extra
                .iter()
                .map(|(key, values)| format!(" {key}={values:?}"))
                .collect();
            let uid = Some(&user.uid).filter(|uid| !uid.is_empty());
            let uid = uid.map(|uid| format!(" uid={uid}")).unwrap_or_default();
            format!("{} {:?}{uid}{}", user.name, user.groups, extra.concat())
        }
        Err(status) => format!("{} {}", status.code, status.message),
    }
}

#[tokio::test(start_paused = true)]
async fn users_act_as_others_by_the_old_verb() {
    let guarded = guarded().await;
    let rules = r#"[
        {"verbs":["impersonate"],"apiGroups":[""],"resources":["users"],"resourceNames":["kim","system:anonymous","system:serviceaccount:a:b:c"]},
        {"verbs":["impersonate"],"apiGroups":[""],"resources":["groups"],"resourceNames":["dev","system:unauthenticated"]},
        {"verbs":["impersonate"],"apiGroups":[""],"resources":["serviceaccounts"],"resourceNames":["robot"]},
        {"verbs":["impersonate"],"apiGroups":["authentication.k8s.io"],"resources":["uids"],"resourceNames":["7"]},
        {"verbs":["impersonate"],"apiGroups":["authentication.k8s.io"],"resources":["userextras/scopes"],"resourceNames":["view"]}]"#;
    may(&guarded, "ann", rules).await;
    let ann = User::new("ann", &["system:authenticated"]);
    for (headers, wanted) in [
        (&[][..], r#"ann ["system:authenticated"]"#),
        (
            &[("impersonate-user", &b""[..])],
            r#"ann ["system:authenticated"]"#,
        ),
        (&[("impersonate-user", b"kim")], r#"kim ["system:authenticated"]"#),
        (
            &[
                ("impersonate-user", b"kim"),
                ("impersonate-group", b"dev"),
                ("impersonate-uid", b"7"),
                ("impersonate-extra-scopes", b"view"),
            ],
            r#"kim ["dev", "system:authenticated"] uid=7 scopes=["view"]"#,
        ),
        (
            &[
                ("impersonate-user", b"kim"),
                ("impersonate-group", b"system:unauthenticated"),
            ],
            r#"kim ["system:unauthenticated"]"#,
        ),
        (
            &[("impersonate-user", b"system:anonymous")],
            r#"system:anonymous ["system:unauthenticated"]"#,
        ),
        (
            &[("impersonate-user", b"system:serviceaccount:default:robot")],
            r#"system:serviceaccount:default:robot ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]"#,
        ),
        // It is none of an account: it is a user of that name.
        (
            &[("impersonate-user", b"system:serviceaccount:a:b:c")],
            r#"system:serviceaccount:a:b:c ["system:authenticated"]"#,
        ),
    ] {
        assert_eq!(acts(&guarded, &ann, REVIEW, headers).await, wanted, "{headers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn impersonation_that_is_malformed_or_not_allowed_is_refused() {
    let guarded = guarded().await;
    let rules = r#"[
        {"verbs":["impersonate"],"apiGroups":[""],"resources":["users"],"resourceNames":["kim"]},
        {"verbs":["impersonate"],"apiGroups":[""],"resources":["serviceaccounts"]}]"#;
    may(&guarded, "ann", rules).await;
    let ann = User::new("ann", &["system:authenticated"]);
    let refused = r#"403 users "KIM" is forbidden: User "ann" cannot impersonate resource "users" in API group "" at the cluster scope"#;
    // From now on the old verb is tried first, and it is what a refusal tells of.
    let good = acts(&guarded, &ann, REVIEW, &[("impersonate-user", b"kim")]).await;
    assert_eq!(good, r#"kim ["system:authenticated"]"#);
    type Headers<'a> = &'a [(&'a str, &'a [u8])];
    let cases: [(&str, Headers<'_>, &str); 24] = [
        (
            "a group of nobody",
            &[("impersonate-group", b"dev")],
            r#"400 requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"dev"}, Extra:map[string][]string(nil)} without impersonating a user name"#,
        ),
        (
            "an empty group of nobody",
            &[("impersonate-group", b"")],
            "400 requested ",
        ),
        (
            "a UID of nobody",
            &[("impersonate-uid", b"7")],
            r#"400 requested &user.DefaultInfo{Name:"", UID:"7", "#,
        ),
        (
            "more of nobody",
            &[("impersonate-extra-a", b"b")],
            r#"400 requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string(nil), Extra:map[string][]string{"a":[]string{"b"}}}"#,
        ),
        (
            "a group of an empty name",
            &[
                ("impersonate-user", b""),
                ("impersonate-group", b"system:masters"),
            ],
            "400 requested ",
        ),
        (
            "a user who is no text",
            &[("impersonate-user", b"\xff\xfe")],
            "400 header \"impersonate-user\" is not valid UTF-8",
        ),
        (
            "a group that is no text",
            &[("impersonate-user", b"kim"), ("impersonate-group", b"\xff")],
            "400 header \"impersonate-group\"",
        ),
        (
            "a UID that is no text",
            &[("impersonate-user", b"kim"), ("impersonate-uid", b"\xff")],
            "400 header \"impersonate-uid\"",
        ),
        (
            "more that is no text",
            &[("impersonate-user", b"kim"), ("impersonate-extra-a", b"\xff")],
            "400 header \"impersonate-extra-a\"",
        ),
        (
            "another user",
            &[("impersonate-user", b"root")],
            "403 users \"root\" is forbidden: ",
        ),
        ("large letters", &[("impersonate-user", b"KIM")], refused),
        (
            "a name with a space",
            &[("impersonate-user", b"kim ,x")],
            "403 users \"kim ,x\" is forbidden: ",
        ),
        (
            "two users",
            &[("impersonate-user", b"root"), ("impersonate-user", b"kim")],
            "403 users \"root\" is forbidden: ",
        ),
        (
            "a name for all",
            &[("impersonate-user", b"*")],
            "403 users \"*\" is forbidden: ",
        ),
        (
            "another group",
            &[("impersonate-user", b"kim"), ("impersonate-group", b"dev")],
            "403 groups \"dev\" is forbidden: ",
        ),
        (
            "the group of all rights",
            &[
                ("impersonate-user", b"kim"),
                ("impersonate-group", b"system:masters"),
            ],
            "403 groups \"system:masters\" is forbidden: ",
        ),
        (
            "an empty group",
            &[("impersonate-user", b"kim"), ("impersonate-group", b"")],
            "403 groups is forbidden: ",
        ),
        (
            "another UID",
            &[("impersonate-user", b"kim"), ("impersonate-uid", b"7")],
            "403 uids.authentication.k8s.io \"7\" is forbidden: ",
        ),
        (
            "more",
            &[("impersonate-user", b"kim"), ("impersonate-extra-scopes", b"x")],
            "403 userextras.authentication.k8s.io \"x\" is forbidden: User \"ann\" cannot impersonate resource \"userextras/scopes\"",
        ),
        (
            "more under a path",
            &[
                ("impersonate-user", b"kim"),
                ("impersonate-extra-a%2f..%2fb", b"x"),
            ],
            "403 userextras.authentication.k8s.io \"x\" is forbidden: User \"ann\" cannot impersonate resource \"userextras/a/../b\"",
        ),
        (
            "more under a broken name",
            &[("impersonate-user", b"kim"), ("impersonate-extra-a%zz", b"x")],
            "403 userextras.authentication.k8s.io \"x\" is forbidden: User \"ann\" cannot impersonate resource \"userextras/a%zz\"",
        ),
        (
            "an account and more",
            &[("impersonate-user", b"system:serviceaccount:a:b:c")],
            "403 users \"system:serviceaccount:a:b:c\" is forbidden: ",
        ),
        (
            "an account without namespace",
            &[("impersonate-user", b"system:serviceaccount::b")],
            "403 users \"system:serviceaccount::b\" is forbidden: ",
        ),
        (
            "an account of a bad name",
            &[("impersonate-user", b"system:serviceaccount:a:B_")],
            "403 users \"system:serviceaccount:a:B_\" is forbidden: ",
        ),
    ];
    counted("impersonation", cases.len());
    for (what, headers, why) in cases {
        let told = acts(&guarded, &ann, REVIEW, headers).await;
        assert!(told.starts_with(why), "{what}: {told}");
    }
}

#[tokio::test(start_paused = true)]
async fn constrained_impersonation_is_for_what_its_verbs_name() {
    let guarded = guarded().await;
    may(
        &guarded,
        "bob",
        r#"[
        {"verbs":["impersonate:user-info"],"apiGroups":["authentication.k8s.io"],"resources":["users"],"resourceNames":["kim"]},
        {"verbs":["impersonate:user-info"],"apiGroups":["authentication.k8s.io"],"resources":["groups","userextras/example.com/scopes"]},
        {"verbs":["impersonate:serviceaccount"],"apiGroups":["authentication.k8s.io"],"resources":["serviceaccounts"]},
        {"verbs":["impersonate:arbitrary-node"],"apiGroups":["authentication.k8s.io"],"resources":["nodes"],"resourceNames":["n1"]},
        {"verbs":["impersonate-on:user-info:list","impersonate-on:serviceaccount:list","impersonate-on:arbitrary-node:list"],"apiGroups":[""],"resources":["pods"]}]"#,
    )
    .await;
    let bob = User::new("bob", &["system:authenticated"]);
    let (list, get) = ("list core/pods", "get core/pods default/x");
    for (what, headers, wanted) in [
        (
            list,
            &[("impersonate-user", &b"kim"[..])][..],
            r#"kim ["system:authenticated"]"#,
        ),
        (
            list,
            &[
                ("impersonate-user", b"kim"),
                ("impersonate-group", b"dev"),
                ("impersonate-extra-example.com%2fscopes", b"a"),
            ],
            r#"kim ["dev", "system:authenticated"] example.com/scopes=["a"]"#,
        ),
        (
            list,
            &[("impersonate-user", b"system:node:n1")],
            r#"system:node:n1 ["system:nodes", "system:authenticated"]"#,
        ),
        (
            list,
            &[("impersonate-user", b"system:serviceaccount:a:b")],
            r#"system:serviceaccount:a:b ["system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"]"#,
        ),
        (
            get,
            &[("impersonate-user", b"kim")],
            r#"403 pods "x" is forbidden: User "bob" cannot impersonate-on:user-info:get resource "pods" in API group "" in the namespace "default""#,
        ),
        (
            list,
            &[("impersonate-user", b"root")],
            r#"403 users.authentication.k8s.io "root" is forbidden: User "bob" cannot impersonate:user-info resource "users" in API group "authentication.k8s.io" at the cluster scope"#,
        ),
        (
            list,
            &[("impersonate-user", b"system:node:n2")],
            r#"403 nodes.authentication.k8s.io "n2" is forbidden: "#,
        ),
        (
            list,
            &[
                ("impersonate-user", b"kim"),
                ("impersonate-group", b"system:masters"),
            ],
            r#"403 groups.authentication.k8s.io "system:masters" is forbidden: User "bob" cannot impersonate:user-info resource "groups" in API group "authentication.k8s.io" at the cluster scope: impersonating the system:masters group is not allowed"#,
        ),
        (
            list,
            &[("impersonate-user", b"kim"), ("impersonate-extra-scopes", b"a")],
            r#"403 userextras.authentication.k8s.io is forbidden: User "bob" cannot impersonate:user-info resource "userextras" in API group "authentication.k8s.io" at the cluster scope: impersonating an invalid key in extra is not allowed: extra.key: Invalid value: "scopes": must be a domain-prefixed path (such as "acme.io/foo")"#,
        ),
        // Of a node nothing but its name is said.
        (
            list,
            &[
                ("impersonate-user", b"system:node:n1"),
                ("impersonate-group", b"system:nodes"),
            ],
            "403 ",
        ),
    ] {
        let told = acts(&guarded, &bob, what, headers).await;
        match wanted.starts_with("403") {
            true => assert!(told.starts_with(wanted), "{told}\n{wanted}"),
            false => assert_eq!(told, wanted),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_account_acts_as_the_node_that_it_runs_on() {
    let guarded = guarded().await;
    may(
        &guarded,
        "default/agent",
        r#"[
        {"verbs":["impersonate:associated-node"],"apiGroups":["authentication.k8s.io"],"resources":["nodes"]},
        {"verbs":["impersonate-on:associated-node:list"],"apiGroups":[""],"resources":["pods"]}]"#,
    )
    .await;
    let agent = |node: &str| {
        let mut user = User::new("system:serviceaccount:default:agent", &["system:authenticated"]);
        let key = "authentication.kubernetes.io/node-name".to_owned();
        user.extra.insert(key, vec![node.to_owned()]);
        user
    };
    let n1: &[(&str, &[u8])] = &[("impersonate-user", b"system:node:n1")];
    let told = acts(&guarded, &agent("n1"), "list core/pods", n1).await;
    assert_eq!(told, r#"system:node:n1 ["system:nodes", "system:authenticated"]"#);
    for (asker, what) in [
        (agent("n2"), "list core/pods"),
        (agent("n1"), "list core/secrets"),
        (
            User::new("system:serviceaccount:default:agent", &[]),
            "list core/pods",
        ),
    ] {
        let told = acts(&guarded, &asker, what, n1).await;
        assert!(told.starts_with("403 "), "{told}");
    }
}
