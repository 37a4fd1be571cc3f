//! A webhook that says whose tokens are.

use super::{
    super::TokenWebhook,
    bearer, outside, review, server,
    site::{Reply, Site},
};
use crate::security::stories::bad_input::counted;
use crate::security::{
    Asking,
    stories::{Guarded, ISSUER},
};
use component::Env;
use std::{sync::Arc, time::Duration};

const LIFE: Duration = Duration::from_secs(120);

fn hook(site: &Site, ca: &str, env: &Env, version: &str) -> Result<Arc<TokenWebhook>, String> {
    let asking = Asking::url(&format!("{}/review", site.url), ca, env)?;
    let asking = asking
        .patience(Duration::from_millis(300))
        .pause(Duration::from_millis(1));
    TokenWebhook::new(asking, version, LIFE, vec![ISSUER.to_owned()], env)
}

async fn beside(site: &Site, env: &Env) -> Guarded {
    let hook = hook(site, &site.ca, env, "v1").unwrap();
    server(env, |settings| settings.authentication.webhook = Some(hook)).await
}

fn reply(status: &str) -> Reply {
    Reply::Json(format!(
        r#"{{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{status}}}"#
    ))
}

#[tokio::test]
async fn a_webhook_says_whose_tokens_are() {
    let (site, env) = (Site::open().await, outside());
    let guarded = beside(&site, &env).await;
    site.says(
        "/review",
        reply(r#"{"authenticated":true,"user":{"username":"ann","uid":"7","groups":["dev"],"extra":{"a":["b"]}}}"#),
    );
    let (user, audiences) = guarded
        .security
        .authn
        .token("secret", &[])
        .get()
        .await
        .unwrap()
        .unwrap();
    assert_eq!((user.name.as_str(), user.uid.as_str()), ("ann", "7"));
    assert_eq!(user.groups, ["dev", "system:authenticated"]);
    assert_eq!(user.extra["a"], ["b"]);
    assert_eq!(audiences, [ISSUER]);
    let asked = String::from_utf8(site.asked("/review")[0].to_vec()).unwrap();
    let question = format!(
        r#"{{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","metadata":{{"creationTimestamp":null}},"spec":{{"token":"secret","audiences":["{ISSUER}"]}},"status":{{"user":{{}}}}}}"#
    );
    assert_eq!(asked, question);
    assert_eq!(bearer(&guarded, "secret").await, "ann");
    assert_eq!(site.asked("/review").len(), 1, "the answer is remembered");
    let many = (0..8).map(|_| bearer(&guarded, "another"));
    assert_eq!(futures::future::join_all(many).await, ["ann"; 8]);
    assert_eq!(
        site.asked("/review").len(),
        2,
        "who asks the same waits for the same answer"
    );
    assert!(hook(&site, &site.ca, &env, "v2").is_err());
}

#[tokio::test]
async fn a_webhook_that_fails_lets_nobody_in() {
    let (site, env) = (Site::open().await, outside());
    let yes = r#"{"authenticated":true,"user":{"username":"ann"}}"#;
    let other = |version: &str, kind: &str| {
        Reply::Json(format!(
            r#"{{"apiVersion":"{version}","kind":"{kind}","status":{yes}}}"#
        ))
    };
    let cases = [
        (
            "no",
            reply(r#"{"authenticated":false}"#),
            "invalid bearer token",
            1,
        ),
        (
            "no, and why",
            reply(r#"{"authenticated":false,"error":"who?"}"#),
            "who?",
            1,
        ),
        ("nothing", reply("{}"), "invalid bearer token", 1),
        (
            "a user without name",
            reply(r#"{"authenticated":true,"user":{}}"#),
            "has no name",
            1,
        ),
        ("no user", reply(r#"{"authenticated":true}"#), "has no name", 1),
        (
            "a user of another form",
            reply(r#"{"authenticated":true,"user":"ann"}"#),
            "is no TokenReview",
            1,
        ),
        (
            "authenticated as text",
            reply(r#"{"authenticated":"true","user":{"username":"ann"}}"#),
            "is no TokenReview",
            1,
        ),
        (
            "for another",
            reply(r#"{"authenticated":true,"user":{"username":"ann"},"audiences":["vault"]}"#),
            "invalid bearer token",
            1,
        ),
        (
            "another kind",
            other("authentication.k8s.io/v1", "Status"),
            "is a \"Status\"",
            1,
        ),
        (
            "another version",
            other("authentication.k8s.io/v1beta1", "TokenReview"),
            "not a TokenReview of",
            1,
        ),
        ("no JSON", Reply::Json("yes".to_owned()), "is no TokenReview", 1),
        ("a list", Reply::Json("[]".to_owned()), "is no TokenReview", 1),
        (
            "an empty answer",
            Reply::Json(String::new()),
            "is no TokenReview",
            1,
        ),
        (
            "401",
            Reply::Code(401, ""),
            "the server has asked for the client to provide credentials",
            1,
        ),
        (
            "404",
            Reply::Code(404, ""),
            "the server could not find the requested resource",
            1,
        ),
        (
            "500",
            Reply::Code(500, "oops"),
            "an error on the server (\"oops\")",
            5,
        ),
        ("429", Reply::Code(429, ""), "too many requests", 5),
        (
            "503",
            Reply::Code(503, ""),
            "currently unable to handle the request",
            1,
        ),
        (
            "a redirect",
            Reply::Redirect("/yes".to_owned()),
            "status code 302",
            1,
        ),
        ("garbage", Reply::Garbage, "Post \"https://127.0.0.1:", 1),
        ("too much", Reply::Huge, "length limit exceeded", 1),
        ("nothing for long", Reply::Hang, "context deadline exceeded", 1),
    ];
    counted("answers about tokens", cases.len());
    for (what, says, why, times) in cases {
        let guarded = beside(&site, &env).await;
        site.says("/yes", reply(yes));
        site.says("/review", says);
        let before = site.asked("/review").len();
        let told = review(&guarded, "secret").await;
        assert!(told.contains(why), "{what}: {told}");
        assert_eq!(site.asked("/review").len() - before, times, "{what}");
        assert_eq!(bearer(&guarded, "secret").await, "401", "{what}");
    }
    let guarded = beside(&site, &env).await;
    site.says("/review", Reply::Garbage);
    assert_eq!(bearer(&guarded, "secret").await, "401");
    site.says("/review", reply(yes));
    assert_eq!(
        bearer(&guarded, "secret").await,
        "ann",
        "what went wrong is not remembered"
    );
    let stranger = Site::open().await;
    let hook = hook(&site, &stranger.ca, &env, "v1").unwrap();
    let guarded = server(&env, |settings| settings.authentication.webhook = Some(hook)).await;
    let told = review(&guarded, "secret").await;
    assert!(
        told.contains("x509: certificate signed by unknown authority"),
        "{told}"
    );
}
