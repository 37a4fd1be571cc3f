//! Stories of the webhook, which is a server of its own on loopback; what it answers follows from the name that is asked
//! about.
#![expect(clippy::disallowed_types, reason = "reviews are looked into")]

use super::{asks, configuration, now};
use crate::security::{
    Attributes, Authorizer, Chain, Selectors, User, Verdict,
    authorization::{
        AlwaysAllow, AlwaysDeny, Configuration, Connection, Webhook, WebhookSettings, metrics::Metrics,
    },
    stories::bad_input::counted,
};
use bytes::Bytes;
use component::Env;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value as Json, json};
use std::{
    convert::Infallible,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::net::TcpListener;

/// A server that answers reviews.
struct Hook {
    dir: tempfile::TempDir,
    asked: Arc<Mutex<Vec<Json>>>,
    env: Env,
}

fn review(status: &Json) -> (u16, String) {
    let review =
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "status": status});
    (200, review.to_string())
}

/// What is answered about `name`.
fn answer(name: &str) -> (u16, String) {
    let allowed = json!({"allowed": true, "reason": "why not"});
    match name {
        "allow" => review(&allowed),
        "deny" => review(&json!({"allowed": false, "denied": true, "reason": "never"})),
        "both" => review(&json!({"allowed": true, "denied": true, "reason": "hm"})),
        "empty" => (200, String::new()),
        "garbage" => (200, "}{".to_owned()),
        "list" => (200, "[]".to_owned()),
        "parts" => (
            200,
            json!(["authorization.k8s.io/v1", "SubjectAccessReview", allowed]).to_string(),
        ),
        "status-parts" => review(&json!([true, false, "why not"])),
        "word" => (200, r#""allowed""#.to_owned()),
        "other-kind" => (
            200,
            review(&allowed).1.replace("SubjectAccessReview", "TokenReview"),
        ),
        "other-version" => (200, review(&allowed).1.replace("/v1", "/v1alpha1")),
        "no-kind" => (200, json!({"status": allowed}).to_string()),
        "text-allowed" => review(&json!({"allowed": "true"})),
        "number-allowed" => review(&json!({"allowed": 1})),
        "null-status" => (200, review(&Json::Null).1),
        "huge" => (200, format!("{}{}", review(&allowed).1, " ".repeat(5 << 20))),
        "300" => (300, review(&allowed).1),
        "redirect" => (302, review(&allowed).1),
        "400" => (400, review(&allowed).1),
        "401" => (401, review(&allowed).1),
        "403" => (403, review(&allowed).1),
        "404" => (404, review(&allowed).1),
        "503" => (503, review(&allowed).1),
        _ => review(&json!({"allowed": false, "reason": "not known"})),
    }
}

impl Hook {
    async fn start() -> Self {
        let hook = Self {
            dir: tempfile::tempdir().unwrap(),
            asked: Arc::default(),
            env: Env::system(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: \"http://{}/authorize\"}}}}]\nusers: [{{name: u, user: {{}}}}]\n",
            listener.local_addr().unwrap()
        );
        std::fs::write(hook.file(), kubeconfig).unwrap();
        let (asked, tasks) = (hook.asked.clone(), hook.env.tasks.clone());
        hook.env.tasks.spawn("hook", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let asked = asked.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let asked = asked.clone();
                    async move {
                        assert_eq!(request.uri().path(), "/authorize");
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let review: Json = serde_json::from_slice(&body).unwrap();
                        let name = review["spec"]["resourceAttributes"]["name"]
                            .as_str()
                            .unwrap_or_default()
                            .to_owned();
                        asked.lock().unwrap().push(review);
                        if name == "hang" {
                            std::future::pending::<()>().await;
                        }
                        let (code, text) = answer(&name);
                        let response = Response::builder()
                            .status(code)
                            .header("location", "http://127.0.0.1:1/");
                        Ok::<_, Infallible>(response.body(Full::new(Bytes::from(text))).unwrap())
                    }
                });
                let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tasks.spawn("hook-connection", async move {
                    let _ = connection.await;
                });
            }
        });
        hook
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    fn authorizer(&self, deny: bool, ttl: Duration) -> Webhook {
        let connection = Connection::Kubeconfig(self.file());
        let mut settings =
            WebhookSettings::of_flags(connection, "v1", ttl, ttl, Duration::from_millis(300)).unwrap();
        settings.deny = deny;
        Webhook::new("hook", &settings, &self.env, Metrics::new(&self.env.metrics)).unwrap()
    }

    fn counted(&self, line: &str) -> bool {
        let mut text = String::new();
        self.env.metrics.write(&mut text);
        text.lines().any(|known| known == line)
    }
}

fn named(name: &str) -> Attributes {
    Attributes {
        name: name.to_owned(),
        ..asks("ann", &["dev"], "get", "pods", "a")
    }
}

#[tokio::test]
async fn a_webhook_says_yes_no_or_nothing() {
    let hook = Hook::start().await;
    let webhook = hook.authorizer(false, Duration::from_secs(60));
    for (name, verdict, reason) in [
        ("allow", Verdict::Allow, "why not"),
        ("deny", Verdict::Deny, "never"),
        ("else", Verdict::NoOpinion, "not known"),
        ("null-status", Verdict::NoOpinion, ""),
    ] {
        let decision = webhook.authorize(&named(name)).get().await;
        assert_eq!((decision.verdict, decision.reason.as_str()), (verdict, reason));
        // It is kept.
        assert_eq!(now(&webhook, &named(name)).verdict, verdict);
    }
    assert_eq!(hook.asked.lock().unwrap().len(), 4);
    let asked = hook.asked.lock().unwrap()[0].clone();
    let spec = json!({
        "resourceAttributes": {"namespace": "a", "verb": "get", "version": "v1", "resource": "pods", "name": "allow"},
        "user": "ann", "groups": ["dev"],
    });
    assert_eq!(asked["spec"], spec);
    assert_eq!(asked["apiVersion"], "authorization.k8s.io/v1");
    let always = hook.authorizer(false, Duration::ZERO);
    for _ in 0..2 {
        assert!(always.authorize(&named("allow")).get().await.allowed());
    }
    assert_eq!(hook.asked.lock().unwrap().len(), 6);
    assert!(
        hook.counted(r#"apiserver_authorization_webhook_evaluations_total{name="hook",result="success"} 6"#)
    );
}

#[tokio::test]
async fn a_webhook_that_fails_never_allows() {
    let hook = Hook::start().await;
    let names = [
        "empty",
        "garbage",
        "list",
        "parts",
        "status-parts",
        "word",
        "other-kind",
        "other-version",
        "no-kind",
        "text-allowed",
        "number-allowed",
        "huge",
        "300",
        "redirect",
        "400",
        "401",
        "403",
        "404",
        "503",
        "hang",
        "both",
    ];
    let (open, closed) = (
        hook.authorizer(false, Duration::ZERO),
        hook.authorizer(true, Duration::ZERO),
    );
    counted("answers about rights", names.len());
    for name in names {
        for (webhook, verdict) in [(&open, Verdict::NoOpinion), (&closed, Verdict::Deny)] {
            let decision = webhook.authorize(&named(name)).get().await;
            let wanted = if name == "both" { Verdict::Deny } else { verdict };
            assert_eq!(decision.verdict, wanted, "{name}");
            assert!(!decision.error.is_empty(), "{name}: no cause is told");
        }
    }
    assert!(
        hook.counted(r#"apiserver_authorization_webhook_evaluations_total{name="hook",result="timeout"} 2"#)
    );
}

#[tokio::test]
async fn what_nobody_can_say_is_an_error_unless_another_allows() {
    let hook = Hook::start().await;
    let webhook: Arc<dyn Authorizer> = Arc::new(hook.authorizer(false, Duration::ZERO));
    let chain = |other: Arc<dyn Authorizer>| Chain([webhook.clone(), other].into());
    let deny = chain(Arc::new(AlwaysDeny))
        .authorize(&named("garbage"))
        .get()
        .await;
    assert_eq!(
        (deny.verdict, deny.reason.as_str()),
        (Verdict::NoOpinion, "Everything is forbidden.")
    );
    assert!(deny.error.contains("SubjectAccessReview"), "{}", deny.error);
    assert!(
        chain(Arc::new(AlwaysAllow))
            .authorize(&named("garbage"))
            .get()
            .await
            .allowed()
    );
    let deny = chain(Arc::new(AlwaysAllow)).authorize(&named("deny")).get().await;
    assert_eq!(deny.verdict, Verdict::Deny, "who denies is not overruled");
    let master = Attributes {
        user: Arc::new(User::new("root", &["system:masters"])),
        ..named("deny")
    };
    assert!(now(&chain(Arc::new(AlwaysDeny)), &master).allowed());
}

#[tokio::test]
async fn selectors_are_told_and_conditions_choose_what_is_asked() {
    let hook = Hook::start().await;
    let text = configuration::hook(
        hook.file().to_str().unwrap(),
        &[(
            "    failurePolicy: Deny\n",
            "    failurePolicy: Deny\n    matchConditionSubjectAccessReviewVersion: v1\n    matchConditions:\n\
             \x20   - expression: has(request.resourceAttributes) && request.resourceAttributes.namespace == 'a'\n\
             \x20   - expression: request.resourceAttributes.?fieldSelector.requirements.orValue([]).exists(r, r.key == 'spec.nodeName')\n\
             \x20   - expression: \"'a' in request.extra || request.extra['b'][0] == 'c'\"\n",
        )],
    );
    let of = Configuration::parse(text.as_bytes())
        .unwrap()
        .authorizers
        .remove(0);
    let webhook = Webhook::new(
        "hook",
        of.webhook.as_ref().unwrap(),
        &hook.env,
        Metrics::new(&hook.env.metrics),
    )
    .unwrap();
    let plain = asks("ann", &[], "list", "pods", "a");
    let excluded = now(&webhook, &plain);
    assert_eq!(
        (excluded.verdict, excluded.error.as_str()),
        (Verdict::NoOpinion, "")
    );
    let selecting = Attributes {
        selectors: Selectors::parse("spec.nodeName=n1", "app in (a,b),!c,d>1"),
        ..plain
    };
    // The last condition fails: there is no such key.
    let failed = now(&webhook, &selecting);
    assert_eq!(failed.verdict, Verdict::Deny);
    assert!(
        failed.error.starts_with("cel evaluation error: expression "),
        "{}",
        failed.error
    );
    let mut user = User::new("ann", &[]);
    user.extra.insert("a".to_owned(), Vec::new());
    let known = Attributes {
        user: Arc::new(user),
        ..selecting
    };
    assert_eq!(webhook.authorize(&known).get().await.verdict, Verdict::NoOpinion);
    let asked = hook.asked.lock().unwrap()[0]["spec"]["resourceAttributes"].clone();
    let one = |key: &str, operator: &str, values: &[&str]| match values {
        [] => json!({"key": key, "operator": operator}),
        values => json!({"key": key, "operator": operator, "values": values}),
    };
    assert_eq!(
        asked["fieldSelector"],
        json!({"requirements": [one("spec.nodeName", "In", &["n1"])]})
    );
    // What a review has no word for is left out.
    let labels = [one("app", "In", &["a", "b"]), one("c", "DoesNotExist", &[])];
    assert_eq!(asked["labelSelector"], json!({"requirements": labels}));
    assert!(hook.counted(
        r#"apiserver_authorization_match_condition_exclusions_total{type="Webhook",name="hook"} 1"#
    ));
}
