//! Stories of the authorizers beside Node and RBAC. The webhook is a server of its own on loopback; what it answers follows
//! from the name that is asked about.
#![expect(clippy::disallowed_types, reason = "reviews are looked into")]

use super::{
    Abac, AlwaysAllow, AlwaysDeny, Configuration, Configured, Connection, Maker, Mode, Reloading, Webhook,
    WebhookSettings, metrics::Metrics,
};
use crate::security::stories::bad_input::counted;
use crate::{
    fixture,
    security::{Attributes, Authorizer, Chain, Decision, Rbac, Selectors, User, Verdict},
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

fn asks(user: &str, groups: &[&str], verb: &str, resource: &str, namespace: &str) -> Attributes {
    let (group, resource) = resource.split_once('/').unwrap_or(("", resource));
    Attributes {
        user: Arc::new(User::new(user, groups)),
        verb: verb.to_owned(),
        group: group.to_owned(),
        version: "v1".to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        is_resource: true,
        ..Attributes::default()
    }
}

fn path(user: &str, verb: &str, path: &str) -> Attributes {
    Attributes {
        user: Arc::new(User::new(user, &["system:authenticated"])),
        verb: verb.to_owned(),
        path: path.to_owned(),
        ..Attributes::default()
    }
}

fn now(authorizer: &dyn Authorizer, asked: &Attributes) -> Decision {
    authorizer.authorize(asked).now().expect("nobody else is asked")
}

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

fn configured(authorizers: &str) -> String {
    format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n{authorizers}"
    )
}

/// An authorizer with a webhook, with `change` in place of lines of it.
fn hook(file: &str, change: &[(&str, &str)]) -> String {
    let mut text = format!(
        "- type: Webhook\n  name: hook\n  webhook:\n    timeout: 3s\n    subjectAccessReviewVersion: v1\n    \
         failurePolicy: Deny\n    connectionInfo:\n      type: KubeConfigFile\n      kubeConfigFile: {file}\n"
    );
    for (from, to) in change {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    configured(&text)
}

#[test]
fn configurations_are_checked_in_upstreams_words() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("kubeconfig");
    std::fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    let conditions = |list: &str| {
        let text = format!(
            "    matchConditionSubjectAccessReviewVersion: v1\n    matchConditions:\n{list}    failurePolicy: Deny\n"
        );
        hook(file, &[("    failurePolicy: Deny\n", &text)])
    };
    let at = "authorizers[0]";
    let cases = [
        (
            "".to_owned(),
            "failed to load AuthorizationConfiguration from file: ",
        ),
        (
            "\tx".to_owned(),
            "failed to load AuthorizationConfiguration from file: ",
        ),
        (
            "kind: Other".to_owned(),
            "failed to load AuthorizationConfiguration from file: no kind \"Other\" is registered for version \"\"",
        ),
        (
            configured("").replace("authorizers:\n", "authorizerz: []"),
            "failed to load AuthorizationConfiguration from file: strict decoding error: unknown field \"authorizerz\"",
        ),
        (
            configured("").replace("/v1\n", "/v7\n"),
            "failed to load AuthorizationConfiguration from file: no kind \"AuthorizationConfiguration\" is registered for version \"apiserver.config.k8s.io/v7\"",
        ),
        (
            configured("  []"),
            "authorizers: Required value: at least one authorization mode must be defined",
        ),
        (configured("- name: x"), "authorizers[0].type: Required value"),
        (
            configured("- {type: Oracle, name: x}"),
            "authorizers[0].type: Unsupported value: \"Oracle\": supported values: \"ABAC\", \"AlwaysAllow\", \"AlwaysDeny\", \"Node\", \"RBAC\", \"Webhook\"",
        ),
        (
            configured("- {type: RBAC, name: rbac}\n- {type: RBAC, name: two}"),
            "authorizers[1].type: Duplicate value: \"RBAC\"",
        ),
        (
            configured("- {type: RBAC}"),
            "authorizers[0].name: Required value",
        ),
        (
            configured("- {type: RBAC, name: mine}"),
            "expected name rbac for authorizer RBAC instead of mine",
        ),
        (
            configured("- {type: RBAC, name: Not-Good}"),
            "authorizers[0].name: Invalid value: \"Not-Good\": authorizer name is invalid: ",
        ),
        (
            configured("- {type: Node, name: x}\n- {type: RBAC, name: x}"),
            "authorizers[1].name: Duplicate value: \"x\"",
        ),
        (
            configured("- {type: Webhook, name: x}"),
            "authorizers[0].webhook: Required value: required when type=Webhook",
        ),
        (
            configured("- {type: RBAC, name: rbac, webhook: {}}"),
            "authorizers[0].webhook: Invalid value: \"non-null\": may only be specified when type=Webhook",
        ),
        (
            hook(file, &[("    timeout: 3s\n", "")]),
            "authorizers[0].timeout: Required value",
        ),
        (
            hook(file, &[("3s", "31s")]),
            "authorizers[0].timeout: Invalid value: \"31s\": must be > 0s and <= 30s",
        ),
        (
            hook(file, &[("3s", "-1s")]),
            "authorizers[0].timeout: Invalid value: \"-1s\": must be > 0s and <= 30s",
        ),
        (
            hook(file, &[("3s", "soon")]),
            "failed to load AuthorizationConfiguration from file: time: invalid duration \"soon\"",
        ),
        (
            hook(
                file,
                &[("    timeout: 3s\n", "    timeout: 3s\n    authorizedTTL: -1s\n")],
            ),
            "authorizers[0].authorizedTTL: Invalid value: \"-1s\": must be > 0s",
        ),
        (
            hook(
                file,
                &[("    timeout: 3s\n", "    timeout: 3s\n    unauthorizedTTL: -1s\n")],
            ),
            "authorizers[0].unauthorizedTTL: Invalid value: \"-1s\": must be > 0s",
        ),
        (
            hook(file, &[("    subjectAccessReviewVersion: v1\n", "")]),
            "authorizers[0].subjectAccessReviewVersion: Required value",
        ),
        (
            hook(file, &[("Version: v1\n", "Version: v2\n")]),
            "authorizers[0].subjectAccessReviewVersion: Unsupported value: \"v2\": supported values: \"v1\", \"v1beta1\"",
        ),
        (
            hook(file, &[("    failurePolicy: Deny\n", "")]),
            "authorizers[0].failurePolicy: Required value",
        ),
        (
            hook(file, &[("Deny", "Allow")]),
            "authorizers[0].failurePolicy: Unsupported value: \"Allow\": supported values: \"NoOpinion\", \"Deny\"",
        ),
        (
            hook(
                file,
                &[(
                    "    failurePolicy: Deny\n",
                    "    failurePolicy: Deny\n    url: x\n",
                )],
            ),
            "failed to load AuthorizationConfiguration from file: strict decoding error: unknown field \"url\"",
        ),
        (
            hook(file, &[("      type: KubeConfigFile\n", "")]),
            "authorizers[0].connectionInfo.type: Required value",
        ),
        (
            hook(file, &[("type: KubeConfigFile", "type: Pigeon")]),
            "authorizers[0].connectionInfo.type: Unsupported value: \"Pigeon\": supported values: \"InClusterConfig\", \"KubeConfigFile\"",
        ),
        (
            hook(file, &[("type: KubeConfigFile", "type: InClusterConfig")]),
            "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: ",
        ),
        (
            hook(file, &[(file, "\"\"")]),
            "authorizers[0].connectionInfo.kubeConfigFile: Required value",
        ),
        (
            hook(file, &[(file, "here.conf")]),
            "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"here.conf\": must be an absolute path",
        ),
        (
            hook(file, &[(file, "/nowhere/x")]),
            "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"/nowhere/x\": error loading file: stat /nowhere/x: no such file or directory",
        ),
        (
            hook(file, &[(file, "/")]),
            "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"/\": must be a regular file",
        ),
        (
            conditions("    - expression: \"\"\n"),
            "authorizers[0].matchConditions[0].expression: Required value",
        ),
        (
            conditions("    - expression: \"true\"\n    - expression: \"true\"\n"),
            "authorizers[0].matchConditions[1].expression: Duplicate value: \"true\"",
        ),
        (
            conditions("    - expression: \"request.user +\"\n"),
            "authorizers[0].matchConditions[0].expression: Invalid value: \"request.user +\": compilation failed: ",
        ),
        (
            conditions("    - expression: request.user\n"),
            "authorizers[0].matchConditions[0].expression: Invalid value: \"request.user\": must evaluate to bool but got string",
        ),
        (
            conditions("    - expression: request.nobody == 'x'\n"),
            "authorizers[0].matchConditions[0].expression: Invalid value: ",
        ),
        (
            conditions(&"    - expression: \"true\"\n".repeat(65)),
            "authorizers[0].matchConditions: Too many: 65: must have at most 64 items",
        ),
        (
            conditions("    - expression: \"true\"\n")
                .replace("    matchConditionSubjectAccessReviewVersion: v1\n", ""),
            "authorizers[0].matchConditionSubjectAccessReviewVersion: Required value: required if match conditions are specified",
        ),
        (
            conditions("    - expression: \"true\"\n").replace(
                "matchConditionSubjectAccessReviewVersion: v1",
                "matchConditionSubjectAccessReviewVersion: v1beta1",
            ),
            "authorizers[0].matchConditionSubjectAccessReviewVersion: Unsupported value: \"v1beta1\": supported values: \"v1\"",
        ),
    ];
    counted("configurations of authorizers", cases.len());
    for (text, why) in cases {
        let error = Configuration::parse(text.as_bytes()).unwrap_err();
        let listed = format!("[{why}");
        assert!(
            error.starts_with(why) || error.starts_with(&listed),
            "{text}\n{error}\nnot {why} at {at}"
        );
    }
    let good =
        Configuration::parse(conditions("    - expression: has(request.resourceAttributes)\n").as_bytes());
    let good = good.unwrap().authorizers[0].webhook.clone().unwrap();
    assert_eq!(
        (good.authorized_ttl, good.unauthorized_ttl),
        (Duration::from_secs(300), Duration::from_secs(30))
    );
}

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
    let text = self::hook(
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

#[tokio::test(start_paused = true)]
async fn a_configuration_is_followed() {
    let (server, _) = fixture::server().await;
    let env = Env::simulated(5);
    let reader = server.reader();
    let maker = Maker {
        rbac: Arc::new(Rbac::new(reader.clone())),
        reader,
        abac: None,
        env: env.clone(),
    };
    let first = configured("- {type: AlwaysDeny, name: alwaysdeny}");
    let started = Configuration::parse(first.as_bytes()).unwrap();
    let reloading = Reloading::new(maker, started).unwrap();
    let file = Arc::new(Mutex::new(first.clone().into_bytes()));
    let read = file.clone();
    reloading.follow(
        Box::new(move || Ok(read.lock().unwrap().clone())),
        first.clone().into_bytes(),
    );
    let put = async |text: String| {
        *file.lock().unwrap() = text.into_bytes();
        env.clock.sleep(Duration::from_secs(70)).await;
    };
    let asked = asks("ann", &[], "get", "pods", "a");
    let allowed = || now(reloading.as_ref(), &asked).allowed();
    assert!(!allowed());
    put(configured("- {type: AlwaysAllow, name: alwaysallow}")).await;
    assert!(allowed());
    put(configured("- {type: Oracle, name: x}")).await;
    assert!(allowed(), "a broken one is not taken");
    put(configured("- {type: RBAC, name: rbac}")).await;
    assert!(allowed(), "RBAC was not there at the start");
    put(first).await;
    assert!(!allowed());
    let mut text = String::new();
    env.metrics.write(&mut text);
    let count = |status: &str, count: u32| {
        let name = "apiserver_authorization_config_controller_automatic_reloads_total";
        let line = format!("{name}{{status=\"{status}\",apiserver_id_hash=\"\"}} {count}");
        assert!(text.contains(&line), "{line}\n{text}");
    };
    count("success", 2);
    count("failure", 2);
    assert!(text.contains(
        r#"apiserver_authorization_decisions_total{type="AlwaysAllow",name="alwaysallow",decision="allowed"}"#
    ));
}

#[test]
fn authorizers_of_flags_are_called_as_upstream_calls_them() {
    let names = Mode::ALL.map(|mode| Configured::plain(mode).name);
    assert_eq!(
        names,
        ["abac", "alwaysallow", "alwaysdeny", "node", "rbac", "webhook"]
    );
}
