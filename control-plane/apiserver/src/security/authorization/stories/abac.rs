//! Stories of the policy file.

use super::{asks, now, path};
use crate::security::{Authorizer, User, authorization::Abac, stories::bad_input::counted};

const POLICIES: &str = r#"
# who may do what
{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":"ann","namespace":"*","resource":"*","apiGroup":"*"}}
{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":"bob","namespace":"projects","resource":"pods","readonly":true}}
{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"group":"*","readonly":true,"nonResourcePath":"/healthz*"}}
{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":"eve","group":"ops","namespace":"a","resource":"deployments","apiGroup":"apps"}}
{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"namespace":"*","resource":"*","apiGroup":"*"}}
"#;

#[test]
fn abac_policies_allow() {
    let abac = Abac::parse("policies", POLICIES).unwrap();
    let known = ["system:authenticated"];
    for (asked, allowed) in [
        (
            asks("ann", &[], "delete", "apps/deployments", "kube-system"),
            true,
        ),
        (asks("bob", &[], "list", "pods", "projects"), true),
        (asks("bob", &[], "delete", "pods", "projects"), false),
        (asks("bob", &[], "list", "pods", "default"), false),
        (asks("bob", &[], "list", "apps/pods", "projects"), false),
        (asks("eve", &[], "update", "apps/deployments", "a"), false),
        (asks("eve", &["ops"], "update", "apps/deployments", "a"), true),
        (asks("kim", &["ops"], "update", "apps/deployments", "a"), false),
        (asks("kim", &known, "get", "pods", "a"), false),
        (path("kim", "get", "/healthz/etcd"), true),
        (path("kim", "post", "/healthz/etcd"), false),
        (path("kim", "get", "/metrics"), false),
        (path("ann", "get", "/metrics"), false),
    ] {
        let decision = now(&abac, &asked);
        assert_eq!(decision.allowed(), allowed, "{asked:?}");
        assert_eq!(decision.reason.is_empty(), allowed);
    }
    let rules = abac.rules(&User::new("bob", &[]), "projects");
    assert_eq!(rules.resources.len(), 1);
    assert_eq!(rules.resources[0].verbs, ["get", "list", "watch"]);
}

#[test]
fn a_bad_line_of_abac_is_told_by_its_number() {
    let good = POLICIES.lines().nth(2).unwrap();
    let cases = [
        ("{", "couldn't get version/kind; json parse error: "),
        ("ann can read", "couldn't get version/kind; json parse error: "),
        ("[]", "couldn't get version/kind; json parse error: "),
        (
            r#"["abac.authorization.kubernetes.io/v1beta1","Policy",{"user":"ann"}]"#,
            "couldn't get version/kind; json parse error: ",
        ),
        (
            r#"{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":["ann","",false,"*"]}"#,
            "couldn't get version/kind; json parse error: ",
        ),
        ("{}", "Object 'apiVersion' is missing in '{}'"),
        (r#"{"user":"ann"}"#, "Object 'apiVersion' is missing in "),
        (
            r#"{"apiVersion":"abac.authorization.kubernetes.io/v1beta1"}"#,
            "Object 'Kind' is missing in ",
        ),
        (
            r#"{"apiVersion":"abac.authorization.kubernetes.io/v9","kind":"Policy","spec":{"user":"*"}}"#,
            r#"no kind "Policy" is registered for version "abac.authorization.kubernetes.io/v9""#,
        ),
        (
            r#"{"apiVersion":"v1","kind":"Pod"}"#,
            r#"no kind "Pod" is registered for version "v1""#,
        ),
        (
            r#"{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"user":7}}"#,
            "couldn't get version/kind; json parse error: ",
        ),
        (
            r#"{"apiVersion":"abac.authorization.kubernetes.io/v1beta1","kind":"Policy","spec":{"readonly":"yes"}}"#,
            "couldn't get version/kind; json parse error: ",
        ),
        (
            &format!("{good}{good}"),
            "couldn't get version/kind; json parse error: ",
        ),
        (
            &good[..good.len() - 1],
            "couldn't get version/kind; json parse error: ",
        ),
    ];
    counted("lines of ABAC", cases.len());
    for (line, why) in cases {
        let text = format!("# a comment\n{good}\n\n{line}\n{good}\n");
        let error = Abac::parse("/etc/abac", &text).unwrap_err();
        let start = format!("error reading policy file /etc/abac, line 4: {line}: {why}");
        assert!(error.starts_with(&start), "{error}\n{start}");
    }
}
