//! Tokens of service accounts that are signed well and claim what is not so.

use super::{
    super::{bearer, outside, review, server},
    ROBOT, good,
};
use crate::security::stories::{ISSUER, bad_input::counted, log::Log};
use component::jwt::Key;
use serde_json::{Value, json};

fn changed(claims: &Value, path: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    *claims.pointer_mut(path).unwrap() = value;
    claims
}

fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims["kubernetes.io"][name] = value;
    claims
}

#[tokio::test]
async fn claims_that_are_wrong_are_refused() {
    let env = outside();
    let guarded = server(&env, |_| {}).await;
    let good = good(&guarded).await;
    let key = Key::from_pem(&guarded.key).unwrap();
    let now = env.clock.wall().as_second();
    assert_eq!(bearer(&guarded, &key.sign(&good).unwrap()).await, ROBOT);
    let named = |name: &str, uid: &str| json!({"name": name, "uid": uid});
    let cases = [
        (
            "expired",
            changed(&good, "/exp", json!(now - 1)),
            "service account token has expired",
        ),
        ("expires at zero", changed(&good, "/exp", json!(0)), "has expired"),
        (
            "expired before time",
            changed(&good, "/exp", json!(-5)),
            "has expired",
        ),
        ("without an end", without(&good, "exp"), "has expired"),
        (
            "an end that is text",
            changed(&good, "/exp", json!("tomorrow")),
            "token claims",
        ),
        (
            "an end that is null",
            changed(&good, "/exp", Value::Null),
            "token claims",
        ),
        (
            "an end that is true",
            changed(&good, "/exp", json!(true)),
            "token claims",
        ),
        (
            "not yet valid",
            changed(&good, "/nbf", json!(now + 600)),
            "service account token is not valid yet",
        ),
        (
            "never valid",
            changed(&good, "/nbf", json!(1e300)),
            "is not valid yet",
        ),
        (
            "a start that is text",
            changed(&good, "/nbf", json!("now")),
            "token claims",
        ),
        (
            "a time of making that is a list",
            changed(&good, "/iat", json!([1])),
            "token claims",
        ),
        (
            "another audience",
            changed(&good, "/aud", json!(["vault"])),
            "is invalid for the target audiences",
        ),
        (
            "one other audience",
            changed(&good, "/aud", json!("vault")),
            "is invalid for the target audiences",
        ),
        (
            "an audience that is a number",
            changed(&good, "/aud", json!(5)),
            "token claims",
        ),
        (
            "an audience that is an object",
            changed(&good, "/aud", json!({})),
            "token claims",
        ),
        (
            "audiences that are numbers",
            changed(&good, "/aud", json!([1, 2])),
            "token claims",
        ),
        (
            "another issuer",
            changed(&good, "/iss", json!("https://elsewhere")),
            "invalid bearer token",
        ),
        (
            "an issuer with a slash",
            changed(&good, "/iss", json!(format!("{ISSUER}/"))),
            "invalid bearer token",
        ),
        ("no issuer", without(&good, "iss"), "invalid bearer token"),
        (
            "an issuer that is a number",
            changed(&good, "/iss", json!(1)),
            "invalid bearer token",
        ),
        (
            "an issuer that is a list",
            changed(&good, "/iss", json!([ISSUER])),
            "invalid bearer token",
        ),
        ("no private claims", without(&good, "kubernetes.io"), "not found"),
        (
            "private claims that are text",
            changed(&good, "/kubernetes.io", json!("x")),
            "token claims",
        ),
        (
            "no namespace",
            changed(&good, "/kubernetes.io/namespace", json!("")),
            "not found",
        ),
        (
            "another namespace",
            changed(&good, "/kubernetes.io/namespace", json!("kube-system")),
            "not found",
        ),
        (
            "an account that is not there",
            changed(&good, "/kubernetes.io/serviceaccount/name", json!("x")),
            "not found",
        ),
        (
            "the account of before",
            changed(&good, "/kubernetes.io/serviceaccount/uid", json!("x")),
            "does not match claim",
        ),
        (
            "an account without uid",
            changed(&good, "/kubernetes.io/serviceaccount/uid", json!("")),
            "does not match claim",
        ),
        (
            "an account that is text",
            changed(&good, "/kubernetes.io/serviceaccount", json!("robot")),
            "token claims",
        ),
        (
            "a pod that is not there",
            with(&good, "pod", named("p", "1")),
            "service account token has been invalidated",
        ),
        (
            "a pod that is text",
            with(&good, "pod", json!("p")),
            "token claims",
        ),
        (
            "a secret that is not there",
            with(&good, "secret", named("s", "1")),
            "has been invalidated",
        ),
        (
            "a node that is not there",
            with(&good, "node", named("n", "1")),
            "has been invalidated",
        ),
        (
            "a warning that is text",
            with(&good, "warnafter", json!("x")),
            "token claims",
        ),
        ("a list", json!([good]), "invalid bearer token"),
        ("a number", json!(5), "invalid bearer token"),
        ("null", Value::Null, "invalid bearer token"),
        (
            "the issuer of tokens in secrets",
            changed(&good, "/iss", json!("kubernetes/serviceaccount")),
            "claim is missing",
        ),
    ];
    let log = Log::keep();
    counted("claims of service accounts", cases.len());
    for (what, claims, why) in cases {
        let token = key.sign(&claims).unwrap();
        log.said();
        assert_eq!(bearer(&guarded, &token).await, "401", "{what}");
        let said = log.said();
        assert!(said.contains(why) && !said.contains(&token), "{what}: {said}");
        let told = review(&guarded, &token).await;
        assert!(told.contains(why), "{what}: {told}");
    }
    assert_eq!(bearer(&guarded, &key.sign(&good).unwrap()).await, ROBOT);
}
