//! What is published so that others can verify tokens, and who may read it; and what a user is told about their rights.
#![expect(clippy::disallowed_types, reason = "answers are looked into")]

use super::{Guarded, ISSUER, guarded_with, key, settings};
use crate::{http::stories::Http, security::authentication::TokenFile};
use component::Env;
use serde_json::Value as Json;

const USERS: &str = "ann-token,ann,1\nrobot-token,system:serviceaccount:default:robot,2,system:serviceaccounts\n\
    node-token,system:node:n1,3,system:nodes\nroot-token,root,4,system:masters\n";

async fn open() -> Guarded {
    let env = Env::simulated(11);
    let mut made = settings(&env, &key());
    let file = TokenFile::parse("tokens", USERS).unwrap();
    made.authentication.token_file = Some(file.into());
    let documents = made.documents("https://10.0.0.1:6443").unwrap();
    guarded_with(made, |config| config.oidc = Some(documents)).await
}

#[tokio::test(start_paused = true)]
async fn keys_of_tokens_are_published_for_service_accounts() {
    let guarded = open().await;
    let mut http = Http::new(&guarded.server).await;
    for (path, kind, wanted) in [
        ("/.well-known/openid-configuration", "application/json", ISSUER),
        (
            "/.well-known/openid-configuration/",
            "application/json",
            "https://10.0.0.1:6443/openid/v1/jwks",
        ),
        ("/openid/v1/jwks", "application/jwk-set+json", r#""kty":"EC""#),
        ("/openid/v1/jwks/", "application/jwk-set+json", r#""alg":"ES256""#),
    ] {
        let robot = [("authorization", "Bearer robot-token"), ("accept", "*/*")];
        let told = http.ask("GET", path, &robot, "").await;
        assert_eq!(
            (told.code, told.headers["content-type"].to_str().unwrap()),
            (200, kind)
        );
        assert_eq!(told.headers["cache-control"], "public, max-age=3600");
        assert!(told.text.contains(wanted), "{}", told.text);
        for other in ["Bearer ann-token", ""] {
            let refused = http.ask("GET", path, &[("authorization", other)], "").await;
            assert_eq!(refused.code, 403, "{path} for {other:?}: {}", refused.text);
        }
    }
    guarded.env.tasks.stop();
}

#[tokio::test(start_paused = true)]
async fn a_user_is_told_the_rules_that_apply() {
    let guarded = open().await;
    let mut http = Http::new(&guarded.server).await;
    let mut ask = async |token: &str| {
        let url = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
        let body = r#"{"kind":"SelfSubjectRulesReview","apiVersion":"authorization.k8s.io/v1","spec":{"namespace":"default"}}"#;
        let told = http.ask("POST", url, &[("authorization", token)], body).await;
        assert_eq!(told.code, 201, "{}", told.text);
        let told: Json = serde_json::from_str(&told.text).unwrap();
        told["status"].clone()
    };
    let ann = ask("Bearer ann-token").await;
    assert_eq!(
        (&ann["incomplete"], &ann["evaluationError"]),
        (&Json::Bool(false), &Json::Null)
    );
    let rules = ann["resourceRules"].to_string();
    assert!(
        rules.contains("selfsubjectaccessreviews") && !rules.contains(r#""pods""#),
        "{rules}"
    );
    let paths = ann["nonResourceRules"].to_string();
    assert!(
        paths.contains("/openapi/*") && paths.contains("/healthz") && !paths.contains("/metrics"),
        "{paths}"
    );
    let root = ask("Bearer root-token").await;
    assert_eq!(root["resourceRules"][0]["verbs"][0], "*");
    assert_eq!(root["nonResourceRules"][0]["nonResourceURLs"][0], "*");
    let node = ask("Bearer node-token").await;
    assert_eq!(node["incomplete"], true);
    assert_eq!(
        node["evaluationError"],
        "node authorizer does not support user rule resolution"
    );
    guarded.env.tasks.stop();
}
